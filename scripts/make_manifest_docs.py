"""Write ``docs/manifest.md``: every field of a manifest, from its JSON Schema.

Usage: ``python scripts/make_manifest_docs.py``

Type, default and description come from ``docs/manifest.schema.json``. What the runtime does with a
field is told here, in `EFFECTS`; a field without an entry, or an entry without a field, is an
error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "manifest.md"
SCHEMA = ROOT / "docs" / "manifest.schema.json"

NOT_READ = "Not read."
"""Kept, and without any effect."""

SHOWN = "Shown; no effect on answers."

BASE = "base_models[]"
"""The base in schema 2.0; schema 1.0 has the same fields in ``base_model``."""

EFFECTS = {
    "$schema": f"{NOT_READ} `package` leaves a path out.",
    "name": "With `version` the expert's identity: in results, in the registry, for `requires`.",
    "version": "Compared where a name is given with a range; the newest is taken.",
    "schema_version": "Decides where base and adapters are looked for.",
    "description": "Shown by `inspect`, `show`, `search` and the server; in the model card.",
    "author": "Shown; `owned_by` of the server's `/v1/models`.",
    "author.name": "Shown.",
    "author.email": "Shown.",
    "license": "Shown; in indexes and in the model card.",
    "homepage": NOT_READ,
    "repository": NOT_READ,
    "tags": NOT_READ,
    "soft_prompts": "One stands before each prompt ([adapters.md](adapters.md#soft-prompts)).",
    "soft_prompts[].name": "What `soft_prompt=` asks for.",
    "soft_prompts[].path": "Read, unless the file is refused; then a note says why.",
    "capabilities": "Choose the system message; half a point each in routing; `search` reads them.",
    "limitations": "In the model card only.",
    "quality_metrics": "In the model card only.",
    "perf": NOT_READ,
    "runtime": NOT_READ,
    "runtime.tool_timeout_ms": NOT_READ,
    "runtime.max_tool_retries": NOT_READ,
    "routing": "Read by `auto` and `route` ([experts.md](experts.md#routing)).",
    "routing.keywords": "One point each, times `priority`.",
    "routing.exclude_keywords": "Minus two points each, times `priority`.",
    "routing.router_hint": NOT_READ,
    "routing.priority": "Multiplies the points of keywords; decides between equal scores.",
    "constraints": "Enforced by `ExpertManager`, `chat`, `batch` and `serve`.",
    "constraints.max_chain": "A blend of more experts is refused.",
    "constraints.load_order": "The order in which the command line loads several experts.",
    "constraints.incompatible_with": "Loading both is refused.",
    "constraints.requires": "`install` fetches them; a manager refuses to load without them.",
    "training": "Only `decoding` is read.",
    "training.dataset": NOT_READ,
    "training.config": NOT_READ,
    "training.trained_on": NOT_READ,
    "training.checkpoint": NOT_READ,
    "training.packaging_checkpoint": NOT_READ,
    "training.alternative_checkpoints": NOT_READ,
    "training.decoding": "Defaults of every request; the caller's values win.",
    "training.decoding.use_grammar": '`grammar="auto"` enforces the grammar where it is true.',
    "training.decoding.grammar_type": (
        "Names a grammar of the library, if the package has no file; `postgres` in it chooses that "
        "dialect in the system message."
    ),
    "training.decoding.grammar_file": "Where the grammar is, instead of `grammar.gbnf`.",
    "training.decoding.validation": NOT_READ,
    "training.decoding.stop_sequences": (
        "End an answer where brackets and quotes are balanced; `stop=` replaces them."
    ),
    "training.decoding.temperature": "Without it, 0.",
    "training.decoding.top_p": "Without it, 1.",
    "training.decoding.top_k": "Without it, 0.",
    "training.decoding.min_p": "Without it, 0.",
    "training.decoding.repetition_penalty": "Without it, 1.",
    "training.decoding.max_tokens": "Without it, 512.",
    "training.decoding.max_new_tokens": NOT_READ,
    "integrity": "Verified as [signing.md](signing.md) says; `package` leaves it out.",
    "integrity.created_at": SHOWN,
    "integrity.publisher": SHOWN,
    "integrity.pubkey": "The key of the signature; counts only if you trust it.",
    "integrity.signature_algorithm": "Anything but `ed25519` is refused.",
    "integrity.signature": "Verified, if the extra `signing` is installed.",
    "integrity.files": "Compared with the files, signed or not.",
    BASE: "Exactly one. Schema 1.0 has `base_model`, an object, instead.",
    f"{BASE}.name": "Its last component is looked for, unless `base=` names a base.",
    f"{BASE}.sha256": "Compared: `convert --json` says how. Never a reason to refuse.",
    f"{BASE}.quantization": NOT_READ,
    f"{BASE}.rope_scaling": NOT_READ,
    f"{BASE}.prompt_template": (
        "`qwen3` and `chatml`: ChatML; `hivellm-tags`: literal tags; any other name is ignored."
    ),
    f"{BASE}.adapters": "Where the adapter is. In schema 1.0 the list stands beside `base_model`.",
    f"{BASE}.adapters[].type": "Copied into the registry at installation; else not read.",
    f"{BASE}.adapters[].r": "The rank, only where `adapter_config.json` is missing.",
    f"{BASE}.adapters[].alpha": "Alpha, only where `adapter_config.json` is missing.",
    f"{BASE}.adapters[].target_modules": NOT_READ,
    f"{BASE}.adapters[].path": "The first place where the [adapter is looked for](packages.md).",
    f"{BASE}.adapters[].sha256": "A file with another digest is refused.",
    f"{BASE}.adapters[].size_bytes": "Another size is noted, not refused.",
    f"{BASE}.adapters[].scaling": NOT_READ,
    f"{BASE}.adapters[].dropout": NOT_READ,
}
"""What the runtime does with each field."""

SECTIONS = {
    "The expert": (
        *("$schema", "name", "version", "schema_version", "description", "author", "license"),
        *("homepage", "repository", "tags", "limitations", "quality_metrics", "perf"),
    ),
    "The base": (BASE,),
    "Soft prompts": ("soft_prompts",),
    "Capabilities and routing": ("capabilities", "routing"),
    "Constraints": ("constraints",),
    "Decoding and training": ("training",),
    "Running": ("runtime",),
    "Signature": ("integrity",),
}
"""Headings, and the fields of the first level below each."""

INTRODUCTION = """\
# The manifest

Made by `scripts/make_manifest_docs.py` from [manifest.schema.json](manifest.schema.json); a test
fails when the two differ.

`manifest.json` says what a package is. `init` writes one ([packaging.md](packaging.md)), and
`hivellm-lite inspect PACKAGE` shows how a manifest is understood.

- Only `name`, `version` and the base are required. `null` means the same as an absent field.
- Unknown fields are kept and ignored, and keys that begin with `_` are comments. A value of a
  wrong type is an error that names the field, its line and its column.
- A list of texts may also be a single text.
- A manifest has at most 1 MiB, 200,000 values and 10,000 entries in a list.
- "Not read" means that no answer and no command depends on the field.
"""


class Field(NamedTuple):
    """``path`` as in ``routing.keywords``; ``kind`` in JSON's words."""

    path: str
    kind: str
    default: str
    about: str


def fields(schema: Mapping[str, Any]) -> list[Field]:
    """Every field of the schema. That of schema 1.0's base is told as that of 2.0's."""
    found = list(_walk(schema, schema, ""))
    base = schema["then"]["properties"]["base_models"]
    found.append(_field(schema, BASE, base, kind="list of one object"))
    inside = {
        **_resolved(schema, base["items"]["allOf"][0])["properties"],
        **base["items"]["properties"],
    }
    return [*found, *_walk(schema, {"properties": inside}, f"{BASE}.")]


def _walk(schema: Mapping[str, Any], node: Mapping[str, Any], prefix: str) -> Iterator[Field]:
    for name, value in node.get("properties", {}).items():
        path = prefix + name
        yield _field(schema, path, value)
        inner = _alternatives(schema, value)
        for one in inner:
            items = one.get("items")
            if isinstance(items, dict) and "properties" in (inside := _resolved(schema, items)):
                yield from _walk(schema, inside, f"{path}[].")
            yield from _walk(schema, one, f"{path}.")


def _field(
    schema: Mapping[str, Any], path: str, value: Mapping[str, Any], *, kind: str | None = None
) -> Field:
    required = path in (*schema["required"], BASE, f"{BASE}.name")
    default = "required" if required else json.dumps(value["default"]) if "default" in value else ""
    about = value.get("description") or _resolved(schema, value).get("description", "")
    return Field(path, kind or _kind(schema, value), default, about)


def _resolved(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in node:
        return node
    found: Mapping[str, Any] = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return found


def _alternatives(schema: Mapping[str, Any], node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    node = _resolved(schema, node)
    return [_resolved(schema, one) for one in node.get("anyOf", [node])]


_KINDS = {"string": "text", "boolean": "true or false", "integer": "whole number"}


def _kind(schema: Mapping[str, Any], value: Mapping[str, Any]) -> str:
    kinds: list[str] = []
    for one in _alternatives(schema, value):
        parts = [one, *(_resolved(schema, part) for part in one.get("allOf", []))]
        types = next((part["type"] for part in parts if "type" in part), [])
        for name in [types] if isinstance(types, str) else types:
            kind = _KINDS.get(name, name)
            if name == "array":
                items = _resolved(schema, one.get("items", {}))
                kind = f"list of {_KINDS.get(items.get('type'), items.get('type', 'value'))}s"
            if name != "null" and kind not in kinds:
                kinds.append(kind)
    return " or ".join(kinds) or "any"


def render() -> str:
    """The page."""
    schema = json.loads(SCHEMA.read_text("utf-8"))
    found = fields(schema)
    unknown = {one.path for one in found} ^ EFFECTS.keys()
    if unknown:
        raise SystemExit(f"EFFECTS and the schema differ in {', '.join(sorted(unknown))}")
    parts = [INTRODUCTION]
    for heading, tops in SECTIONS.items():
        rows = [
            f"| `{one.path}` | {one.kind} | {_code(one.default)} | {_cell(one.about)} "
            f"| {_cell(EFFECTS[one.path])} |"
            for top in tops
            for one in found
            if one.path == top or one.path.startswith((f"{top}.", f"{top}["))
        ]
        parts.append(
            f"## {heading}\n\n| field | type | default | meaning | what the runtime does |\n"
            "|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
        )
    return "\n".join(parts)


def _code(default: str) -> str:
    return f"`{default}`" if default and default != "required" else default


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<|im_start\\|>", "`<|im_start|>`")


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
