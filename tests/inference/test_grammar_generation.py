"""Answers under a grammar, on tiny models: which tokens are chosen, and where they end."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from hivellm_lite import Expert, Grammar, GrammarError
from hivellm_lite.engine import Sampler
from hivellm_lite.expert import loaded_of
from hivellm_lite.gbnf.earley import Recogniser
from hivellm_lite.gbnf.matcher import compile_grammar
from hivellm_lite.gbnf.token_masks import TokenMasks
from hivellm_lite.inference.decoding import AnswerDecoding
from hivellm_lite.inference.grammar_constraint import GrammarConstraint
from hivellm_lite.sampling import SamplingParams

from ..support.devices import ANSWERS

pytestmark = pytest.mark.usefixtures("nothing_is_left")

OPTIONS = {"n_ctx": 512, "n_threads": 1}
GREEDY = {"temperature": 0.0, "max_tokens": 40}

RECORDS = r"""
root   ::= "[" record (", " record)* "]"
record ::= "{" "\"name\": " string ", \"tags\": [" (string (", " string)*)? "]" "}"
string ::= "\"" [a-zé ]{1,6} "\""
"""
ANSWER = 'root ::= "yes" | "no" | "yes, of course"'
SENTENCE = 'root ::= "SELECT name FROM customers WHERE id = " [0-9]{3} " ORDER BY name;"'


def decode(expert: Expert, prompt: str, **options) -> AnswerDecoding:
    """The answer, token by token, the logits of each step computed alone."""
    request = loaded_of(expert).request(prompt, **options)
    decoding = AnswerDecoding(request, expert.session.model, expert.session.n_ctx)
    while not decoding.finished:
        decoding.take(logits_after(expert, decoding.tokens))
    return decoding


def logits_after(expert: Expert, tokens: list[int]) -> np.ndarray:
    return expert.session.compute(
        list(tokens), expert.applied(), 1, lambda context, end: context.logits(end).copy()
    )


def answer_tokens(decoding: AnswerDecoding) -> list[int]:
    return decoding.tokens[len(decoding.request.prompt) :]


def brute_force(expert: Expert, rules: Grammar, prompt: list[int], limit: int) -> list[int]:
    """At each step the most probable token that the recogniser of whole grammars allows."""
    model, judge = expert.session.model, Recogniser(rules)
    chosen: list[int] = []
    text = b""

    def allows(token: int) -> bool:
        if model.is_end(token):
            return judge.recognise(text.decode())
        piece = model.piece(token)
        longer = text + piece
        return bool(piece) and any(
            is_utf8(longer + rest) and judge.valid_prefix((longer + rest).decode())
            for rest in (b"", b"\xa9")  # "é" may be cut in the middle
        )

    while len(chosen) < limit:
        order = np.argsort(-logits_after(expert, prompt + chosen), kind="stable")
        token = next(int(token) for token in order if allows(int(token)))
        chosen.append(token)
        if model.is_end(token):
            break
        text += model.piece(token)
        found = is_utf8(text) and judge.explain(text.decode())
        if found and found.accepted and len(found.expected) == 1:
            break
    return chosen


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class TestChoosing:
    @pytest.mark.parametrize("rules", [RECORDS, ANSWER, 'root ::= [a-c]{3} | [0-9é]+ "." [^a-z]*'])
    @pytest.mark.unmeasured
    def test_greedy_takes_the_most_probable_token_that_the_grammar_allows(
        self, expert, rules, monkeypatch
    ):
        monkeypatch.setattr(GrammarConstraint, "forced", lambda self: [])
        for prompt in ("Hello", "List all tags"):
            options = {**GREEDY, "max_tokens": 24, "grammar": Grammar.parse(rules)}
            decoding = decode(expert, prompt, **options)
            tokens = brute_force(expert, Grammar.parse(rules), decoding.request.prompt, 24)
            assert answer_tokens(decoding) == tokens

    @pytest.mark.parametrize(
        "sampling",
        [
            {"temperature": 1.5},
            {"temperature": 3.0, "top_k": 5},
            {"temperature": 1.0, "top_p": 0.5, "min_p": 0.05},
            {"temperature": 0.0, "repetition_penalty": 1.5},
        ],
    )
    def test_what_is_drawn_is_legal(self, expert, sampling):
        rules = Grammar.parse(RECORDS)
        judge = Recogniser(rules)
        ended = set()
        for seed in range(6):
            result = expert.generate(
                "Hello", grammar=rules, seed=seed, max_tokens=10 + 8 * seed, **sampling
            )
            ended.add(result.finish_reason)
            if result.finish_reason == "stop":
                assert judge.recognise(result.text)
            else:
                assert judge.valid_prefix(result.text.removesuffix("\ufffd"))
        assert "length" in ended

    def test_drawing_follows_the_probabilities_of_the_legal_tokens(self, expert):
        model = expert.session.model
        a, b, z = (model.tokenize(letter)[0] for letter in "abz")
        logits = np.full(model.n_vocab, -30.0, np.float32)
        logits[[a, b, z]] = np.log([0.1, 0.3, 0.6])
        start = compile_grammar(Grammar.parse('root ::= "a" | "b"')).start
        masks = expert.session.token_masks
        drawn = []
        for seed in range(400):
            sampler = Sampler(SamplingParams(temperature=1.0), seed, model.n_vocab)
            drawn.append(GrammarConstraint(start, masks, model).choose(sampler, logits))
            sampler.close()
        assert set(drawn) == {a, b}
        assert 0.65 < drawn.count(b) / len(drawn) < 0.85

    def test_control_tokens_and_ends_are_refused_within_the_text(self, expert):
        model = expert.session.model
        rules = compile_grammar(Grammar.parse('root ::= "abc"'))
        constraint = GrammarConstraint(rules.start, expert.session.token_masks, model)
        sampler = Sampler(SamplingParams(temperature=0.0), 0, model.n_vocab)
        controls = [token for token in range(model.n_vocab) if not model.piece(token)]
        assert set(model.end_tokens) <= set(controls)
        logits = np.zeros(model.n_vocab, np.float32)
        logits[controls] = 10.0
        text = b""
        while not constraint.finished:
            token = constraint.choose(sampler, logits)
            constraint.accept(token)
            text += model.piece(token)
        assert text == b"abc"
        sampler.close()

    def test_the_end_token_is_taken_as_soon_as_the_text_is_whole_and_no_sooner(self, expert):
        model = expert.session.model
        (end, *_) = model.end_tokens
        rules = compile_grammar(Grammar.parse('root ::= "ab"+'))
        constraint = GrammarConstraint(rules.start, expert.session.token_masks, model)
        sampler = Sampler(SamplingParams(temperature=0.0), 0, model.n_vocab)
        logits = np.zeros(model.n_vocab, np.float32)
        logits[end] = 10.0
        text = b""
        while (token := constraint.choose(sampler, logits)) != end:
            constraint.accept(token)
            text += model.piece(token)
        assert text == b"ab"
        sampler.close()


class TestEnding:
    def test_the_end_of_the_grammar_ends_the_answer_without_an_end_token(self, expert):
        rules = Grammar.parse('root ::= "(" [a-z] ")"')
        decoding = decode(expert, "Hello", grammar=rules, **GREEDY)
        assert decoding.finish_reason == "stop"
        assert not set(answer_tokens(decoding)) & set(expert.session.model.end_tokens)
        assert rules.accepts(decoding.result().text)
        assert decoding.result().stop_sequence is None

    def test_an_answer_that_may_go_on_ends_with_an_end_token_or_its_length(self, expert):
        rules = Grammar.parse('root ::= "a" [a-z]*')
        decoding = decode(expert, "Hello", grammar=rules, **GREEDY)
        ends = answer_tokens(decoding)[-1] in expert.session.model.end_tokens
        assert decoding.finish_reason == ("stop" if ends else "length")
        assert rules.accepts(decoding.result().text)

    def test_an_answer_cut_by_its_length_begins_a_text_of_the_grammar(self, expert):
        result = expert.generate(
            "Hello", grammar=Grammar.parse(RECORDS), temperature=0.0, max_tokens=5
        )
        assert result.finish_reason == "length"
        assert Recogniser(Grammar.parse(RECORDS)).valid_prefix(result.text)

    def test_the_manifests_stops_do_not_count_under_a_grammar_and_the_callers_do(self, expert):
        rules = Grammar.parse('root ::= "a; b;\\n\\nc"')
        assert expert.generate("Hello", grammar=rules, **GREEDY).text == "a; b;\n\nc"
        stopped = expert.generate("Hello", grammar=rules, stop=["\n\n"], **GREEDY)
        assert (stopped.text, stopped.stop_sequence) == ("a; b;", "\n\n")

    def test_a_grammar_that_the_vocabulary_cannot_write_is_an_error_with_the_text_so_far(
        self, expert, monkeypatch
    ):
        pieces = [b"" if b"\xc3" in piece else piece for piece in expert.session.token_masks.pieces]
        monkeypatch.setitem(vars(expert.session), "token_masks", TokenMasks(pieces))
        rules = Grammar.parse('root ::= "caf" "é"')
        with pytest.raises(GrammarError, match="no token of this model's vocabulary") as caught:
            expert.generate("Hello", grammar=rules, **GREEDY)
        assert caught.value.text == "caf"
        with pytest.raises(GrammarError) as caught:
            list(expert.generate_stream("Hello", grammar=rules, **GREEDY))
        assert caught.value.text == "caf"
        failed, whole = expert.generate_batch(
            [{"prompt": "Hello", "grammar": rules}, "Hello"], return_exceptions=True, **GREEDY
        )
        assert failed.text == "caf"
        assert whole.text == expert.generate("Hello", **GREEDY).text


class TestForcedText:
    def test_is_the_text_that_comes_without_forcing(self, expert, monkeypatch):
        options = {"grammar": Grammar.parse(SENTENCE), **GREEDY}
        forced = expert.generate("Hello", **options)
        monkeypatch.setattr(GrammarConstraint, "forced", lambda self: [])
        free = expert.generate("Hello", **{**options, "max_tokens": 80})
        assert Grammar.parse(SENTENCE).accepts(forced.text)
        assert Grammar.parse(SENTENCE).accepts(free.text)
        assert forced.forced_tokens > 10
        assert free.forced_tokens == 0
        assert forced.completion_tokens <= free.completion_tokens

    def test_leaves_no_choice(self, expert):
        session = expert.session
        constraint_of = (
            loaded_of(expert).request("Hello", grammar=Grammar.parse(RECORDS)).constraint
        )
        configuration = compile_grammar(Grammar.parse(RECORDS)).start
        constraint = constraint_of()
        sampler = Sampler(SamplingParams(temperature=2.0), 3, session.model.n_vocab)
        random = np.random.default_rng(0)
        n_forced = 0
        for _ in range(40):
            logits = random.normal(size=session.model.n_vocab).astype(np.float32)
            token = constraint.choose(sampler, logits)
            constraint.accept(token)
            configuration = configuration.advance(session.model.piece(token))
            following = b"".join(session.model.piece(token) for token in constraint.forced())
            for forced in constraint.forced():
                n_forced += 1
                legal = session.token_masks.mask(configuration).nonzero()[0].tolist()
                pieces = [session.model.piece(token) for token in legal]
                assert not configuration.accepting
                assert all(following.startswith(p) or p.startswith(following) for p in pieces)
                constraint.accept(forced)
                piece = session.model.piece(forced)
                configuration, following = configuration.advance(piece), following[len(piece) :]
            if constraint.finished:
                break
        assert n_forced > 5
        sampler.close()

    def test_is_written_in_the_tokens_that_the_tokenizer_gives(self, expert):
        rules = Grammar.parse('root ::= [a-z] " is the name of all customers" [.!]')
        decoding = decode(expert, "Hello", grammar=rules, **GREEDY)
        canonical = expert.session.model.tokenize(" is the name of all customers")
        assert answer_tokens(decoding)[1:-1] == canonical
        assert decoding.n_forced == len(canonical)

    def test_stops_at_the_length(self, expert):
        result = expert.generate(
            "Hello", grammar=Grammar.parse(SENTENCE), temperature=0.0, max_tokens=4
        )
        assert result.finish_reason == "length"
        assert result.completion_tokens == 4

    def test_may_end_in_the_middle_of_a_character(self, expert):
        rules = Grammar.parse('root ::= "ab" ("é" | "è") "cd"')
        assert expert.generate("Hello", grammar=rules, **GREEDY).text in ("abécd", "abècd")

    @pytest.mark.parametrize("rules", ["root ::= [😀-😎]{9}", 'root ::= ("東" | "京" | "é"){9}'])
    def test_an_answer_that_ends_inside_a_character_begins_a_text_of_the_grammar(
        self, expert, rules
    ):
        grammar = Grammar.parse(rules)
        inside = 0
        for n in range(1, 9):
            options = {"grammar": grammar, "temperature": 0.0, "max_tokens": n}
            stream = expert.generate_stream("Hello", **options)
            shown = "".join(stream)
            results = [
                expert.generate("Hello", **options),
                stream.result,
                *expert.generate_batch(["Hello"] * 2, **options),
            ]
            for result in results:
                assert result.finish_reason == "length"
                assert result.text == shown
                assert Recogniser(grammar).valid_prefix(result.text)
            tokens = answer_tokens(decode(expert, "Hello", **options))
            inside += b"".join(map(expert.session.model.piece, tokens)) != shown.encode()
        assert inside  # some of the answers did end inside a character


class TestManyAnswers:
    def test_a_stream_gives_the_text_of_the_whole_answer(self, expert):
        options = {"grammar": Grammar.parse(RECORDS), **GREEDY}
        whole = expert.generate("Hello", **options)
        stream = expert.generate_stream("Hello", **options)
        assert "".join(stream) == whole.text == stream.result.text
        assert stream.result.forced_tokens == whole.forced_tokens

    @pytest.mark.cpu(ANSWERS)
    def test_each_of_a_batch_has_its_own_grammar(self, expert):
        asked = [
            {"grammar": Grammar.parse(RECORDS)},
            {"grammar": Grammar.parse(ANSWER)},
            {"grammar": "off", "stop": []},
            {"json_schema": {"enum": ["red", "green"]}},
            {"grammar": "json"},
            {"grammar": Grammar.parse(RECORDS), "max_tokens": 3},
        ]
        alone = [expert.generate("Hello", **{**GREEDY, **own}).text for own in asked]
        together = expert.generate_batch([{"prompt": "Hello", **own} for own in asked], **GREEDY)
        assert [result.text for result in together] == alone
        assert alone[1] in ("yes", "no", "yes, of course")
        assert json.loads(alone[3]) in ("red", "green")

    @pytest.mark.cpu(ANSWERS)
    def test_answers_that_are_drawn_share_a_grammar_and_not_its_state(self, expert):
        rules = Grammar.parse(RECORDS)
        drawn = {"temperature": 1.5, "max_tokens": 30, "grammar": rules}
        together = expert.generate_batch(["Hello"] * 6, seed=5, **drawn)
        assert len({result.text for result in together}) > 3
        for result in together:
            assert expert.generate("Hello", seed=result.seed, **drawn).text == result.text

    def test_cancelling_leaves_a_beginning_and_an_expert_that_answers(self, expert):
        rules = Grammar.parse("root ::= [a-z ]{500}")
        stream = expert.generate_stream("Hello", grammar=rules, temperature=0.0, max_tokens=400)
        begun = next(stream) + next(stream)
        stream.close()
        assert stream.result.finish_reason == "cancelled"
        assert stream.result.text == begun
        assert Recogniser(rules).valid_prefix(begun)
        assert Grammar.parse(ANSWER).accepts(
            expert.generate("Hello", grammar=Grammar.parse(ANSWER), **GREEDY).text
        )

    def test_coroutines_give_the_same(self, expert):
        options = {"grammar": Grammar.parse(RECORDS), **GREEDY}
        whole = expert.generate("Hello", **options)
        assert asyncio.run(expert.agenerate("Hello", **options)).text == whole.text
