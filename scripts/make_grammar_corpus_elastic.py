"""Makes the corpus of ``grammars/elastic.gbnf``.

The judge is the TypeScript type of a search request, which Elastic publishes and makes from the
specification of its API (npm package @elastic/elasticsearch, called through
``judge_elastic.cjs``). It knows which keys an object may have, which it must have, and what kind
of value belongs to each. The tests do not need it.

    npm install --prefix JUDGE @elastic/elasticsearch@9.4.3 typescript@5.9.3
    NODE_PATH=JUDGE/node_modules python scripts/make_grammar_corpus_elastic.py
"""

from __future__ import annotations

import json
import random
import re

from grammar_corpora import hand_written, near_misses, write_corpus
from node_judge import NodeJudge
from text_changes import changed_parts

PART = re.compile(r'"(?:[^"\\]|\\.)*"|[\w.+-]+|\s+|[^\w\s]')

KEY_TWICE = "An object literal cannot have multiple properties with the same name."
"""The one error that a grammar cannot detect: it would have to count keys."""


def restyled(body: str, rng: random.Random) -> str:
    """The same body, compact or printed over several lines."""
    value = json.loads(body)
    if rng.random() < 0.2:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(value, ensure_ascii=False, indent=rng.choice((2, 4, "\t")))


def main() -> None:
    rng = random.Random(1)
    judge = NodeJudge("judge_elastic.cjs")

    def takes(body: str) -> bool:
        return not set(judge.errors(body)) - {KEY_TWICE}

    def changed(body: str, rng: random.Random) -> str:
        return changed_parts(body, rng, PART)

    plain = hand_written("elastic-valid.ndjson")
    valid = [*plain, *(restyled(body, rng) for body in plain)]
    missed = near_misses(plain, takes, changed, 100, rng)
    invalid = [*hand_written("elastic-invalid.ndjson"), *missed]
    write_corpus("elastic", takes, valid, invalid)


if __name__ == "__main__":
    main()
