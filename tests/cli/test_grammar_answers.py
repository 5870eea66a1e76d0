"""Answers that follow a grammar, as a user runs them."""

from __future__ import annotations

import json

from ..support.packages import grammar_package
from ..support.paths import ROOT
from .grammar_inputs import CLOSED

QUICK = ("--n-ctx", 256, "--n-threads", 1, "--temperature", 0, "--max-tokens", 24)


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
