"""Streams and experts on a tiny model that are closed, by any thread and at any time."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from hivellm_lite import Expert, GrammarError, InferenceError
from hivellm_lite.expert import loaded_of
from hivellm_lite.inference.streams import TextStream
from hivellm_lite.inference.submissions import Prepared

from ..support.waiting import wait_until

OPTIONS = {"n_ctx": 512, "n_threads": 1}
GREEDY = {"temperature": 0.0, "max_tokens": 40, "stop": [], "grammar": "off"}
ENDLESS = {**GREEDY, "max_tokens": 400}

pytestmark = pytest.mark.usefixtures("watchdog")


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

    def test_at_any_moment_leaves_a_result_of_just_what_the_reader_got(self, expert):
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            for _ in range(40):
                stream, got = expert.generate_stream("Hello", **ENDLESS), []
                reader = threading.Thread(target=lambda s=stream, got=got: got.extend(s))
                got.append(next(stream))
                reader.start()
                stream.close()
                reader.join()
                assert stream.result.text == "".join(got)
        finally:
            sys.setswitchinterval(interval)

    def test_between_the_arrival_of_a_piece_and_its_reader_loses_nothing(self, expert):
        async def main():
            stream, got = expert.agenerate_stream("Hello", **ENDLESS), []

            async def read():
                async for piece in stream:
                    got.append(piece)
                    if len(got) == 2:
                        asyncio.get_running_loop().call_soon(closing.set)

            closing = asyncio.Event()
            task = asyncio.create_task(read())
            await closing.wait()
            await stream.aclose()
            await task
            assert stream.result.text == "".join(got)

        for _ in range(10):
            asyncio.run(main())

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
