"""An event loop that asks: it never waits, and what its tasks held is given back."""

from __future__ import annotations

import asyncio
import threading

import pytest

from hivellm_lite import ExpertManager
from hivellm_lite.expert import loaded_of
from hivellm_lite.manager import registry_of

from ..support.waiting import wait_until

OPTIONS = {"n_ctx": 512, "n_threads": 1}
GREEDY = {"temperature": 0.0, "max_tokens": 40, "stop": [], "grammar": "off"}
ENDLESS = {**GREEDY, "max_tokens": 400}

pytestmark = pytest.mark.usefixtures("watchdog")


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
