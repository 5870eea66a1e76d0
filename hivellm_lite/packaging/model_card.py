"""The model card of an expert: manifest and measured facts in, Markdown out.

Nothing is read here, and nothing is claimed that is not given: `card_facts` gathers what is known.
All text of the manifest is escaped for Markdown and for YAML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..adapters.description import AdapterDescription
from ..manifest.records import Manifest
from .front_matter import languages_of, license_lines, yaml_block
from .markdown import code, prose

__all__ = ["CardFacts", "GrammarFacts", "ModelCard", "model_card"]

MAX_ENTRIES = 40
"""Entries of a list of the manifest that a card shows."""

MAX_DEPTH = 4
"""Objects within objects of ``quality_metrics``."""


@dataclass(frozen=True)
class GrammarFacts:
    """The package's grammar. ``refusal``: why it cannot be enforced, or None."""

    source: str
    is_default: bool
    refusal: str | None


@dataclass(frozen=True)
class CardFacts:
    """What a card says beside the manifest.

    ``reference`` is how the published package is named, such as ``owner/sql``. ``archive`` is its
    file name, ``digest`` its SHA-256 and ``size`` its bytes. ``base_repository`` is the base on
    the Hub, None if unknown. ``needs_schema``: whether the expert expects a schema.
    ``fidelity`` holds a list of measured facts for each form that was measured, ``signature`` the
    lines that say who signed (none: nobody did).
    """

    manifest: Manifest
    reference: str
    archive: str
    digest: str
    size: int
    base_repository: str | None
    adapter: AdapterDescription
    grammar: GrammarFacts | None
    needs_schema: bool
    fidelity: tuple[tuple[str, ...], ...]
    signature: tuple[str, ...]


@dataclass(frozen=True)
class ModelCard:
    """``front`` is the YAML without its fences, ``body`` the Markdown below."""

    front: str
    body: str


def model_card(facts: CardFacts) -> ModelCard:
    """The card of an expert."""
    manifest = facts.manifest
    sections = [
        f"# {prose(manifest.name)} {prose(manifest.version)}",
        *_paragraphs(manifest.description),
        _running(facts),
        _contents(facts),
        _limitations(manifest.raw.get("limitations")),
        _metrics(manifest.raw.get("quality_metrics")),
        _fidelity(facts),
    ]
    return ModelCard(_front(facts), "\n\n".join(filter(None, sections)))


def _front(facts: CardFacts) -> str:
    manifest = facts.manifest
    languages = languages_of(manifest.capabilities)
    others = [one for one in manifest.capabilities if not one.startswith("language:")]
    methods = [method.lower() for method in facts.adapter.methods]
    return yaml_block(
        [
            ("base_model", facts.base_repository),
            ("base_model_relation", "adapter" if facts.base_repository else None),
            ("library_name", "hivellm-lite"),
            ("pipeline_tag", "text-generation"),
            *license_lines(manifest.license),
        ],
        [("language", languages), ("tags", ["hivellm", "expert", *methods, *others])],
    )


def _paragraphs(description: str | None) -> list[str]:
    """The description, with its paragraphs."""
    parts = (description or "").replace("\r\n", "\n").split("\n\n")
    return [prose(part) for part in parts[:MAX_ENTRIES] if part.strip()]


def _running(facts: CardFacts) -> str:
    schema = " --schema @schema.txt" if facts.needs_schema else ""
    argument = ', schema=Path("schema.txt").read_text()' if facts.needs_schema else ""
    imports = "from pathlib import Path\n\n" if facts.needs_schema else ""
    told = (
        "The base model is found and downloaded by its name at the first use."
        if facts.base_repository
        else "The base model has no name that is known on the Hub: name a GGUF file or a "
        "Hugging Face folder of it with `--base` (`base=`)."
    )
    return f"""## How to run it

```bash
pip install hivellm-lite
hivellm-lite run {facts.reference}{schema} "Your question"
```

```python
{imports}from hivellm_lite import Expert

with Expert.load("{facts.reference}") as expert:
    print(expert.generate("Your question"{argument}).text)
```

{told}"""


def _contents(facts: CardFacts) -> str:
    manifest = facts.manifest
    base = code(manifest.base.short_name)
    if facts.base_repository:
        place = f"https://huggingface.co/{facts.base_repository}"
        base = f"[{code(facts.base_repository)}]({place})"
    lines = [
        ("Base model", base),
        ("Adapter", prose(facts.adapter)),
        ("Soft prompts", _codes(one.name or "unnamed" for one in manifest.soft_prompts)),
        ("Grammar", _grammar(facts.grammar)),
        ("Capabilities", _codes(manifest.capabilities)),
        ("Requires", _codes(manifest.constraints.requires)),
        ("Author", prose(manifest.author or "")),
        ("Licence", prose(manifest.license or "")),
        ("Package", f"{code(facts.archive)}, {facts.size / 1e6:.1f} MB"),
        ("SHA-256", code(facts.digest)),
        ("Signature", _signature(facts)),
    ]
    listed = [f"- **{label}:** {value}" for label, value in lines if value]
    return "\n".join(["## What it is", "", *listed])


def _signature(facts: CardFacts) -> str:
    """Who signed. A card can be changed by everybody who may write it, so it says how to check."""
    if not facts.signature:
        return "none"
    told = "; ".join(map(prose, facts.signature))
    return f"{told}. Check it with `hivellm-lite verify {facts.reference}`."


def _codes(texts: Iterable[str]) -> str:
    found = [code(text) for text in texts if text.strip()]
    return " ".join(found[:MAX_ENTRIES]) + (" …" if len(found) > MAX_ENTRIES else "")


def _grammar(grammar: GrammarFacts | None) -> str:
    if grammar is None:
        return ""
    if grammar.refusal is not None:
        reason = prose(grammar.refusal.split("\n")[0])
        return f"{code(grammar.source)}, which cannot be enforced: {reason}"
    how = "enforced" if grammar.is_default else "enforced if asked for (`--grammar strict`)"
    return f"{code(grammar.source)}, {how}"


def _limitations(found: Any) -> str:
    """A list of texts, or of objects with ``description``, ``example`` and ``workaround``."""
    entries = found if isinstance(found, list) else [found] if found else []
    lines = [line for entry in entries[:MAX_ENTRIES] if (line := _limitation(entry))]
    if len(entries) > MAX_ENTRIES:
        lines.append(f"- and {len(entries) - MAX_ENTRIES} more in the manifest")
    return "\n".join(["## Limitations", "", *lines]) if lines else ""


def _limitation(entry: Any) -> str:
    if not isinstance(entry, Mapping):
        return f"- {prose(entry)}" if _is_plain(entry) else ""
    told = [entry.get("description") or entry.get("pattern")]
    told += [
        f"{label}: {entry[key]}"
        for label, key in (("Example", "example"), ("Workaround", "workaround"))
        if _is_plain(entry.get(key))
    ]
    texts = [prose(str(text).rstrip(". ")) for text in told if _is_plain(text)]
    return f"- {'. '.join(texts)}." if texts else ""


def _metrics(found: Any) -> str:
    if not isinstance(found, Mapping):
        return ""
    entries = list(_flat(found, "", MAX_DEPTH))
    lines = [f"- {code(name)}: {prose(value)}" for name, value in entries[:MAX_ENTRIES]]
    if len(entries) > MAX_ENTRIES:
        lines.append(f"- and {len(entries) - MAX_ENTRIES} more in the manifest")
    told = "These are the author's own numbers, from the manifest."
    return "\n".join(["## Quality, as its author states it", "", told, "", *lines]) if lines else ""


def _flat(values: Mapping[str, Any], before: str, depth: int) -> Iterable[tuple[str, Any]]:
    """The plain values of an object with their paths; comments (``_…``) and lists are left out."""
    for name, value in values.items():
        if name.startswith("_"):
            continue
        if isinstance(value, Mapping):
            if depth > 1:
                yield from _flat(value, f"{before}{name}.", depth - 1)
        elif _is_plain(value):
            yield f"{before}{name}", value


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and bool(value.strip()))


def _fidelity(facts: CardFacts) -> str:
    """How exact the conversion to llama.cpp's formats is, where it was measured."""
    if not facts.fidelity:
        return f"""## Fidelity

How exact the adapter is after its conversion for llama.cpp has not been measured yet. This measures it:

```bash
hivellm-lite verify-conversion {facts.reference}
```"""  # noqa: E501
    parts = ["## Measured fidelity", "How exact the adapter is after its conversion for llama.cpp:"]
    parts += ["\n".join(f"- {prose(line)}" for line in lines) for lines in facts.fidelity]
    return "\n\n".join(parts)
