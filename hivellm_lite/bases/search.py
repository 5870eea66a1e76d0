"""Finds the base model of an expert, as a GGUF file.

The search goes through these places, in this order:

1. what the caller gives: a ``.gguf`` file, or any part of a model in several files, or its name
   without the number; a folder that holds one; a Hugging Face folder
   (``config.json`` and safetensors), which is converted; or a repository on the Hub,
   ``owner/repository[@revision][:file.gguf]``;
2. ``base/`` inside the package, a Hugging Face folder;
3. the folders of ``HIVELLM_MODELS`` (separated as in ``PATH``), ``models/`` in the cache folder,
   and the folders of HiveLLM's own tool, ``EXPERT_MODELS_PATH`` and ``~/.expert/models``, for a
   file ``NAME*.gguf`` or a folder ``NAME``;
4. bases of that name that were converted before;
5. the Hugging Face cache, for the repositories that the name stands for (`names`);
6. these repositories on the Hub, unless offline.

A name matches by its last path component, in any case. In places 5 and 6, a ready-made GGUF of
the wanted quantisation is preferred to safetensors, which have to be converted.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..cache.entries import CacheEntry
from ..cache.store import Cache
from ..converters.base.config import read_model_config
from ..converters.gguf.published_parts import published_parts
from ..converters.tokenizers.pre_tokenizer_names import checked_pre_tokenizer
from ..errors import BaseNotFoundError, LoadError
from ..hub import Hub, HubReference, parse_reference
from ..hub.cache import commit_of, digest_of_blob
from ..hub.models import is_complete
from ..hub.search import BaseSource, cached_model, fetch_model
from ..package.opening import Package
from ..progress import Progress
from ..user_paths import is_file, is_folder, path_exists, shown_path, user_path
from .base_file import BaseFile, base_of_entry
from .conversion import (
    QUANTIZATIONS,
    Origin,
    convert_folder,
    converted_bases,
    is_current,
)
from .names import read_known_bases
from .places import gguf_models, given_reference, model_folders, named_in, split_model

__all__ = ["find_base"]


def find_base(
    package: Package,
    *,
    given: str | os.PathLike[str] | None,
    cache: Cache,
    quantization: str = QUANTIZATIONS[0],
    pre_tokenizer: str | None = None,
    progress: Progress | None = None,
    hub: Hub | None = None,
    locked: str | None = None,
) -> BaseFile:
    """The base of ``package``; the module's docstring lists the places that are searched.

    ``locked``, ``owner/repository@commit``, takes the place of the search by name. ``hub`` says
    which Hub is asked; by default the environment decides. ``pre_tokenizer`` is
    llama.cpp's name for the splitting of text, for a base that is converted. Raises
    BaseNotFoundError, which lists every place that was searched; ConversionError for a folder
    that cannot be converted; LoadError for a download that fails.
    """
    if quantization not in QUANTIZATIONS:
        known = ", ".join(QUANTIZATIONS)
        raise LoadError(f"unknown quantization {quantization!r}; known: {known}")
    if pre_tokenizer is not None:
        checked_pre_tokenizer(pre_tokenizer)
    search = _Search(cache, quantization, pre_tokenizer, progress, hub or Hub.from_environment())
    if given is not None:
        return search.given(given)
    if package.base_folder is not None:
        return search.convert(package.base_folder)
    if locked is not None and (reference := parse_reference(locked)) is not None:
        return search.locked(package, reference)
    return search.by_name(package)


def _ready(path: Path, origin: str, revision: str | None = None) -> BaseFile:
    """The GGUF ``path``, which may be any part of a published model."""
    parts = published_parts(path)
    digests = tuple(digest for part in parts if (digest := digest_of_blob(part)))
    return BaseFile(parts[0], origin, revision=revision, digests=digests)


class _Search:
    """One search and its options; ``looked`` collects the places without a result."""

    def __init__(
        self,
        cache: Cache,
        quantization: str,
        pre_tokenizer: str | None,
        progress: Progress | None,
        hub: Hub,
    ) -> None:
        self.cache = cache
        self.quantization = quantization
        self.pre_tokenizer = pre_tokenizer
        self.progress = progress
        self.hub = hub
        self.looked: list[str] = []

    def given(self, given: str | os.PathLike[str]) -> BaseFile:
        path = user_path(given)
        reference = given_reference(given)
        if reference is None:
            return self.local(path)
        self.looked.append(f"{shown_path(path)}: no such file or folder")
        if reference.file is None and (found := self.converted(reference=reference)) is not None:
            return found
        source = read_known_bases(self.cache.root).of_reference(reference)
        return self.from_hub(source, f"no base model {given}")

    def locked(self, package: Package, reference: HubReference) -> BaseFile:
        """The base at a commit. A .gguf file of it is loaded only where `by_name` would."""
        if (found := self.converted(reference=reference)) is not None:
            return found
        known = read_known_bases(self.cache.root).of_manifest(package.manifest.base.name)
        same = {one.repository.lower() for one in known.references} if known else set()
        trusted = known is not None and known.trusted and reference.repository.lower() in same
        problem = f"{package.manifest.identity} needs the base {reference}, which was not found"
        return self.from_hub(BaseSource(reference, trusted=trusted), problem)

    def by_name(self, package: Package) -> BaseFile:
        base = package.manifest.base
        for folder in model_folders(self.cache):
            self.looked.append(f"{folder}{os.sep}{base.short_name}*")
            if (path := named_in(folder, base.short_name)) is not None:
                return self.local(path)
        if (found := self.converted(name=base.short_name)) is not None:
            return found
        source = read_known_bases(self.cache.root).of_manifest(base.name)
        problem = (
            f"{package.manifest.identity} needs the base model {base.short_name!r}, "
            "which was not found"
        )
        if source is None:
            self.looked.append(
                "the Hub: no repository is known by this name; "
                f"{self.cache.root / 'bases.json'} could name one"
            )
            raise self.not_found(problem)
        return self.from_hub(source, problem)

    def local(self, path: Path) -> BaseFile:
        if is_file(path):
            return _ready(path, str(path))
        if (first := split_model(path)) is not None:
            return _ready(first, str(first))
        if not is_folder(path):
            found = "neither a file nor a folder" if path_exists(path) else "no such file or folder"
            raise BaseNotFoundError(
                f"no base model at {shown_path(path)}: {found}\n"
                "Give a .gguf file, a Hugging Face folder (config.json, *.safetensors), or "
                "owner/repository on the Hub."
            )
        if (path / "config.json").is_file():
            return self.convert(path)
        models = gguf_models(path)
        if len(models) == 1:
            return _ready(path / models[0], str(path / models[0]))
        names = ", ".join(models)
        raise BaseNotFoundError(
            f"{path} is not one base model: "
            f"found {names or 'neither config.json nor a .gguf file'}\n"
            "Give one .gguf file, or a Hugging Face folder (config.json, *.safetensors)."
        )

    def convert(self, folder: Path, reference: HubReference | None = None) -> BaseFile:
        name = reference.name if reference else folder.resolve().name
        repository = reference.repository if reference else None
        origin = Origin(name, repository, commit_of(folder))
        entry, built = self._converted(folder, origin)
        return base_of_entry(entry, str(reference or folder), built)

    def converted(
        self, *, name: str | None = None, reference: HubReference | None = None
    ) -> BaseFile | None:
        """A base that was converted before, of this name or from this repository."""
        self.looked.append(f"converted bases in {self.cache.root / 'bases'}")
        repository, revision = (reference.repository, reference.revision) if reference else ("", "")
        for entry in converted_bases(self.cache, name=name, repository=repository or None):
            same = entry.info.get("quantization") == self.quantization
            same = same and entry.info.get("pre_tokenizer") == self.pre_tokenizer
            if same and (not revision or entry.info.get("revision") == revision):
                origin = str(entry.info.get("origin", "cache"))
                if is_current(entry):
                    return base_of_entry(entry, origin)
                if is_complete(Path(origin)):
                    return self._again(entry, Path(origin))
                self.looked.append(f"{origin}, which an older version converted: it is gone")
        return None

    def _again(self, entry: CacheEntry, folder: Path) -> BaseFile:
        """Convert what an older version converted, under the same name."""
        name, repository, revision = (
            str(value) if (value := entry.info.get(key)) else None
            for key in ("name", "repository", "revision")
        )
        origin = Origin(name or folder.name, repository, revision)
        made, built = self._converted(folder, origin)
        return base_of_entry(made, str(folder), built)

    def _converted(self, folder: Path, origin: Origin) -> tuple[CacheEntry, bool]:
        return convert_folder(
            folder,
            self.cache,
            self.quantization,
            self.progress,
            origin=origin,
            pre_tokenizer=self.pre_tokenizer,
        )

    def from_hub(self, source: BaseSource, problem: str) -> BaseFile:
        """From the Hugging Face cache, otherwise from the Hub."""
        listed = ", ".join(str(reference) for reference in source.references)
        self.looked.append(f"the Hugging Face cache {self.hub.cache} for {listed}")
        model = cached_model(self.hub, source, self.quantization)
        if model is None:
            self.looked.append(f"{self.hub.endpoint} for {listed}")
            try:
                model = fetch_model(
                    self.hub, source, self.quantization, self.progress, read_model_config
                )
            except BaseNotFoundError as error:
                raise self.not_found(problem, error) from error
        if model.path.is_dir():
            return self.convert(model.path, model.reference)
        return _ready(model.path, str(model.reference), model.reference.revision)

    def not_found(self, problem: str, error: Exception | None = None) -> BaseNotFoundError:
        lines = [problem, *(f"  looked for {place}" for place in self.looked)]
        lines += [str(error)] if error else []
        lines.append(
            "Name it with base=PATH (--base PATH): a .gguf file, a Hugging Face folder or "
            "owner/repository on the Hub. Or put it into one of these folders."
        )
        return BaseNotFoundError("\n".join(lines))
