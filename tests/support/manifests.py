"""Manifests with one thing changed, and what parsing them says."""

from __future__ import annotations

from typing import Any

import pytest

from hivellm_lite.errors import ManifestError
from hivellm_lite.manifest import Manifest, parse_manifest

from .packages import manifest_bytes, manifest_v2


def parse(manifest: dict[str, Any]) -> Manifest:
    return parse_manifest(manifest_bytes(manifest))


def problems(manifest: dict[str, Any]) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        parse(manifest)
    return str(caught.value).splitlines()


def only_problem(manifest: dict[str, Any]) -> str:
    first, problem = problems(manifest)
    assert first == "manifest.json: 1 problem"
    return problem


def v2_base(**fields: Any) -> dict[str, Any]:
    return manifest_v2(base_models=[{**manifest_v2()["base_models"][0], **fields}])


def v2_adapter(**fields: Any) -> dict[str, Any]:
    return v2_base(adapters=[fields])


def decoding(**fields: Any) -> dict[str, Any]:
    return manifest_v2(training={"decoding": fields})
