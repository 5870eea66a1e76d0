"""A manager with tiny experts, and the application asked without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from hivellm_lite import ExpertManager
from hivellm_lite.server.app import create_app
from hivellm_lite.server.options import ServerOptions

from ..support.packages import adapter_files, manifest_bytes, manifest_v2, write_package

OPTIONS = {"n_ctx": 1024, "n_threads": 1}


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a package for all tests of a module: ``experts("sql", capabilities=[…])``."""
    folder = tmp_path_factory.mktemp("experts")

    def write(name: str, adapter: str = "plain", **manifest: object) -> Path:
        files = adapter_files("tiny-llama", adapter)
        files["manifest.json"] = manifest_bytes(manifest_v2(name=name, **manifest))
        return write_package(folder / f"{name}.expert", files)

    return write


@pytest.fixture(scope="module")
def manager(
    tiny_base: Path, experts: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ExpertManager]:
    """Two LoRA experts on the tiny Llama: ``sql`` and ``style``.

    On the CPU everywhere, so that an answer over HTTP is that of the library to the last bit.
    """
    options = {**OPTIONS, "device": "cpu", "cache_dir": tmp_path_factory.mktemp("cache")}
    with ExpertManager(base=tiny_base, **options) as loaded:
        loaded.load_expert("sql", experts("sql"))
        routing = {"keywords": ["style", "formal"], "exclude_keywords": [], "priority": 0.5}
        loaded.load_expert(
            "style", experts("style", adapter="rslora", routing=routing, capabilities=["text"])
        )
        yield loaded


@pytest.fixture
def call(manager: ExpertManager) -> Callable[..., httpx.Response]:
    """Ask an application once: ``call("POST", "/v1/…", json={…}, options=ServerOptions(…))``."""

    def ask(
        method: str, path: str, *, options: ServerOptions | None = None, **arguments: Any
    ) -> httpx.Response:
        app = create_app(manager, options or ServerOptions())

        async def exchange() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
                return await client.request(method, path, **arguments)

        return asyncio.run(exchange())

    return ask


@pytest.fixture
def call_app() -> Callable[..., httpx.Response]:
    """Post bytes of JSON to the chat completions of an application."""

    def ask(app: Starlette, content: bytes) -> httpx.Response:
        async def exchange() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
                headers = {"Content-Type": "application/json"}
                path = "/v1/chat/completions"
                return await client.post(path, content=content, headers=headers)

        return asyncio.run(exchange())

    return ask


@pytest.fixture
def post(call: Callable[..., httpx.Response]) -> Callable[..., Any]:
    """Post fields to a path: ``post("/v1/route", prompt="…")``; the answer's JSON."""

    def ask(path: str, *, status: int = 200, **body: object) -> Any:
        response = call("POST", path, json=body)
        assert response.status_code == status, response.text
        return response.json()

    return ask
