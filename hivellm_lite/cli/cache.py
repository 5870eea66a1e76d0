"""``hivellm-lite cache``: show, check and remove what is stored."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from ..cache import upkeep
from ..cache.store import Cache
from ..cache.upkeep import CacheItem, Removal
from ..terminal_text import one_line
from .options import json_option
from .output import print_json, print_line, say, say_error

__all__ = ["cache"]


@click.group()
def cache() -> None:
    """Show, check and remove unpacked packages and converted files."""


def _facts(item: CacheItem) -> dict[str, Any]:
    sources = [str(source["path"]) for source in item.entry.sources] if item.entry else []
    info = item.entry.info if item.entry else {}
    named = info.get("expert") or info.get("name")
    return {
        "kind": item.kind,
        "key": item.key,
        "name": str(named or (Path(sources[0]).name if sources else "?")),
        "bytes": item.size,
        "sources": sources,
        "path": str(item.path),
        "problem": item.problem,
    }


def _told(removal: Removal, as_json: bool) -> None:
    """Say what was removed; exit with 1 if something could not be."""
    if as_json:
        print_json([_facts(item) for item in removal.removed])
    else:
        size = sum(item.size for item in removal.removed)
        print_line(f"Removed {len(removal.removed)} entries, {size / 1e6:.1f} MB.")
    for item, reason in removal.failed:
        say_error(f"{one_line(item.path)} cannot be removed: {reason}")
    if removal.failed:
        raise click.exceptions.Exit(1)


def _print_items(items: Iterable[CacheItem]) -> None:
    for item in items:
        facts = _facts(item)
        sources = facts["sources"]
        more = f" and {len(sources) - 1} more" if sources[1:] else ""
        remark = item.problem or (f"{sources[0]}{more}" if sources else "")
        print_line(
            f"{item.kind:<9} {one_line(item.key[:12])}  {item.size / 1e6:8.1f} MB  "
            f"{one_line(facts['name'], 60):<28} {remark}".rstrip()
        )


@cache.command("list")
@json_option
@click.pass_obj
def list_entries(settings: dict[str, Any], as_json: bool) -> None:
    """List all entries with their sizes and what they were made from.

    Damaged entries and files that do not belong to the cache are listed with the reason.
    A damaged entry is made again when it is needed.
    """
    store = Cache(settings["cache_dir"])
    items = list(upkeep.survey(store))
    if as_json:
        print_json([_facts(item) for item in items])
        return
    _print_items(items)
    n_entries = sum(not item.is_foreign for item in items)
    total = sum(item.size for item in items if not item.is_foreign) / 1e6
    print_line(f"{n_entries} entries, {total:.1f} MB in {store.root}")


@cache.command()
@json_option
@click.pass_obj
def prune(settings: dict[str, Any], as_json: bool) -> None:
    """Remove damaged entries, and entries whose source files are gone or have changed."""
    _told(upkeep.prune(Cache(settings["cache_dir"])), as_json)


@cache.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def clear(settings: dict[str, Any], yes: bool, as_json: bool) -> None:
    """Remove all entries. They are made again when they are needed.

    Files that do not belong to the cache stay.
    """
    store = Cache(settings["cache_dir"])
    entries = [item for item in upkeep.survey(store) if not item.is_foreign]
    if not yes and entries:
        size = sum(item.size for item in entries) / 1e6
        click.confirm(f"Remove {len(entries)} entries, {size:.1f} MB?", abort=True, err=True)
    _told(upkeep.clear(store), as_json)


@cache.command()
@click.option("--remove", is_flag=True, help="Remove damaged entries.")
@json_option
@click.pass_obj
def verify(settings: dict[str, Any], remove: bool, as_json: bool) -> None:
    """Compare every file in the cache with its recorded digest.

    Reads every byte. Exits with 1 if an entry is damaged and was not removed. A damaged
    entry is made again when it is needed, if its source files are still there.
    """
    store = Cache(settings["cache_dir"])
    items = list(upkeep.verify(store))
    damaged = [
        item
        for item in items
        if item.problem is not None and (not item.is_foreign or item.path.parent == store.root)
    ]
    removal = upkeep.remove(store, damaged) if remove else None
    if as_json:
        print_json([_facts(item) for item in items])
    else:
        _print_items(damaged)
        whole = sum(item.entry is not None for item in items)
        print_line(f"{whole} entries are whole, {len(damaged)} are damaged")
    if removal is None:
        if damaged:
            say("'hivellm-lite cache verify --remove' removes what is damaged.")
            raise click.exceptions.Exit(1)
        return
    for item, reason in removal.failed:
        say_error(f"{one_line(item.path)} cannot be removed: {reason}")
    if removal.failed:
        raise click.exceptions.Exit(1)
