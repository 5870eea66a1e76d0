"""Finds grammars: the ones that come with this library by name, and files by path."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from ..errors import GrammarError
from .limits import MAX_BYTES
from .parser import parse_grammar
from .syntax import Grammar

__all__ = ["grammar_names", "grammar_text", "load_grammar", "name_for_type"]

_SUFFIX = ".gbnf"

_TYPES = {
    "sql": "sql-postgres",
    "postgres": "sql-postgres",
    "postgresql": "sql-postgres",
    "neo4j": "cypher",
    "elasticsearch": "elastic",
    "elasticsearch-dsl": "elastic",
    "query-dsl": "elastic",
    "tools": "tool-call",
    "tool-calls": "tool-call",
    "mcp": "tool-call",
}
"""Values of ``grammar_type`` in manifests that differ from the name of the grammar."""


def grammar_names() -> list[str]:
    """The names of the grammars that come with this library."""
    folder = resources.files("hivellm_lite.grammars")
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))


def grammar_text(name: str) -> str:
    """The text of a grammar of this library. Raises GrammarError for an unknown name."""
    if name not in grammar_names():
        raise GrammarError(
            f"there is no grammar {name!r}\nThere are {', '.join(grammar_names())}; "
            "a file of your own is named by its path."
        )
    return (resources.files("hivellm_lite.grammars") / f"{name}{_SUFFIX}").read_text("utf-8")


def load_grammar(name_or_path: str | os.PathLike[str], *, root: str = "root") -> Grammar:
    """The grammar with this name, or in this file.

    Raises GrammarError for an unknown name, for a file that cannot be read, and for text that is
    not a grammar.
    """
    if isinstance(name_or_path, str) and name_or_path in grammar_names():
        return parse_grammar(grammar_text(name_or_path), source=name_or_path, root=root)
    try:
        path = Path(name_or_path).expanduser()
        if not path.suffix and not path.exists():
            grammar_text(str(name_or_path))  # raises an error with all names
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)  # one byte over the limit, which the parser refuses
    except (OSError, ValueError, RuntimeError) as error:
        shown = repr(os.fspath(name_or_path))
        shown = shown if len(shown) <= 80 else f"{shown[:80]}…"
        reason = getattr(error, "strerror", None) or error
        raise GrammarError(
            f"the grammar {shown} cannot be read: {reason}\n"
            "Give a name or a path; the text of a grammar goes through Grammar.parse."
        ) from None
    return parse_grammar(data, source=str(path), root=root)


def name_for_type(grammar_type: str) -> str | None:
    """The name of the grammar that a manifest's ``grammar_type`` means; None if there is none."""
    wanted = grammar_type.strip().lower().replace("_", "-")
    names = grammar_names()
    for candidate in (wanted, _TYPES.get(wanted, "")):
        if candidate in names:
            return candidate
    return next((name for key, name in _TYPES.items() if key in wanted.split("-")), None)
