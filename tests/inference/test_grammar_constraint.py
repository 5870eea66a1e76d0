"""A grammar behind a thought, token by token, on the vocabulary of a model that thinks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hivellm_lite.converters.base import convert_base

from hivellm_lite import Grammar
from hivellm_lite.engine import Model, Sampler
from hivellm_lite.gbnf.matcher import compile_grammar
from hivellm_lite.gbnf.token_masks import TokenMasks
from hivellm_lite.inference.grammar_constraint import MAX_GAP, GrammarConstraint
from hivellm_lite.sampling import SamplingParams

from ..support.paths import FIXTURES

ANSWER = 'root ::= "yes" | "no" | "yes, of course"'


@pytest.fixture(scope="module")
def thinker(tmp_path_factory) -> Iterator[Model]:
    """A model that has tokens for the beginning and the end of a thought."""
    path = tmp_path_factory.mktemp("thinker") / "tiny-qwen3.gguf"
    convert_base(FIXTURES / "models" / "tiny-qwen3", path, quant="f32")
    model = Model(path)
    yield model
    model.close()


class TestThinking:
    def after(self, thinker: Model, rules: str, text: str) -> GrammarConstraint:
        """The constraint after the tokens of a text, each of which it must have allowed."""
        automaton = compile_grammar(Grammar.parse(rules))
        masks = TokenMasks([thinker.piece(t) for t in range(thinker.n_vocab)])
        constraint = GrammarConstraint(automaton.start, masks, thinker, thinking=True)
        for token in thinker.tokenize(text, special=True):
            assert self.takes(constraint, thinker, token)
            constraint.accept(token)
        return constraint

    def takes(self, constraint: GrammarConstraint, thinker: Model, token: int) -> bool:
        """Whether a token far more probable than all others is chosen."""
        sampler = Sampler(SamplingParams(temperature=0.0), 0, thinker.n_vocab)
        logits = np.zeros(thinker.n_vocab, np.float32)
        logits[token] = 10.0
        chosen = constraint.choose(sampler, logits)
        sampler.close()
        return chosen == token

    def legal(self, constraint: GrammarConstraint, thinker: Model, text: str) -> bool:
        (token,) = thinker.tokenize(text, special=True)
        return self.takes(constraint, thinker, token)

    @pytest.mark.parametrize("gap", ["", "\n\n", " \n"])
    def test_the_grammar_begins_behind_the_thought(self, thinker, gap):
        constraint = self.after(thinker, ANSWER, f"<think>\nmaybe {{no}}\n</think>{gap}")
        assert not constraint.finished
        assert self.legal(constraint, thinker, "n")
        assert not self.legal(constraint, thinker, "{")
        constraint = self.after(thinker, ANSWER, f"<think>\nmaybe\n</think>{gap}no")
        assert constraint.finished

    def test_a_thought_need_not_be(self, thinker):
        assert self.after(thinker, ANSWER, "no").finished
        start = self.after(thinker, ANSWER, "")
        assert self.legal(start, thinker, "<think>")
        assert not self.legal(start, thinker, "x")

    def test_a_thought_may_be_spelled_in_several_tokens(self, thinker):
        constraint = self.after(thinker, ANSWER, "")
        for token in thinker.tokenize("<think>why</think>no"):
            assert self.takes(constraint, thinker, token)
            constraint.accept(token)
        assert constraint.finished

    def test_nothing_ends_an_answer_within_a_thought_or_before_its_text(self, thinker):
        (end, *_) = thinker.end_tokens
        for text in ("", "<think>", "<think>a", "<think>a</think>", "<think>a</think>\n"):
            constraint = self.after(thinker, ANSWER, text)
            assert not self.takes(constraint, thinker, end)
        assert self.takes(self.after(thinker, ANSWER, "<think>a</think>yes"), thinker, end)

    def test_nothing_is_forced_before_the_answer_begins(self, thinker):
        rules = 'root ::= "SELECT name"'
        assert self.after(thinker, rules, "<think>a").forced() == []
        assert self.after(thinker, rules, "<think>a</think>").forced() == []
        forced = self.after(thinker, rules, "<think>a</think>\nS").forced()
        assert b"".join(thinker.piece(token) for token in forced) == b"ELECT name"

    def test_white_space_behind_a_thought_comes_to_an_end(self, thinker):
        (newline,) = thinker.tokenize("\n")
        constraint = self.after(thinker, ANSWER, "<think>a</think>")
        for _ in range(MAX_GAP):
            assert self.takes(constraint, thinker, newline)
            constraint.accept(newline)
        assert not self.takes(constraint, thinker, newline)

    def test_white_space_that_the_grammar_has_belongs_to_the_answer(self, thinker):
        constraint = self.after(thinker, r'root ::= " "? "yes"', "<think>a</think>\n\n yes")
        assert constraint.finished


class TestPrepared:
    """A mask that was computed ahead changes no choice."""

    RULES = 'root ::= "[" ([a-z]+ "-" | [0-9]+ ",")+ "]"'

    def constraint(self, thinker: Model) -> GrammarConstraint:
        automaton = compile_grammar(Grammar.parse(self.RULES))
        masks = TokenMasks([thinker.piece(t) for t in range(thinker.n_vocab)])
        return GrammarConstraint(automaton.start, masks, thinker)

    @pytest.mark.parametrize("temperature", [0.0, 0.9])
    def test_choices_are_the_same_with_and_without(self, thinker, temperature):
        random = np.random.default_rng(1)
        logits = random.normal(size=(40, thinker.n_vocab)).astype(np.float32)
        taken = []
        for prepares in (False, True):
            constraint = self.constraint(thinker)
            sampler = Sampler(SamplingParams(temperature=temperature), 7, thinker.n_vocab)
            tokens = []
            for row in logits:
                token = constraint.choose(sampler, row)
                if thinker.is_end(token):
                    break
                constraint.accept(token)
                tokens.append(token)
                if prepares:
                    constraint.prepare()
            taken.append(tokens)
            sampler.close()
        assert taken[0] == taken[1]
        assert len(taken[0]) > 5

    def test_nothing_is_prepared_for_a_model_that_wants_what_is_allowed(self, thinker):
        constraint = self.constraint(thinker)
        constraint.prepare()
        assert constraint._prepared is None
        (token,) = thinker.tokenize("[")
        logits = np.zeros(thinker.n_vocab, np.float32)
        logits[thinker.tokenize("x")[0]] = 1.0  # refused
        sampler = Sampler(SamplingParams(temperature=0.0), 7, thinker.n_vocab)
        assert constraint.choose(sampler, logits) == token
        constraint.accept(token)
        constraint.prepare()
        assert constraint._prepared is not None
        sampler.close()
