"""``hivellm-lite search``: look for experts in indexes."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..expert_home import expert_home
from ..sources.index import search as find
from ..sources.index_files import read_indexes
from ..sources.settings import FILE, VARIABLE, read_settings
from .options import json_option, offline_option
from .output import print_json, print_line, say, say_line

__all__ = ["search"]


@click.command()
@click.argument("words", nargs=-1, required=True)
@click.option(
    "--index",
    "given",
    multiple=True,
    metavar="PATH|URL",
    help="Look into this index, a file or an https address; may be repeated "
    "[default: those that are configured].",
)
@offline_option
@json_option
@click.pass_obj
def search(
    settings: dict[str, Any],
    words: tuple[str, ...],
    given: tuple[str, ...],
    offline: bool,
    as_json: bool,
) -> None:
    """Look for experts in the configured indexes.

    All WORDS must be a part of an expert's name, capabilities or description. The best
    fit comes first.

    \b
    For example:
      hivellm-lite search sql --index examples/experts/index.json
    """  # noqa: D301 - click looks for the control character
    places = given or read_settings().indexes
    if not places:
        raise click.UsageError(
            f"no index is configured\nGive one with --index, set {VARIABLE}, or write "
            f'indexes = ["https://…"] into {expert_home() / FILE}.'
        )
    root = Path(settings["cache_dir"]) if settings["cache_dir"] else None
    indexes, warnings = read_indexes(places, offline=offline, cache_root=root)
    for warning in warnings:
        say(f"Warning: {warning}")
    for note in (note for index in indexes for note in index.notes):
        say_line(f"note: {note}")
    if not indexes:
        raise click.ClickException("no index could be read")
    found = find(words, indexes)
    if as_json:
        print_json([asdict(expert) for expert in found])
        return
    if not found:
        n = sum(len(index.experts) for index in indexes)
        say_line(f"None of {n} indexed experts fits {' '.join(words)}.")
    for expert in found:
        print_line(f"{expert.name} {expert.version}")
        if expert.description:
            print_line(f"  {expert.description}", limit=300)
        if expert.capabilities:
            print_line(f"  {', '.join(expert.capabilities)}", limit=300)
        print_line(f"  hivellm-lite install {shlex.quote(expert.source)}")
