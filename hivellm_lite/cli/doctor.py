"""``hivellm-lite doctor``: does llama.cpp work here?"""

from __future__ import annotations

from typing import Any

import click

from ..doctor import examine
from .options import json_option
from .output import print_bold, print_json, print_line

__all__ = ["doctor"]


@click.command()
@click.option(
    "--base",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Decode with this .gguf instead of a tiny model made for the purpose.",
)
@json_option
def doctor(base: str | None, as_json: bool) -> None:
    """Check that the installed llama.cpp works on this machine.

    Shows its version and devices, and tries to decode in a child process, because a
    library that was built for another processor crashes its process. If something is
    wrong, says what to do about it and exits with 1.
    """
    report = examine(base)
    if as_json:
        print_json(report.as_dict())
    else:
        _print(report.as_dict())
    if not report.healthy:
        raise click.exceptions.Exit(1)


def _print(facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        if name == "devices":
            for device in value:
                free, total = device["memory_free"] / 1e9, device["memory_total"] / 1e9
                memory = f", {free:.1f} of {total:.1f} GB free" if total else ""
                print_line(f"{'device':<26} {device['name']}: {device['description']}{memory}")
        elif name not in ("advice", "healthy") and value != "not tried":
            print_line(f"{name.replace('_', ' '):<26} {value}")
    print_bold("healthy" if facts["healthy"] else "not healthy")
    for advice in facts["advice"]:
        for line in advice.splitlines():
            print_line(f"  {line}")
