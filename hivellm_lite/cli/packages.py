"""The packages on a command line: how they are named, opened and loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from ..cache.store import Cache
from ..hub import Hub
from ..installation.asked import asked_name
from ..loading.files import find_package
from ..manager import ExpertManager
from ..manifest.compatibility import sort_by_load_order
from ..package.opening import Package
from ..progress import Progress
from ..residency.names import RESERVED
from ..user_paths import path_exists
from .options import progress_bar
from .package_type import PackageType

__all__ = [
    "load_experts",
    "load_order",
    "named_packages",
    "open_one",
    "open_packages",
    "packages_argument",
]

packages_argument = click.argument(
    "packages",
    nargs=-1,
    required=True,
    metavar="[NAME=]PACKAGE...",
    type=PackageType(named=True),
)

_NAMED = re.compile(r"([\w.-]+)=([^=].*)", re.DOTALL)


def named_packages(values: Iterable[str]) -> dict[str, str]:
    """The packages by name. Each value is ``NAME=PACKAGE`` or ``PACKAGE``, named as its file is.

    Raises UsageError if two packages have the same name, or if a name is reserved.
    """
    packages: dict[str, str] = {}
    for value in values:
        given = None if path_exists(Path(value)) else _NAMED.fullmatch(value)
        name, path = given.groups() if given else (_name_of(value), value)
        if name in packages:
            raise click.UsageError(
                f"two packages have the name {name!r}: {packages[name]} and {path}\n"
                "Give one of them another: NAME=PACKAGE"
            )
        if name in RESERVED:
            raise click.UsageError(
                f"{name!r} cannot be an expert's name\nGive another: NAME={path}"
            )
        packages[name] = path
    return packages


def _name_of(package: str) -> str:
    """``sql`` of ``experts/sql.expert``, ``sql@>=0.2``, ``owner/sql@main`` or
    ``owner/all:sql.expert``.
    """
    if (asked := asked_name(package)) is not None:
        return asked.name
    last = re.split(r"[/\\:]", package.rstrip("/\\"))[-1]
    return last.partition("@")[0].removesuffix(".expert") or package


def open_packages(
    settings: Mapping[str, Any], packages: Mapping[str, str], *, verify: bool, offline: bool
) -> dict[str, Package]:
    """Open the packages, without loading a model. Those on the Hub are downloaded first."""
    cache, hub = Cache(settings["cache_dir"]), Hub.from_environment(offline=offline)
    with progress_bar() as progress:
        return {
            name: find_package(
                path,
                cache=cache,
                hub=hub,
                verify=verify,
                signatures=settings.get("signatures"),
                progress=progress,
            )
            for name, path in packages.items()
        }


def open_one(settings: Mapping[str, Any], package: str, *, verify: bool, offline: bool) -> Package:
    """Open one package, as `open_packages` does."""
    return open_packages(settings, {package: package}, verify=verify, offline=offline)[package]


def load_experts(
    manager: ExpertManager,
    packages: Mapping[str, Package],
    progress: Progress,
    *,
    at_once: int | None = None,
) -> None:
    """Load all of them; an expert that others require is loaded before these. ``at_once``: load
    only so many, and the others at their first use.
    """
    for place, name in enumerate(load_order(packages)):
        is_now = at_once is None or place < at_once
        load = manager.load_expert if is_now else manager.register_expert
        load(name, packages[name].source, progress=progress)


def load_order(packages: Mapping[str, Package]) -> list[str]:
    """The names, an expert before those that require it."""
    names = {id(package.manifest): name for name, package in packages.items()}
    ordered = sort_by_load_order([package.manifest for package in packages.values()])
    return [names[id(manifest)] for manifest in ordered]
