"""What ``inspect`` says about a grammar."""

from __future__ import annotations

import json
from pathlib import Path

from ..support.packages import grammar_package
from .grammar_inputs import SUM


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
