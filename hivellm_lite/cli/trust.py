"""``hivellm-lite trust``: whose signatures are trusted on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from ..signing.keys import key_text, read_public_key
from ..signing.trusted import add_trusted, remove_trusted, trusted_folder, trusted_keys
from .options import json_option
from .output import print_json, print_line, say, say_line

__all__ = ["trust"]


@click.group()
def trust() -> None:
    """Choose the keys whose signatures you trust.

    A key is trusted because you say so: get it from its owner by a way that you trust.
    """


@trust.command("add")
@click.argument("key", metavar="KEY|FILE.pub")
@click.option("--name", help="What to call it [default: as the file, or its first 16 digits].")
def add(key: str, name: str | None) -> None:
    """Trust a public key: ed25519:HEX, or the .pub file that holds it."""
    public = read_public_key(key)
    if name is None and key.endswith(".pub"):
        name = Path(key).stem
    called, is_new = add_trusted(public, name)
    print_line(f"{'trusted' if is_new else 'trusted already'} as {called}: {key_text(public)}")


@trust.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Show the trusted keys."""
    trusted = trusted_keys()
    for problem in trusted.problems:
        say(f"Warning: {problem}")
    if as_json:
        keys = [{"name": name, "key": key} for key, name in trusted.names.items()]
        print_json({"keys": keys, "problems": list(trusted.problems)})
        return
    width = max((len(name) for name in trusted.names.values()), default=0)
    for key, name in trusted.names.items():
        print_line(f"{name:<{width}}  {key}")
    if not trusted.names:
        say_line(f"No key is trusted ({trusted_folder()}); 'trust add' trusts one.")


@trust.command("remove")
@click.argument("key", metavar="NAME|KEY")
def remove(key: str) -> None:
    """Trust a key no longer."""
    for name in remove_trusted(key):
        print_line(f"no longer trusted: {name}")
