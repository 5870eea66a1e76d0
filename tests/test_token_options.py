"""What a caller may ask of single tokens: their probabilities, and changes of their logits."""

from __future__ import annotations

import math

import pytest

from hivellm_lite import Grammar
from hivellm_lite.inference.answer import AnswerText
from hivellm_lite.inference.logprobs import AnswerLogprobs
from hivellm_lite.inference.stops import StopScanner

from .support.devices import tolerance

OPTIONS = {"n_ctx": 256, "n_threads": 1}
GREEDY = {"temperature": 0.0, "max_tokens": 12, "stop": []}

FORCED = Grammar.parse('root ::= "forced text"')
EITHER = Grammar.parse('root ::= "yes" | "no"')


def data(result) -> bytes:
    return b"".join(token.data for token in result.logprobs)


class TestLogprobs:
    def test_are_those_of_the_score(self, expert):
        result = expert.generate("Hello", logprobs=0, **GREEDY)
        assert len(result.logprobs) == result.completion_tokens == 12
        assert data(result).decode("utf-8", "replace").startswith(result.text)
        first = result.logprobs[0]
        scored = expert.score("Hello", first.data.decode())[0]
        assert scored.token == first.token
        assert first.logprob == pytest.approx(scored.logprob, abs=tolerance(1e-4))

    def test_the_most_probable_tokens_come_in_order(self, expert):
        result = expert.generate("Hello", logprobs=5, **GREEDY)
        for token in result.logprobs:
            assert len(token.top) == 5
            values = [one.logprob for one in token.top]
            assert values == sorted(values, reverse=True)
            assert token.top[0].token == token.token  # greedy
            assert token.top[0].logprob == token.logprob

    def test_asking_for_them_changes_no_answer(self, expert):
        options = {"temperature": 1.3, "seed": 5, "max_tokens": 20}
        told = expert.generate("Hello", logprobs=3, **options)
        assert told.text == expert.generate("Hello", **options).text
        assert expert.generate("Hello", **options).logprobs == ()

    def test_a_forced_token_was_no_choice(self, expert):
        result = expert.generate("Hello", grammar=FORCED, logprobs=2, **GREEDY)
        assert result.text == "forced text"
        assert data(result) == b"forced text"
        assert result.forced_tokens > 0
        assert [token.logprob for token in result.logprobs].count(0.0) == result.forced_tokens

    def test_those_of_a_stop_sequence_are_left_out(self, expert):
        cut = expert.generate("Hello", grammar=FORCED, logprobs=0, **{**GREEDY, "stop": "d t"})
        assert (cut.stop_sequence, cut.text) == ("d t", "force")
        assert data(cut).startswith(b"force")
        assert len(data(cut)) - len(cut.logprobs[-1].data) < len("force")

    def test_a_thought_has_none(self):
        class Pieces:
            def piece(self, token, *, special):
                return bytes([token])

        noted, text = AnswerLogprobs(Pieces(), 0), AnswerText(StopScanner())
        for byte in b" <think>so</think>\n\nyes":
            text.push(bytes([byte]))
            noted.note(byte, in_thought=text.in_thought)
        assert text.text == "yes"
        assert [one.data for one in noted.noted()] == [b"y", b"e", b"s"]

    @pytest.mark.parametrize("wrong", [-1, 21])
    def test_more_than_twenty_are_refused(self, expert, wrong):
        with pytest.raises(ValueError, match="logprobs="):
            expert.generate("Hello", logprobs=wrong)


class TestBias:
    def test_forbids_a_token(self, expert):
        first = expert.generate("Hello", logprobs=0, **GREEDY).logprobs[0].token
        other = expert.generate("Hello", logprobs=0, logit_bias={first: -100}, **GREEDY)
        assert first not in [token.token for token in other.logprobs]

    def test_demands_a_token(self, expert):
        first = expert.generate("Hello", logprobs=1, **GREEDY).logprobs[0]
        wanted = (first.token + 1) % 250
        result = expert.generate("Hello", logprobs=1, logit_bias={wanted: 100}, **GREEDY)
        assert {token.token for token in result.logprobs} == {wanted}
        # what is told is the model's own probability
        top = result.logprobs[0].top[0]
        assert top.token == first.top[0].token
        assert top.logprob == pytest.approx(first.top[0].logprob, abs=tolerance(0))
        assert result.logprobs[0].logprob < first.logprob

    def test_comes_before_a_grammar(self, expert):
        plain = expert.generate("Hello", grammar=EITHER, logprobs=0, **GREEDY)
        first = plain.logprobs[0]
        other = expert.generate("Hello", grammar=EITHER, logit_bias={first.token: -100}, **GREEDY)
        assert other.text in ("yes", "no")

    @pytest.mark.parametrize(
        ("bias", "kind", "message"),
        [
            ({10**9: 1}, ValueError, "the base has tokens 0 to"),
            ({-1: 1}, ValueError, "the base has tokens 0 to"),
            ({1: 101}, ValueError, "from -100 to 100"),
            ({1: math.nan}, ValueError, "from -100 to 100"),
            ({"1": 1}, TypeError, "a whole number"),
            ({1: "1"}, TypeError, "a number"),
            ([1], TypeError, "a dict"),
        ],
    )
    def test_wrong_values_are_refused(self, expert, bias, kind, message):
        with pytest.raises(kind, match=message):
            expert.generate("Hello", logit_bias=bias)


@pytest.mark.parametrize("name", ["frequency_penalty", "presence_penalty"])
def test_a_penalty_makes_an_answer_repeat_less(expert, name):
    # a bias makes a few tokens so likely that the penalty decides between them
    options = {**GREEDY, "logprobs": 0, "logit_bias": dict.fromkeys(range(80, 92), 60)}
    free, fined = (expert.generate("Hello", **options, **{name: fine}) for fine in (0, 2))
    n_free, n_fined = (len({one.token for one in result.logprobs}) for result in (free, fined))
    assert n_free < n_fined
    with pytest.raises(ValueError, match=name):
        expert.generate("Hello", **{name: 2.1})
