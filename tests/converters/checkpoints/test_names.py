"""Checkpoints as wrappers around a model save them, against the file of the plain model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.checkpoints.opening import open_checkpoint
from hivellm_lite.converters.safetensors import SafetensorsFile

from hivellm_lite.errors import ConversionError

from ...support.model_files import Array, copy_model, safetensors
from ...support.paths import MODELS

NAMES: dict[str, Callable[[str], str]] = {
    "compiled": lambda name: f"_orig_mod.{name}",
    "data-parallel": lambda name: f"module.{name}",
    "both": lambda name: f"module._orig_mod.{name}",
    "compiled-layers": lambda name: name.replace(".self_attn.", "._orig_mod.self_attn."),
    "fsdp": lambda name: name.replace("model.layers", "model._fsdp_wrapped_module.layers"),
    "peft": lambda name: f"base_model.model.{name}",
    "peft-base-layers": lambda name: f"base_model.model.{name}".replace(
        "q_proj.", "q_proj.base_layer."
    ),
    "bare": lambda name: name.removeprefix("model."),
    "in-a-module": lambda name: f"llm.{name}",
    "transformer": lambda name: name.replace("model.", "transformer."),
    "twice": lambda name: f"model.{name}",
}


def rename(folder: Path, change: Callable[[str], str]) -> None:
    path = folder / "model.safetensors"
    with SafetensorsFile(path) as file:
        tensors = {change(name): file.read_float32(name) for name in file.tensors}
    path.write_bytes(safetensors(tensors))


def write(folder: Path, **tensors: Array) -> None:
    named = {name.replace("__", "."): values for name, values in tensors.items()}
    (folder / "model.safetensors").write_bytes(safetensors(named))


@pytest.mark.parametrize("wrapper", sorted(NAMES))
def test_names_of_a_wrapped_model_are_read_as_the_model_s(wrapper: str, tmp_path: Path) -> None:
    folder = copy_model("tiny-llama", tmp_path)
    rename(folder, NAMES[wrapper])
    report = convert_base(folder, tmp_path / "found.gguf", quant="f32")
    plain = convert_base(MODELS / "tiny-llama", tmp_path / "plain.gguf", quant="f32")
    assert (tmp_path / "found.gguf").read_bytes() == (tmp_path / "plain.gguf").read_bytes()
    assert "was read as " in " ".join(set(report.notes) - set(plain.notes))


def test_usual_names_need_no_note() -> None:
    with open_checkpoint(MODELS / "tiny-llama") as tensors:
        assert tensors.notes == ()


def test_a_module_that_peft_trained_whole_is_read_instead_of_the_original(tmp_path: Path) -> None:
    new, old = np.full(1, 2, np.float32), np.ones(1, np.float32)
    (tmp_path / "model.safetensors").write_bytes(
        safetensors(
            {
                "base_model.model.lm_head.modules_to_save.default.weight": new,
                "base_model.model.lm_head.original_module.weight": old,
                "base_model.model.model.norm.weight": old,
            }
        )
    )
    with open_checkpoint(tmp_path) as tensors:
        assert sorted(tensors) == ["lm_head.weight", "model.norm.weight"]
        assert tensors["lm_head.weight"].read_float32("lm_head.weight") == new


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["m.modules_to_save.a.w", "m.modules_to_save.b.w"], None),
        (["m.original_module.w", "x"], ["m.w", "x"]),
        (["xembed_tokens.weight", "xlayers.0.w"], ["xembed_tokens.weight", "xlayers.0.w"]),
        (["a.embed_tokens.weight", "a.norm.weight"], ["a.embed_tokens.weight", "a.norm.weight"]),
        (["a.embed_tokens.weight", "b.embed_tokens.weight", "a.layers.0.w"], ["same"]),
    ],
)
def test_names_with_more_than_one_reading_are_not_guessed(
    names: list[str], found: list[str] | None, tmp_path: Path
) -> None:
    one = np.ones(1, np.float32)
    (tmp_path / "model.safetensors").write_bytes(safetensors(dict.fromkeys(names, one)))
    if found is None:
        with pytest.raises(ConversionError, match="'a' and 'b'"), open_checkpoint(tmp_path):
            pass
        return
    with open_checkpoint(tmp_path) as tensors:
        assert sorted(tensors) == sorted(names if found == ["same"] else found)


def test_a_peft_model_that_was_not_merged_is_refused(tmp_path: Path) -> None:
    write(tmp_path, base_model__model__model__layers__0__q__lora_A__default__weight=np.ones(1))
    with pytest.raises(ConversionError, match="was not merged"), open_checkpoint(tmp_path):
        pass


def test_two_names_of_one_tensor_are_refused(tmp_path: Path) -> None:
    one = np.ones(1, np.float32)
    write(tmp_path, a__weight=one, _orig_mod__a__weight=one)
    with (
        pytest.raises(ConversionError, match=r"are both the tensor 'a\.weight'"),
        open_checkpoint(tmp_path),
    ):
        pass


def test_the_text_model_of_a_multimodal_folder_keeps_its_names(tmp_path: Path) -> None:
    one = np.ones(1, np.float32)
    name = "language_model.model.embed_tokens.weight"
    (tmp_path / "model.safetensors").write_bytes(
        safetensors({name: one, "language_model.model.layers.0.x.weight": one, "vision.x": one})
    )
    with open_checkpoint(tmp_path) as tensors:
        assert name in tensors
        assert tensors.notes == ()
