"""``hivellm-lite route``: which of several experts a prompt would go to."""

from __future__ import annotations

from typing import Any

import click

from ..routing import Router
from .input_text import prompt_text
from .options import checking_options, json_option, offline_option
from .output import print_json, print_line
from .packages import named_packages, open_packages, packages_argument

__all__ = ["route"]


@click.command()
@click.argument("prompt")
@packages_argument
@click.option("--explain", is_flag=True, help="Show the reason and the score of every expert.")
@offline_option
@checking_options
@json_option
@click.pass_obj
def route(
    settings: dict[str, Any],
    /,
    prompt: str,
    packages: tuple[str, ...],
    explain: bool,
    offline: bool,
    no_verify: bool,
    as_json: bool,
) -> None:
    """Print the name of the expert that "auto" chooses for PROMPT, or "base".

    Only manifests are read: their keywords, exclude keywords, priorities and
    capabilities. No model is loaded. PROMPT "-" reads stdin.

    \b
    For example:
      hivellm-lite route "Find the friends of Ann" sql.expert graph=cypher.expert --explain
    """  # noqa: D301 - click looks for the control character
    prompt = prompt_text(prompt)
    named = named_packages(packages)
    opened = open_packages(settings, named, verify=not no_verify, offline=offline)
    chosen = Router({name: package.manifest for name, package in opened.items()}).route(prompt)
    if as_json:
        scores = [score._asdict() for score in chosen.scores]
        print_json({"expert": chosen.expert, "scores": scores, "reason": chosen.reason})
        return
    print_line(chosen.expert or "base")
    if explain:
        print_line(f"because {chosen.reason}")
        width = max(len(score.name) for score in chosen.scores)
        for score in chosen.scores:
            print_line(f"  {score.name:<{width}}  {score.explanation}")
