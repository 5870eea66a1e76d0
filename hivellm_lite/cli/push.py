"""``hivellm-lite push``: publish a package on the Hub."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ..cache.store import Cache
from ..hub import Hub, HubReference, parse_reference
from ..package.opening import open_package
from ..packaging.card_facts import card_facts
from ..packaging.model_card import model_card
from ..packaging.publishing import Published, publish, wanted_name
from ..packaging.readme import README, readme_with
from ..user_paths import is_file
from .output import print_answer, print_line, say_line
from .package_type import PackageType

__all__ = ["push"]


def _repository(_ctx: click.Context, parameter: click.Parameter, value: str) -> HubReference:
    reference = parse_reference(value)
    if reference is None or reference.revision or reference.file:
        raise click.BadParameter(
            f"{value!r:.200} is not owner/repository (a branch is given with --revision)",
            param=parameter,
        )
    return reference


@click.command()
@click.argument("package", metavar="FILE.expert", type=PackageType(installed=False))
@click.argument("repository", metavar="OWNER/REPOSITORY", callback=_repository)
@click.option("--private", is_flag=True, help="Make the repository private, if it is new.")
@click.option("--revision", metavar="BRANCH", help="The branch to commit to [default: main].")
@click.option("--message", metavar="TEXT", help="The commit's message [default: NAME@VERSION].")
@click.option("--create-pr", is_flag=True, help="Propose the commit as a pull request.")
@click.option(
    "--force",
    is_flag=True,
    help="Write the card even if the package is there already, and in place of a README.md that "
    "push did not write.",
)
@click.option("--dry-run", is_flag=True, help="Print the card; upload nothing, ask nobody.")
@click.pass_obj
def push(
    settings: dict[str, Any],
    package: str,
    repository: HubReference,
    private: bool,
    revision: str | None,
    message: str | None,
    create_pr: bool,
    force: bool,
    dry_run: bool,
) -> None:
    """Publish FILE.expert on the Hub, with its digest file and a model card, in one commit.

    The package is opened with every check before. The token is that of 'hf auth login' or
    HF_TOKEN. The card is made from the manifest, and from what 'convert' and
    'verify-conversion' measured on this machine.
    """
    target = _with_branch(repository, revision)
    if not is_file(Path(package)) and not Path(package).is_dir():
        raise click.UsageError(
            f"there is no file {package!r:.200}\n"
            "push takes the .expert file itself, not the name of an installed expert."
        )
    cache = Cache(settings["cache_dir"])
    opened = open_package(package, cache=cache, signatures="check")
    name = wanted_name(opened)
    facts = card_facts(opened, cache, reference=repository.repository)
    if dry_run:
        print_answer(readme_with(model_card(facts)) or "")
        for uploaded in (name, f"{name}.sha256", README):
            say_line(f"Would upload {uploaded} to {target}")
        say_line(f"SHA-256 {opened.digest}, {facts.size / 1e6:.1f} MB")
        return
    done = publish(
        opened,
        facts,
        target,
        hub=Hub.from_environment(),
        message=message,
        private=private,
        create_pr=create_pr,
        force=force,
        show_progress=sys.stderr is not None and sys.stderr.isatty(),
    )
    _tell(done, opened.digest)


def _with_branch(repository: HubReference, revision: str | None) -> HubReference:
    if revision is None:
        return repository
    target = parse_reference(f"{repository.repository}@{revision}")
    if target is None or target.file or target.is_pinned:
        raise click.UsageError(f"--revision {revision!r:.200}: expected the name of a branch")
    return target


def _tell(done: Published, digest: str) -> None:
    if done.url is None:
        print_line(f"{done.reference} has this package already ({digest}); nothing was uploaded")
        return
    print_line(f"Uploaded {', '.join(done.files)}: {done.url}")
    print_line(f"Its name is {done.reference}; SHA-256 {digest}")
    if done.readme_kept:
        say_line(
            f"{README} of the repository is kept, because push did not write it; --force replaces "
            "it, and --dry-run prints the card"
        )
