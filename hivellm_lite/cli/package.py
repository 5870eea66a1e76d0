"""``hivellm-lite package``: make an ``.expert`` archive of a folder."""

from __future__ import annotations

from typing import Any

import click

from ..cache.store import Cache
from ..packaging.making import MadePackage, make_package
from .options import json_option
from .output import print_json, print_line, say_line

__all__ = ["package"]

LEFT_OUT_SHOWN = 20
"""Files that were left out and are listed; a folder of checkpoints has hundreds."""


@click.command()
@click.argument("folder", type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="FILE",
    required=True,
    help="The archive, NAME.expert; NAME.expert.sha256 is written beside it.",
)
@click.option(
    "--base-folder",
    type=click.Path(),
    metavar="FOLDER",
    help="A Hugging Face folder to pack as the package's base.",
)
@click.option(
    "--compress",
    is_flag=True,
    help="Compress the archive; its digest then depends on this machine's build of zlib.",
)
@click.option("--force", is_flag=True, help="Replace an archive of this name.")
@json_option
@click.pass_obj
def package(
    settings: dict[str, Any],
    folder: str,
    output: str,
    base_folder: str | None,
    compress: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Pack FOLDER, which holds an adapter and its manifest.json, as a package.

    The same folder gives the same bytes on every machine. What loading would refuse is refused
    here. Pickles, programs, checkpoints, logs and hidden files stay outside. FOLDER is not
    changed: the packed manifest has the digest of the adapter, and schema 2.0.
    """
    made = make_package(
        folder,
        output,
        cache=Cache(settings["cache_dir"]),
        base_folder=base_folder,
        compress=compress,
        force=force,
    )
    if as_json:
        print_json(_facts(made))
        return
    for note in made.notes:
        say_line(f"Note: {note}")
    for path, reason in made.left_out[:LEFT_OUT_SHOWN]:
        say_line(f"Left out: {path} ({reason})")
    if (more := len(made.left_out) - LEFT_OUT_SHOWN) > 0:
        say_line(f"Left out: {more} more (--json lists all)")
    print_line(f"{made.identity}: {len(made.files)} files, {made.size / 1e6:.1f} MB")
    print_line(f"  package  {made.path}")
    print_line(f"  sha256   {made.digest}")
    print_line(f"  sidecar  {made.sidecar}")


def _facts(made: MadePackage) -> dict[str, Any]:
    return {
        "expert": made.identity,
        "path": str(made.path),
        "sidecar": str(made.sidecar),
        "digest": made.digest,
        "bytes": made.size,
        "files": list(made.files),
        "left_out": dict(made.left_out),
        "notes": list(made.notes),
    }
