"""``hivellm-lite keygen``: make a key that signs packages."""

from __future__ import annotations

from pathlib import Path

import click

from ..signing.keys import key_text, make_key_files, public_key_place
from .output import print_line

__all__ = ["keygen"]


@click.command()
@click.argument("key", type=click.Path(dir_okay=False, path_type=Path))
def keygen(key: Path) -> None:
    """Make a private key, KEY, and its public key beside it, which ends in .pub.

    Others who trust the public key can then verify what you sign. KEY can be read by
    you alone and has no password: keep it safe, and keep a copy. Nothing is
    overwritten. The files have the form of HiveLLM's own tool.
    """
    public = make_key_files(key)
    print_line(f"private key  {key} (keep it to yourself)")
    print_line(f"public key   {public_key_place(key)}")
    print_line(f"             {key_text(public)}")
