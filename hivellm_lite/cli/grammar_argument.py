"""The grammar that a command is about: a file, a package's own, or one of the library."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..user_paths import is_folder, user_path
from .options import no_verify_option

if TYPE_CHECKING:
    from ..gbnf.syntax import Grammar

__all__ = ["grammar_argument", "read_grammar", "refusal_of"]

ARCHIVES = (".expert", ".zip", ".tar", ".tgz", ".gz")
"""How files end that are packages; every other file is a grammar."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def grammar_argument(command: _Command) -> _Command:
    """``GRAMMAR``, ``--root`` and ``--no-verify``: the keyword arguments of `read_grammar`."""
    command = no_verify_option(command)
    command = click.option(
        "--root", default="root", show_default=True, metavar="RULE", help="The rule to begin with."
    )(command)
    return click.argument("source", metavar="GRAMMAR")(command)


def read_grammar(settings: dict[str, Any], *, source: str, root: str, no_verify: bool) -> Grammar:
    """The grammar that ``source`` names. Raises GrammarError or what `open_package` raises."""
    from ..gbnf.library import grammar_names, load_grammar

    path = user_path(source)
    is_package = path.suffix.lower() in ARCHIVES or is_folder(path)
    if source in grammar_names() or not is_package:
        return load_grammar(source, root=root)
    from ..cache.store import Cache
    from ..package.grammar import package_grammar
    from ..package.opening import open_package

    opened = open_package(source, cache=Cache(settings["cache_dir"]), verify=not no_verify)
    return package_grammar(opened, root=root)


def refusal_of(grammar: Grammar) -> str | None:
    """Why a grammar cannot be enforced; None if it can be."""
    from ..errors import GrammarError
    from ..gbnf.matcher import compile_grammar

    try:
        compile_grammar(grammar)
    except GrammarError as error:
        return str(error)
    return None
