"""Makes the corpus of ``grammars/sql-postgres.gbnf``.

The judge is PostgreSQL's own parser (libpg_query, in the package pglast). sqlglot, which knows
many dialects, must also understand the valid texts: that checks that they are plain SQL and
not an accident of PostgreSQL's grammar. The tests need neither.

    pip install pglast==8.8 sqlglot==30.30.0
    python scripts/make_grammar_corpus_sql.py
"""

from __future__ import annotations

import logging
import random
import re

import pglast
import sqlglot
from grammar_corpora import hand_written, near_misses, write_corpus
from sqlglot import exp
from text_changes import changed_parts

PART = re.compile(r"\$\$[^$]*\$\$|[eE]?'(?:[^'\\]|''|\\.)*'|\"[^\"]*\"|\w+|\s+|[^\w\s]")
BREAKS = ("\n", "\n  ", "  ", "\t", "\n\n        ")


def one_statement(text: str) -> bool:
    """Whether PostgreSQL reads ``text`` as exactly one statement."""
    try:
        return len(pglast.parse_sql(text)) == 1
    except pglast.parser.ParseError:
        return False


def understood(text: str) -> bool:
    """Whether sqlglot parses ``text`` into a tree instead of keeping it as an unknown command."""
    try:
        trees = sqlglot.parse(text, dialect="postgres")
    except sqlglot.errors.SqlglotError:
        return False
    return len(trees) == 1 and trees[0] is not None and not list(trees[0].find_all(exp.Command))


def restyled(text: str, rng: random.Random) -> str:
    """The same statement with different letter case in its words and different white space."""
    case = rng.choice((str.lower, str.upper, str.title))
    parts = []
    for part in PART.findall(text):
        if part.isspace():
            parts.append(rng.choice(BREAKS) if rng.random() < 0.3 else part)
        elif part.isalpha() and part.isascii():
            parts.append(case(part))
        else:
            parts.append(part)
    return "".join(parts)


def main() -> None:
    logging.disable()  # sqlglot warns about texts that it keeps as a command
    rng = random.Random(1)
    plain = hand_written("sql-valid.sql")
    if odd := [text for text in plain if not understood(text)]:
        raise ValueError(f"sqlglot does not understand these: {odd}")
    valid = [*plain, *(restyled(text, rng) for text in plain)]
    missed = near_misses(
        plain, one_statement, lambda text, rng: changed_parts(text, rng, PART), 150, rng
    )
    invalid = [*hand_written("sql-invalid.sql"), *missed]
    write_corpus("sql-postgres", one_statement, valid, invalid)


if __name__ == "__main__":
    main()
