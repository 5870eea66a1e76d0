"""GGUF adapters that are damaged, as one in the cache may be, are errors and no signals."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.forms.lora import convert_lora
from hivellm_lite.converters.gguf.header import read_gguf_header
from hivellm_lite.converters.peft.adapter import read_adapter

from ..support.gguf_files import FLOAT32, INT32, STRING, UINT32, Document, Value
from ..support.gguf_mutations import write_damaged
from ..support.model_trials import try_models
from ..support.paths import FIXTURES

N_DAMAGED = 150
INTEGERS = 26
"""ggml's type number of int32."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``base.gguf``, where the trials look for it."""
    folder = tmp_path_factory.mktemp("adapters")
    convert_base(FIXTURES / "models" / "tiny-llama", folder / "base.gguf", quant="q8_0", threads=1)
    return folder


@pytest.fixture(scope="module", params=["plain", "embedding"])
def document(request: pytest.FixtureRequest, folder: Path) -> Document:
    saved = FIXTURES / "adapters" / "tiny-llama" / request.param
    adapter = read_adapter(saved / "adapter_model.safetensors", saved / "adapter_config.json")
    path = folder / f"{request.param}.gguf"
    convert_lora(adapter, read_gguf_header(folder / "base.gguf"), path)
    return Document.read(path)


def put(key: str, value: Value) -> Callable[[Document], None]:
    return lambda document: document.keys.update({key.encode(): value})


def first(document: Document, side: str):
    return next(t for t in document.tensors if t.name.endswith(side.encode()))


def retype(document: Document) -> None:
    tensor = first(document, ".lora_a")
    tensor.code = INTEGERS


def add_dimension(document: Document) -> None:
    tensor = first(document, ".lora_b")
    tensor.shape = [*tensor.shape, 2]
    tensor.data = tensor.data * 2


def widen(document: Document) -> None:
    tensor = first(document, ".lora_b")
    tensor.shape = [tensor.shape[0] * 2, tensor.shape[1]]
    tensor.data = tensor.data * 2


DAMAGES = {
    "the type as a number": (put("general.type", Value(UINT32, 1)), "general.type"),
    "the kind as a number": (put("adapter.type", Value(UINT32, 1)), "adapter.type"),
    "the kind as a list": (put("adapter.type", Value(9, [b"lora"], STRING)), "adapter.type"),
    "alpha as an integer": (put("adapter.lora.alpha", Value(INT32, 8)), "adapter.lora.alpha"),
    "alpha as text": (put("adapter.lora.alpha", Value(STRING, b"8")), "adapter.lora.alpha"),
    "alpha as a list": (
        put("adapter.lora.alpha", Value(9, [1.0], FLOAT32)),
        "adapter.lora.alpha",
    ),
    "alpha that is no number": (
        put("adapter.lora.alpha", Value(FLOAT32, float("nan"))),
        "adapter.lora.alpha",
    ),
    "weights as integers": (retype, ".lora_a"),
    "weights in three dimensions": (add_dimension, ".lora_b"),
    "pairs of two ranks": (widen, ".lora_b"),
}


def test_an_adapter_as_it_was_written_is_applied(document: Document, folder: Path):
    (verdict,) = try_models([document.write(folder / "whole.gguf")], "adapter")
    assert verdict.kind == "loaded", verdict.message


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_adapter_is_an_error_that_names_the_key(
    name: str, document: Document, folder: Path
):
    change, key = DAMAGES[name]
    damaged = document.clone()
    change(damaged)
    (verdict,) = try_models([damaged.write(folder / "damaged.gguf")], "adapter")
    assert verdict.kind == "LoadError", verdict.message
    assert key in verdict.message
    assert "cannot load the adapter" in verdict.message


def test_random_damage_to_an_adapter_never_ends_the_process(document: Document, folder: Path):
    paths, notes = [], []
    for number in range(N_DAMAGED):
        path, rng = folder / f"random-{number}.gguf", random.Random(f"adapter/{number}")
        notes.append(f"{number} {write_damaged(document, path, rng)}")
        paths.append(path)
    verdicts = dict(zip(notes, try_models(paths, "adapter"), strict=True))
    assert {note: v for note, v in verdicts.items() if not v.is_orderly} == {}
