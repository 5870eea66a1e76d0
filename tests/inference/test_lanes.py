"""Contexts that experts have for themselves, and work that overlaps with a device.

The policy of devices where swaps are dear is forced on the CPU. The counters prove what it does,
and the answers must be those of each expert alone.
"""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hivellm_lite import Expert, ExpertManager, Grammar
from hivellm_lite.expert import loaded_of
from hivellm_lite.inference.lanes import LEAST_SWAPS
from hivellm_lite.manager import registry_of

from ..support.waiting import wait_until

OPTIONS = {"n_ctx": 512, "n_threads": 1, "kv_type": "f32", "device": "cpu"}
GREEDY = {"temperature": 0.0, "stop": [], "grammar": "off"}
ADAPTERS = {"a": "plain", "b": "rslora", "c": "patterns", "d": "plain"}
PLENTY = 1 << 30

pytestmark = pytest.mark.usefixtures("watchdog", "nothing_is_left")


@pytest.fixture
def packages(tiny_package):
    return {name: tiny_package(name, adapter=adapter) for name, adapter in ADAPTERS.items()}


@pytest.fixture
def manager_of(packages, tiny_base):
    """Make a manager with all experts loaded."""

    def make(**options):
        manager = ExpertManager(base=tiny_base, **{**OPTIONS, **options})
        for name, path in packages.items():
            manager.load_expert(name, path)
        return manager

    return make


@pytest.fixture(params=[False, True], ids=["at once", "overlapping"])
def overlap(request, monkeypatch):
    monkeypatch.setenv("HIVELLM_OVERLAP", str(int(request.param)))
    return request.param


def ask_in_turn(manager, names, rounds):
    """Every question is another expert's than the one before, which costs a swap."""
    return [
        manager.generate(name, f"Question {number}", max_tokens=6, **GREEDY).text
        for number in range(rounds)
        for name in names
    ]


def base_stats(manager):
    (base,) = manager.stats()["bases"]
    return base


def lanes_of(manager):
    (session,) = registry_of(manager)._sessions().values()
    return session.scheduler.lanes


def make_own(manager, names):
    """Ask these experts in turn until each has a context of its own."""
    lanes = lanes_of(manager)
    wanted = {f"{name}@0.3.0" for name in names}
    scales = (0.5 + number / 10_000 for number in itertools.count())
    for _ in range(20):
        lanes._price = 0.0  # on a CPU it takes hundreds of swaps to pay for a context
        if wanted <= {one["expert"] for one in base_stats(manager)["own_contexts"]}:
            return lanes
        for name in names:
            # another scale each time: nobody asks for it often enough
            manager.generate("d", "Hello", max_tokens=2, adapter_scale=next(scales), **GREEDY)
            manager.generate(name, "Hello", max_tokens=2, **GREEDY)
    raise AssertionError(base_stats(manager)["residency"]["explanation"])


def test_on_a_cpu_all_experts_share_one_context(manager_of):
    with manager_of() as manager:
        ask_in_turn(manager, "abc", 30)
        base = base_stats(manager)
        assert base["own_contexts"] == []
        assert base["residency"]["limit_bytes"] == base["residency"]["made"] == 0
        assert not base["residency"]["overlaps"]
        assert "share one context" in base["residency"]["explanation"]
        assert base["requests"]["overlapped"] == 0


def test_experts_asked_in_turn_stop_paying_for_swaps(manager_of, overlap):
    with manager_of(own_context_bytes=0) as manager:
        alone = ask_in_turn(manager, "abcd", 4)
    with manager_of(own_context_bytes=PLENTY) as manager:
        make_own(manager, "abc")
        swaps = base_stats(manager)["requests"]["swaps"]
        assert ask_in_turn(manager, "abcd", 4) == alone
        base = base_stats(manager)
        assert base["requests"]["swaps"] <= swaps + 4  # an own context counts its first adapters
        assert base["residency"]["overlaps"] == overlap
        assert 0 < sum(one["memory_bytes"] for one in base["own_contexts"]) <= PLENTY
        assert base["memory_bytes"] > base_stats(manager)["own_contexts"][0]["memory_bytes"]


def test_answers_from_own_contexts_are_those_of_each_expert_alone(manager_of, overlap):
    asked = [(name, f"Question {n}", 10 + 7 * n) for n in range(6) for name in ADAPTERS]
    with manager_of(own_context_bytes=0) as manager:
        alone = [
            manager.generate(name, prompt, max_tokens=n, **GREEDY).text for name, prompt, n in asked
        ]
    with manager_of(own_context_bytes=PLENTY) as manager, ThreadPoolExecutor(12) as pool:

        def ask(one):
            name, prompt, n = one
            return manager.generate(name, prompt, max_tokens=n, **GREEDY).text

        for _ in range(3):
            assert list(pool.map(ask, asked)) == alone
        make_own(manager, "abc")
        assert list(pool.map(ask, asked)) == alone
        assert (base_stats(manager)["requests"]["overlapped"] > 0) == overlap


def test_an_answer_moves_to_an_own_context_in_its_middle(manager_of, overlap):
    with manager_of(own_context_bytes=0) as manager:
        alone = manager.generate("a", "Hello", max_tokens=300, **GREEDY).text
    with manager_of(own_context_bytes=PLENTY) as manager:
        stream = manager.generate_stream("a", "Hello", max_tokens=300, **GREEDY)
        pieces = [next(stream)]
        lanes_of(manager)._price = 0.0
        while not lanes_of(manager).own and len(pieces) < 100:
            manager.generate("b", "Hello", max_tokens=1, **GREEDY)
            pieces += itertools.islice(stream, 1)
        assert lanes_of(manager).own
        pieces += stream
        assert "".join(pieces) == alone


def test_experts_in_turn_do_not_take_the_contexts_from_each_other(manager_of):
    with manager_of(own_context_bytes=PLENTY) as manager:
        make_own(manager, "a")
        size = lanes_of(manager).own_memory
    with manager_of(own_context_bytes=int(1.5 * size)) as manager:
        make_own(manager, "a")
        ask_in_turn(manager, "abcd", 60)
        residency = base_stats(manager)["residency"]
        assert (residency["made"], residency["given_up"]) == (1, 0)


def test_an_idle_context_is_given_up_for_an_expert_in_demand(manager_of, overlap):
    prompt = "a question that is long enough to be worth keeping, whatever it costs to keep it"
    with manager_of(own_context_bytes=PLENTY) as manager:
        make_own(manager, "a")
        size = lanes_of(manager).own_memory
        expected = manager.generate("a", prompt, max_tokens=8, **GREEDY)
    with manager_of(own_context_bytes=int(1.5 * size)) as manager:
        make_own(manager, "a")
        manager.generate("a", prompt, max_tokens=8, **GREEDY)
        make_own(manager, "b")
        base = base_stats(manager)
        assert [one["expert"] for one in base["own_contexts"]] == ["b@0.3.0"]
        assert base["residency"]["given_up"] == 1
        again = manager.generate("a", prompt, max_tokens=8, **GREEDY)
        assert again.text == expected.text
        assert again.cached_prompt_tokens > 0  # it was parked


def test_a_request_too_long_for_the_limit_is_computed_in_the_shared_context(manager_of):
    with manager_of(own_context_bytes=PLENTY) as manager:
        make_own(manager, "a")
        size = lanes_of(manager).own_memory
        expected = manager.generate("a", "word " * 100, max_tokens=8, **GREEDY).text
    with manager_of(own_context_bytes=int(1.05 * size)) as manager:
        lanes = make_own(manager, "a")
        ((owner, lane),) = lanes.own.items()
        for _ in range(2 * LEAST_SWAPS):
            lanes._price = 0.0
            manager.generate("b", "Hello", max_tokens=2, **GREEDY)
            manager.generate("a", "Hello", max_tokens=2, **GREEDY)  # it is not given up
            steps = lane.computation.n_calls
            assert manager.generate("a", "word " * 100, max_tokens=8, **GREEDY).text == expected
            assert lane.computation.n_calls == steps
        assert lanes.own == {owner: lane}


def test_unloading_an_expert_frees_its_context(manager_of, overlap):
    with manager_of(own_context_bytes=PLENTY) as manager:
        lanes = make_own(manager, "ab")
        contexts = {lane.owner[0][0].name: lane for lane in lanes.own.values()}
        stream = manager.generate_stream("a", "Hello", max_tokens=400, **GREEDY)
        next(stream)
        manager.unload_expert("a")
        assert list(stream) is not None
        assert contexts["a@0.3.0"].admission.kv.context.closed
        assert [one["expert"] for one in base_stats(manager)["own_contexts"]] == ["b@0.3.0"]
        assert manager.generate("b", "Hello", max_tokens=4, **GREEDY).text


def test_own_contexts_get_what_max_memory_leaves(manager_of, packages, tiny_base):
    with manager_of(own_context_bytes=PLENTY) as manager:
        lanes = make_own(manager, "abc")
        own, used = lanes.own_memory, manager.stats()["memory"]
    spare = own // 2
    with ExpertManager(
        base=tiny_base, own_context_bytes=PLENTY, max_memory=used - spare, **OPTIONS
    ) as manager:
        for name, path in packages.items():
            manager.load_expert(name, path)
        for _ in range(9):
            lanes_of(manager)._price = 0.0
            ask_in_turn(manager, "abcd", 1)
        assert base_stats(manager)["own_contexts"]
        assert manager.stats()["memory"] <= used - spare
        assert manager.stats()["experts"]["evictions"] == 0


def test_a_saved_prompt_is_taken_up_by_an_own_context(packages, tiny_base, tmp_path):
    prompt = "Names of all users and when they were seen last, the newest first"
    options = {**OPTIONS, "own_context_bytes": PLENTY}
    with (
        Expert.load(packages["a"], base=tiny_base, **options) as a,
        Expert.load(packages["b"], base=tiny_base, **options) as b,
    ):
        lanes = a.session.scheduler.lanes
        lanes._price = 0.0
        for _ in range(LEAST_SWAPS):
            for one in (b, a):
                one.generate("Hello", max_tokens=2, **GREEDY)
        assert loaded_of(a).applied() in lanes.own
        expected = a.generate(prompt, max_tokens=6, **GREEDY).text
        a.save_state(tmp_path / "a.kv")
        a.load_state(tmp_path / "a.kv")
        again = a.generate(prompt, max_tokens=6, **GREEDY)
        assert again.text == expected
        assert again.cached_prompt_tokens > 0
        assert len(a.score(prompt, "abc")) > 0


ANSWERS = {
    "free": {},
    "sampled": {"temperature": 1.1, "top_k": 40, "seed": 3},
    "penalties": {"repetition_penalty": 1.3, "seed": 5, "temperature": 0.7},
    "probabilities": {"logprobs": 2},
    "bias": {"logit_bias": {7: 3.0, 9: -4.0}},
    "stop": {"stop": ["e", "th"]},
    "grammar": {"grammar": Grammar.parse('root ::= ("ab" | "cd" [x-z]+ "!")+')},
    "sampled grammar": {
        "grammar": Grammar.parse('root ::= "{" [a-f]+ ("," [0-9]+)* "}" | "no"'),
        "temperature": 1.2,
        "seed": 4,
    },
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_is_the_same_when_its_halves_overlap(kind, packages, tiny_base, monkeypatch):
    options = {"max_tokens": 40, **GREEDY, **ANSWERS[kind]}
    found = []
    for choice in "01":
        monkeypatch.setenv("HIVELLM_OVERLAP", choice)
        with Expert.load(packages["a"], base=tiny_base, own_context_bytes=1, **OPTIONS) as expert:
            one = expert.generate("Hello", **options)
            many = expert.generate_batch([f"Hello {n}" for n in range(10)], **options)
            found.append(
                [
                    (r.text, r.finish_reason, r.completion_tokens, r.forced_tokens, r.logprobs)
                    for r in (one, *many)
                ]
            )
            wasted = expert.session.scheduler.counters.wasted
            assert wasted <= 11 if choice == "1" and kind == "stop" else wasted == 0
    assert found[0] == found[1]


def test_cancelling_and_closing_while_a_decode_is_underway(manager_of, monkeypatch):
    monkeypatch.setenv("HIVELLM_OVERLAP", "1")
    manager = manager_of(own_context_bytes=PLENTY)
    make_own(manager, "abc")
    streams = [
        manager.generate_stream(name, "Hello", max_tokens=400, **GREEDY)
        for name in "abcd"
        for _ in range(3)
    ]
    with ThreadPoolExecutor(len(streams)) as pool:
        assert all(pool.map(lambda stream: next(stream, None) is not None, streams))
        list(pool.map(lambda stream: stream.close(), streams[::2]))
        wait_until(lambda: base_stats(manager)["requests"]["cancelled"] >= 6)
        closing = threading.Thread(target=manager.close)
        closing.start()
        list(pool.map(list, streams[1::2]))
        closing.join()
