"""The grammar that belongs to a package."""

from __future__ import annotations

from ..errors import GrammarError
from ..gbnf.library import load_grammar, name_for_type
from ..gbnf.limits import MAX_BYTES
from ..gbnf.parser import parse_grammar
from ..gbnf.syntax import Grammar
from .files import read_in, relative_to_root
from .opening import Package

__all__ = ["package_grammar"]


def package_grammar(package: Package, *, root: str = "root") -> Grammar:
    """The package's own grammar, or the library's for its manifest's ``grammar_type``.

    Raises GrammarError if there is neither, or if the text is not a grammar.
    """
    if package.grammar is not None:
        # One byte more than allowed, which the parser then refuses.
        text = read_in(package.root, package.grammar, MAX_BYTES + 1)
        inside = relative_to_root(package.grammar, package.root)
        return parse_grammar(text, source=f"{package.source.name}/{inside}", root=root)
    kind = package.manifest.decoding.grammar_type
    name = name_for_type(kind) if kind else None
    if name is None:
        why = f", and this library has none for its grammar_type {kind!r}" if kind else ""
        raise GrammarError(
            f"{package.source.name} brings no grammar{why}\n"
            "Name one (grammar=…, --grammar; 'grammar list' shows those of the library), or "
            'switch it off ("off").'
        )
    return load_grammar(name, root=root)
