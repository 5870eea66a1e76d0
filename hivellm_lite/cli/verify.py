"""``hivellm-lite verify``: who signed a package, and whether that is true."""

from __future__ import annotations

from typing import Any

import click

from ..errors import SignatureError
from .options import json_option, no_verify_option, offline_option, package_argument
from .output import print_json, print_line
from .packages import open_one
from .signature_lines import is_trusted, signature_facts, signature_lines

__all__ = ["verify"]


@click.command()
@package_argument
@offline_option
@no_verify_option
@json_option
@click.pass_obj
def verify(
    settings: dict[str, Any], package: str, offline: bool, no_verify: bool, as_json: bool
) -> None:
    """Verify the signature of PACKAGE: who signed it, and what that covers.

    Exits with 0 only if everything in the package is as it was signed, by a key that is
    trusted ('trust add'). How exact a converted adapter is, 'verify-conversion' measures.
    """
    settings = {**settings, "signatures": "check"}
    try:
        opened = open_one(settings, package, verify=not no_verify, offline=offline)
    except SignatureError as error:
        if not as_json:
            raise
        print_json({"state": "refused", "trusted": False, "problem": str(error)})
        raise click.exceptions.Exit(1) from None
    if as_json:
        identity = {"name": opened.manifest.name, "version": opened.manifest.version}
        print_json({**identity, **signature_facts(opened.signature)})
    else:
        print_line(opened.manifest.identity)
        for label, value in signature_lines(opened.signature):
            print_line(f"{label:<13} {value}")
    if not is_trusted(opened.signature):
        raise click.exceptions.Exit(1)
