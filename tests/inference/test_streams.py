"""Streams on a tiny model: text that is held back, readers that leave, closing from anywhere."""

from __future__ import annotations

import asyncio
import copy
import faulthandler
import gc
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from hivellm_lite import Expert, ExpertManager, Grammar, GrammarError, InferenceError
from hivellm_lite.expert import loaded_of
from hivellm_lite.inference.streams import TextStream
from hivellm_lite.inference.submissions import Prepared
from hivellm_lite.manager import registry_of

from ..support.waiting import wait_until

OPTIONS = {"n_ctx": 512, "n_threads": 1}
GREEDY = {"temperature": 0.0, "max_tokens": 40, "stop": [], "grammar": "off"}
ENDLESS = {**GREEDY, "max_tokens": 400}


@pytest.fixture(autouse=True)
def watchdog():
    """A hang ends the run with the tracebacks of all threads."""
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


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


class TestClosing:
    def test_from_another_thread_ends_the_reader(self, expert):
        stream = expert.generate_stream("Hello", **ENDLESS)
        first = next(stream)
        rest = []
        reader = threading.Thread(target=lambda: rest.extend(stream))
        reader.start()
        stream.close()
        reader.join()
        assert stream.result.finish_reason == "cancelled"
        assert stream.result.text == first + "".join(rest)
        assert list(stream) == []

    def test_by_many_threads_at_once_is_one_closing(self, expert):
        stream = expert.generate_stream("Hello", **ENDLESS)
        next(stream)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: stream.close(), range(8)))
        assert stream.result.finish_reason == "cancelled"
        assert expert.session.scheduler.counters.cancelled == 1

    def test_on_the_thread_that_computes_does_not_wait(self, expert):
        stream = expert.generate_stream("Hello", **ENDLESS)
        next(stream)
        expert.session.scheduler.call(stream.close)
        assert stream.result.finish_reason == "cancelled"

    def test_an_async_stream_ends_the_task_that_reads_it(self, expert):
        async def main():
            stream = expert.agenerate_stream("Hello", **ENDLESS)
            await anext(stream)

            async def read():
                return [piece async for piece in stream]

            task = asyncio.create_task(read())
            await asyncio.sleep(0.01)
            await stream.aclose()
            await task
            return stream.result

        assert asyncio.run(main()).finish_reason == "cancelled"

    def test_before_the_first_piece_leaves_no_result(self, expert):
        stream = expert.generate_stream("Hello", **ENDLESS)
        stream.close()
        assert list(stream) == []
        assert stream.result is None

    def test_while_it_begins_cancels_what_it_began(self, expert):
        def close_meanwhile():
            stream.close()  # as another thread may, before the request is submitted

        request = loaded_of(expert).request("Hello", **ENDLESS)
        request = replace(request, constraint=close_meanwhile)
        stream = TextStream(Prepared(expert.session, [request]))
        assert list(stream) == []
        wait_until(lambda: expert.session.scheduler.counters.cancelled == 1)

    def test_after_it_could_not_begin_gives_back_what_was_held(self, expert):
        given_back = []

        class Held:
            def drop(self):
                given_back.append("dropped")

            def release(self):
                given_back.append("released")

        errors = [GrammarError("not yet")]

        def fail_once():
            if errors:
                raise errors.pop()

        request = loaded_of(expert).request("Hello", **GREEDY)
        request = replace(request, constraint=fail_once)
        stream = TextStream(Prepared(expert.session, [request], Held()))
        with pytest.raises(GrammarError, match="not yet"):
            next(stream)
        assert given_back == []  # the stream may still be read
        assert "".join(stream) == expert.generate("Hello", **GREEDY).text
        assert given_back == ["released"]

    def test_an_exception_thrown_in_ends_it(self, expert):
        stream = expert.generate_stream("Hello", **ENDLESS)
        next(stream)
        with pytest.raises(KeyError):
            stream.throw(KeyError("x"))
        assert stream.result.finish_reason == "cancelled"

    def test_an_expert_from_the_thread_that_computes_does_not_wait(self, tiny_package, tiny_base):

        expert = Expert.load(tiny_package(), base=tiny_base, **OPTIONS)
        expert.generate("Hello", **GREEDY)
        thread = expert.session.scheduler.call(threading.current_thread)
        expert.session.scheduler.call(expert.close)
        thread.join()
        with pytest.raises(InferenceError, match="closed"):
            expert.generate("Hello", **GREEDY)

    def test_while_another_thread_prepares_its_prompt_frees_nothing_under_it(
        self, tiny_package, tiny_base
    ):

        closed = []
        for _ in range(15):
            expert = Expert.load(tiny_package(), base=tiny_base, **OPTIONS)
            started = threading.Event()

            def ask(expert=expert, started=started):
                started.set()
                try:
                    while True:
                        expert.tokenize_prompt("word " * 200)
                except InferenceError:
                    closed.append(expert)

            thread = threading.Thread(target=ask)
            thread.start()
            started.wait()
            expert.close()
            thread.join()
        assert len(closed) == 15


class TestAskingFromTheThreadThatComputes:
    """As a finalizer or a log handler of the user's may: it would wait for itself."""

    def test_is_refused_at_once(self, expert):
        def ask():
            with pytest.raises(InferenceError, match="thread that computes"):
                expert.generate("Hello", **GREEDY)
            with pytest.raises(InferenceError, match="thread that computes"):
                next(expert.generate_stream("Hello", **GREEDY))
            with pytest.raises(InferenceError, match="thread that computes"):
                expert.score("Hello", "x")
            return True

        expert.generate("Hello", **GREEDY)
        assert expert.session.scheduler.call(ask)


class TestTheEventLoop:
    def test_goes_on_while_a_request_is_prepared(self, expert):
        """The grammar is made in another thread: no long callback runs on the loop."""
        schema = {"enum": [f"value {n}" for n in range(400)]}
        where = set()
        builder = loaded_of(expert).builder
        make = builder.build

        def build(*arguments, **options):
            where.add(threading.current_thread())
            return make(*arguments, **options)

        builder.build = build

        async def main():
            stream = expert.agenerate_stream("Hello", json_schema=schema, max_tokens=4)
            async for _ in stream:
                pass
            await expert.agenerate("Hello", json_schema=schema, max_tokens=4)
            await expert.agenerate_batch(["Hello"], json_schema=schema, max_tokens=4)

        asyncio.run(main())
        assert len(where) >= 1
        assert threading.main_thread() not in where

    def test_a_task_cancelled_while_its_expert_is_brought_back_gives_it_back(
        self, tiny_package, tiny_base
    ):
        with ExpertManager(base=tiny_base, max_loaded_experts=1, **OPTIONS) as manager:
            manager.load_expert("a", tiny_package("a"))
            manager.load_expert("b", tiny_package("b", adapter="rslora"))

            async def main():
                tasks = [
                    asyncio.create_task(manager.agenerate(name, "Hello", **ENDLESS))
                    for name in ("a", "b") * 4
                ]
                await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(one, asyncio.CancelledError) for one in outcomes)

            asyncio.run(main())  # the loop ends before the threads that prepare
            assert manager.generate("a", "Hello", **GREEDY).completion_tokens > 0
            wait_until(lambda: not any(one.in_use for one in registry_of(manager).entries()))
            manager.generate("a", "Hello", **GREEDY)
            assert len([1 for one in manager.list_loaded_experts() if one.state == "resident"]) == 1

    def test_one_thread_compiles_a_grammar_that_many_tasks_ask_for(self, expert, monkeypatch):
        from hivellm_lite import json_schema

        made = []
        convert = json_schema.schema_to_grammar

        def count(*arguments, **options):
            made.append(1)
            return convert(*arguments, **options)

        monkeypatch.setattr(json_schema, "schema_to_grammar", count)
        schema = {"enum": [f"value {n}" for n in range(200)]}

        async def main():
            asked = (expert.agenerate("Hello", json_schema=schema, max_tokens=2) for _ in range(6))
            return await asyncio.gather(*asked)

        assert len(asyncio.run(main())) == 6
        assert made == [1]


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


class TestClosingBesideAsking:
    def test_leaves_no_request_waiting(self, tiny_package, tiny_base):
        """A request that comes just as the thread ends is refused or ended, never forgotten."""
        for n in range(25):
            expert = Expert.load(tiny_package(), base=tiny_base, **OPTIONS)
            expert.generate("Hello", **{**GREEDY, "max_tokens": 2})
            ended = []

            def ask(expert=expert, ended=ended):
                try:
                    while True:
                        expert.generate("Hello", **{**GREEDY, "max_tokens": 1})
                except InferenceError:
                    ended.append("asking")

            def call(expert=expert, ended=ended, scheduler=expert.session.scheduler):
                try:
                    while True:
                        scheduler.call(lambda: None)
                except InferenceError:
                    ended.append("calling")

            threads = [threading.Thread(target=work) for work in (ask, ask, call, call)]
            for thread in threads:
                thread.start()
            time.sleep(n * 0.001)
            expert.close()
            for thread in threads:
                thread.join()
            assert sorted(ended) == ["asking", "asking", "calling", "calling"]
