"""The YAML block at the top of a model card, which the Hub reads.

The names are those of the Hub's specification of model cards
(github.com/huggingface/hub-docs, ``modelcard.md``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..terminal_text import one_line
from .markdown import yaml_text

__all__ = ["languages_of", "license_lines", "yaml_block"]

MAX_TAGS = 60
"""A page with more tags is of no use to anybody."""

MAX_TAG = 100
"""Characters of one tag."""

LICENSES = frozenset(
    (
        *("apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m"),
        *("bigscience-bloom-rail-1.0", "bigcode-openrail-m", "afl-3.0", "artistic-2.0"),
        *("bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "c-uda"),
        *("cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0"),
        *("cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0"),
        *("cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0"),
        *(
            "cc-by-nc-sa-4.0",
            "cdla-sharing-1.0",
            "cdla-permissive-1.0",
            "cdla-permissive-2.0",
            "wtfpl",
        ),
        *("ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "agpl-3.0", "gfdl"),
        *("gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "lppl-1.3c"),
        *("ms-pl", "mpl-2.0", "odc-by", "odbl", "openrail++", "osl-3.0", "postgresql"),
        *("ofl-1.1", "ncsa", "unlicense", "zlib", "pddl", "lgpl-lr", "deepfloyd-if-license"),
        *("llama2", "gemma", "unknown", "other"),
    )
)
"""The identifiers that the Hub accepts (huggingface.co/docs/hub/repositories-licenses)."""

_SPDX_ENDS = ("-only", "-or-later")
_LANGUAGE = re.compile(r"language:([a-z]{2,3}|code|multilingual)")


def license_lines(license_name: str | None) -> list[tuple[str, str]]:
    """``license``, and ``license_name`` where the Hub has no identifier for it."""
    if not license_name or not license_name.strip():
        return []
    slug = re.sub(r"[^a-z0-9.+]+", "-", one_line(" ".join(license_name.split())).lower()).strip("-")
    for end in ("", *_SPDX_ENDS):
        if slug.endswith(end) and (known := slug.removesuffix(end)) in LICENSES:
            return [("license", known)]
    return [("license", "other"), *([("license_name", slug)] if slug else [])]


def languages_of(capabilities: Iterable[str]) -> list[str]:
    """The codes in ``language:en`` and the like, each once."""
    found = (_LANGUAGE.fullmatch(one.strip().lower()) for one in capabilities)
    return list(dict.fromkeys(match[1] for match in found if match))


def yaml_block(
    single: Iterable[tuple[str, str | None]], lists: Iterable[tuple[str, Iterable[str]]]
) -> str:
    """The lines of the block. Keys without a value are left out; every value is quoted."""
    lines = [f"{name}: {yaml_text(value)}" for name, value in single if value]
    for name, values in lists:
        kept = [value for value in dict.fromkeys(values) if value.strip()][:MAX_TAGS]
        if kept:
            lines.append(f"{name}:")
            lines += [f"- {yaml_text(one_line(value, MAX_TAG))}" for value in kept]
    return "\n".join(lines)
