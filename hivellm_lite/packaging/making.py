"""Makes an ``.expert`` archive of an author's folder.

The same folder gives the same bytes on every machine. Everything that loading would refuse is
refused here, and the archive has its name only after it was opened again and compared.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..archive.packing import pack
from ..cache.digests import digest_file
from ..cache.store import Cache
from ..converters.json_file import read_json
from ..converters.peft.config import MAX_CONFIG_BYTES, MAX_CONFIG_MEMORY
from ..errors import ExpertError, PackageError
from ..installation.files import check_identity
from ..package.digests import ChangedPackageError
from ..package.files import MANIFEST
from ..package.opening import Package, open_package
from ..signing.messages import SIGNATURE_MEMBERS
from ..storage.whole_files import temporary_name
from ..user_paths import is_folder, path_exists, shown_path, user_path
from .checks import check_on_base, check_parts
from .contents import choose_contents
from .final_manifest import final_manifest, manifest_text
from .placing import put_in_place

__all__ = ["MadePackage", "make_package"]

SUFFIX = ".expert"

_PATH = re.compile(r"[/\\~]|[A-Za-z]:[/\\]")


@dataclass(frozen=True)
class MadePackage:
    """A package that was made.

    ``identity`` is name and version, ``digest`` the SHA-256 of the archive, ``size`` its bytes.
    ``files`` are its members; ``left_out`` are the others of the folder, each with the reason.
    ``notes`` tell what was changed, and what is odd but allowed.
    """

    path: Path
    sidecar: Path
    identity: str
    digest: str
    size: int
    files: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def make_package(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    cache: Cache,
    base_folder: str | os.PathLike[str] | None = None,
    compress: bool = False,
    force: bool = False,
) -> MadePackage:
    """Pack ``folder``, which has a manifest and an adapter, as ``output``, with its digest file.

    ``base_folder`` is a Hugging Face folder that becomes the package's base. ``compress`` makes
    the archive smaller, and its bytes then depend on the build of zlib. ``force`` allows
    ``output`` to be there. ``cache`` is searched for the base, and stays as it is.

    Raises what `open_package`, `check_parts` and `check_on_base` raise, and PackageError if the
    archive cannot be written, would be too large, or is there already.
    """
    source, place = user_path(folder).absolute(), user_path(output).absolute()
    _check_output(place, force=force)
    package = _opened(source, cache)
    base = user_path(base_folder).absolute() if base_folder is not None else None
    contents = choose_contents(package, base)
    notes = list(check_parts(package))
    manifest, changes = final_manifest(package, digest_file(package.adapter.weights))
    notes += changes
    left_out = {path for path, _ in contents.left_out}
    if package.manifest.integrity or not left_out.isdisjoint(SIGNATURE_MEMBERS):
        notes.append("the signature was left out, as it would not fit: sign the new package")
    notes += _private_facts(package)
    try:
        check_identity(package.manifest)
    except PackageError as error:
        notes.append(" ".join(str(error).splitlines()))
    files: dict[str, Path | bytes] = {MANIFEST: manifest_text(manifest), **contents.files}
    with _temporary(place) as archive, _scratch() as scratch:
        digest = pack(files, archive, compress=compress)
        names = {archive.name: place.name}
        try:
            made = open_package(archive, cache=scratch, signatures="ignore")
            names |= {f"{made.root / 'base'}": str(base or source / "base")}
            names |= {str(made.root): str(source)}
            _compare(made, files, manifest)
            notes += check_on_base(made, cache, scratch)
        except ExpertError as error:
            raise _renamed(error, names) from error
        size = archive.stat().st_size
        sidecar = put_in_place(archive, place, digest)
    return MadePackage(
        path=place,
        sidecar=sidecar,
        identity=package.manifest.identity,
        digest=digest,
        size=size,
        files=tuple(files),
        left_out=contents.left_out,
        notes=tuple(dict.fromkeys(notes)),
    )


def _check_output(place: Path, *, force: bool) -> None:
    if place.suffix != SUFFIX or place.stem.startswith("."):
        raise PackageError(f"{shown_path(place)}: the name of a package ends in {SUFFIX}")
    if is_folder(place):
        raise PackageError(f"{shown_path(place)} is a folder\nGive another name.")
    if path_exists(place) and not force:
        raise PackageError(
            f"{shown_path(place)} is there already\nGive another name, or pass force=True."
        )
    if not is_folder(place.parent):
        raise PackageError(f"{shown_path(place.parent)}: no such folder\nMake it first.")


def _opened(source: Path, cache: Cache) -> Package:
    if path_exists(source) and not is_folder(source):
        raise PackageError(
            f"{shown_path(source)} is no folder\n"
            "Give the folder in which the adapter was saved. A package is unpacked with tar."
        )
    try:
        return open_package(source, cache=cache, signatures="ignore")
    except ChangedPackageError as error:
        found = str(error).rpartition("\n")[0]
        raise PackageError(
            f"{found}\nIf you changed them on purpose, remove these digests ('sha256', "
            f"'integrity') from {MANIFEST}: packing fills in the true ones."
        ) from None


def _renamed(error: ExpertError, names: Mapping[str, str]) -> ExpertError:
    """The error with the author's names for the files of the archive that is not yet there."""
    text = str(error)
    for temporary, name in names.items():
        text = text.replace(temporary, name)
    return type(error)(text)


def _private_facts(package: Package) -> Iterator[str]:
    """Paths of the author's machine that others will read."""
    named = {MANIFEST: package.manifest.base.name}
    if (config := package.adapter.config) is not None:
        options = read_json(config, max_bytes=MAX_CONFIG_BYTES, max_memory=MAX_CONFIG_MEMORY)
        named[config.name] = str(options.get("base_model_name_or_path") or "")
    for file, name in named.items():
        if _PATH.match(name):
            yield f"{file} names the base by a path of one machine: {name!r:.200}"


@contextlib.contextmanager
def _temporary(place: Path) -> Iterator[Path]:
    """A name beside ``place`` for the archive that is not yet checked."""
    path = temporary_name(place)
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def _scratch() -> Iterator[Cache]:
    """A cache that lasts as long as the checks."""
    with tempfile.TemporaryDirectory(prefix="hivellm-package-") as folder:
        yield Cache(folder)


def _compare(made: Package, files: Mapping[str, Path | bytes], manifest: Mapping[str, Any]) -> None:
    """Raise PackageError unless the archive holds ``files``. Digests were compared already."""
    sizes = {
        path: len(content) if isinstance(content, bytes) else content.stat().st_size
        for path, content in files.items()
    }
    if dict(made.files) != sizes or made.manifest.raw != manifest:
        odd = sorted({path for path, _ in set(sizes.items()) ^ set(made.files)}) or [MANIFEST]
        raise PackageError(
            f"{made.source.name}: {odd[0]} was unpacked otherwise than it was packed\n"
            "The folder was changed meanwhile: try again. Otherwise the disk is faulty."
        )
