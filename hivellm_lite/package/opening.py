"""Opens an expert package: an archive, unpacked once into the cache, or a folder.

Usage::

    package = open_package("expert-sql.expert", cache=Cache())
    package.manifest.name       # "expert-sql"
    package.adapter.weights     # …/adapter_model.safetensors

Digests are checked, both beside the archive and in the manifest, and so are signatures: each time,
with the keys that are trusted then. No tensor is read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..archive.unpack import LIMITS, UnpackReport, unpack
from ..cache.digests import digest_file, digest_of
from ..cache.store import Cache
from ..errors import ManifestError, PackageError
from ..manifest.parsing import parse_manifest
from ..manifest.records import Manifest
from ..signing.messages import PACKAGE_SIGNATURE, SIGNATURE_FILE, SIGNATURE_MEMBERS
from ..signing.package_signature import MAX_PACKAGE_SIGNATURE_BYTES
from ..signing.policy import checked_signature, signature_policy
from ..signing.verification import SignatureReport, SignedContents, claims_signature
from ..strict_json.parsing import MAX_BYTES
from ..user_paths import is_file, is_folder, path_exists, shown_path, user_path
from .adapter import AdapterFiles, NoAdapterError, find_adapter
from .digests import check_digests, check_sidecar, folder_digest, folder_members
from .files import (
    CONFIG,
    MANIFEST,
    NAMES_SHOWN,
    check_folder,
    file_in,
    read_in,
    relative_to_root,
    safe_path,
)
from .soft_prompts import SoftPromptFiles, find_soft_prompts, soft_prompt_paths
from .walking import files_below

__all__ = [
    "AdapterFiles",
    "Package",
    "SignatureReport",
    "SoftPromptFiles",
    "check_unchanged",
    "open_package",
]

UNPACKED_VERSION = 3
"""Part of the cache key; raise it when unpack leaves other files or facts than before."""

MAX_WEIGHTS_BYTES = 16 << 30
"""Largest size of all safetensors of a folder, which are hashed. An archive may have 1 GiB."""

_GRAMMAR = "grammar.gbnf"
_TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json"),
    *(
        f"{folder}/{name}.jinja"
        for folder in ("chat_templates", "additional_chat_templates")
        for name in ("default", "tool_use")
    ),
)


@dataclass(frozen=True)
class Package:
    """An opened package.

    ``source`` is the archive or folder that the user named; ``root`` is the folder to read
    from. ``digest`` is the SHA-256 of the archive, or one over the files of a folder that
    matter. ``soft_prompts`` are those of the manifest whose files are there; the first is
    ``adapter``, too, in a package without another one. ``skipped`` names the files that were
    left in the archive. ``notes`` lists differences from the manifest that were tolerated, and what
    the user should know of the signature. ``signature`` tells who signed the package.
    """

    source: Path
    root: Path
    digest: str
    manifest: Manifest
    adapter: AdapterFiles
    soft_prompts: tuple[SoftPromptFiles, ...]
    grammar: Path | None
    base_folder: Path | None
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    signature: SignatureReport

    @property
    def files(self) -> tuple[tuple[str, int], ...]:
        """Path (relative to ``root``, with ``/``) and size in bytes of every file, sorted."""
        return tuple(
            sorted(
                (relative_to_root(path, self.root), path.stat().st_size)
                for path in files_below(self.root)
            )
        )


def open_package(
    path: str | os.PathLike[str],
    *,
    cache: Cache,
    verify: bool = True,
    signatures: str | None = None,
) -> Package:
    """Open the ``.expert`` file or folder at ``path``.

    ``verify=False`` ignores the digest file beside an archive. The digests in the manifest are
    always checked. ``signatures`` is ``"ignore"``, ``"check"`` or ``"require"``, as in
    `Expert.load`. Raises PackageError (SignatureError for a signature), ManifestError or
    CacheError.
    """
    policy = signature_policy(signatures)
    if not os.fspath(path):  # which pathlib takes for the current folder
        raise PackageError("the name of the package is empty\nGive an .expert file or its folder.")
    source = user_path(path).absolute()
    try:
        if is_folder(source):
            return _read(source, source, None, policy)
        if is_file(source):
            unpacked = _unpacked(source, cache, verify=verify)
            return _read(source, unpacked.root, unpacked, policy)
    except OSError as error:
        raise PackageError(
            f"cannot read {error.filename or source}: {error.strerror or error}"
        ) from error
    found = "neither a file nor a folder" if path_exists(source) else "no such file or folder"
    raise PackageError(f"{shown_path(source)}: {found}\nGive an .expert file or its folder.")


def check_unchanged(package: Package, cache: Cache) -> None:
    """Raise PackageError if the package is a folder, which is read in place, and has changed."""
    if package.root != package.source:
        return
    now = open_package(package.source, cache=cache, signatures="ignore")
    if now.digest != package.digest:
        raise PackageError(f"{package.source} was changed while it was converted\nTry again.")


@dataclass(frozen=True)
class _Unpacked:
    """An archive in the cache: its SHA-256, the folder of its files, and facts of all members."""

    digest: str
    root: Path
    skipped: tuple[str, ...]
    digests: Mapping[str, str]
    repeated: tuple[str, ...]


def _unpacked(source: Path, cache: Cache, *, verify: bool) -> _Unpacked:
    """The archive, unpacked now or earlier."""
    if (size := source.stat().st_size) > LIMITS.archive_bytes:
        raise PackageError(
            f"{source.name}: {size / 1e6:.0f} MB; an archive may have at most "
            f"{LIMITS.archive_bytes / 1e6:.0f} MB\n"
            "If you trust the package, unpack it yourself and load the folder."
        )
    digest = digest_file(source)
    if verify:
        check_sidecar(source, digest)

    def build(folder: Path) -> Mapping[str, Any]:
        report = unpack(source, folder / "files")
        if wanted := _packed_soft_prompts(folder / "files", report):
            shutil.rmtree(folder / "files")
            report = unpack(source, folder / "files", opened=wanted)
        if digest_file(source) != digest:
            raise PackageError(f"{source.name} was changed while it was read\nTry again.")
        return {"digest": digest, **dataclasses.asdict(report)}

    key = digest_of("package", UNPACKED_VERSION, digest)
    entry, _ = cache.get_or_build("packages", key, build, sources=[source])
    if entry.info["digest"] != digest:  # the key is shorter
        raise PackageError(f"{entry.path}: made from another archive\nRemove this folder.")
    return _Unpacked(
        digest,
        entry.path / "files",
        tuple(entry.info["skipped"]),
        entry.info["digests"],
        tuple(entry.info["repeated"]),
    )


def _packed_soft_prompts(root: Path, report: UnpackReport) -> frozenset[str]:
    """The soft prompts that were left in the archive because they are called pickles."""
    path = file_in(root, MANIFEST)
    if path is None or not report.skipped:
        return frozenset()
    try:
        manifest = parse_manifest(read_in(root, path, MAX_BYTES + 1))
    except ManifestError:  # is raised when the package is read
        return frozenset()
    return soft_prompt_paths(manifest).intersection(report.skipped)


def _read(source: Path, root: Path, unpacked: _Unpacked | None, policy: str) -> Package:
    """The package whose files are in ``root``; ``unpacked`` if it is an archive."""
    manifest_path = file_in(root, MANIFEST)
    if manifest_path is None:
        raise _no_manifest(source, root)
    # One byte more than allowed, which the parser then refuses.
    data = read_in(root, manifest_path, MAX_BYTES + 1)
    manifest = parse_manifest(data, source=f"{source.name}/{MANIFEST}")
    digest_once = _digests()
    signature, signature_notes = checked_signature(
        policy, str(source), _signed_contents(root, data, manifest, unpacked, digest_once)
    )
    skipped = unpacked.skipped if unpacked is not None else ()
    listed, left_out = find_soft_prompts(root, manifest)
    try:
        adapter, info = find_adapter(source, root, manifest, skipped)
        # an adapter that its manifest lists as a soft prompt, too, is one only if PEFT says so
        soft_prompts = tuple(one for one in listed if one.weights != adapter.weights)
    except NoAdapterError:
        if not listed or manifest.adapters:
            raise
        soft_prompts, info = listed, None
        adapter = AdapterFiles(listed[0].weights, listed[0].config)
    grammar = _find_grammar(root, manifest)
    notes = check_digests(source, root, manifest, adapter, info, skipped, digest_once)
    if unpacked is not None:
        digest = unpacked.digest
    else:
        inside = relative_to_root(adapter.weights.parent, root)
        folders = dict.fromkeys([".", inside])
        tokenizer = [file_in(root, f"{folder}/{name}") for folder in folders for name in _TOKENIZER]
        parts = [manifest_path, adapter.weights, adapter.config, grammar, *tokenizer]
        parts += [path for one in soft_prompts for path in (one.weights, one.config)]
        digest = folder_digest(root, filter(None, parts), digest_once)
    has_base = file_in(root, "base/config.json") is not None and check_folder(root, "base")
    return Package(
        source=source,
        root=root,
        digest=digest,
        manifest=manifest,
        adapter=adapter,
        soft_prompts=soft_prompts,
        grammar=grammar,
        base_folder=root / "base" if has_base else None,
        skipped=skipped,
        notes=(*signature_notes, *notes, *left_out),
        signature=signature,
    )


def _signed_contents(
    root: Path,
    manifest_bytes: bytes,
    manifest: Manifest,
    unpacked: _Unpacked | None,
    digest_once: Callable[[Path], str],
) -> Callable[[], SignedContents] | None:
    """What is compared with the signature; None if the package claims to have none."""
    if unpacked is not None:
        names: Iterable[str] = unpacked.digests
    else:
        names = [name for name in SIGNATURE_MEMBERS if path_exists(root / name)]
    if not claims_signature(manifest.raw, names):
        return None

    def contents() -> SignedContents:
        found = folder_members(root, digest_once) if unpacked is None else unpacked.digests
        # of the bytes that were parsed, whatever has happened to the file
        parsed = hashlib.sha256(manifest_bytes).hexdigest()
        return SignedContents(
            digests={**found, MANIFEST: parsed},
            manifest=manifest_bytes,
            signature_file=_member(root, SIGNATURE_FILE),
            package_signature=_member(root, PACKAGE_SIGNATURE),
            repeated=unpacked.repeated if unpacked is not None else (),
            is_folder=unpacked is None,
            needed=soft_prompt_paths(manifest),
        )

    return contents


def _member(root: Path, name: str) -> bytes | None:
    """The contents of a member that holds a signature; one byte more than it may have."""
    if (path := file_in(root, name)) is None:
        return None
    return read_in(root, path, MAX_PACKAGE_SIGNATURE_BYTES + 1)


def _digests() -> Callable[[Path], str]:
    """A `digest_file` that reads no file twice, however many links it has, and limits the bytes."""
    known: dict[tuple[int, int], str] = {}
    left = {True: MAX_WEIGHTS_BYTES, False: LIMITS.total_bytes}

    def digest_once(path: Path) -> str:
        facts = path.stat()
        key = (facts.st_dev, facts.st_ino)
        if key not in known:
            is_weights = path.suffix == ".safetensors"
            left[is_weights] -= facts.st_size
            if left[is_weights] < 0:
                raise PackageError(
                    f"{path}: {facts.st_size} bytes: more than a package's "
                    f"{'weights' if is_weights else 'other files'} have in all"
                )
            known[key] = digest_file(path)
        return known[key]

    return digest_once


def _no_manifest(source: Path, root: Path) -> PackageError:
    names = sorted(path.name for path in root.iterdir())
    listed = ", ".join(names[:NAMES_SHOWN]) + (" …" if len(names) > NAMES_SHOWN else "")
    if CONFIG in names:
        advice = (
            "This is a PEFT adapter: 'hivellm-lite init FOLDER' writes a manifest.json that names "
            "it and its base model."
        )
    elif "config.json" in names:
        advice = "This is a base model: an expert is an adapter with a manifest.json."
    elif experts := [name for name in names if name.endswith(".expert")]:
        advice = f"Give the package itself: {source / experts[0]}"
    else:
        advice = "An expert package has a manifest.json at its top."
    return PackageError(f"{source}: no {MANIFEST}\nIt holds: {listed or 'nothing'}\n{advice}")


def _find_grammar(root: Path, manifest: Manifest) -> Path | None:
    """``grammar_file`` of the manifest, else ``grammar.gbnf``, where packagers put it."""
    named = safe_path(manifest.decoding.grammar_file or "")
    return (file_in(root, named) if named else None) or file_in(root, _GRAMMAR)
