"""Manifests: ``manifest.json`` as a typed record, and what experts ask of each other."""

from __future__ import annotations

from .parsing import parse_manifest
from .records import (
    AdapterInfo,
    BaseModel,
    Constraints,
    Decoding,
    Integrity,
    Manifest,
    Routing,
    SoftPrompt,
)

__all__ = [
    "AdapterInfo",
    "BaseModel",
    "Constraints",
    "Decoding",
    "Integrity",
    "Manifest",
    "Routing",
    "SoftPrompt",
    "parse_manifest",
]
