"""Makes the corpus of ``grammars/cypher.gbnf``.

The judge is Neo4j's own parser and semantic analysis, as its editors use them (npm package
@neo4j-cypher/language-support, called through ``judge_cypher.cjs``). The tests do not need it.

    npm install --prefix JUDGE @neo4j-cypher/language-support@2.0.0-next.38
    NODE_PATH=JUDGE/node_modules python scripts/make_grammar_corpus_cypher.py
"""

from __future__ import annotations

import random
import re

from grammar_corpora import hand_written, near_misses, write_corpus
from node_judge import NodeJudge
from text_changes import changed_parts

PART = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|\w+|\s+|[^\w\s]")
BREAKS = ("\n", "\n  ", "  ", "\t", "\n\n        ")

UNKNOWN_PARAMETER = re.compile(r"Parameter \$\S+ is not defined")
FORM = re.compile(
    r"Invalid input|invalid literal|Unknown operation|Failed to parse string|Juxtaposition"
    r"|cannot conclude with (?!CALL)|can only be used (?:at the end|in this order)"
    r"|is required between|Expression in WITH must be aliased|inside FOREACH"
    r"|relationship type must be|Only directed relationships"
)
"""Errors that a grammar can detect, unlike unbound names or wrong types."""


def restyled(query: str, rng: random.Random) -> str:
    """The same query with different letter case in its keywords and different white space."""
    case = rng.choice((str.lower, str.upper, str.title))
    parts = []
    for part in PART.findall(query):
        if part.isspace():
            parts.append(rng.choice(BREAKS) if rng.random() < 0.3 else part)
        elif len(part) > 1 and part.isalpha() and part.isupper():
            parts.append(case(part))
        else:
            parts.append(part)
    return "".join(parts)


def main() -> None:
    rng = random.Random(1)
    judge = NodeJudge("judge_cypher.cjs")

    def errors(query: str) -> list[str]:
        return [error for error in judge.errors(query) if not UNKNOWN_PARAMETER.match(error)]

    def well_formed(query: str) -> bool:
        return not any(map(FORM.search, judge.errors(query)))

    def changed(query: str, rng: random.Random) -> str:
        return changed_parts(query, rng, PART)

    plain = hand_written("cypher-valid.cypher")
    valid = [*plain, *(restyled(query, rng) for query in plain)]
    if odd := {query: found for query in valid if (found := errors(query))}:
        raise ValueError(f"Neo4j would not run these: {odd}")
    missed = near_misses(plain, well_formed, changed, 120, rng)
    invalid = [*hand_written("cypher-invalid.cypher"), *missed]
    write_corpus("cypher", well_formed, valid, invalid)


if __name__ == "__main__":
    main()
