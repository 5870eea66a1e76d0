"""Which grammar an answer follows: the package's, one of the library, a file, a schema's."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hivellm_lite import Expert, Grammar, GrammarError
from hivellm_lite.gbnf.earley import Recogniser

from ..support.packages import grammar_package

pytestmark = pytest.mark.usefixtures("nothing_is_left")

OPTIONS = {"n_ctx": 512, "n_threads": 1}
GREEDY = {"temperature": 0.0, "max_tokens": 40}

ANSWER = 'root ::= "yes" | "no" | "yes, of course"'


@pytest.fixture
def with_grammar(tmp_path, tiny_base) -> Iterator[Callable[..., Expert]]:
    """Load an expert with a grammar file and values for its manifest's ``decoding``."""
    loaded = []

    def load(rules: str | None, **decoding: object) -> Expert:
        package = grammar_package(tmp_path / f"{len(loaded)}.expert", rules, **decoding)
        loaded.append(Expert.load(package, base=tiny_base, **OPTIONS))
        return loaded[-1]

    yield load
    for one in loaded:
        one.close()


class TestPackageGrammar:
    def test_counts_where_the_manifest_says_so_and_where_it_is_asked_for(self, with_grammar):
        used, unused = with_grammar(ANSWER, use_grammar=True), with_grammar(ANSWER)
        assert Grammar.parse(ANSWER).accepts(used.generate("Hello", **GREEDY).text)
        free = unused.generate("Hello", **GREEDY).text
        assert not Recogniser(Grammar.parse(ANSWER)).valid_prefix(free)
        assert used.generate("Hello", grammar="off", **GREEDY).text == free
        strict = unused.generate("Hello", grammar="strict", **GREEDY).text
        assert Grammar.parse(ANSWER).accepts(strict)

    def test_is_repaired_where_it_needs_it(self, with_grammar):
        sums = 'root ::= sum_of\nsum_of ::= sum_of "+" sum_of | [0-9]'
        expert = with_grammar(sums, use_grammar=True)
        result = expert.generate("Hello", **GREEDY)
        assert Recogniser(Grammar.parse(sums)).valid_prefix(result.text)
        assert result.text[0].isdigit()

    @pytest.mark.parametrize("rules", ['root ::= "a', 'root ::= "a" root', "root ::= gone"])
    def test_that_is_beyond_repair_is_warned_of_once_and_an_error_if_strict(
        self, with_grammar, rules, caplog
    ):
        expert = with_grammar(rules, use_grammar=True)
        with caplog.at_level(logging.WARNING, "hivellm_lite"):
            free = expert.generate("Hello", **GREEDY).text
            assert expert.generate("Hello", **GREEDY).text == free
        warnings = [r.getMessage() for r in caplog.records if r.name == "hivellm_lite"]
        assert len(warnings) == 1
        assert "expert-tiny@0.3.0 is not constrained by its grammar: " in warnings[0]
        assert expert.generate("Hello", grammar="off", **GREEDY).text == free
        with pytest.raises(GrammarError) as caught:
            expert.generate("Hello", grammar="strict", **GREEDY)
        assert str(caught.value) in warnings[0]

    def test_a_type_stands_for_a_grammar_of_the_library(self, with_grammar):
        expert = with_grammar(None, use_grammar=True, grammar_type="elasticsearch-dsl")
        text = expert.generate("Hello", **GREEDY).text
        assert Recogniser(Grammar.load("elastic")).valid_prefix(text)
        assert text == expert.generate("Hello", grammar="elastic", **GREEDY).text

    def test_an_unknown_type_and_none_at_all_are_errors_if_strict(self, with_grammar, caplog):
        expert = with_grammar(None, use_grammar=True, grammar_type="klingon")
        with pytest.raises(GrammarError, match="klingon"):
            expert.generate("Hello", grammar="strict", **GREEDY)
        with pytest.raises(GrammarError, match="brings no grammar"):
            with_grammar(None).generate("Hello", grammar="strict", **GREEDY)


class TestGivenGrammar:
    def test_is_a_name_a_path_or_a_grammar(self, expert, tmp_path):
        path = tmp_path / "answer.gbnf"
        path.write_text(ANSWER)
        texts = {
            expert.generate("Hello", grammar=one, **GREEDY).text
            for one in (path, str(path), Grammar.parse(ANSWER))
        }
        assert len(texts) == 1
        assert Grammar.parse(ANSWER).accepts(texts.pop())
        assert Recogniser(Grammar.load("iso")).valid_prefix(
            expert.generate("Hello", grammar="iso", **GREEDY).text
        )

    def test_in_a_file_is_read_again_when_the_file_changes(self, expert, tmp_path):
        path = tmp_path / "answer.gbnf"
        for word in ("yes", "no", "perhaps"):
            path.write_text(f'root ::= "{word}"')
            assert expert.generate("Hello", grammar=path, **GREEDY).text == word

    @pytest.mark.parametrize("given", ["jsn", "missing.gbnf", 'root ::= "a" | "b"'])
    def test_that_is_not_there_is_an_error(self, expert, given):
        with pytest.raises(GrammarError):
            expert.generate("Hello", grammar=given, **GREEDY)

    def test_that_is_wrong_is_an_error_before_anything_is_computed(self, expert):
        with pytest.raises(GrammarError, match="rule 'b'"):
            expert.generate("Hello", grammar=Grammar.parse("root ::= b"), **GREEDY)
        assert expert.session.scheduler.counters.steps == 0


class Colour:
    """What a class of a schema library looks like from here."""

    @staticmethod
    def model_json_schema() -> dict[str, object]:
        return {
            "type": "object",
            "properties": {"colour": {"enum": [1, 2]}},
            "required": ["colour"],
        }


class TestJsonSchema:
    def test_is_a_dict_a_text_or_a_class(self, expert):
        schema = Colour.model_json_schema()
        texts = {
            expert.generate("Hello", json_schema=one, **GREEDY).text
            for one in (schema, json.dumps(schema), Colour)
        }
        assert texts <= {'{"colour": 1}', '{"colour": 2}'}
        assert len(texts) == 1

    def test_and_a_grammar_are_one_too_many(self, expert):
        for given in ("json", "strict", Grammar.parse(ANSWER), Path("x.gbnf")):
            with pytest.raises(ValueError, match="json_schema replaces grammar"):
                expert.generate("Hello", json_schema={}, grammar=given, **GREEDY)

    def test_that_cannot_be_enforced_is_an_error_unless_that_is_allowed(self, expert):
        schema = {
            "type": "array",
            "items": {"enum": [1, 2]},
            "maxItems": 2,
            "unevaluatedItems": False,
        }
        with pytest.raises(GrammarError, match="unevaluatedItems"):
            expert.generate("Hello", json_schema=schema, **GREEDY)
        result = expert.generate("Hello", json_schema=schema, allow_unenforced=True, **GREEDY)
        assert set(json.loads(result.text)) <= {1, 2}

    def test_replaces_the_packages_grammar(self, with_grammar):
        expert = with_grammar(ANSWER, use_grammar=True)
        assert expert.generate("Hello", json_schema={"const": [1]}, **GREEDY).text == "[1]"


@pytest.mark.parametrize(
    "wrong",
    [
        "x" * 300,
        "a\0b.gbnf",
        "~no-such-user/x.gbnf",
        "/dev/zero",
        'root ::= "a"',
        "missing.gbnf",
        ".",
    ],
)
def test_what_is_no_grammar_and_no_file_is_refused(expert, wrong):
    with pytest.raises(GrammarError):
        expert.generate("Hello", grammar=wrong, **GREEDY)
