"""``grammar check`` and ``grammar repair``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hivellm_lite.gbnf.syntax import Grammar

from ..support.packages import expert_files, grammar_package, write_package
from .grammar_inputs import SUM


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


def test_the_grammar_of_an_installed_expert_is_checked_by_its_name(tool, tmp_path):
    assert tool("install", grammar_package(tmp_path / "x.expert", SUM))[0] == 0
    code, out, err = tool("grammar", "check", "tiny")
    assert (code, "grammar.gbnf:3: repairable" in out) == (0, True), err


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
