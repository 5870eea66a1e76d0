"""The generator of each expert, by name, and the questions that accuracy is measured on."""

from __future__ import annotations

from training import cypher, json_extraction, sql
from training.example import Example
from training.judge import is_sound

GENERATORS = {
    "cypher": cypher.examples,
    "json": json_extraction.examples,
    "sql": sql.examples,
}
HELD_OUT_SEED = 1


def held_out(expert: str, count: int) -> list[Example]:
    """``count`` questions with names that training never showed; always the same questions."""
    made = GENERATORS[expert]("held-out", 3 * count, HELD_OUT_SEED)
    return [example for example in made if is_sound(expert, example)][:count]
