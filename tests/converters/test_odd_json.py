"""Any value anywhere in a model's or adapter's JSON is accepted or refused, never a crash."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hivellm_lite.converters.base import convert_base, estimate_size
from hivellm_lite.converters.forms.lora import convert_lora
from hivellm_lite.converters.gguf.header import read_gguf_header
from hivellm_lite.converters.peft.adapter import read_adapter

from hivellm_lite.errors import ConversionError

from ..support.model_files import copy_model
from ..support.paths import ADAPTERS

ODD: tuple[Any, ...] = (None, True, -1, 1e300, 10**400, 2**24, "x", [], [[]], {"type": []}, [{}, 1])

MANY = {"vocab", "merges"}
"""Of their thousands of entries only the first is replaced."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all values inside ``value``."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in list(entries)[: 1 if path and path[-1] in MANY else None]:
        yield (*path, key)
        if isinstance(child, (dict, list)):
            yield from places(child, (*path, key))


def with_value(original: str, path: tuple[Any, ...], odd: Any) -> str:
    value = json.loads(original)
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = odd
    return json.dumps(value)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:12])
@pytest.mark.parametrize(
    ("model", "file"),
    [
        ("tiny-llama", "config.json"),
        ("tiny-llama3", "config.json"),
        ("tiny-gemma3", "config.json"),
        ("tiny-phi4", "config.json"),
        ("tiny-llama", "generation_config.json"),
        ("tiny-llama", "tokenizer_config.json"),
        pytest.param("tiny-llama3", "tokenizer.json", marks=pytest.mark.unmeasured),
        pytest.param("tiny-mistral", "tokenizer.json", marks=pytest.mark.unmeasured),
        ("tiny-llama3", "model.safetensors.index.json"),
    ],
)
def test_a_model_folder(model: str, file: str, odd: Any, tmp_path: Path) -> None:
    folder = copy_model(model, tmp_path)
    path = folder / file
    original = path.read_text()
    for place in places(json.loads(original)):
        path.write_text(with_value(original, place, odd))
        with contextlib.suppress(ConversionError), warnings.catch_warnings():
            warnings.simplefilter("error")
            estimate_size(folder, "f16")
            convert_base(folder, tmp_path / "model.gguf", quant="f16", threads=1)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:12])
def test_an_adapter(odd: Any, tmp_path: Path, tiny_base: Path) -> None:
    folder, path = ADAPTERS / "tiny-llama" / "patterns", tmp_path / "adapter_config.json"
    header = read_gguf_header(tiny_base)
    original = (folder / "adapter_config.json").read_text()
    for place in places(json.loads(original)):
        path.write_text(with_value(original, place, odd))
        with contextlib.suppress(ConversionError):
            adapter = read_adapter(folder / "adapter_model.safetensors", path)
            convert_lora(adapter, header, tmp_path / "adapter.gguf")
