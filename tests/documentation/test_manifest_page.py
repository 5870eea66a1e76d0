"""The page of the manifest's fields, compared with the schema and with what the parser reads."""

from __future__ import annotations

import dataclasses
import importlib.util
import re

import pytest

from hivellm_lite.manifest import records

from ..support.paths import ROOT

_spec = importlib.util.spec_from_file_location("docs", ROOT / "scripts" / "make_manifest_docs.py")
docs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(docs)


def test_the_page_is_made_from_the_schema():
    assert docs.PAGE.read_text("utf-8") == docs.render(), "run scripts/make_manifest_docs.py"


def test_every_field_of_the_schema_has_one_row():
    rows = re.findall(r"^\| `([^`]+)` \|", docs.PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(docs.EFFECTS)


RECORDS = {
    f"{docs.BASE}.": records.BaseModel,
    f"{docs.BASE}.adapters[].": records.AdapterInfo,
    "soft_prompts[].": records.SoftPrompt,
    "routing.": records.Routing,
    "constraints.": records.Constraints,
    "training.decoding.": records.Decoding,
    "integrity.": records.Integrity,
}


@pytest.mark.parametrize("prefix", RECORDS)
def test_fields_that_are_told_to_be_read_are_those_that_the_parser_reads(prefix):
    parsed = {prefix + one.name for one in dataclasses.fields(RECORDS[prefix])}
    told = {
        path
        for path in docs.EFFECTS
        if path.startswith(prefix) and not re.search(r"[.\[]", path[len(prefix) :])
    }
    assert parsed <= told
    assert [path for path in told - parsed if docs.EFFECTS[path] != docs.NOT_READ] == (
        [f"{docs.BASE}.adapters"] if prefix == f"{docs.BASE}." else []
    )
