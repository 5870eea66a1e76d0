"""``grammar list``, ``show`` and ``from-schema``."""

from __future__ import annotations

import json

import pytest

from hivellm_lite.cli.grammar import from_schema
from hivellm_lite.gbnf.library import grammar_names, grammar_text
from hivellm_lite.gbnf.syntax import Grammar
from hivellm_lite.json_schema.layout import LAYOUTS

from .grammar_inputs import CLOSED


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
