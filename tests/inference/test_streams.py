"""Streams on a tiny model: text that is held back, readers that leave, copies."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from hivellm_lite import ExpertManager, Grammar

from ..support.waiting import wait_until

OPTIONS = {"n_ctx": 512, "n_threads": 1}
GREEDY = {"temperature": 0.0, "max_tokens": 40, "stop": [], "grammar": "off"}
ENDLESS = {**GREEDY, "max_tokens": 400}

pytestmark = pytest.mark.usefixtures("watchdog")


def collect_where_it_computes(expert):
    expert.session.scheduler.call(gc.collect)


def ways(expert):
    """The ways to ask, each giving the text."""

    async def astream(prompt, **options):
        return "".join([piece async for piece in expert.agenerate_stream(prompt, **options)])

    return {
        "generate": lambda *a, **o: expert.generate(*a, **o).text,
        "stream": lambda *a, **o: "".join(expert.generate_stream(*a, **o)),
        "agenerate": lambda *a, **o: asyncio.run(expert.agenerate(*a, **o)).text,
        "astream": lambda *a, **o: asyncio.run(astream(*a, **o)),
    }


@pytest.mark.parametrize("way", ["generate", "stream", "agenerate", "astream"])
class TestTextThatIsHeldBack:
    """However many steps show nothing, the reader gets the text that comes after them."""

    def test_by_a_stop_sequence_that_only_begins_to_match(self, expert, way):
        whole = expert.generate("Hello", **GREEDY).text
        stop = whole[2:-1] + "never"
        assert ways(expert)[way]("Hello", **{**GREEDY, "stop": [stop]}) == whole

    def test_by_a_stop_sequence_of_many_tokens_that_matches(self, expert, way):
        whole = expert.generate("Hello", **GREEDY).text
        stop = whole[2:-1]
        assert ways(expert)[way]("Hello", **{**GREEDY, "stop": [stop]}) == whole[:2]

    @pytest.mark.parametrize(
        ("rules", "text"),
        [
            ('root ::= "<think>" [a-z ]{40} "</think>yes"', "yes"),
            ('root ::= "<think>" [a-z]{20} "</think>" " "{20} "yes"', "yes"),
            ('root ::= "<think" [a-z]{20}', None),
            ('root ::= " "{30} "yes"', " " * 30 + "yes"),
            ('root ::= [😀]{6} "yes"', "😀" * 6 + "yes"),
        ],
    )
    def test_by_thoughts_spaces_and_parts_of_characters(self, expert, way, rules, text):
        options = {**GREEDY, "grammar": Grammar.parse(rules), "max_tokens": 200}
        found = ways(expert)[way]("Hello", **options)
        assert found == text if text is not None else len(found) == 26


class TestReadersThatLeave:
    @pytest.mark.unmeasured
    def test_may_be_collected_on_the_thread_that_computes(self, expert):
        for _ in range(12):
            stream = expert.generate_stream("Hello", **ENDLESS)
            next(stream)
            cycle = [stream]
            cycle.append(cycle)
            del stream, cycle
            collect_where_it_computes(expert)
        assert len(expert.generate("Hello", **GREEDY).text) > 0
        wait_until(lambda: expert.session.scheduler.counters.cancelled == 12)

    @pytest.mark.unmeasured
    def test_of_async_streams_too(self, expert):
        async def leave():
            async for _ in expert.agenerate_stream("Hello", **ENDLESS):
                break

        for _ in range(6):
            asyncio.run(leave())
            collect_where_it_computes(expert)
        wait_until(lambda: expert.session.scheduler.counters.cancelled == 6)

    def test_leave_the_managers_experts_free_to_be_evicted(self, tiny_package, tiny_base):
        with ExpertManager(base=tiny_base, max_loaded_experts=1, **OPTIONS) as manager:
            manager.load_expert("a", tiny_package("a"))
            stream = manager.generate_stream("a", "Hello", **ENDLESS)
            next(stream)
            manager.load_expert("b", tiny_package("b", adapter="rslora"))
            assert {one.state for one in manager.list_loaded_experts()} == {"resident"}
            del stream
            gc.collect()
            manager.generate("b", "Hello", **GREEDY)
            states = {one.name: one.state for one in manager.list_loaded_experts()}
            assert states == {"a": "evicted", "b": "resident"}

    def test_do_not_keep_their_stream_alive(self, expert):
        import weakref

        stream = expert.generate_stream("Hello", **ENDLESS)
        next(stream)
        seen = weakref.ref(stream)
        gc.disable()
        try:
            del stream
            assert seen() is None
        finally:
            gc.enable()


class TestCopies:
    @pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickle.dumps])
    def test_are_refused_by_name(self, expert, how):
        with ExpertManager() as manager:
            for one in (
                expert,
                manager,
                expert.generate_stream("Hello"),
                expert.agenerate_stream("Hello"),
            ):
                with pytest.raises(TypeError, match=type(one).__name__):
                    how(one)
        assert expert.generate("Hello", **GREEDY).completion_tokens == 40


class TestTheTextOfTokens:
    def test_is_right_in_many_threads_at_once(self, tiny_model):
        expected = tiny_model.pieces
        tokens = list(range(tiny_model.n_vocab)) * 3

        def ask(shift):
            turned = tokens[shift:] + tokens[:shift]
            return all(tiny_model.piece(token) == expected[token] for token in turned)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(0, 160, 10)))
