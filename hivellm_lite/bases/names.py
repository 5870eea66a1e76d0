"""Which repositories on the Hub the name of a base model in a manifest stands for.

Names match by their last path component, in any case. Users can add names in ``bases.json`` in
the cache folder, or in the file that ``HIVELLM_BASES`` names; these override the table below::

    {
      "My-Base": "owner/My-Base",
      "Qwen3-0.6B": {"weights": "owner/repository@revision", "gguf": "owner/repo-GGUF:file.gguf"}
    }
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import LoadError
from ..hub.reference import HubReference, parse_reference
from ..hub.search import BaseSource
from ..strict_json.parsing import MAX_BYTES, JsonError, parse_object, shown
from ..user_paths import user_path

__all__ = ["KnownBases", "read_known_bases"]


_QWEN3 = ("0.6B", "1.7B", "4B", "8B", "14B", "32B")
_QWEN25 = ("0.5B", "1.5B", "3B", "7B", "14B", "32B")
_SMOLLM2 = ("135M", "360M", "1.7B")
_LLAMA32 = ("1B", "3B")
_FALCON_H1 = ("0.5B", "1.5B", "3B", "7B")

_WITH_GGUF = (
    *(f"Qwen/Qwen3-{size}" for size in _QWEN3),
    *(f"Qwen/Qwen2.5-{size}-Instruct" for size in _QWEN25),
    *(f"Qwen/Qwen2.5-Coder-{size}-Instruct" for size in _QWEN25),
    *("HuggingFaceTB/SmolLM2-360M-Instruct", "HuggingFaceTB/SmolLM2-1.7B-Instruct"),
)
"""Repositories whose owner also publishes ``<repository>-GGUF``."""

_WITHOUT_GGUF = (
    *(f"Qwen/Qwen3-{size}-Base" for size in _QWEN3[:5]),
    *("Qwen/Qwen3-4B-Instruct-2507", "Qwen/Qwen3-4B-Thinking-2507"),
    *(f"Qwen/Qwen2.5-{size}" for size in _QWEN25),
    *(f"Qwen/Qwen2.5-Coder-{size}" for size in _QWEN25),
    *(f"HuggingFaceTB/SmolLM2-{size}" for size in _SMOLLM2),
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    *(f"meta-llama/Llama-3.2-{size}" for size in _LLAMA32),
    *(f"meta-llama/Llama-3.2-{size}-Instruct" for size in _LLAMA32),
    *("google/gemma-3-270m", "google/gemma-3-270m-it", "google/gemma-3-1b-pt"),
    *("google/gemma-3-1b-it", "google/gemma-2-2b", "google/gemma-2-2b-it"),
    *("microsoft/Phi-3-mini-4k-instruct", "microsoft/Phi-3.5-mini-instruct"),
    *("microsoft/Phi-4-mini-instruct", "microsoft/phi-4"),
    *(f"Qwen/Qwen3.5-{size}" for size in ("0.8B", "2B", "4B", "9B")),
    *("google/gemma-2b", "google/gemma-2b-it", "google/gemma-3-4b-pt", "google/gemma-3-4b-it"),
    *("HuggingFaceTB/SmolLM3-3B", "HuggingFaceTB/SmolLM3-3B-Base"),
    *(f"ibm-granite/granite-4.0-{size}" for size in ("350m", "1b", "micro")),
    *(f"ibm-granite/granite-4.0-h-{size}" for size in ("350m", "1b", "micro")),
    *("ibm-granite/granite-3.3-2b-base", "ibm-granite/granite-3.3-2b-instruct"),
    *("allenai/OLMo-2-0425-1B", "allenai/OLMo-2-0425-1B-Instruct"),
    *(f"LiquidAI/LFM2-{size}" for size in ("350M", "700M", "1.2B", "2.6B")),
    *(f"tiiuae/Falcon-H1-{size}-{kind}" for size in _FALCON_H1 for kind in ("Base", "Instruct")),
    *("LGAI-EXAONE/EXAONE-4.0-1.2B", "baidu/ERNIE-4.5-0.3B-PT"),
    *(f"tencent/Hunyuan-{size}-Instruct" for size in ("0.5B", "1.8B", "4B", "7B")),
)

_TABLE = {
    reference.name.lower(): BaseSource(reference, gguf)
    for reference, gguf in (
        *((HubReference(name), HubReference(f"{name}-GGUF")) for name in _WITH_GGUF),
        *((HubReference(name), None) for name in _WITHOUT_GGUF),
    )
}

_FOLDERS = ("models", "model", "base_models", "checkpoints", "weights")
"""First parts of relative paths on an author's machine. No owner on the Hub has such a name."""


@dataclass(frozen=True)
class KnownBases:
    """The table with the users' own entries before it."""

    by_name: Mapping[str, BaseSource]

    def of_manifest(self, name: str) -> BaseSource | None:
        """The source of a base that a manifest names; None if the name is unknown.

        ``owner/repository`` is used as it is; a path counts by its last component.
        """
        reference = parse_reference(name)
        short = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
        if reference is None or reference.repository.split("/")[0].lower() in _FOLDERS:
            return self.by_name.get(short.lower())
        if (known := self._by_repository(reference)) is not None:
            return known
        # A manifest chooses a repository, never a single file of it.
        return BaseSource(replace(reference, file=None), trusted=False)

    def of_reference(self, reference: HubReference) -> BaseSource:
        """The source that a user asks for: with the official GGUF files, unless a
        revision or a file is asked for.
        """
        if reference.revision is None and reference.file is None:
            return self._by_repository(reference) or BaseSource(reference)
        return BaseSource(reference)

    def _by_repository(self, reference: HubReference) -> BaseSource | None:
        wanted = reference.repository.lower()
        for source in self.by_name.values():
            weights = source.weights
            if weights is not None and weights.repository.lower() == wanted:
                asked_at = reference.revision
                return source if asked_at in (None, weights.revision) else None
        return None


def read_known_bases(cache_root: Path) -> KnownBases:
    """The table of this module, with the entries of the user's files before it.

    Raises LoadError for a file that cannot be read, with the position of the problem.
    """
    table = dict(_TABLE)
    path = cache_root / "bases.json"
    if path.is_file():
        table |= _read(path)
    if named := os.environ.get("HIVELLM_BASES"):
        table |= _read(user_path(named))
    return KnownBases(table)


def _read(path: Path) -> dict[str, BaseSource]:
    try:
        with path.open("rb") as file:
            document = parse_object(file.read(MAX_BYTES + 1), source=str(path))
    except OSError as error:
        raise LoadError(
            f"cannot read {path}: {error.strerror or error}\nHIVELLM_BASES names it."
        ) from error
    except JsonError as error:
        raise LoadError(str(error)) from None
    entries = {}
    for name, value in document.value.items():
        source = _source(value)
        if source is None:
            raise LoadError(
                f"{path}: {document.where((name,))}: found {shown(value)}, expected "
                '"owner/repository" or {"weights": …, "gguf": …} with such names'
            )
        entries[name.lower()] = source
    return entries


def _source(value: object) -> BaseSource | None:
    """One entry of a user's file; None if it is not of the expected form."""
    fields = {"weights": value} if isinstance(value, str) else value
    if not isinstance(fields, dict) or not fields or set(fields) - {"weights", "gguf"}:
        return None
    references = {
        key: parse_reference(text) if isinstance(text, str) else None
        for key, text in fields.items()
    }
    if None in references.values():
        return None
    return BaseSource(references.get("weights"), references.get("gguf"))
