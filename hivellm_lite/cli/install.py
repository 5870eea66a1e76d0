"""``hivellm-lite install``: brings experts to this machine, to be used by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import LoadError
from ..hub import Hub
from ..installation.home import ExpertHome
from ..installation.installing import install as install_all
from ..installation.installing import wanted_of_text
from ..installation.lock_file import MAX_BYTES, parse_lock
from ..installation.locking import wanted_of
from ..installation.placing import Outcome
from ..installation.wanted import Checks
from ..sources.settings import read_settings
from .options import checking_options, json_option, offline_option, progress_bar
from .output import print_json, print_line, say_line
from .package_type import PackageType
from .signature_lines import signature_facts

__all__ = ["install", "outcome_facts"]


@click.command()
@click.argument("sources", nargs=-1, metavar="SOURCE...", type=PackageType(installed=False))
@click.option("--link", is_flag=True, help="Register a folder in place, instead of copying it.")
@click.option(
    "--locked",
    type=click.Path(dir_okay=False),
    metavar="FILE.toml",
    help="Install exactly what this lock file lists; 'hivellm-lite lock' writes one.",
)
@click.option(
    "--requires/--no-requires",
    default=True,
    show_default=True,
    help="Also install the experts that the manifests require.",
)
@offline_option
@checking_options
@json_option
@click.pass_obj
def install(
    context: dict[str, Any],
    /,
    sources: tuple[str, ...],
    link: bool,
    locked: str | None,
    requires: bool,
    offline: bool,
    no_verify: bool,
    as_json: bool,
) -> None:
    """Install experts from SOURCE..., to use them by their names.

    SOURCE is an .expert file, a folder, owner/repository[@revision] on the Hub,
    git+https://…[#ref], file://…, an https address with #sha256=…, or a name in one of
    the configured indexes. All are installed, or none.

    \b
    For example:
      hivellm-lite install examples/experts/sql.expert
      hivellm-lite run sql-smollm2 "How many users are there?"
    """  # noqa: D301 - click looks for the control character
    if bool(sources) == (locked is not None):
        raise click.UsageError("name at least one SOURCE, or give --locked FILE.toml, not both")
    if link and locked is not None:
        raise click.UsageError("what is locked is installed, and not linked: leave out --link")
    settings = read_settings()
    hub = Hub.from_environment(offline=offline)
    if locked is None:
        wanted = [
            wanted_of_text(text, settings, offline=hub.offline, link=link) for text in sources
        ]
    else:
        wanted = _locked(Path(locked))
        requires = False
    checks = Checks(not no_verify, context.get("signatures"), hub)
    with progress_bar() as progress:
        outcomes = install_all(
            ExpertHome(), wanted, settings, checks=checks, requires=requires, progress=progress
        )
    if as_json:
        print_json([outcome_facts(one) for one in outcomes])
        return
    for one in outcomes:
        for note in one.notes:
            say_line(f"note: {one.identity}: {note}")
        what = "is installed already, unchanged" if one.change == "unchanged" else one.change
        print_line(f"{one.identity} {what}: {one.path}")
        if one.signature.trusted_as is not None:
            print_line(f"  signed by {one.signature.trusted_as}")
        for reservation in one.signature.reservations:
            print_line(f"  but {reservation}")


def _locked(path: Path) -> list[Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LoadError(f"cannot read {path}: {error.strerror or error}") from error
    experts = parse_lock(data, source=str(path))
    if not experts:
        raise LoadError(f"{path} lists no expert")
    return list(wanted_of(experts, beside=path.absolute().parent))


def outcome_facts(one: Outcome) -> dict[str, Any]:
    """An outcome as JSON has it."""
    return {
        "name": one.name,
        "version": one.version,
        "change": one.change,
        "path": str(one.path),
        "signature": signature_facts(one.signature),
        "notes": list(one.notes),
    }
