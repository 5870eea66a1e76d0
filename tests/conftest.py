"""Fixtures: a cache of its own for each test, tiny packages, models and experts, the tool."""

from __future__ import annotations

import dataclasses
import faulthandler
import gc
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hivellm_lite import Cache, Expert
from hivellm_lite.hub import Hub

from .support.devices import TEST_DEVICE
from .support.hub_server import HubServer
from .support.leftovers import Surroundings, forget_frames
from .support.packages import adapter_files, manifest_bytes, manifest_v2, write_package
from .support.paths import FIXTURES, REAL_BASE

if TYPE_CHECKING:
    from hivellm_lite.engine import Model

# What "auto" means in every test and in the programs that tests start.
os.environ["HIVELLM_DEVICE"] = TEST_DEVICE

# A shell's background job ignores Ctrl-C, and would hand that on to what the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note that a test failed, and let go of the variables that its traceback keeps."""
    report = yield
    if report.failed and call.excinfo is not None:
        item.stash[FAILED] = True
        if not item.config.getoption("usepdb"):
            forget_frames(call.excinfo.value)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Hide an ``unmeasured`` test from coverage: watched, it would take two to four times as long.

    Other tests reach every line that the test runs in its own thread. The threads that the test
    starts are measured all the same.
    """
    if not item.get_closest_marker("unmeasured"):
        return (yield)
    watching = sys.gettrace()
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(watching)


@pytest.fixture(autouse=True)
def nothing_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test leaves open is closed after it, and named: no later test fails for it.

    A test that passed must leave nothing. One that failed has said enough.
    """
    before = Surroundings.now()
    yield
    if before.since():
        gc.collect()
        left = before.since()
        before.restore()
        if left and FAILED not in request.node.stash:
            pytest.fail(f"the test leaves behind: {', '.join(left)}")


@pytest.fixture
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """The test must leave no session and no model, not even to the garbage collector."""
    before = Surroundings.now()
    yield
    assert FAILED in request.node.stash or before.loaded_since() == []


@pytest.fixture(autouse=True)
def device(
    nothing_stays: None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test that is about a CPU's numbers or processes (``@pytest.mark.cpu``) computes on one."""
    if request.node.get_closest_marker("cpu"):
        monkeypatch.setenv("HIVELLM_DEVICE", "cpu")


@pytest.fixture(autouse=True)
def home(nothing_stays: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """HIVELLM_HOME: an empty folder of this test's own. The Hub is not to be asked.

    HIVELLM_EXPERTS is one, too: no test sees or touches what the user has installed.
    """
    path = tmp_path / "home"
    monkeypatch.setenv("HIVELLM_HOME", str(path))
    monkeypatch.setenv("HIVELLM_EXPERTS", str(tmp_path / "experts"))
    for name in ("HIVELLM_MODELS", "HIVELLM_BASES", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return path


@pytest.fixture
def cache(home: Path) -> Cache:
    """The cache below this test's home, which is what experts and the tool use."""
    return Cache()


@pytest.fixture(scope="session")
def real_base() -> Path:
    """SmolLM2-135M-Instruct; ``make test`` fetches it."""
    if not REAL_BASE.exists():
        pytest.skip(
            f"{REAL_BASE} is missing: run 'make {REAL_BASE.relative_to(REAL_BASE.parents[1])}'"
        )
    return REAL_BASE


@pytest.fixture(scope="session")
def example_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for the example experts, whose conversion takes half a minute, for all processes
    that run these tests.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own
    return shared / "example-cache"


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama of the fixtures as an F32 GGUF."""
    from hivellm_lite.converters.base import convert_base

    path = tmp_path_factory.mktemp("base") / "tiny-llama.gguf"
    convert_base(FIXTURES / "models" / "tiny-llama", path, quant="f32")
    return path


@pytest.fixture(scope="module")
def tiny_model(tiny_base: Path) -> Iterator[Model]:
    """That GGUF, loaded."""
    from hivellm_lite.engine import Model

    model = Model(tiny_base)
    yield model
    model.close()


@pytest.fixture
def tiny_package(tmp_path: Path) -> Callable[..., Path]:
    """Write a package with the tiny Llama's LoRA: ``tiny_package("name", capabilities=[…])``."""

    def write(
        name: str = "tiny", adapter: str = "plain", model: str = "tiny-llama", **manifest: object
    ) -> Path:
        files = adapter_files(model, adapter)
        files["manifest.json"] = manifest_bytes(manifest_v2(name=name, **manifest))
        return write_package(tmp_path / f"{name}.expert", files)

    return write


@pytest.fixture
def expert(
    request: pytest.FixtureRequest, tiny_package: Callable[..., Path], tiny_base: Path
) -> Iterator[Expert]:
    """An expert on the tiny Llama, loaded with the ``OPTIONS`` of the test's module."""
    with Expert.load(tiny_package(), base=tiny_base, **request.module.OPTIONS) as loaded:
        yield loaded


@pytest.fixture
def tool(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the tool in this process: ``code, out, err = tool("run", …)``."""
    from hivellm_lite.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def running_server() -> Iterator[HubServer]:
    with HubServer() as running:
        yield running


@pytest.fixture
def server(running_server: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """An empty Hub on 127.0.0.1; the environment points to it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nonexistent")
    monkeypatch.setenv("HF_ENDPOINT", running_server.url)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    running_server.reset()
    return running_server


@pytest.fixture
def hub(server: HubServer) -> Hub:
    """The client of that Hub: waits nowhere."""
    return dataclasses.replace(Hub.from_environment(), wait=lambda _: None)


@pytest.fixture
def watchdog() -> Iterator[None]:
    """A hang ends the run with the tracebacks of all threads."""
    faulthandler.dump_traceback_later(240, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
