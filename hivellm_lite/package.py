"""Opens an expert package: an archive, unpacked once into the cache, or a folder.

Usage::

    package = open_package("expert-sql.expert", cache=Cache())
    package.manifest.name       # "expert-sql"
    package.adapter.weights     # …/adapter_model.safetensors

Digests are checked here, those beside the archive and those in the manifest.
Signatures are not, and no tensor is read.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .archive import Refused, member_path, never_unpacked, unpack
from .cache import Cache, CacheEntry, digest_file, digest_of
from .errors import PackageError
from .json_positions import MAX_BYTES
from .manifest import AdapterInfo, Manifest, parse_manifest

__all__ = ["AdapterFiles", "Package", "open_package"]

UNPACKED_VERSION = 1
"""Part of the cache key; raise it when unpack leaves other files than before."""

_MANIFEST = "manifest.json"
_WEIGHTS = "adapter_model.safetensors"
_CONFIG = "adapter_config.json"
_GRAMMAR = "grammar.gbnf"
_ADAPTER_FOLDERS = ("", "weights/adapter", "adapter")
"""Where packagers of all ages put the adapter, whatever the manifest's path says."""

_TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "chat_template.jinja"),
)

_NAMES_SHOWN = 10
_SIDECAR_BYTES = 4096
"""Longest digest file: one line has 66 bytes and a file name."""

_SIDECAR = re.compile(r"\\?([0-9a-fA-F]{64})(?:\s+\*?[^\r\n]*)?\s*")


@dataclass(frozen=True)
class AdapterFiles:
    """``adapter_model.safetensors`` and, where there is one, ``adapter_config.json``."""

    weights: Path
    config: Path | None


@dataclass(frozen=True)
class Package:
    """An opened package.

    ``source`` is what the user named, ``root`` the folder to read from. ``digest``
    is the SHA-256 of the archive; of a folder, one over the files that matter.
    ``skipped`` names the files that were left in the archive.
    """

    source: Path
    root: Path
    digest: str
    manifest: Manifest
    adapter: AdapterFiles
    grammar: Path | None
    base_folder: Path | None
    skipped: tuple[str, ...]

    @property
    def files(self) -> tuple[tuple[str, int], ...]:
        """Path below ``root``, with ``/``, and bytes of every file, sorted."""
        paths = (path for path in self.root.rglob("*") if path.is_file())
        return tuple(sorted((_relative(path, self.root), path.stat().st_size) for path in paths))


def open_package(path: str | os.PathLike[str], *, cache: Cache, verify: bool = True) -> Package:
    """Open the ``.expert`` file or folder at ``path``.

    ``verify=False`` ignores the digest file beside an archive; the digests in the
    manifest are always checked. Raises PackageError, ManifestError or CacheError.
    """
    source = Path(path).expanduser().absolute()
    try:
        if source.is_dir():
            return _read(source, source, None, ())
        if source.is_file():
            digest, entry = _unpacked(source, cache, verify=verify)
            return _read(source, entry.path / "files", digest, tuple(entry.info["skipped"]))
    except OSError as error:
        raise PackageError(
            f"cannot read {error.filename or source}: {error.strerror or error}"
        ) from error
    raise PackageError(f"{source}: no such file or folder\nGive an .expert file or its folder.")


def _unpacked(source: Path, cache: Cache, *, verify: bool) -> tuple[str, CacheEntry]:
    """The archive's digest and the cache entry with its files."""
    digest = digest_file(source)
    if verify:
        _check_sidecar(source, digest)

    def build(folder: Path) -> Mapping[str, Any]:
        report = unpack(source, folder / "files")
        if digest_file(source) != digest:
            raise PackageError(f"{source.name} was changed while it was read\nTry again.")
        return {"digest": digest, "files": report.files, "skipped": report.skipped}

    key = digest_of("package", UNPACKED_VERSION, digest)
    entry, built = cache.get_or_build("packages", key, build, sources=[source])
    if not built and not _is_complete(entry):
        cache.remove(entry)
        entry, _ = cache.get_or_build("packages", key, build, sources=[source])
    return digest, entry


def _is_complete(entry: CacheEntry) -> bool:
    """Whether all unpacked files are still there, by name and size."""
    return all(
        path.is_file() and path.stat().st_size == size
        for path, size in (
            (entry.path / "files" / name, n) for name, n in entry.info["files"].items()
        )
    )


def _check_sidecar(source: Path, digest: str) -> None:
    """Compare with ``<file>.sha256``, if there is one: ``<64 hex>  <name>``."""
    sidecar = source.with_name(f"{source.name}.sha256")
    if not sidecar.is_file():
        return
    with sidecar.open("rb") as file:
        text = file.read(_SIDECAR_BYTES).decode("utf-8-sig", "replace")
    way_out = "or pass --no-verify (verify=False) if you trust the package"
    if not (match := _SIDECAR.fullmatch(text.strip())):
        raise PackageError(
            f"{sidecar.name}: expected one line with 64 hex digits and the file name\n"
            f"Get the digest again, remove this file, {way_out}."
        )
    if match[1].lower() != digest:
        raise PackageError(
            f"{source.name} does not have the digest that {sidecar.name} gives\n"
            f"  found    {digest}\n  expected {match[1].lower()}\n"
            f"Download it again, {way_out}. Older packagers wrote wrong digest files."
        )


def _read(source: Path, root: Path, digest: str | None, skipped: tuple[str, ...]) -> Package:
    """The package whose files lie in ``root``."""
    manifest_path = _file(root, _MANIFEST)
    if manifest_path is None:
        raise _no_manifest(source, root)
    with manifest_path.open("rb") as file:
        # One byte more than allowed, which the parser then refuses.
        manifest = parse_manifest(file.read(MAX_BYTES + 1), source=f"{source.name}/{_MANIFEST}")
    adapter, info = _find_adapter(source, root, manifest, skipped)
    grammar = _find_grammar(root, manifest)
    digest_once = functools.cache(digest_file)
    _check_digests(source, root, manifest, adapter, info, skipped, digest_once)
    if digest is None:
        folders = dict.fromkeys([root, adapter.weights.parent])
        tokenizer = [_file(folder, name) for folder in folders for name in _TOKENIZER]
        parts = [manifest_path, adapter.weights, adapter.config, grammar, *tokenizer]
        digest = _folder_digest(root, filter(None, parts), digest_once)
    has_base = _file(root, "base/config.json") is not None
    return Package(
        source=source,
        root=root,
        digest=digest,
        manifest=manifest,
        adapter=adapter,
        grammar=grammar,
        base_folder=root / "base" if has_base else None,
        skipped=skipped,
    )


def _file(root: Path, name: str) -> Path | None:
    """The file, if it is there; raises PackageError for a link that leads out of ``root``."""
    path = root / name
    if not path.is_file():
        return None
    homes = [root.resolve()]
    if root.parent.name == "snapshots":
        # The Hugging Face cache: snapshots/<revision>/* link to blobs/*.
        homes.append(root.parent.parent.resolve() / "blobs")
    if not any(path.resolve().is_relative_to(home) for home in homes):
        raise PackageError(
            f"{path}: a link that leads out of the package\nPut the file itself there."
        )
    return path


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _no_manifest(source: Path, root: Path) -> PackageError:
    names = sorted(path.name for path in root.iterdir())
    listed = ", ".join(names[:_NAMES_SHOWN]) + (" …" if len(names) > _NAMES_SHOWN else "")
    if _CONFIG in names:
        advice = "This is a PEFT adapter: add a manifest.json that names it and its base model."
    elif "config.json" in names:
        advice = "This is a base model: an expert is an adapter with a manifest.json."
    elif experts := [name for name in names if name.endswith(".expert")]:
        advice = f"Give the package itself: {source / experts[0]}"
    else:
        advice = "An expert package has a manifest.json at its top."
    return PackageError(f"{source}: no {_MANIFEST}\nIt holds: {listed or 'nothing'}\n{advice}")


def _find_adapter(
    source: Path, root: Path, manifest: Manifest, skipped: tuple[str, ...]
) -> tuple[AdapterFiles, AdapterInfo | None]:
    """The adapter's files and the entry of the manifest that speaks of them."""
    only = manifest.adapters[0] if len(manifest.adapters) == 1 else None
    places: list[tuple[str, AdapterInfo | None]] = [
        (f"{folder}{info.path}", info)
        for info in manifest.adapters
        if info.path
        for folder in ("", "weights/")
    ]
    places += [(folder, only) for folder in _ADAPTER_FOLDERS]
    for place, info in places:
        if (weights := _weights_at(root, place)) is not None:
            return _adapter_files(root, weights), info
    found = sorted(_relative(path, root) for path in root.rglob(_WEIGHTS))
    if len(found) == 1 and (weights := _file(root, found[0])) is not None:
        return _adapter_files(root, weights), only
    if found:
        raise PackageError(
            f"{source}: {len(found)} adapters and no word on which to use\n"
            f"Found {', '.join(found[:_NAMES_SHOWN])}\nName one in adapters[0].path."
        )
    raise _no_adapter(source, root, [place for place, _ in places], skipped)


def _weights_at(root: Path, place: str) -> Path | None:
    """``place`` may be a .safetensors file or a folder that holds one; None if neither."""
    if (path := _safe_path(place) if place else ".") is None:
        return None
    if path.endswith(".safetensors") and (weights := _file(root, path)) is not None:
        return weights
    return _file(root, f"{path}/{_WEIGHTS}")


def _adapter_files(root: Path, weights: Path) -> AdapterFiles:
    config = _relative(weights.with_name(_CONFIG), root)
    return AdapterFiles(weights, _file(root, config))


def _no_adapter(
    source: Path, root: Path, places: list[str], skipped: tuple[str, ...]
) -> PackageError:
    looked = ", ".join(place or "the top folder" for place in dict.fromkeys(places))
    pickles = [name for name in skipped if Path(name).name == "adapter_model.bin"]
    pickles += [_relative(path, root) for path in root.rglob("adapter_model.bin")]
    if pickles:
        advice = (
            f"{pickles[0]} is a pickle, which can run code and is never opened. Save it again "
            "with PEFT: model.save_pretrained(folder, safe_serialization=True)"
        )
    else:
        advice = "Save the adapter with PEFT's save_pretrained and package that folder."
    return PackageError(f"{source}: no {_WEIGHTS}\nLooked in {looked}\n{advice}")


def _find_grammar(root: Path, manifest: Manifest) -> Path | None:
    """``grammar_file`` of the manifest, else ``grammar.gbnf``, where packagers put it."""
    named = _safe_path(manifest.decoding.grammar_file or "")
    return (_file(root, named) if named else None) or _file(root, _GRAMMAR)


def _safe_path(name: str) -> str | None:
    """A path from the manifest; None if it leads out, such as one on the author's machine."""
    try:
        return member_path(name.replace("\\", "/").rstrip("/"))
    except Refused:
        return None


def _check_digests(
    source: Path,
    root: Path,
    manifest: Manifest,
    adapter: AdapterFiles,
    info: AdapterInfo | None,
    skipped: tuple[str, ...],
    digest_once: Callable[[Path], str],
) -> None:
    """Compare the files with every digest that the manifest gives."""
    problems = []

    def compare(path: Path, found: object, expected: object, what: str) -> None:
        if found != expected:
            name = _relative(path, root)
            problems.append(f"  {name}: {what} {found}, the manifest says {expected}")

    if info is not None and info.size_bytes is not None:
        compare(adapter.weights, adapter.weights.stat().st_size, info.size_bytes, "bytes")
    if info is not None and info.sha256 is not None:
        compare(adapter.weights, digest_once(adapter.weights), info.sha256, "SHA-256")
    listed = manifest.integrity.files if manifest.integrity else {}
    for name, expected in listed.items():
        try:
            path = member_path(name)
        except Refused as error:
            problems.append(f"  integrity.files: {error}")
            continue
        # The manifest was hashed before its own digest was written into it.
        if path == _MANIFEST:
            continue
        if (place := _file(root, path)) is not None:
            compare(place, digest_once(place), expected, "SHA-256")
        elif path not in skipped and not never_unpacked(path):
            problems.append(f"  {path}: missing, but listed in integrity.files")
    if problems:
        raise PackageError(
            "\n".join([f"{source}: not the files that its manifest describes", *problems])
            + "\nThe package was changed or damaged after it was made: get it again."
        )


def _folder_digest(root: Path, paths: Iterable[Path], digest_once: Callable[[Path], str]) -> str:
    """SHA-256 over the names and contents of ``paths``, in any order."""
    lines = sorted({f"{digest_once(path)}  {_relative(path, root)}\n" for path in paths})
    return hashlib.sha256("".join(lines).encode()).hexdigest()
