"""``hivellm-lite update``: newer versions of installed experts, from where they come from."""

from __future__ import annotations

from typing import Any

import click

from ..hub import Hub
from ..installation.home import ExpertHome
from ..installation.installing import update as update_all
from ..installation.updates import Update
from ..installation.wanted import Checks
from ..sources.settings import read_settings
from .options import checking_options, json_option, offline_option, progress_bar
from .output import print_json, print_line, say, say_line
from .package_type import PackageType

__all__ = ["update"]


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", type=PackageType(files=""))
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option(
    "--force",
    is_flag=True,
    help="Accept an older version, and a package that is signed by somebody else or no longer.",
)
@offline_option
@checking_options
@json_option
@click.pass_obj
def update(
    context: dict[str, Any],
    /,
    names: tuple[str, ...],
    dry_run: bool,
    force: bool,
    offline: bool,
    no_verify: bool,
    as_json: bool,
) -> int:
    """Update the installed experts NAME..., or all of them, from their sources.

    Linked folders and sources that are pinned to a commit or a digest are left alone. The exit
    code is 1 if an expert could not be updated; the others are.
    """
    checks = Checks(not no_verify, context.get("signatures"), Hub.from_environment(offline=offline))
    with progress_bar() as progress:
        updates = update_all(
            ExpertHome(),
            names,
            read_settings(),
            checks=checks,
            force=force,
            dry_run=dry_run,
            progress=progress,
        )
    if as_json:
        print_json([_facts(one) for one in updates])
    elif not updates:
        say("No expert is installed.")
    else:
        for one in updates:
            _tell(one, dry_run)
    return int(any(one.kind == "refused" for one in updates))


def _tell(one: Update, dry_run: bool) -> None:
    name = one.installed.identity
    would = "would be updated" if dry_run else "updated"
    if one.kind == "newer":
        print_line(f"{name} {would} to {one.to}")
    elif one.kind == "other bytes":
        print_line(f"{name} {would}: its source has other files under the same version")
    elif one.kind == "current":
        print_line(f"{name} is up to date")
    elif one.kind == "linked":
        print_line(f"{name} is linked to {one.installed.path}, which is used as it is")
    elif one.kind == "pinned":
        print_line(f"{name} is pinned: {one.installed.source}")
    else:
        say_line(f"{name} is not updated: {one.reason.splitlines()[0]}")
        for line in one.reason.splitlines()[1:]:
            say_line(f"  {line}")


def _facts(one: Update) -> dict[str, Any]:
    return {
        "name": one.installed.name,
        "version": one.installed.version,
        "to": one.to,
        "kind": one.kind,
        "reason": one.reason or None,
    }
