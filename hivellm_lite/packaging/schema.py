"""The JSON Schema of manifests, which editors complete and check a manifest with.

It is published as ``docs/manifest.schema.json``, and comes with this package. `init` writes a copy
beside the manifest and refers to that: this works in every editor, without a network, and stays
true whatever becomes of an address.
"""

from __future__ import annotations

from importlib import resources

__all__ = ["SCHEMA_FILE", "SCHEMA_HINT", "manifest_schema"]

SCHEMA_FILE = "manifest.schema.json"
"""The copy's name in an author's folder. It is not packed."""

SCHEMA_HINT = f"./{SCHEMA_FILE}"
"""The value of ``$schema`` in a manifest that `init` writes."""


def manifest_schema() -> bytes:
    """The schema, draft 2020-12, as UTF-8 JSON."""
    return resources.files(__package__).joinpath(SCHEMA_FILE).read_bytes()
