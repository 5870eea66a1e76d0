"""Fixtures of the tests of this room."""

from __future__ import annotations

import pytest

from hivellm_lite.package import open_package

from ..support.packages import expert_files, manifest_v2, write_package
from .contents import GGUF, MODEL, files_of


@pytest.fixture
def package(tmp_path, cache):
    return open_package(write_package(tmp_path / "x.expert", expert_files()), cache=cache)


@pytest.fixture
def on(tmp_path, cache):
    """A package whose manifest names this base: ``on("Qwen/Qwen3-0.6B")``."""

    def make(name, **fields):
        manifest = manifest_v2(base_models=[{"name": name, **fields}])
        return open_package(
            write_package(tmp_path / "on.expert", expert_files(manifest)), cache=cache
        )

    return make


@pytest.fixture
def qwen(server):
    """The official repositories of Qwen3-0.6B, with tiny contents."""
    server.add("Qwen/Qwen3-0.6B", {**files_of(MODEL), "pytorch_model.bin": b"pickle"})
    server.add("Qwen/Qwen3-0.6B-GGUF", {"Qwen3-0.6B-Q8_0.gguf": GGUF, "README.md": b"x"})
