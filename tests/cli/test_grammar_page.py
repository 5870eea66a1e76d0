"""``docs/grammars.md`` says how grammars are repaired."""

from __future__ import annotations

import re

from hivellm_lite.gbnf.checks import check_grammar
from hivellm_lite.gbnf.syntax import Grammar

from ..support.paths import ROOT

PAGE = ROOT / "docs" / "grammars.md"


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
