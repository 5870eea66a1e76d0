"""The grammar that a command is about: a file, a package's own, or one of the library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..errors import GrammarError
from ..gbnf.library import grammar_names, load_grammar
from ..gbnf.matcher import compile_grammar
from ..gbnf.syntax import Grammar
from ..hub import parse_reference
from ..installation.names import installed_folder
from ..package.grammar import package_grammar
from ..user_paths import is_folder, path_exists, user_path
from .options import checking_options, offline_option
from .package_type import PackageType
from .packages import open_one

__all__ = ["grammar_argument", "read_grammar", "refusal_of"]

ARCHIVES = (".expert", ".zip", ".tar", ".tgz", ".gz")
"""Suffixes of packages; every other file is a grammar."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def grammar_argument(command: _Command) -> _Command:
    """``GRAMMAR``, ``--root``, ``--offline``, ``--no-verify`` and ``--require-signature``.

    These are the keyword arguments of `read_grammar`.
    """
    command = offline_option(checking_options(command))
    command = click.option(
        "--root", default="root", show_default=True, metavar="RULE", help="The rule to begin with."
    )(command)
    return click.argument("source", metavar="GRAMMAR", type=PackageType(files="file"))(command)


def read_grammar(
    settings: dict[str, Any], *, source: str, root: str, no_verify: bool, offline: bool
) -> Grammar:
    """The grammar that ``source`` names. Raises GrammarError or what `find_package` raises."""
    if source in grammar_names() or not _is_package(source):
        return load_grammar(source, root=root)
    opened = open_one(settings, source, verify=not no_verify, offline=offline)
    return package_grammar(opened, root=root)


def _is_package(source: str) -> bool:
    """Whether ``source`` names an archive, a folder, an installed expert, or what may be a
    repository on the Hub.
    """
    path = user_path(source)
    if path.suffix.lower() in ARCHIVES or is_folder(path):
        return True
    if path_exists(path):
        return False
    return parse_reference(source) is not None or installed_folder(source) is not None


def refusal_of(grammar: Grammar) -> str | None:
    """Why a grammar cannot be enforced; None if it can be."""
    try:
        compile_grammar(grammar)
    except GrammarError as error:
        return str(error)
    return None
