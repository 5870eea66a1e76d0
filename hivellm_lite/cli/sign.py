"""``hivellm-lite sign``: sign a package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..packaging.signing import DEFAULT_PUBLISHER, sign_package
from ..signing.keys import read_private_key
from .options import no_verify_option, package_argument
from .output import print_line

__all__ = ["sign"]


@click.command()
@package_argument
@click.option(
    "--key",
    "key",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="KEY",
    help="The private key, as 'keygen' writes it.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write the signed package here [default: PACKAGE is replaced].",
)
@click.option(
    "--publisher",
    default=DEFAULT_PUBLISHER,
    show_default=True,
    metavar="TEXT",
    help="Who publishes the package, in words.",
)
@click.option(
    "--no-signature-file",
    is_flag=True,
    help="Leave out signature.sig: HiveLLM's own tool refuses to install every package with "
    "this file. Nothing else needs it.",
)
@no_verify_option
def sign(package: str, key: Path, no_signature_file: bool, no_verify: bool, **options: Any) -> None:
    """Sign the .expert file or the folder PACKAGE.

    The package gets two signatures of the same key: the one that HiveLLM's tool makes,
    which does not cover manifest.json, and one that covers everything. Signatures that
    it has are replaced. The digest file beside it (.sha256) is written anew.

    \b
    For example:
      hivellm-lite keygen me.key
      hivellm-lite sign sql.expert --key me.key --publisher "Ann"
    """  # noqa: D301 - click looks for the control character
    signed = sign_package(
        package,
        read_private_key(key),
        signature_file=not no_signature_file,
        verify=not no_verify,
        **options,
    )
    print_line(f"{signed.identity}: signed {signed.place}")
    print_line(f"  key      {signed.key}")
    print_line(f"  at       {signed.signed_at}")
    print_line(f"  SHA-256  {signed.digest}")
    if signed.left_out:
        print_line(f"  left out {', '.join(signed.left_out)}")
