"""``hivellm-lite cache``: what is stored, and removing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..cache import Cache, CacheEntry
from .options import json_option, print_json

__all__ = ["cache"]


@click.group()
def cache() -> None:
    """Show and remove unpacked packages and converted files."""


def _facts(entry: CacheEntry) -> dict[str, Any]:
    named = entry.info.get("expert") or entry.info.get("name")
    first = Path(entry.sources[0]["path"]).name if entry.sources else "?"
    return {
        "kind": entry.kind,
        "key": entry.key,
        "name": named or first,
        "bytes": entry.size,
        "sources": [source["path"] for source in entry.sources],
        "path": str(entry.path),
    }


def _removed(entries: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(entries)
    else:
        size = sum(entry["bytes"] for entry in entries)
        click.echo(f"Removed {len(entries)} entries, {size / 1e6:.1f} MB.")


@cache.command("list")
@json_option
@click.pass_obj
def list_entries(settings: dict[str, Any], as_json: bool) -> None:
    """List all entries with their sizes and what they were made from."""
    store = Cache(settings["cache_dir"])
    entries = [_facts(entry) for entry in store.entries()]
    if as_json:
        print_json(entries)
        return
    for entry in entries:
        sources = entry["sources"]
        origin = f"{sources[0]}{f' and {len(sources) - 1} more' if sources[1:] else ''}"
        click.echo(
            f"{entry['kind']:<9} {entry['key'][:12]}  {entry['bytes'] / 1e6:8.1f} MB  "
            f"{entry['name']:<28} {origin if sources else ''}"
        )
    total = sum(entry["bytes"] for entry in entries) / 1e6
    click.echo(f"{len(entries)} entries, {total:.1f} MB in {store.root}")


@cache.command()
@json_option
@click.pass_obj
def prune(settings: dict[str, Any], as_json: bool) -> None:
    """Remove what was made from files that are gone or have changed."""
    store = Cache(settings["cache_dir"])
    gone = {entry.path: _facts(entry) for entry in store.entries()}
    _removed([gone[entry.path] for entry in store.prune()], as_json)


@cache.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def clear(settings: dict[str, Any], yes: bool, as_json: bool) -> None:
    """Remove all entries. They are made again when they are needed."""
    store = Cache(settings["cache_dir"])
    entries = [_facts(entry) for entry in store.entries()]
    if not yes and entries:
        size = sum(entry["bytes"] for entry in entries) / 1e6
        click.confirm(f"Remove {len(entries)} entries, {size:.1f} MB?", abort=True, err=True)
    store.clear()
    _removed(entries, as_json)
