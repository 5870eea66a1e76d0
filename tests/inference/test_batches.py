"""Several answers at once: batches, threads, coroutines, cancelling, on a tiny Llama."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from hivellm_lite import ContextLengthError, Expert, InferenceError
from hivellm_lite.expert import loaded_of
from hivellm_lite.inference.batches import run_batch
from hivellm_lite.inference.compute_thread import LINGER
from hivellm_lite.inference.submissions import Prepared

from ..support.devices import ANSWERS
from ..support.waiting import wait_until

OPTIONS = {"n_ctx": 512, "n_threads": 1}
GREEDY = {"temperature": 0.0, "max_tokens": 12, "stop": []}
WORDS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]


@pytest.fixture(autouse=True)
def no_thread_is_left(nothing_is_left):
    yield
    for thread in threading.enumerate():
        if thread.name == "hivellm-lite":
            thread.join(LINGER + 2)
            assert not thread.is_alive()


def counters(expert):
    return expert.session.scheduler.counters


def long_stream(expert, **options):
    """A stream that goes on for some hundred tokens, begun."""
    stream = expert.generate_stream("Hello", temperature=0.0, max_tokens=400, stop=[], **options)
    next(stream)
    return stream


class TestBatch:
    def test_gives_what_each_prompt_gives_alone_in_order(self, expert):
        alone = [expert.generate(word, **GREEDY).text for word in WORDS]
        assert len(set(alone)) > 4
        assert [result.text for result in expert.generate_batch(WORDS, **GREEDY)] == alone

    def test_computes_the_shared_beginning_once(self, expert, tiny_package, tiny_base):
        schema = "CREATE TABLE users (id INT, name TEXT); " * 5
        with Expert.load(
            tiny_package("alone"), base=tiny_base, own_context=True, **OPTIONS
        ) as other:
            alone = [other.generate(word, schema=schema, **GREEDY) for word in WORDS]
        before = counters(expert).rows
        results = expert.generate_batch(WORDS, schema=schema, **GREEDY)
        assert [result.text for result in results] == [result.text for result in alone]
        cached = sorted(result.cached_prompt_tokens for result in results)
        assert cached[0] == 0
        assert all(count > 100 for count in cached[1:])
        assert counters(expert).rows > before

    def test_is_computed_together(self, expert):
        expert.generate_batch(WORDS[:4], **GREEDY)
        seen = counters(expert)
        assert seen.rows > 2.5 * seen.steps

    def test_is_computed_in_other_steps_on_a_device_that_is_no_cpu(
        self, tiny_package, tiny_base, monkeypatch
    ):
        monkeypatch.setattr("hivellm_lite.engine.model.is_cpu", lambda device: False)
        with Expert.load(tiny_package(), base=tiny_base, **OPTIONS) as expert:
            results = expert.generate_batch(WORDS[:6], **GREEDY)
            assert [result.completion_tokens for result in results] == [12] * 6
            assert counters(expert).rows > 2.5 * counters(expert).steps

    def test_with_more_prompts_than_streams_goes_on_as_streams_become_free(
        self, tiny_package, tiny_base
    ):
        with Expert.load(tiny_package(), base=tiny_base, max_streams=3, **OPTIONS) as expert:
            alone = [expert.generate(word, **GREEDY).text for word in WORDS]
            lengths = [{"prompt": w, "max_tokens": 2 + 3 * i} for i, w in enumerate(WORDS)]
            results = expert.generate_batch(lengths, temperature=0.0, stop=[])
            assert [r.completion_tokens for r in results] == [2 + 3 * i for i in range(12)]
            assert [r.text for r in expert.generate_batch(WORDS, **GREEDY)] == alone
            assert len(expert.session.scheduler.kv.streams) <= 3

    def test_of_one_stream_works(self, tiny_package, tiny_base):
        with Expert.load(tiny_package(), base=tiny_base, max_streams=1, **OPTIONS) as expert:
            alone = [expert.generate(word, **GREEDY).text for word in WORDS[:3]]
            assert [r.text for r in expert.generate_batch(WORDS[:3], **GREEDY)] == alone

    @pytest.mark.cpu(ANSWERS)
    def test_takes_options_of_each_prompt_and_seeds_that_count_up(self, expert):
        drawn = {"temperature": 1.5, "max_tokens": 8, "stop": []}
        results = expert.generate_batch(["a", {"prompt": "a", "seed": 99}, "a"], seed=7, **drawn)
        assert [result.seed for result in results] == [7, 99, 9]
        for result in results:
            assert expert.generate("a", seed=result.seed, **drawn).text == result.text

    def test_raises_the_first_failure_after_the_others_have_ended(self, expert):
        prompts = ["one", "word " * 600, {"prompt": "x", "max_tokens": 0}, "two"]
        with pytest.raises(ContextLengthError):
            expert.generate_batch(prompts, **GREEDY)
        results = expert.generate_batch(prompts, return_exceptions=True, **GREEDY)
        assert isinstance(results[1], ContextLengthError)
        assert isinstance(results[2], ValueError)
        assert results[0].text == expert.generate("one", **GREEDY).text
        assert results[3].text == expert.generate("two", **GREEDY).text

    def test_of_nothing_is_nothing(self, expert):
        assert expert.generate_batch([]) == []


class TestThreads:
    @pytest.mark.cpu(ANSWERS)
    def test_on_two_experts_get_their_single_threaded_answers(self, tiny_package, tiny_base):
        a = Expert.load(tiny_package("a"), base=tiny_base, **OPTIONS)
        b = Expert.load(tiny_package("b", adapter="rslora"), base=tiny_base, **OPTIONS)
        with a, b:
            asked = [(expert, word) for expert in (a, b) for word in WORDS]
            alone = {(id(e), w): e.generate(w, **GREEDY).text for e, w in asked}
            found = {}

            def ask(pairs):
                for one, word in pairs:
                    found[id(one), word] = one.generate(word, **GREEDY).text

            threads = [threading.Thread(target=ask, args=(asked[n::6],)) for n in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert found == alone
            assert counters(a).swaps > 1

    def test_an_expert_that_is_always_asked_does_not_keep_another_waiting(
        self, tiny_package, tiny_base
    ):
        a = Expert.load(tiny_package("a"), base=tiny_base, **OPTIONS)
        b = Expert.load(tiny_package("b", adapter="rslora"), base=tiny_base, **OPTIONS)
        with a, b:
            answered = threading.Event()

            def keep_asking():
                while not answered.is_set():
                    a.generate("Hello", temperature=0.0, max_tokens=100, stop=[])

            threads = [threading.Thread(target=keep_asking) for _ in range(3)]
            for thread in threads:
                thread.start()
            while counters(a).steps < 3:
                time.sleep(0.001)
            for _ in range(3):
                b.generate("Hello", temperature=0.0, max_tokens=30, stop=[])
            answered.set()
            for thread in threads:
                thread.join()
            assert counters(a).swaps > 2

    def test_closing_an_expert_ends_what_it_generates(self, expert):
        stream = long_stream(expert)
        expert.close()
        list(stream)
        assert stream.result.finish_reason == "cancelled"


LEFT_OPEN = """
import os, sys
from hivellm_lite import Expert
from hivellm_lite.inference import compute_thread
compute_thread.LINGER = 3600.0
expert = Expert.load(sys.argv[1], base=sys.argv[2], n_ctx=512, n_threads=1)
options = {"temperature": 0.0, "max_tokens": 12, "stop": []}
text = expert.generate("Hello", **options).text
"""
FORKED = """
child = os.fork()
same = expert.generate("Hello", **options).text == text
if child:
    same = os.waitpid(child, 0)[1] == 0 and same
os._exit(not same)
"""


class TestProcesses:
    @pytest.fixture
    def run(self, tiny_package, tiny_base):
        """Run a program; one that hangs fails."""

        def run(program: str) -> None:
            command = [sys.executable, "-c", program, tiny_package(), tiny_base]
            subprocess.run(command, check=True, timeout=60)

        return run

    def test_end_though_an_expert_was_left_open(self, run):
        run(LEFT_OPEN)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    def test_that_are_forked_go_on(self, run):
        run(LEFT_OPEN + FORKED)


class TestStreams:
    def test_that_are_not_read_wait_and_give_way(self, tiny_package, tiny_base):
        with Expert.load(tiny_package(), base=tiny_base, max_streams=2, **OPTIONS) as expert:
            whole = expert.generate("Hello", **GREEDY).text
            paused = [expert.generate_stream("Hello", **GREEDY) for _ in range(4)]
            begun = ["".join(next(stream) for _ in range(2)) for stream in paused]
            assert counters(expert).preempted >= 2
            assert expert.generate("Hello", **GREEDY).text == whole
            assert [one + "".join(s) for one, s in zip(begun, paused, strict=True)] == [whole] * 4

    def test_are_computed_only_a_little_ahead(self, expert):
        stream = long_stream(expert)
        time.sleep(0.2)
        assert counters(expert).steps < 20
        stream.close()
        assert stream.result.completion_tokens < 20
        assert counters(expert).cancelled == 1


class TestTimeAndCancelling:
    def test_a_timeout_returns_what_there_is(self, expert):
        result = expert.generate("Hello", temperature=0.0, max_tokens=10**6, stop=[], timeout=0.05)
        # on a fast machine the context may be full before
        assert result.finish_reason in ("timeout", "length")
        assert expert.generate("Hello", **GREEDY).finish_reason == "length"

    def test_a_timeout_stops_within_the_prompt(self, tiny_package, tiny_base):
        with Expert.load(tiny_package(), base=tiny_base, n_ctx=4096, n_threads=1) as expert:
            result = expert.generate("word " * 1000, timeout=1e-6, **GREEDY)
            assert result.finish_reason == "timeout"
            assert result.completion_tokens == 0
            assert result.text == ""
            assert expert.generate("Hello", **GREEDY).completion_tokens == 12

    def test_a_batch_member_that_is_late_does_not_stop_the_others(self, expert):
        prompts = [{"prompt": "word " * 70, "timeout": 1e-6}, "one"]
        late, other = expert.generate_batch(prompts, **GREEDY)
        assert late.finish_reason == "timeout"
        assert other.text == expert.generate("one", **GREEDY).text

    @pytest.mark.parametrize("timeout", [0, -1.0])
    def test_a_timeout_must_be_positive(self, expert, timeout):
        with pytest.raises(ValueError, match="timeout="):
            expert.generate("Hello", timeout=timeout)

    def test_an_exception_in_a_readers_loop_frees_the_stream(self, expert):
        with pytest.raises(ZeroDivisionError), long_stream(expert) as stream:
            1 / 0  # noqa: B018
        assert stream.result.finish_reason == "cancelled"
        assert expert.session.scheduler.kv.n_free == len(expert.session.scheduler.kv.streams)

    def test_a_stream_that_is_dropped_is_cancelled(self, expert):
        import gc

        stream = long_stream(expert)
        del stream
        gc.collect()
        wait_until(lambda: counters(expert).cancelled == 1)


class TestCoroutines:
    def test_give_the_same_answers(self, expert):
        alone = [expert.generate(word, **GREEDY).text for word in WORDS]

        async def ask():
            return await asyncio.gather(*(expert.agenerate(word, **GREEDY) for word in WORDS))

        results = asyncio.run(ask())
        assert [result.text for result in results] == alone

    def test_stream(self, expert):
        whole = expert.generate("Hello", **GREEDY)

        async def ask():
            stream = expert.agenerate_stream("Hello", **GREEDY)
            pieces = [piece async for piece in stream]
            return pieces, stream.result

        pieces, result = asyncio.run(ask())
        assert "".join(pieces) == whole.text == result.text
        assert len(pieces) > 1

    def test_batch(self, expert):
        alone = [expert.generate(word, **GREEDY).text for word in WORDS]
        prompts = [*WORDS, {"prompt": "x", "max_tokens": 0}]
        results = asyncio.run(expert.agenerate_batch(prompts, return_exceptions=True, **GREEDY))
        assert [result.text for result in results[:-1]] == alone
        assert isinstance(results[-1], ValueError)
        with pytest.raises(ValueError, match="max_tokens"):
            asyncio.run(expert.agenerate_batch(prompts, **GREEDY))

    def test_a_cancelled_task_stops_the_decoding(self, expert):
        async def ask():
            task = asyncio.create_task(
                expert.agenerate("Hello", temperature=0.0, max_tokens=400, stop=[])
            )
            while counters(expert).steps < 3:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await expert.agenerate("Hello", **GREEDY)

        assert asyncio.run(ask()).completion_tokens == 12
        assert counters(expert).cancelled == 1

    def test_closing_a_stream_early_keeps_what_came(self, expert):
        async def ask():
            stream = expert.agenerate_stream("Hello", temperature=0.0, max_tokens=400, stop=[])
            async with stream:
                first = await stream.__anext__()
            assert [piece async for piece in stream] == []
            return first, stream.result

        first, result = asyncio.run(ask())
        assert result.text == first
        assert result.finish_reason == "cancelled"

    def test_a_timeout_returns_what_there_is(self, expert):
        async def ask():
            return await expert.agenerate(
                "word " * 100, temperature=0.0, max_tokens=100, stop=[], timeout=1e-6
            )

        assert asyncio.run(ask()).finish_reason == "timeout"


def test_an_own_context_shares_the_model_and_not_the_cache(tiny_package, tiny_base):
    a = Expert.load(tiny_package("a"), base=tiny_base, own_context=True, **OPTIONS)
    b = Expert.load(tiny_package("b"), base=tiny_base, own_context=True, **OPTIONS)
    with a, b:
        assert a.session is not b.session
        assert a.session.model is b.session.model
        a.generate("Hello", **GREEDY)
        assert b.generate("Hello", **GREEDY).cached_prompt_tokens == 0
        a.close()
        assert b.generate("Hello", **GREEDY).completion_tokens == 12


def test_a_copy_of_the_base_at_another_path_is_the_same_base(tiny_package, tiny_base, tmp_path):
    copy = tmp_path / "another-name.gguf"
    copy.write_bytes(tiny_base.read_bytes())
    a = Expert.load(tiny_package("a"), base=tiny_base, **OPTIONS)
    b = Expert.load(tiny_package("b"), base=copy, **OPTIONS)
    with a, b:
        assert a.session is b.session


@pytest.mark.parametrize(
    "options", [{"max_streams": 0}, {"max_streams": 65}, {"kv_positions": 0}, {"parked_bytes": -1}]
)
def test_session_options_out_of_range_are_refused(tiny_package, tiny_base, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Expert.load(tiny_package(), base=tiny_base, **options)


def test_a_request_that_llama_cpp_refuses_fails_alone(expert):
    requests = loaded_of(expert).requests(["one", "two", "three"], **GREEDY)
    requests[1] = replace(requests[1], prompt=[expert.session.model.n_vocab + 5])
    first, refused, last = run_batch(Prepared(expert.session, requests))
    assert isinstance(refused, InferenceError)
    assert "failed to decode" in str(refused)
    assert first.text == expert.generate("one", **GREEDY).text
    assert last.text == expert.generate("three", **GREEDY).text
    assert counters(expert).failed == 1
