"""Writes the first manifest of a folder in which PEFT, or mlx-lm, saved an adapter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..converters.json_file import read_json
from ..converters.peft.adapter import read_adapter
from ..converters.peft.config import MAX_CONFIG_BYTES, MAX_CONFIG_MEMORY, RANKED
from ..converters.peft.prompts import prompt_method, read_prompt
from ..errors import ManifestError, PackageError
from ..gbnf.limits import MAX_BYTES
from ..gbnf.matcher import compile_grammar
from ..gbnf.parser import parse_grammar
from ..hub.reference import parse_reference
from ..manifest.compatibility import unreadable
from ..manifest.parsing import parse_manifest
from ..manifest.records import BaseModel, Manifest
from ..package.adapter import AdapterFiles, find_adapter
from ..package.files import MANIFEST, relative_to_root
from ..storage.whole_files import write_together
from ..user_paths import is_folder, path_exists, shown_path
from .final_manifest import manifest_text
from .schema import SCHEMA_FILE, SCHEMA_HINT, manifest_schema

__all__ = [
    "AdapterFacts",
    "Answers",
    "adapter_facts",
    "read_grammar_file",
    "suggested_base",
    "suggested_name",
    "write_first_manifest",
]

GRAMMAR = "grammar.gbnf"

_COMMON = re.compile(
    r"(checkpoint-\d+|outputs?|out|adapters?|lora|peft|final|best|last|models?|results?)", re.I
)
"""Folder names that say nothing of an expert."""

_HUB_CACHE = re.compile(r"models--([^/\\]+?)--([^/\\]+)")


@dataclass(frozen=True)
class AdapterFacts:
    """What the folder's adapter is.

    ``type`` is PEFT's method in lower case, such as ``dora``. ``folder`` is the adapter's place
    below the folder, ``.`` for the top. ``base`` is the model that the config names, if it does.
    """

    type: str
    r: int | None
    alpha: float | None
    target_modules: tuple[str, ...]
    folder: str
    base: str | None


@dataclass(frozen=True)
class Answers:
    """What the author says of the expert. None and empty: nothing."""

    name: str
    version: str
    base: str
    description: str | None = None
    author: str | None = None
    license: str | None = None
    capabilities: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    template: str | None = None
    requires: tuple[str, ...] = ()
    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


def adapter_facts(folder: Path) -> AdapterFacts:
    """What the adapter in ``folder`` is, by its config and the header of its tensors.

    Raises PackageError if there is none, and ConversionError for one that cannot be used.
    """
    if not is_folder(folder):
        found = "no folder" if path_exists(folder) else "no such folder"
        raise PackageError(
            f"{shown_path(folder)}: {found}\nGive the folder in which the adapter was saved."
        )
    nothing = Manifest(name="", version="", schema_version="2.0", base=BaseModel(""), raw={})
    files, _ = find_adapter(folder, folder, nothing, ())
    place = relative_to_root(files.weights.parent, folder)
    if files.config is not None and prompt_method(files.config) is not None:
        read_prompt(files.weights, files.config)
        return AdapterFacts(
            _options(files).get("peft_type", "").lower(), None, None, (), place, _base(files)
        )
    adapter = read_adapter(files.weights, files.config, values="skip")
    config = adapter.config
    method = str(config.options.get("peft_type") or "LORA")
    has_rank = method in RANKED
    alpha = int(config.alpha) if config.alpha == int(config.alpha) else config.alpha
    return AdapterFacts(
        type="dora" if config.use_dora else method.lower(),
        r=config.r if has_rank else None,
        alpha=alpha if has_rank else None,
        target_modules=tuple(sorted({one.module.rsplit(".", 1)[-1] for one in adapter.tensors})),
        folder=place,
        base=_base(files),
    )


def _options(files: AdapterFiles) -> Mapping[str, Any]:
    if files.config is None:
        return {}
    return read_json(files.config, max_bytes=MAX_CONFIG_BYTES, max_memory=MAX_CONFIG_MEMORY)


def _base(files: AdapterFiles) -> str | None:
    """The base that PEFT's config, or that of mlx-lm, names."""
    options = _options(files)
    named = options.get("base_model_name_or_path") or options.get("model")
    return named if isinstance(named, str) and named.strip() else None


def suggested_name(folder: Path) -> str:
    """A name for the expert: the folder's, or that above it where the folder's says nothing."""
    real = folder.resolve()
    said = (part for part in (real.name, real.parent.name) if not _COMMON.fullmatch(part))
    name = re.sub(r"[^a-z0-9._]+", "-", next(said, "").lower()).strip("-._")
    return name[:64] or "expert"


def suggested_base(named: str) -> str:
    """The base as others know it: a repository stays, of a path the last component is left."""
    if match := _HUB_CACHE.search(named):
        return f"{match[1]}/{match[2]}"
    if parse_reference(named) is not None and not path_exists(Path(named)):
        return named
    return re.split(r"[/\\]", named.rstrip("/\\"))[-1]


def read_grammar_file(path: Path) -> bytes:
    """A grammar that can be enforced. Raises GrammarError, and PackageError without a file."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PackageError(f"cannot read {path}: {error.strerror or error}") from error
    compile_grammar(parse_grammar(data, source=path.name))
    return data


def write_first_manifest(
    folder: Path,
    facts: AdapterFacts,
    answers: Answers,
    *,
    grammar: bytes | None = None,
    force: bool = False,
) -> tuple[Path, ...]:
    """Write ``manifest.json``, the schema that it refers to, and ``grammar.gbnf`` if given.

    Returns the files that were written. A grammar that is in the folder already is named in the
    manifest, too. ``force`` allows to replace files that differ. Raises ManifestError for answers
    that no manifest may hold, and PackageError for files that are there or cannot be written.
    """
    has_grammar = grammar is not None or (folder / GRAMMAR).is_file()
    manifest = _manifest(facts, answers, has_grammar=has_grammar)
    data = manifest_text(manifest)
    if problems := unreadable(parse_manifest(data)):
        raise ManifestError("\n  ".join([f"{MANIFEST}: cannot be read:", *problems]))
    files = {folder / SCHEMA_FILE: manifest_schema(), folder / MANIFEST: data}
    if grammar is not None:
        files = {folder / GRAMMAR: grammar, **files}
    new = {path: content for path, content in files.items() if _is_new(path, content, force=force)}
    try:
        write_together(new)
    except OSError as error:
        raise PackageError(f"cannot write in {folder}: {error.strerror or error}") from error
    return tuple(new)


def _manifest(facts: AdapterFacts, answers: Answers, *, has_grammar: bool) -> dict[str, Any]:
    adapter: dict[str, Any] = {"type": facts.type}
    numbers = {"r": facts.r, "alpha": facts.alpha}
    adapter |= {key: value for key, value in numbers.items() if value is not None}
    if facts.target_modules:
        adapter["target_modules"] = list(facts.target_modules)
    if facts.folder != ".":
        adapter["path"] = facts.folder
    base: dict[str, Any] = {"name": answers.base}
    if answers.template is not None:
        base["prompt_template"] = answers.template
    decoding: dict[str, Any] = {}
    if has_grammar:
        decoding |= {"use_grammar": True, "grammar_file": GRAMMAR}
    if answers.temperature is not None:
        decoding["temperature"] = answers.temperature
    if answers.max_tokens is not None:
        decoding["max_tokens"] = answers.max_tokens
    if answers.stop:
        decoding["stop_sequences"] = list(answers.stop)
    about = {
        "description": answers.description,
        "author": answers.author,
        "license": answers.license,
    }
    manifest: dict[str, Any] = {
        "$schema": SCHEMA_HINT,
        "name": answers.name,
        "version": answers.version,
        "schema_version": "2.0",
        **{key: value for key, value in about.items() if value},
        "base_models": [{**base, "adapters": [adapter]}],
        "capabilities": list(answers.capabilities),
        "routing": {"keywords": list(answers.keywords)},
        "constraints": {"requires": list(answers.requires)},
    }
    if decoding:
        manifest["training"] = {"decoding": decoding}
    return manifest


def _is_new(path: Path, content: bytes, *, force: bool) -> bool:
    """Whether the file must be written; raises PackageError if another one is in its place."""
    if not path.exists() and not path.is_symlink():
        return True
    if path.is_file() and not path.is_symlink():
        with path.open("rb") as file:
            if file.read(len(content) + 1) == content:
                return False
        if force:
            return True
    advice = "Edit that file, or pass force=True." if path.is_file() else "Move it away."
    raise PackageError(f"{path} is there already\n{advice}")
