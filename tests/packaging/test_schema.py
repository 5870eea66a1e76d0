"""The published JSON Schema of manifests, compared with the parser."""

from __future__ import annotations

import json
import tarfile
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hivellm_lite.errors import ManifestError
from hivellm_lite.manifest import parse_manifest
from hivellm_lite.packaging.schema import SCHEMA_FILE, manifest_schema

from ..support.manifests import decoding, v2_adapter, v2_base
from ..support.packages import manifest_bytes, manifest_v1, manifest_v2
from ..support.paths import EXPERTS, ROOT

SCHEMA = json.loads(manifest_schema())
VALIDATOR = Draft202012Validator(SCHEMA)


def test_the_schema_is_one_and_the_published_copy_is_the_same():
    Draft202012Validator.check_schema(SCHEMA)
    published = ROOT / "docs" / SCHEMA_FILE
    source = ROOT / "hivellm_lite" / "packaging" / SCHEMA_FILE
    assert published.read_bytes() == manifest_schema(), f"cp {source} {published}"


FIELDS = """
$schema name version schema_version description author license homepage tags base_model base_models
sha256 quantization rope_scaling prompt_template adapters type r alpha target_modules path
size_bytes scaling soft_prompts capabilities limitations quality_metrics routing keywords
exclude_keywords router_hint priority constraints max_chain load_order incompatible_with requires
runtime tool_timeout_ms max_tool_retries training packaging_checkpoint alternative_checkpoints
decoding use_grammar grammar_type grammar_file validation stop_sequences temperature top_p top_k
min_p repetition_penalty max_tokens max_new_tokens integrity created_at publisher pubkey
signature_algorithm signature files
"""


def test_it_names_every_field_of_the_format():
    named: set[str] = set()

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            named.update(node.get("properties", ()))
        for value in node.values() if isinstance(node, dict) else node:
            if isinstance(value, dict | list):
                collect(value)

    collect(SCHEMA)
    assert set(FIELDS.split()) <= named


def test_real_manifests_are_valid():
    manifests = []
    for path in EXPERTS.glob("*.expert"):
        with tarfile.open(path) as tar:
            file = tar.extractfile("manifest.json")
            assert file is not None
            manifests.append(json.load(file))
    assert len(manifests) >= 3
    absent = dict.fromkeys(("description", "integrity", "routing", "constraints"))
    empty = {"author": {"name": "A", "email": None}, "training": {"decoding": None}}
    for manifest in (
        *manifests,
        manifest_v1(),
        manifest_v2(),
        {**manifest_v2(), **absent},
        {**manifest_v1(), "schema_version": "1.0", "base_models": None, **empty},
        {**manifest_v2(), "base_model": None, "capabilities": "one", "unknown": [{}], "_note": 1},
    ):
        assert [error.message for error in VALIDATOR.iter_errors(manifest)] == []
        parse_manifest(manifest_bytes(manifest))


def v1_base(**fields: Any) -> dict[str, Any]:
    return manifest_v1(base_model={"name": "tiny", **fields})


WRONG = {
    "no name": manifest_v2(name=None),
    "name is null": {**manifest_v2(), "name": None},
    "name is empty": manifest_v2(name=""),
    "name with a slash": manifest_v2(name="a/b"),
    "name with a blank before it": manifest_v2(name=" a"),
    "name is dots": manifest_v2(name=".."),
    "name of two lines": manifest_v2(name="a\n"),
    "name that turns the terminal around": manifest_v2(name="a\u202eb"),
    "name of 129 characters": manifest_v2(name="a" * 129),
    "version is a number": manifest_v2(version=1.0),
    "schema 2.0 without a base": manifest_v2(base_models=None),
    "schema 2.0 with base_model": manifest_v2(base_model={"name": "tiny"}),
    "schema 1.0 with base_models": manifest_v1(base_models=[{"name": "tiny"}]),
    "schema version as a number": manifest_v2(schema_version=2.0),
    "two bases": manifest_v2(base_models=[{"name": "a"}, {"name": "b"}]),
    "no base": manifest_v2(base_models=[]),
    "base is a text": manifest_v1(base_model="tiny"),
    "bases are an object": manifest_v2(base_models={"name": "tiny"}),
    "base without a name": manifest_v1(base_model={}),
    "base named by slashes": v1_base(name="//"),
    "template is a list": v2_base(prompt_template=["qwen3"]),
    "adapters are an object": manifest_v1(adapters={}),
    "rank is a text": v2_adapter(r="8"),
    "rank below 0": v2_adapter(r=-1),
    "rank between two numbers": v2_adapter(r=1.5),
    "alpha below 0": v2_adapter(alpha=-1),
    "target modules hold a number": v2_adapter(target_modules=["q_proj", 1]),
    "size is true": v2_adapter(size_bytes=True),
    "path is a number": v2_adapter(path=1),
    "soft prompt is a text": manifest_v2(soft_prompts=["intro"]),
    "capabilities are an object": manifest_v2(capabilities={"sql": True}),
    "10,001 capabilities": manifest_v2(capabilities=["x"] * 10_001),
    "author is a list": manifest_v2(author=["A"]),
    "routing is a list": manifest_v2(routing=[]),
    "priority above a million": manifest_v2(routing={"priority": 1e7}),
    "max_chain is a text": manifest_v2(constraints={"max_chain": "10"}),
    "requires holds an object": manifest_v2(constraints={"requires": [{"name": "a"}]}),
    "use_grammar is a text": decoding(use_grammar="yes"),
    "top_p is 0": decoding(top_p=0),
    "min_p above 1": decoding(min_p=1.5),
    "max_tokens is 0": decoding(max_tokens=0),
    "repetition_penalty is 0": decoding(repetition_penalty=0),
    "stop sequences hold null": decoding(stop_sequences=[None]),
    "digest of a file is a word": manifest_v2(integrity={"files": {"a": "hash"}}),
    "training is a text": manifest_v2(training="none"),
}


def test_what_the_parser_refuses_the_schema_refuses():
    accepted = []
    for what, manifest in WRONG.items():
        with pytest.raises(ManifestError):
            parse_manifest(manifest_bytes(manifest), source=what)
        if VALIDATOR.is_valid(manifest):
            accepted.append(what)
    assert accepted == []


ODD = [None, True, 0, -1, 0.5, 12.0, 1e300, "", " ", ["x"], [1], {}]


def test_what_the_schema_accepts_the_parser_accepts():
    """Every field of both schemas, with every kind of value in its place."""
    accepted = 0
    for manifest in (manifest_v1(integrity={"files": {"a": ""}}), manifest_v2(runtime={"x": 1})):
        for path in list(_paths(manifest)):
            for value in ODD:
                changed = json.loads(json.dumps(manifest))
                place = changed
                for step in path[:-1]:
                    place = place[step]
                place[path[-1]] = value
                if VALIDATOR.is_valid(changed):
                    accepted += 1
                    parse_manifest(manifest_bytes(changed), source=f"{path} = {value!r}")
    assert accepted > 150


def _paths(node: Any, path: tuple[Any, ...] = ()) -> Any:
    if path:
        yield path
    steps = enumerate(node) if isinstance(node, list) else getattr(node, "items", tuple)()
    for key, value in steps:
        yield from _paths(value, (*path, key))
