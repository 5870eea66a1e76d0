"""Random schemas: a validator accepts every text of their grammars."""

from __future__ import annotations

import json
from random import Random

import pytest

from hivellm_lite.errors import GrammarError
from hivellm_lite.json_schema import schema_to_grammar

from ..gbnf.sentences import SentenceGenerator
from .random_schemas import random_schema
from .validator import validator_of


@pytest.mark.parametrize("seed", range(8))
def test_sentences_of_random_schemas_are_valid(seed):
    written = 0
    for index in range(40):
        rng = Random(f"{seed} {index}")
        schema = random_schema(rng)
        try:
            grammar = schema_to_grammar(schema)
        except GrammarError:
            continue
        validator = validator_of(schema)
        generator = SentenceGenerator(grammar)
        for size in (20, 60, 120):
            sentence = generator.generate(rng, size)
            assert validator.is_valid(json.loads(sentence)), (schema, sentence)
            written += 1
    assert written > 60
