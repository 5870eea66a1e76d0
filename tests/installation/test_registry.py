"""The registry file: what HiveLLM's tool writes is read, and what is written it can read."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hivellm_lite.errors import RegistryError
from hivellm_lite.installation.registry import (
    Registry,
    new_registry,
    parse_registry,
    version_entry,
)
from hivellm_lite.manifest import parse_manifest

from ..support.packages import manifest_bytes, manifest_v1, manifest_v2

NOW = "2026-03-04T05:06:07Z"


def entry(version: str, **more: Any) -> dict[str, Any]:
    """An entry as HiveLLM's tool writes it."""
    return {
        "version": version,
        "base_model": "Qwen3-0.6B",
        "path": f"/home/ann/.expert/experts/expert-sql/{version}",
        "source": "git+https://example.org/expert-sql.git",
        "installed_at": "2025-11-12T13:14:15.678901234Z",
        "adapters": [{"type": "dora", "path": "adapter", "size_bytes": 7, "sha256": None}],
        "capabilities": ["database:sql"],
        "dependencies": [],
        **more,
    }


def document(*experts: Any, **more: Any) -> dict[str, Any]:
    return {
        "version": "1.0",
        "last_updated": "2025-11-12T13:14:15.678901234Z",
        "install_dir": "/home/ann/.expert/experts",
        "models_dir": "/home/ann/.expert/models",
        "base_models": [],
        "experts": list(experts),
        **more,
    }


def parse(value: Any) -> Registry:
    return parse_registry(json.dumps(value).encode(), source="registry.json")


def written(registry: Registry) -> dict[str, Any]:
    value = json.loads(registry.to_bytes(now=NOW))
    assert isinstance(value, dict)
    return value


def assert_rust_reads(value: dict[str, Any]) -> None:
    """Every field that the structs of HiveLLM's tool have, of the type that they have."""
    for key in ("version", "install_dir", "models_dir"):
        assert isinstance(value[key], str)
    datetime.fromisoformat(value["last_updated"].replace("Z", "+00:00"))
    assert isinstance(value["base_models"], list)
    for record in value["experts"]:
        assert isinstance(record["name"], str)
        for one in record["versions"]:
            for key in ("version", "base_model", "path", "source"):
                assert isinstance(one[key], str)
            datetime.fromisoformat(one["installed_at"][:19] + "+00:00")
            assert all(isinstance(text, str) for text in one["capabilities"])
            for adapter in one["adapters"]:
                assert isinstance(adapter["type"], str)
                assert isinstance(adapter["path"], str)
                assert isinstance(adapter["size_bytes"], int)
                assert adapter["sha256"] is None or isinstance(adapter["sha256"], str)
            for needed in one["dependencies"]:
                assert isinstance(needed["name"], str)
                assert isinstance(needed["version"], str)
                assert isinstance(needed["optional"], bool)


def test_an_expert_that_hivellm_installed_is_seen():
    registry = parse(document({"name": "expert-sql", "versions": [entry("0.3.0")]}))
    (one,) = registry.versions()
    assert (one.name, one.version, one.base_model) == ("expert-sql", "0.3.0", "Qwen3-0.6B")
    assert one.path == Path("/home/ann/.expert/experts/expert-sql/0.3.0")
    assert registry.install_dir == Path("/home/ann/.expert/experts")
    assert not registry.notes


def test_versions_are_ordered_as_versions_and_not_as_texts():
    versions = [entry(text) for text in ("0.9.0", "0.10.0", "1.0.0-rc.1", "weird", "1.0.0")]
    registry = parse(document({"name": "b", "versions": versions}, {"name": "A", "versions": []}))
    assert [one.version for one in registry.versions()] == [
        *("1.0.0", "1.0.0-rc.1", "0.10.0", "0.9.0", "weird")
    ]


def test_a_change_keeps_what_is_not_understood():
    before = document(
        {"name": "expert-sql", "versions": [entry("0.3.0", stars=5)], "pinned": True},
        mirror={"of": "somebody"},
        base_models=[{"name": "Qwen3-0.6B", "path": "/m", "unknown": 1}],
    )
    after = written(parse(before).with_version("expert-sql", entry("0.4.0")))
    assert after["mirror"] == {"of": "somebody"}
    assert after["base_models"] == before["base_models"]
    (record,) = after["experts"]
    assert record["pinned"] is True
    assert [one["version"] for one in record["versions"]] == ["0.4.0", "0.3.0"]
    assert record["versions"][1]["stars"] == 5
    assert_rust_reads(after)


def test_an_entry_that_is_written_anew_keeps_fields_of_others():
    registry = parse(document({"name": "expert-sql", "versions": [entry("0.3.0", stars=5)]}))
    changed = registry.with_version("expert-sql", entry("0.3.0", source="elsewhere"))
    (one,) = changed.versions()
    assert (one.source, one.entry["stars"]) == ("elsewhere", 5)


def test_flat_entries_of_older_tools_become_records():
    flat = [
        {"name": "expert-sql", **entry("0.2.0", stars=4)},
        {"name": "expert-json", "version": "1.0", "path": "/x"},
        {"name": "expert-sql", **entry("0.3.0")},
    ]
    registry = parse(document(*flat))
    assert [one.identity for one in registry.versions()] == [
        *("expert-json@1.0", "expert-sql@0.3.0", "expert-sql@0.2.0")
    ]
    after = written(registry.with_version("expert-new", entry("1.0.0")))
    assert_rust_reads(after)
    assert [one["name"] for one in after["experts"]] == ["expert-json", "expert-new", "expert-sql"]
    assert any(one.get("stars") == 4 for one in after["experts"][2]["versions"])


def test_the_last_version_takes_the_expert_with_it():
    registry = parse(document({"name": "a", "versions": [entry("1"), entry("2")]}))
    one_left = registry.without_version("a", "2")
    assert [one.version for one in one_left.versions()] == ["1"]
    assert written(one_left.without_version("a", "1"))["experts"] == []
    assert len(registry.versions()) == 2


@pytest.mark.parametrize(
    ("damaged", "part"),
    [
        (7, 7),
        ({"versions": [entry("1")]}, {"versions": [entry("1")]}),
        ({"name": "x", "versions": 3}, {"name": "x", "versions": 3}),
        ({"name": "x", "versions": [entry("1"), None]}, None),
        ({"name": "x", "versions": [{"version": "2"}]}, {"version": "2"}),
        ({"name": "x", "version": "1", "path": ""}, {"version": "1", "path": ""}),
    ],
    ids=["number", "no-name", "no-list", "null-version", "no-path", "empty-path"],
)
def test_an_entry_that_makes_no_sense_is_named_kept_and_passed_over(damaged: Any, part: Any):
    registry = parse(document(damaged, {"name": "good", "versions": [entry("1.0")]}))
    assert "good@1.0" in [one.identity for one in registry.versions()]
    assert len(registry.notes) == 1
    assert "$.experts[0]" in registry.notes[0]
    changed = registry.with_version("x", entry("9")).without_version("good", "1.0")
    experts = written(changed)["experts"]
    lists = [one["versions"] for one in experts if isinstance(one, dict)]
    assert part in [*experts, *(part for one in lists if isinstance(one, list) for part in one)]
    assert "x@9" in [one.identity for one in changed.versions()]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "line 1"),
        (b'{"experts": [}', "line 1"),
        (b'{"experts": {}}', "expected a list"),
        (b"[]", "expected an object"),
        (b'{"version": NaN}', "NaN"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "deep"),
    ],
)
def test_a_broken_registry_is_an_error_that_says_where(data: bytes, found: str):
    with pytest.raises(RegistryError, match=r"registry\.json") as error:
        parse_registry(data, source="registry.json")
    assert found in str(error.value)


def test_a_manifest_of_either_schema_becomes_an_entry_that_hivellm_reads():
    for value in (manifest_v1(), manifest_v2(constraints={"requires": ["base@>=1", "other"]})):
        manifest = parse_manifest(manifest_bytes(value))
        one = version_entry(manifest, Path("/a/b"), "x.expert", size=9, now=NOW)
        registry = new_registry(Path("/a"), Path("/m"), now=NOW).with_version(manifest.name, one)
        assert_rust_reads(written(registry))
    assert one["dependencies"] == [
        {"name": "base", "version": ">=1", "optional": False},
        {"name": "other", "version": "", "optional": False},
    ]
    assert one["adapters"][0]["size_bytes"] == 9


def test_folders_of_another_machine_are_not_used():
    registry = parse(document(install_dir="C:\\Users\\ann\\.expert\\experts", models_dir=None))
    assert registry.models_dir is None
    assert registry.install_dir in (None, Path("C:\\Users\\ann\\.expert\\experts"))
