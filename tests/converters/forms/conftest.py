"""Tiny bases, converted and split once for all tests of the forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.gguf.split import split_gguf

from ...support.paths import MODELS


@pytest.fixture(scope="session")
def split_base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Path]]:
    """The parts of a tiny model at F32; the whole file stands beside them as ``whole.gguf``."""
    bases: dict[str, list[Path]] = {}

    def parts(name: str) -> list[Path]:
        if name not in bases:
            folder = tmp_path_factory.mktemp(name)
            convert_base(MODELS / name, folder / "whole.gguf", quant="f32")
            bases[name] = [folder / part for part in split_gguf(folder / "whole.gguf", folder)]
        return bases[name]

    return parts
