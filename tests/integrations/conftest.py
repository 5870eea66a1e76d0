"""What LangChain's standard tests need of pytest, without the plugins that come with them.

Those plugins would measure times, block sockets and record requests in the whole test run.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hivellm_lite import Expert

from ..support.paths import EXPERTS

TABLES = "CREATE TABLE users (id INT, name TEXT)"
QUESTION = "How many users are there?"


def pytest_configure(config: pytest.Config) -> None:
    for name in ("asyncio", "benchmark", "vcr", "enable_socket", "requires"):
        config.addinivalue_line("markers", f"{name}: of LangChain's standard tests")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run coroutines."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def benchmark() -> Callable[..., Any]:
    """Calls once, where the plugin would measure."""
    return lambda function, *arguments, **named: function(*arguments, **named)


@pytest.fixture
def snapshot() -> None:
    """Nothing is compared with a recording."""


@pytest.fixture
def vcr() -> None:
    """Nothing is recorded."""


@pytest.fixture(autouse=True)
def no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No library sends what it observes."""
    for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")


@pytest.fixture(scope="package")
def sql(real_base, example_cache) -> Iterator[Expert]:
    """The example expert for SQL, on a real model."""
    package = EXPERTS / "sql.expert"
    with Expert.load(package, base=real_base, cache_dir=example_cache, n_threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="package")
def alone(sql) -> str:
    """The answer of the library, with the tables as its system message."""
    text = sql.generate(QUESTION, system=TABLES).text
    assert text.startswith("SELECT")
    return text


@contextmanager
def cancelled(expert: Expert) -> Iterator[None]:
    """What is done in it cancels one request of the expert, which then ends."""
    before = expert.session.stats()["requests"]
    yield
    for _ in range(200):
        after = expert.session.stats()["requests"]
        if not after["active"]:
            break
        time.sleep(0.02)
    assert after["cancelled"] == before["cancelled"] + 1
    assert after["active"] == 0
