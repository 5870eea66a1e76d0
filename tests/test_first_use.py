"""Experts that are loaded at their first use, taken out when idle, and never in another's way."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from hivellm_lite import ExpertManager, LoadError, PackageError
from hivellm_lite.inference.off_loop import PREPARING
from hivellm_lite.residency import registry as registry_module

from .support.devices import ANSWERS
from .support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("nothing_is_left")

OPTIONS = {"n_ctx": 256, "n_threads": 1}
GREEDY = {"temperature": 0.0, "max_tokens": 8, "stop": []}


@pytest.fixture
def manager(tiny_base, tiny_package):
    with ExpertManager(base=tiny_base, **OPTIONS) as made:
        made.register_expert("a", tiny_package("a"))
        made.register_expert("b", tiny_package("b", adapter="rslora"))
        yield made


def states(manager):
    return {status.name: status.state for status in manager.list_loaded_experts()}


class Gate:
    """Holds up the loading of one package until it is opened."""

    def __init__(self, monkeypatch, package: str) -> None:
        self.reached, self._open = threading.Event(), threading.Event()
        self.n_loads = 0
        load = registry_module.load_expert

        def held(path, *args, **kwargs):
            if Path(path).name.startswith(package):
                self.n_loads += 1
                self.reached.set()
                assert self._open.wait(60)
            return load(path, *args, **kwargs)

        monkeypatch.setattr(registry_module, "load_expert", held)

    def open(self) -> None:
        self._open.set()


class TestFirstUse:
    def test_loads_the_expert(self, manager):
        assert states(manager) == {"a": "registered", "b": "registered"}
        assert manager.stats()["bases"] == []
        assert manager.manifest("a").name == "a"
        manager.generate("a", "Hello", **GREEDY)
        assert states(manager) == {"a": "resident", "b": "registered"}
        counts = manager.stats()["experts"]
        assert (counts["loads"], counts["reloads"]) == (1, 0)

    def test_of_the_base_loads_an_expert_of_it(self, manager):
        assert manager.generate("base", "Hello", **GREEDY).text

    def test_of_a_blend_loads_all_of_it(self, manager):
        assert asyncio.run(manager.agenerate({"a": 0.5, "b": 0.5}, "Hello", **GREEDY)).text
        assert set(states(manager).values()) == {"resident"}

    def test_that_fails_is_tried_again(self, manager, tmp_path, tiny_package, monkeypatch):
        def fail(*_args, **_kwargs):
            raise LoadError("no memory today")

        with monkeypatch.context() as patch:
            patch.setattr(registry_module, "load_expert", fail)
            with pytest.raises(LoadError, match="today"):
                asyncio.run(manager.agenerate("a", "Hello", **GREEDY))
        assert asyncio.run(manager.agenerate("a", "Hello", **GREEDY)).text

    def test_a_package_is_opened_at_once(self, manager, tmp_path):
        with pytest.raises(PackageError):
            manager.register_expert("c", tmp_path / "missing.expert")
        assert set(states(manager)) == {"a", "b"}
        with pytest.raises(ValueError, match="loaded already"):
            manager.register_expert("a", tmp_path / "missing.expert")
        with pytest.raises(ValueError, match="cannot be an expert's name"):
            manager.register_expert("auto", tmp_path / "missing.expert")


class TestIdle:
    def test_experts_are_taken_out_and_come_back(self, manager):
        before = manager.generate("a", "Hello", **GREEDY).text
        assert manager.evict_idle(3600) == []
        assert manager.evict_idle(0) == ["a"]
        assert states(manager)["a"] == "evicted"
        assert manager.stats()["bases"] == []
        assert manager.generate("a", "Hello", **GREEDY).text == before
        assert manager.stats()["experts"]["reloads"] == 1

    def test_an_expert_in_use_stays(self, manager):
        with manager.generate_stream("a", "Hello", **GREEDY) as stream:
            next(stream)
            assert manager.evict_idle(0) == []
        assert manager.evict_idle(0) == ["a"]


class TestLoadingBesideAnswers:
    N_WAITING = 2 * PREPARING.n_most

    @pytest.mark.cpu(ANSWERS)
    def test_one_loading_serves_all_and_holds_up_no_other_expert(self, manager, monkeypatch):
        gate = Gate(monkeypatch, "b")
        manager.generate("a", "Hello", **GREEDY)

        async def ask() -> tuple[list[str], list[str]]:
            waiting = [
                asyncio.create_task(manager.agenerate("b", "Hello", **GREEDY))
                for _ in range(self.N_WAITING)
            ]
            while not gate.reached.is_set():
                await asyncio.sleep(0.01)
            # all of these are answered while the other expert is being loaded
            others = [await manager.agenerate("a", "Hello", **GREEDY) for _ in range(3)]
            others += await manager.agenerate_batch("a", ["Hello"], **GREEDY)
            scored = await manager.ascore("a", "Hello", " world")
            assert len(scored) > 0
            assert manager.stats()["experts"]["resident"] == 1
            assert not any(task.done() for task in waiting)
            gate.open()
            answers = await asyncio.gather(*waiting)
            return [one.text for one in others], [one.text for one in answers]

        others, answers = asyncio.run(asyncio.wait_for(ask(), 120))
        assert len(set(others)) == len(set(answers)) == 1
        assert gate.n_loads == 1

    def test_a_task_that_is_cancelled_leaves_the_loading_to_others(self, manager, monkeypatch):
        gate = Gate(monkeypatch, "b")

        async def ask() -> str:
            first = asyncio.create_task(manager.agenerate("b", "Hello", **GREEDY))
            while not gate.reached.is_set():
                await asyncio.sleep(0.01)
            second = asyncio.create_task(manager.agenerate("b", "Hello", **GREEDY))
            await asyncio.sleep(0.01)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            gate.open()
            return (await second).text

        assert asyncio.run(asyncio.wait_for(ask(), 120))
        assert gate.n_loads == 1
        wait_until(lambda: manager.evict_idle(0) != [])  # nothing holds it any more

    def test_threads_too_wait_only_for_their_own_expert(self, manager, monkeypatch):
        gate = Gate(monkeypatch, "b")
        waiting = threading.Thread(target=manager.generate, args=("b", "Hello"), kwargs=GREEDY)
        waiting.start()
        assert gate.reached.wait(60)
        assert manager.generate("a", "Hello", **GREEDY).text
        assert waiting.is_alive()
        gate.open()
        waiting.join(60)
        assert states(manager)["b"] == "resident"
