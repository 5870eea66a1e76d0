"""The commands about grammars, and answers that follow one, as a user runs them."""

from __future__ import annotations

import io
import json
import re
import shlex
from pathlib import Path

import pytest

from hivellm_lite.cli.grammar import from_schema
from hivellm_lite.gbnf.checks import check_grammar
from hivellm_lite.gbnf.library import grammar_names, grammar_text
from hivellm_lite.gbnf.syntax import Grammar
from hivellm_lite.json_schema.layout import LAYOUTS

from ..support.packages import expert_files, grammar_package, write_package
from ..support.paths import ROOT

SUM = """\
# sums of whole numbers
root ::= sum
sum ::=
    sum plus_sign sum | number
plus_sign ::= "+" | "-"
number ::= [0-9]+
"""

QUICK = ("--n-ctx", 256, "--n-threads", 1, "--temperature", 0, "--max-tokens", 24)


@pytest.fixture
def sums(tmp_path) -> Path:
    path = tmp_path / "sums.gbnf"
    path.write_text(SUM)
    return path


@pytest.fixture
def stdin(monkeypatch):
    """Give the tool these bytes on its standard input."""
    return lambda data: monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_check_shows_each_problem_with_its_line_and_what_to_do(tool, sums):
    code, out, _ = tool("grammar", "check", sums)
    assert code == 0
    assert f"{sums}:3: repairable: rule 'sum' begins with itself: sum → sum" in out
    assert "[direct-left-recursion]" in out
    assert f"{sums}:5: repairable: llama.cpp does not read the rule name 'plus_sign'" in out
    assert "Use ASCII letters" in out
    assert "it can be enforced; 'grammar repair' rewrites" in out.splitlines()[-1]


def test_check_fails_for_what_is_repaired_only_if_it_is_to_be_strict(tool, sums):
    assert tool("grammar", "check", sums, "--strict")[0] == 1
    code, out, _ = tool("grammar", "check", "json", "--strict")
    assert code == 0
    assert out == "json: 9 rules, no problems: it can be enforced\n"


def test_check_fails_for_what_cannot_be_enforced(tool, tmp_path):
    path = tmp_path / "broken.gbnf"
    path.write_text("root ::= name other\nname ::= [a-z]+ missing\nspare ::= 'x'")
    code, out, _ = tool("grammar", "check", path)
    assert code == 1
    assert f"{path}:1: error: rule 'root' needs a rule 'other' that is not there" in out
    assert f"{path}:2: error: rule 'name' needs a rule 'missing'" in out
    assert f"{path}:3: warning: rule 'spare' is never used" in out
    assert out.splitlines()[-1].endswith("3 rules, 2 errors, 1 warning: it cannot be enforced")
    facts = json.loads(tool("grammar", "check", path, "--json")[1])
    assert not facts["enforceable"]
    assert "'other'" in facts["refusal"]


def test_check_fails_for_a_mistake_in_a_rule_that_nothing_uses(tool, tmp_path):
    path = tmp_path / "spare.gbnf"
    path.write_text('root ::= "a"\nspare ::= missing')
    code, out, _ = tool("grammar", "check", path)
    assert code == 1
    assert out.splitlines()[-1].endswith("it can be enforced, but 'grammar repair' refuses it")
    assert tool("grammar", "repair", path)[0] == 1


def test_check_fails_for_a_grammar_too_large_to_enforce_and_says_so(tool, tmp_path):
    path = tmp_path / "large.gbnf"
    names = [f"r{i}" for i in range(30)]
    rules = [f"{name} ::= [a{i}]{{{10_000 - i}}}" for i, name in enumerate(names)]
    path.write_text("\n".join([f"root ::= {' | '.join(names)}", *rules]))
    code, out, _ = tool("grammar", "check", path)
    assert code == 1
    assert "error" not in out
    assert f"{path}: the grammar is too large at rule" in out
    assert out.splitlines()[-1].endswith("31 rules, 30 warnings: it cannot be enforced")


def test_check_as_json_has_all_of_it(tool, sums):
    code, out, _ = tool("grammar", "check", sums, "--json")
    assert code == 0
    facts = json.loads(out)
    assert (facts["rules"], facts["root"], facts["enforceable"]) == (4, "root", True)
    kinds = {problem["kind"] for problem in facts["problems"]}
    assert {"direct-left-recursion", "illegal-name"} <= kinds
    fields = {"kind", "severity", "rule", "line", "message", "hint"}
    assert all(set(problem) == fields for problem in facts["problems"])


def test_a_text_that_is_no_grammar_is_an_error_with_its_place(tool, tmp_path):
    path = tmp_path / "no.gbnf"
    path.write_text('root ::= ("a" | "b"\n')
    code, out, err = tool("grammar", "check", path)
    assert (code, out) == (1, "")
    assert f"{path}:1:10" in err
    assert "^" in err


def test_an_unknown_name_is_an_error_that_lists_the_names(tool):
    code, _, err = tool("grammar", "check", "cobol")
    assert code == 1
    assert "there is no grammar 'cobol'" in err
    assert "json-compact" in err


@pytest.mark.parametrize("name", ["x.expert", "x.zip", "x"])
def test_the_grammar_of_a_package_is_checked_in_any_form_of_package(tool, tmp_path, name):
    code, out, _ = tool("grammar", "check", grammar_package(tmp_path / name, SUM))
    assert code == 0
    assert out.startswith(f"{name}/grammar.gbnf:3: repairable")


def test_a_package_without_a_grammar_has_the_librarys_for_its_type(tool, tmp_path):
    typed = grammar_package(tmp_path / "typed", grammar_type="postgres")
    assert tool("grammar", "check", typed)[1].splitlines()[-1].startswith("sql-postgres: ")
    other = grammar_package(tmp_path / "other", grammar_type="cobol")
    code, _, err = tool("grammar", "check", other)
    assert code == 1
    assert "other brings no grammar, and this library has none for its grammar_type 'cobol'" in err
    plain = write_package(tmp_path / "plain", expert_files())
    assert "Error: plain brings no grammar\n" in tool("grammar", "check", plain)[2]


def test_a_digest_beside_the_package_is_checked_unless_told_otherwise(tool, tmp_path):
    archive = grammar_package(tmp_path / "x.expert", SUM)
    Path(f"{archive}.sha256").write_text(f"{'0' * 64}  x.expert\n")
    assert tool("grammar", "check", archive)[0] == 1
    assert tool("grammar", "check", archive, "--no-verify")[0] == 0


def test_repair_prints_the_same_language_and_says_what_it_changed(tool, sums):
    code, out, err = tool("grammar", "repair", sums)
    assert code == 0
    assert "sum ::= number (plus-sign number)*" in out
    repaired = Grammar.parse(out)
    for text, valid in (("1", True), ("1+22-3", True), ("", False), ("1+", False)):
        assert repaired.accepts(text) == Grammar.parse(SUM).accepts(text) == valid
    assert "rule sum: left recursion made repetition" in err
    assert "plus_sign: name written in other characters" in err


def test_repair_says_when_there_was_nothing_to_do(tool):
    _, out, err = tool("grammar", "repair", "json-compact")
    assert err == "nothing had to be changed\n"
    assert Grammar.parse(out).accepts('{"a":[1,2]}')


def test_repair_warns_of_what_llama_cpp_still_refuses(tool, tmp_path):
    path = tmp_path / "long.gbnf"
    path.write_text('root ::= "a"{0,5000}')
    code, _, err = tool("grammar", "repair", path)
    assert code == 0
    assert "warning: rule 'root' repeats 5,000 times, which llama.cpp refuses" in err


def test_repair_writes_a_file_and_replaces_one_only_if_forced(tool, sums, tmp_path):
    target = tmp_path / "out.gbnf"
    assert tool("grammar", "repair", sums, "-o", target)[:2] == (0, "")
    assert Grammar.load(target).accepts("1+2")
    target.write_text("mine")
    code, _, err = tool("grammar", "repair", sums, "-o", target)
    assert code == 2
    assert "--force" in err
    assert target.read_text() == "mine"
    assert tool("grammar", "repair", sums, "-o", target, "--force")[0] == 0
    assert Grammar.load(target).accepts("1+2")
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"sums.gbnf", "out.gbnf"}


def test_a_grammar_that_cannot_be_repaired_writes_nothing(tool, tmp_path):
    path, target = tmp_path / "a.gbnf", tmp_path / "out.gbnf"
    path.write_text("root ::= missing")
    code, out, err = tool("grammar", "repair", path, "-o", target)
    assert (code, out) == (1, "")
    assert "there is no rule 'missing'" in err
    assert not target.exists()


def test_a_refused_text_is_shown_with_its_place_and_what_was_expected(tool, sums):
    code, out, _ = tool("grammar", "test", sums, "12+3", "12*3")
    assert code == 1
    assert out == (
        "accepted: 12+3\n"
        "refused: 12*3\n"
        "  line 1, column 3: this cannot stand here\n"
        "    12*3\n"
        "      ^\n"
        '  expected: [0-9], "+", "-", the end of the text\n'
    )
    assert tool("grammar", "test", "json", "1", "[]")[0] == 0


def test_of_many_expected_characters_a_few_are_shown(tool, tmp_path):
    path = tmp_path / "letters.gbnf"
    path.write_text("root ::= " + " | ".join(f'"{char}"' for char in "abcdefghijklmnop"))
    assert '"l", and 4 more\n' in tool("grammar", "test", path, "x")[1]


def test_a_text_that_ends_too_early_is_told_from_one_with_a_mistake(tool):
    _, out, _ = tool("grammar", "test", "json-compact", "[1")
    assert "line 1, column 3: the text ends too early" in out


def test_the_place_in_a_long_text_of_several_lines_is_shown_with_little_around_it(tool, tmp_path):
    path = tmp_path / "long.json"
    path.write_text("[1,\n" + "2, " * 100 + "x" + ", 3" * 100 + "]")
    _, out, _ = tool("grammar", "test", "json", f"@{path}")
    lines = out.splitlines()
    assert lines[1] == "  line 2, column 301: this cannot stand here"
    assert len(lines[2]) < 80
    assert lines[2][lines[3].index("^")] == "x"


def test_a_text_may_come_from_a_file_or_from_stdin(tool, tmp_path, stdin):
    path = tmp_path / "text.csv"
    path.write_bytes(b"a,b\r\n1,2\r\n")
    stdin(b'{"a":1}')
    assert tool("grammar", "test", "csv", f"@{path}")[:2] == (0, f"accepted: @{path}\n")
    assert tool("grammar", "test", "json-compact", "-")[:2] == (0, "accepted: -\n")


def test_the_line_break_at_the_end_of_a_file_may_belong_to_the_text_or_not(tool, tmp_path):
    grammar, text = tmp_path / "lines.gbnf", tmp_path / "text"
    text.write_bytes(b"a\r\n")
    for rule, code in (('"a"', 0), (r'"a\r\n"', 0), (r'"a\r"', 1), (r'"a\r\n\r\n"', 1)):
        grammar.write_text(f"root ::= {rule}")
        assert tool("grammar", "test", grammar, f"@{text}")[0] == code, rule
    grammar.write_text('root ::= "a"')
    assert tool("grammar", "test", grammar, "a\n")[0] == 1


@pytest.mark.parametrize(("data", "why"), [(None, "No such file"), (b"\xff", "not UTF-8 text")])
def test_a_text_that_cannot_be_read_is_wrong_usage(tool, tmp_path, data, why):
    path = tmp_path / "text"
    if data is not None:
        path.write_bytes(data)
    code, _, err = tool("grammar", "test", "json", f"@{path}")
    assert code == 2
    assert why in err


def test_what_a_terminal_cannot_show_is_replaced(tool):
    _, out, _ = tool("grammar", "test", "json", "[\x1b[2J\udc80\t")
    assert "refused: [\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER} \n" in out


def test_the_judgements_as_json(tool):
    code, out, _ = tool("grammar", "test", "json-compact", "[1]", "[\n", "--json")
    assert code == 1
    accepted, refused = json.loads(out)
    assert accepted["accepted"]
    assert accepted["expected"] == ["the end of the text"]
    assert {key: refused[key] for key in ("accepted", "position", "line", "column", "at_end")} == {
        "accepted": False,
        "position": 1,
        "line": 1,
        "column": 2,
        "at_end": False,
    }
    assert '"]"' in refused["expected"]


def test_another_rule_may_be_the_root(tool):
    assert tool("grammar", "test", "iso", "2024-02-29", "--root", "date")[0] == 0
    assert tool("grammar", "test", "iso", "2024-02-29", "--root", "time")[0] == 1
    code, out, _ = tool("grammar", "check", "iso", "--root", "nothing")
    assert code == 1
    assert "there is no rule 'nothing' to begin with" in out


def test_a_grammar_without_texts_expects_nothing(tool, tmp_path):
    path = tmp_path / "endless.gbnf"
    path.write_text('root ::= "a" root')
    assert "expected: nothing; no text fits" in tool("grammar", "test", path, "a")[1]


def test_the_grammars_of_the_library_are_listed_and_shown(tool):
    _, out, _ = tool("grammar", "list")
    assert [line.split()[0] for line in out.splitlines()] == grammar_names()
    assert "json          JSON as RFC 8259 defines it, a value of any kind at the root\n" in out
    _, out, _ = tool("grammar", "list", "--json")
    assert all(entry["description"] for entry in json.loads(out))
    assert tool("grammar", "show", "csv")[1] == grammar_text("csv")
    code, _, err = tool("grammar", "show", "cobol")
    assert code == 1
    assert "there is no grammar 'cobol'" in err


SCHEMA = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
CLOSED = json.dumps({**SCHEMA, "additionalProperties": False})


@pytest.mark.parametrize(
    ("whitespace", "text"), [("single", '{"n": 1}'), ("compact", '{"n":1}'), ("any", '{\n "n":1}')]
)
def test_a_schema_becomes_a_grammar_in_the_wanted_layout(tool, tmp_path, whitespace, text):
    path = tmp_path / "schema.json"
    path.write_text(CLOSED)
    code, out, err = tool("grammar", "from-schema", f"@{path}", "--whitespace", whitespace)
    assert (code, err) == (0, "")
    assert Grammar.parse(out).accepts(text)
    assert not Grammar.parse(out).accepts(text.replace("1", "3"))


def test_every_layout_of_the_library_can_be_chosen():
    (option,) = (option for option in from_schema.params if option.name == "whitespace")
    assert set(option.type.choices) == set(LAYOUTS)


def test_a_keyword_that_no_grammar_can_enforce_is_an_error_or_named(tool):
    schema = json.dumps({"type": "array", "items": {"type": "string"}, "uniqueItems": True})
    code, out, err = tool("grammar", "from-schema", schema)
    assert (code, out) == (1, "")
    assert "'uniqueItems' at #" in err
    code, out, err = tool("grammar", "from-schema", schema, "--allow-unenforced")
    assert code == 0
    assert Grammar.parse(out).accepts('["a", "a"]')
    assert err.startswith("not enforced: 'uniqueItems' at #")


def inspected(tool, folder: Path) -> str:
    """The line of inspect about the grammar."""
    lines = tool("inspect", folder)[1].splitlines()
    return next((line[14:] for line in lines if line.startswith("grammar")), "")


def test_inspect_says_what_the_grammar_will_do(tool, tmp_path):
    line = inspected(tool, grammar_package(tmp_path / "a", SUM, use_grammar=True))
    assert line == "a/grammar.gbnf, enforced after its left recursion is rewritten (sum)"
    line = inspected(tool, grammar_package(tmp_path / "b", 'root ::= "a"', use_grammar=False))
    assert line == "b/grammar.gbnf, enforced as it stands; only if asked for: --grammar strict"
    line = inspected(tool, grammar_package(tmp_path / "c", "root ::= x", use_grammar=True))
    assert line.startswith("cannot be enforced, answers are free text: c/grammar.gbnf: ")
    line = inspected(tool, grammar_package(tmp_path / "d", "root ::= (", use_grammar=True))
    assert line.startswith("cannot be enforced, answers are free text: d/grammar.gbnf:1:10: ")
    assert inspected(tool, grammar_package(tmp_path / "e")) == ""


def test_inspect_names_a_few_left_recursive_rules(tool, tmp_path):
    names = [f"r{i}" for i in range(8)]
    rules = [f'{name} ::= {name} "x" | "{name}"' for name in names]
    grammar = "\n".join([f"root ::= {' '.join(names)}", *rules])
    line = inspected(tool, grammar_package(tmp_path / "a", grammar, use_grammar=True))
    assert line.endswith("(r0, r1, r2, r3, r4…)")


def test_inspect_as_json_has_the_grammar_and_what_becomes_of_it(tool, tmp_path):
    folder = grammar_package(tmp_path / "a", SUM, use_grammar=True, grammar_type="sums")
    assert json.loads(tool("inspect", folder, "--json")[1])["grammar"] == {
        "type": "sums",
        "use_grammar": True,
        "source": "a/grammar.gbnf",
        "left_recursive": ["sum"],
        "refusal": None,
    }


def test_an_answer_follows_the_grammar_it_is_given(tool, tmp_path, tiny_package, tiny_base):
    path = tmp_path / "yes.gbnf"
    path.write_text('root ::= "yes" | "no"')
    arguments = ("run", tiny_package(), "Hello", "--base", tiny_base, *QUICK)
    code, out, err = tool(*arguments, "--grammar", path, "--stats")
    assert code == 0
    assert out in ("yes\n", "no\n")
    assert "first token after" in err
    _, out, _ = tool(*arguments, "--grammar", "iso", "--json")
    assert json.loads(out)["finish_reason"] in ("stop", "length")


def test_forced_tokens_are_told(tool, tmp_path, tiny_package, tiny_base):
    path = tmp_path / "forced.gbnf"
    path.write_text('root ::= "certainly"')
    arguments = ("run", tiny_package(), "Hello", "--base", tiny_base, *QUICK)
    code, out, err = tool(*arguments, "--grammar", path, "--stats")
    assert (code, out) == (0, "certainly\n")
    assert "of them forced" in err


def test_an_answer_follows_a_json_schema(tool, tmp_path, tiny_package, tiny_base):
    path = tmp_path / "schema.json"
    path.write_text(CLOSED)
    arguments = ("run", tiny_package(), "Hello", "--base", tiny_base, *QUICK, "--json-schema")
    code, out, _ = tool(*arguments, f"@{path}")
    assert code == 0
    assert json.loads(out)["n"] in (1, 2)
    unique = json.dumps({"type": "array", "items": {"const": 1}, "unevaluatedItems": False})
    assert tool(*arguments, unique)[0] == 1
    assert tool(*arguments, unique, "--allow-unenforced")[0] == 0
    code, _, err = tool(*arguments, CLOSED, "--grammar", "json")
    assert code == 1
    assert "json_schema replaces grammar" in err


def test_the_packages_grammar_is_followed_when_its_manifest_or_the_user_asks_for_it(
    tool, tmp_path, tiny_base
):
    asks = grammar_package(tmp_path / "asks", 'root ::= "never"', use_grammar=True)
    silent = grammar_package(tmp_path / "silent", 'root ::= "never"', use_grammar=False)
    options = ("Hello", "--base", tiny_base, *QUICK)
    assert tool("run", asks, *options)[1] == "never\n"
    assert tool("run", asks, *options, "--grammar", "off")[1] != "never\n"
    assert tool("run", silent, *options)[1] != "never\n"
    assert tool("run", silent, *options, "--grammar", "strict")[1] == "never\n"


def test_a_grammar_that_must_be_followed_and_cannot_be_is_an_error(tool, tmp_path, tiny_base):
    broken = grammar_package(tmp_path / "broken", "root ::= x", use_grammar=True)
    options = ("Hello", "--base", tiny_base, *QUICK)
    code, out, err = tool("run", broken, *options, "--grammar", "strict")
    assert (code, out) == (1, "")
    assert "grammar.gbnf: " in err
    assert "rule 'x'" in err
    assert tool("run", broken, *options)[0] == 0


def test_an_answer_that_takes_too_long_is_cut_and_that_is_said(tool, tiny_package, tiny_base):
    options = ("Hello", "--base", tiny_base, *QUICK, "--timeout", "0.000001")
    code, _, err = tool("run", tiny_package(), *options)
    assert code == 0
    assert "cut after 1e-06 s; --timeout allows more" in err


PAGE = ROOT / "docs" / "grammars.md"


def test_the_page_about_grammars_shows_what_the_commands_print(tool, tmp_path, monkeypatch):
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (grammar,) = (text for kind, text in blocks if "root ::=" in text and not kind)
    (tmp_path / "query.gbnf").write_text(grammar)
    monkeypatch.chdir(tmp_path)
    shown = [text for kind, text in blocks if kind == "console" and "lite grammar" in text]
    assert len(shown) == 3
    for text in shown:
        for session in text.split("$ hivellm-lite ")[1:]:
            command, _, printed = session.partition("\n")
            _, out, err = tool(*shlex.split(command))
            assert out + err == printed, command


def test_the_page_about_grammars_has_a_true_table_of_repairs():
    rows = re.findall(
        r"^\| `([\w-]+)` \| (`.*`) \| (`.*`) \|$", PAGE.read_text("utf-8"), re.MULTILINE
    )
    assert len(rows) == 9
    for kind, *cells in rows:
        before, after = (
            [part.replace("\\|", "|") for part in re.findall("`([^`]*)`", cell)] for cell in cells
        )
        if "::=" not in before[0]:
            before, after = [f"root ::= {before[0]}"], [f"root ::= {after[0]}"]
        elif not before[0].startswith("root"):
            before.append(f"root ::= {before[0].split()[0]}")
        grammar = Grammar.parse("\n".join([*before, "n ::= [0-9]+"]))
        assert kind in [problem.kind for problem in check_grammar(grammar)]
        assert set(after) <= set(str(grammar.repaired()).splitlines()), kind
