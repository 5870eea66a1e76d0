"""``manifest.json`` of an expert package, schema 1.0 and 2.0, as a typed record.

Usage::

    manifest = parse_manifest(path.read_bytes(), source=str(path))
    manifest.base.short_name          # "Qwen3-0.6B"
    manifest.decoding.temperature     # 0.7, or None where the manifest says nothing

Bytes in, record out: no file is opened here. Unknown keys are kept in
``Manifest.raw`` and otherwise ignored; ``null`` means absent everywhere.
"""

from __future__ import annotations

import re

from ..errors import ManifestError
from ..strict_json.fields import Fields
from ..strict_json.parsing import JsonError, parse_object, shown
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

__all__ = ["parse_manifest"]

MAX_IDENTITY_LENGTH = 128
"""Longest name or version. Both are printed and used as keys and in file names."""

MAX_PROBLEMS_SHOWN = 20
"""Problems that one error lists; a file of another kind can have hundreds."""

MAX_NOTES = 20
"""Oddities that are tolerated and reported."""

MAX_PRIORITY = 1e6
"""Of routing: far beyond any use; sums of scores stay finite."""

_SHA256 = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")


def parse_manifest(data: bytes, *, source: str = "manifest.json") -> Manifest:
    """Parse the bytes of a manifest; ``source`` names them in errors.

    Raises ManifestError that lists every problem with its JSON path, line and
    column; the first line of the message gives their number.
    """
    try:
        document = parse_object(data, source=source)
    except JsonError as error:
        raise ManifestError(str(error)) from None
    problems: list[str] = []
    manifest = _manifest(Fields.of(document, problems))
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = [f"  {problem}" for problem in problems[:MAX_PROBLEMS_SHOWN]]
        if len(problems) > MAX_PROBLEMS_SHOWN:
            lines.append(f"  and {len(problems) - MAX_PROBLEMS_SHOWN} more")
        raise ManifestError("\n".join([f"{source}: {count}", *lines]))
    return manifest


def _manifest(root: Fields) -> Manifest:
    """The record. Fields with a problem hold placeholders."""
    notes: list[str] = []
    schema_version = "2.0" if root.value.get("schema_version") == "2.0" else "1.0"
    base = _base_fields(root, schema_version)
    adapters = base if schema_version == "2.0" else root
    integrity = root.child("integrity")
    return Manifest(
        name=_identity(root, "name"),
        version=_identity(root, "version"),
        schema_version=schema_version,
        base=BaseModel(
            name=_base_name(base),
            sha256=_sha256(base, notes),
            quantization=base.text("quantization"),
            rope_scaling=base.value.get("rope_scaling"),
            prompt_template=base.text("prompt_template"),
        ),
        raw=root.value,
        description=root.text("description"),
        author=_author(root),
        license=root.text("license"),
        adapters=tuple(_adapter(fields, notes) for fields in adapters.children("adapters")),
        soft_prompts=tuple(
            SoftPrompt(fields.text("name"), fields.text("path"))
            for fields in root.children("soft_prompts")
        ),
        capabilities=root.texts("capabilities"),
        routing=_routing(root.child("routing")),
        constraints=_constraints(root.child("constraints")),
        decoding=_decoding(root.child("training").child("decoding"), notes),
        integrity=_integrity(integrity) if root.has("integrity") else None,
        notes=_bounded(notes),
    )


def _bounded(notes: list[str]) -> tuple[str, ...]:
    if len(notes) <= MAX_NOTES:
        return tuple(notes)
    return (*notes[:MAX_NOTES], f"and {len(notes) - MAX_NOTES} more of this kind")


def _identity(root: Fields, key: str) -> str:
    value = root.text(key, required=True)
    if value is None:
        return ""
    safe = value.isprintable() and value == value.strip() and not re.search(r"[/\\]", value)
    if not safe or not 0 < len(value) <= MAX_IDENTITY_LENGTH or set(value) == {"."}:
        root.problem(
            key,
            f"found {shown(value)}, expected 1 to {MAX_IDENTITY_LENGTH} printable characters"
            " without slashes or outer blanks",
        )
    return value


def _base_fields(root: Fields, schema_version: str) -> Fields:
    """The object that describes the base; an empty one after a problem."""
    nothing = Fields(root.document, root.path, {}, [])
    old, new = root.has("base_model"), root.has("base_models")
    if old and new:
        root.problem("base_models", 'found beside "base_model", expected only one of the two')
    elif schema_version == "1.0" and old:
        if isinstance(name := root.value["base_model"], str):
            hint = f'found {shown(name)}, expected an object: {{"name": {shown(name)}}}'
            root.problem("base_model", hint)
            return nothing
        return root.child("base_model")
    elif schema_version == "1.0":
        hint = 'Schema 2.0 needs "schema_version": "2.0" (a string)' if new else ""
        root.missing("base_model", 'an object {"name": …}', hint)
    elif not new:
        hint = 'Schema 2.0 has "base_models": [{…}] with "adapters" inside' if old else ""
        root.missing("base_models", "a list of one object", hint)
    elif isinstance(root.value["base_models"], dict):
        root.problem("base_models", "found an object, expected a list of one object [{…}]")
    else:
        items = root.value["base_models"]
        entries = root.children("base_models")
        if isinstance(items, list) and len(items) != 1:
            root.problem(
                "base_models",
                f"found {len(items)} entries, expected exactly 1: a package holds the adapter of"
                " one base. Make a package for each base",
            )
        elif entries:
            return entries[0]
    return nothing


def _base_name(base: Fields) -> str:
    # The fields of an absent base belong to no problem list, so this adds nothing then.
    name = base.text("name", required=True)
    if name is not None and (not name.isprintable() or not name.strip("/\\ ")):
        base.problem("name", f"found {shown(name)}, expected the name of a model")
    return name or ""


def _author(root: Fields) -> str | None:
    if not isinstance(root.value.get("author"), dict):
        return root.text("author")
    author = root.child("author")
    name, email = author.text("name"), author.text("email")
    return f"{name} <{email}>" if name and email else name or email


def _sha256(fields: Fields, notes: list[str]) -> str | None:
    """The digest, if it is one: old packages hold words such as "adapter_hash"."""
    value = fields.value.get("sha256")
    if value in (None, "", 0):
        return None
    if isinstance(value, str) and (match := _SHA256.fullmatch(value.strip())):
        return match[1].lower()
    place = fields.document.where((*fields.path, "sha256"))
    notes.append(f"{place}: {shown(value)} is not a SHA-256 and was ignored")
    return None


def _adapter(fields: Fields, notes: list[str]) -> AdapterInfo:
    return AdapterInfo(
        type=fields.text("type"),
        r=fields.integer("r", minimum=0) or None,
        alpha=fields.number("alpha", "a number, 0 or more", lambda x: x >= 0),
        target_modules=fields.texts("target_modules"),
        path=fields.text("path") or None,
        sha256=_sha256(fields, notes),
        # "" and 0 are the packager's way to say that it does not know.
        size_bytes=fields.integer("size_bytes", minimum=0) or None
        if fields.value.get("size_bytes") != ""
        else None,
        scaling=fields.text("scaling"),
    )


def _routing(fields: Fields) -> Routing:
    priority = fields.number(
        "priority", "a number from 0 to a million", lambda x: 0 <= x <= MAX_PRIORITY
    )
    return Routing(
        keywords=fields.texts("keywords"),
        exclude_keywords=fields.texts("exclude_keywords"),
        router_hint=fields.text("router_hint"),
        priority=Routing.priority if priority is None else priority,
    )


def _constraints(fields: Fields) -> Constraints:
    return Constraints(
        max_chain=fields.integer("max_chain", minimum=0),
        load_order=fields.integer("load_order", minimum=0),
        incompatible_with=fields.texts("incompatible_with"),
        requires=fields.texts("requires"),
    )


def _decoding(fields: Fields, notes: list[str]) -> Decoding:
    stops = fields.texts("stop_sequences")
    if "" in stops:
        place = fields.document.where((*fields.path, "stop_sequences"))
        notes.append(f"{place}: an empty stop sequence was ignored")
    return Decoding(
        use_grammar=fields.boolean("use_grammar"),
        grammar_type=fields.text("grammar_type"),
        grammar_file=fields.text("grammar_file") or None,
        validation=fields.text("validation"),
        stop_sequences=tuple(stop for stop in stops if stop),
        temperature=fields.number("temperature", "a number, 0 or more", lambda x: x >= 0),
        top_p=fields.number("top_p", "a number above 0 and at most 1", lambda x: 0 < x <= 1),
        top_k=fields.integer("top_k", minimum=0),
        min_p=fields.number("min_p", "a number from 0 to 1", lambda x: 0 <= x <= 1),
        repetition_penalty=fields.number(
            "repetition_penalty", "a number above 0 (1 changes nothing)", lambda x: x > 0
        ),
        max_tokens=fields.integer("max_tokens", minimum=1),
    )


def _integrity(fields: Fields) -> Integrity:
    files = fields.child("files")
    digests = {}
    for name, value in files.value.items():
        if value in (None, "", 0):
            continue
        if isinstance(value, str) and (match := _SHA256.fullmatch(value.strip())):
            digests[name] = match[1].lower()
        else:
            files.problem(name, f"found {shown(value)}, expected a SHA-256 (64 hex digits)")
    return Integrity(
        created_at=fields.text("created_at"),
        publisher=fields.text("publisher"),
        pubkey=fields.text("pubkey"),
        signature_algorithm=fields.text("signature_algorithm"),
        signature=fields.text("signature"),
        files=digests,
    )
