"""``hivellm-lite list``, ``show`` and ``uninstall``: the experts that are installed."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import click

from ..installation.files import folder_size
from ..installation.home import ExpertHome
from ..installation.names import required
from ..installation.records import InstallRecord
from ..installation.registry import InstalledVersion, Registry
from ..installation.removal import dependants_of, installed_manifest
from ..installation.removal import uninstall as uninstall_matching
from ..terminal_text import one_line
from .options import json_option
from .output import print_json, print_line, say
from .package_type import PackageType

__all__ = ["list_experts", "show", "uninstall"]

MAX_CELL = 40
"""Characters of a cell of the table."""


@click.command("list")
@json_option
def list_experts(as_json: bool) -> None:
    """List the installed experts, the newest version of each first.

    The state is "linked" for a folder that is used in place, and "missing" if the files are gone.
    """
    home = ExpertHome()
    registry = home.read()
    facts = [_facts(one, home, registry) for one in registry.versions()]
    if as_json:
        print_json(facts)
        return
    if not facts:
        say("No expert is installed. 'hivellm-lite install SOURCE' installs one.")
        return
    rows = [("NAME", "VERSION", "BASE", "SIZE", "STATE", "SOURCE")]
    rows += [
        (
            fact["name"],
            fact["version"],
            re.split(r"[/\\]", fact["base"])[-1],  # HiveLLM's tool notes an author's path
            _size(fact["bytes"]),
            fact["state"],
            fact["source"],
        )
        for fact in facts
    ]
    _print_table(rows)


def _size(n_bytes: int | None) -> str:
    return "?" if n_bytes is None else f"{n_bytes / 1e6:.1f} MB"


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their longest cell, the last one as it is."""
    short = [[one_line(cell, MAX_CELL) for cell in row[:-1]] for row in rows]
    widths = [max(map(len, column)) for column in zip(*short, strict=True)]
    for row, shown in zip(rows, short, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(shown, widths, strict=True)]
        print_line("  ".join([*cells, row[-1]]).rstrip())


@click.command()
@click.argument("name", metavar="NAME", type=PackageType(files=""))
@json_option
def show(name: str, as_json: bool) -> None:
    """Show what is known of the installed expert NAME: its versions, and where it comes from.

    'inspect NAME' shows what its package holds.
    """
    home = ExpertHome()
    registry = home.read()
    one = required(name, registry.versions())[0]
    facts = {**_facts(one, home, registry), **_more_facts(one, home, registry)}
    if as_json:
        print_json(facts)
        return
    for label, value in _lines(facts):
        print_line(f"{label:<13} {value}")


def _facts(one: InstalledVersion, home: ExpertHome, registry: Registry) -> dict[str, Any]:
    inside = home.is_inside(one.path, home.folder(registry))
    there = os.path.exists(one.path)  # noqa: PTH110 - False, too, where nobody may look
    return {
        "name": one.name,
        "version": one.version,
        "base": one.base_model,
        "state": ("installed" if inside else "linked") if there else "missing",
        "bytes": folder_size(one.path) if there else 0,
        "source": one.source,
        "path": str(one.path),
        "installed_at": one.installed_at,
    }


def _more_facts(one: InstalledVersion, home: ExpertHome, registry: Registry) -> dict[str, Any]:
    manifest = installed_manifest(one)
    record = home.record(one, home.folder(registry)) or InstallRecord(one.source, "")
    others = [other for other in registry.versions() if other != one]
    return {
        "description": manifest.description if manifest else None,
        "license": manifest.license if manifest else None,
        "capabilities": list(manifest.capabilities) if manifest else [],
        "requires": list(manifest.constraints.requires) if manifest else [],
        "required_by": list(dependants_of([one], others)),
        "other_versions": [other.version for other in others if other.name == one.name],
        "pinned": record.pinned,
        "revision": record.revision,
        "sha256": record.sha256,
        "files_digest": record.files or None,
        "signed_by": record.key,
        "locked_base": record.base,
    }


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    locked = f", locked to {facts['locked_base']}" if facts["locked_base"] else ""
    lines = [
        ("expert", f"{facts['name']} {facts['version']}"),
        ("description", facts["description"] or ""),
        ("license", facts["license"] or ""),
        ("base", facts["base"] + locked),
        ("state", f"{facts['state']}, {_size(facts['bytes'])}"),
        ("folder", facts["path"]),
        ("source", facts["source"]),
        ("pinned", facts["pinned"] if facts["pinned"] != facts["source"] else ""),
        ("sha256", facts["sha256"] or ""),
        ("signed by", facts["signed_by"] or ""),
        ("capabilities", " ".join(facts["capabilities"])),
        ("requires", " ".join(facts["requires"])),
        ("required by", " ".join(facts["required_by"])),
        ("others", " ".join(facts["other_versions"])),
        ("installed", facts["installed_at"]),
    ]
    return [(label, value) for label, value in lines if value]


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", type=PackageType(files=""))
@click.option("--force", is_flag=True, help="Even if another installed expert requires it.")
def uninstall(names: tuple[str, ...], force: bool) -> None:
    """Uninstall the experts NAME...: all versions, or those that fit, as in sql@0.2.

    All are uninstalled, or none. The files of a linked folder stay.
    """
    for one in uninstall_matching(ExpertHome(), *names, force=force):
        print_line(f"{one.identity} uninstalled")
