"""``hivellm-lite lock``: writes down which experts a team uses, with their bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..bases.pinning import pinned_base
from ..cache.store import Cache
from ..errors import LoadError
from ..hub import Hub
from ..installation.home import ExpertHome
from ..installation.lock_file import MAX_BYTES, parse_lock, write_lock
from ..installation.locking import lock_experts
from ..installation.registry import InstalledVersion
from ..installation.removal import installed_manifest
from ..storage.whole_files import write_text_whole
from ..user_paths import is_file
from .options import offline_option
from .output import print_line, say_line
from .package_type import PackageType

__all__ = ["lock"]


@click.command()
@click.argument("file", type=click.Path(dir_okay=False), metavar="FILE.toml")
@click.argument("names", nargs=-1, metavar="[NAME]...", type=PackageType(files=""))
@offline_option
@click.pass_obj
def lock(settings: dict[str, Any], file: str, names: tuple[str, ...], offline: bool) -> None:
    """Write the installed experts NAME..., or all of them, to the lock file FILE.toml.

    It has the version, source and digest of each, and the commit of its base model.
    'hivellm-lite install --locked FILE.toml' installs exactly these on another machine.
    """
    cache, hub = Cache(settings["cache_dir"]), Hub.from_environment(offline=offline)

    def pin_base(one: InstalledVersion) -> str | None:
        manifest = installed_manifest(one)
        if manifest is None or (one.path / "base" / "config.json").is_file():
            return None
        pinned = pinned_base(manifest.base.name, cache=cache, hub=hub)
        if pinned is None:
            say_line(
                f"note: {one.identity}: the commit of its base {manifest.base.short_name} is not "
                "known, so the base is not locked"
            )
        return pinned

    place = Path(file).absolute()
    _check_place(place)
    experts = lock_experts(ExpertHome(), names, beside=place.parent, pin_base=pin_base)
    if not experts:
        raise LoadError("no expert is installed\n'hivellm-lite install SOURCE' installs one.")
    write_text_whole(write_lock(experts), place)
    for one in experts:
        print_line(f"{one.name}@{one.version} {one.source}")
        if one.source.startswith(("/", "file:")):
            say_line(f"note: {one.source} is a path of this machine; others do not have it")


def _check_place(place: Path) -> None:
    """Refuse to replace anything but a lock file, as by ``lock sql`` or ``lock pyproject.toml``."""
    if place.suffix.lower() != ".toml":
        raise click.UsageError(
            f"the name of a lock file ends in .toml, unlike {place.name!r:.200}\n"
            "The first argument is the file to write: hivellm-lite lock team.toml sql"
        )
    if not is_file(place):
        return
    try:
        with place.open("rb") as file:
            parse_lock(file.read(MAX_BYTES + 1), source=str(place))
    except LoadError as error:
        raise LoadError(
            f"{place} is there already, and is no lock file that can be replaced:\n{error}\n"
            "Name another file."
        ) from None
