"""``hivellm-lite index``: make an index of packages, for ``search`` and ``install``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..cache.store import Cache
from ..sources.index_making import make_index
from ..storage.whole_files import write_text_whole
from .options import no_verify_option
from .output import print_line

__all__ = ["index"]


@click.command()
@click.argument("packages", nargs=-1, required=True, type=click.Path(), metavar="FILE.expert...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="INDEX.json",
    help="Write the index to this file.",
)
@click.option(
    "--url",
    metavar="URL",
    help="The https address of the folder from which the files will be served "
    "[default: paths, relative to the index].",
)
@no_verify_option
@click.pass_obj
def index(
    settings: dict[str, Any],
    packages: tuple[str, ...],
    output: Path,
    url: str | None,
    no_verify: bool,
) -> None:
    """Make an index of packed packages, for 'search' and 'install'.

    \b
    For example:
      hivellm-lite index examples/experts/*.expert -o examples/experts/index.json
      hivellm-lite index *.expert -o index.json --url https://example.org/experts
    """  # noqa: D301 - click looks for the control character
    text = make_index(
        packages,
        cache=Cache(settings["cache_dir"]),
        place=output,
        url=url,
        verify=not no_verify,
    )
    write_text_whole(text, output)
    print_line(f"{output}: {len(packages)} experts")
