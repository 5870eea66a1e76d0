"""Names and layouts of other trainers lead to the same adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hivellm_lite.converters.peft.adapter import Adapter, read_adapter
from hivellm_lite.converters.peft.names import sort_names
from hivellm_lite.converters.peft.updates import Dora, LowRank, Replaced

from hivellm_lite.errors import ConversionError

from ...support.model_files import Array, lora, safetensors, write_adapter

Q = "model.layers.0.self_attn.q_proj"
HEAD = "base_model.model.lm_head"
PATH = Path("adapter_model.safetensors")


def values(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def read(folder: Path, tensors: dict[str, Array], **config: Any) -> Adapter:
    return read_adapter(*write_adapter(folder, tensors, **config))


# --- modules saved whole ---------------------------------------------------------------


@pytest.mark.parametrize("adapter", ["", ".default"])
def test_of_a_saved_modules_three_keys_the_one_that_peft_loads_counts(
    adapter: str, tmp_path: Path
) -> None:
    tensors = {
        f"{HEAD}.modules_to_save{adapter}.weight": values(5, 4, seed=1),
        f"{HEAD}.original_module.weight": values(5, 4, seed=2),
        f"{HEAD}.weight": values(5, 4, seed=3),
    }
    found = read(tmp_path, tensors)
    (tensor,) = found.tensors
    assert (tensor.module, tensor.method) == ("lm_head", "modules saved whole")
    np.testing.assert_array_equal(tensor.update.apply(values(5, 4)), tensors[f"{HEAD}.weight"])
    assert {name for name, _ in found.ignored} == tensors.keys() - {f"{HEAD}.weight"}


def test_a_saved_module_without_the_plain_key_is_used(tmp_path: Path) -> None:
    tensors = {f"{HEAD}.modules_to_save.weight": values(5, 4), **lora(Q)}
    update = read(tmp_path, tensors).tensors[0].update
    assert isinstance(update, Replaced)
    np.testing.assert_array_equal(update.apply(values(5, 4, seed=9)), values(5, 4))


def test_two_adapters_of_one_saved_module_are_refused(tmp_path: Path) -> None:
    names = [f"{HEAD}.modules_to_save.{adapter}.weight" for adapter in ("a", "b")]
    with pytest.raises(ConversionError, match="same tensor"):
        read(tmp_path, {name: values(5, 4) for name in names})


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("model.language_model.", "model.language_model.layers.0.self_attn.q_proj"),
        ("language_model.model.", r"language_model\.model\.layers\.\d+\.self_attn\.q_proj"),
        ("_orig_mod.model.", "_orig_mod.model.layers.0.self_attn.q_proj"),
        ("model.language_model.", "q_proj"),
    ],
)
def test_patterns_mean_the_names_of_the_training(prefix: str, key: str, tmp_path: Path) -> None:
    module = f"{prefix}layers.0.self_attn.q_proj"
    found = read(tmp_path, lora(module), rank_pattern={key: 2}, alpha_pattern={key: 3}, r=8)
    (tensor,) = found.tensors
    assert tensor.module == Q
    assert tensor.update.scale == 1.5


# --- parts of multimodal models --------------------------------------------------------


def test_what_text_does_not_pass_through_is_ignored_and_told(tmp_path: Path) -> None:
    vision = "model.vision_tower.vision_model.encoder.layers.0.self_attn.q_proj"
    found = read(tmp_path, {**lora(Q), **lora(vision, "model.multi_modal_projector.linear")})
    assert [tensor.module for tensor in found.tensors] == [Q]
    assert len(found.ignored) == 4
    (note,) = found.notes
    assert "and 3 more" in note
    assert "text does not pass through" in note


def test_an_adapter_of_other_parts_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="holds no LoRA tensors"):
        read(tmp_path, lora("model.visual.blocks.0.attn.qkv"))


# --- mlx-lm ----------------------------------------------------------------------------


def write_mlx(folder: Path, tensors: dict[str, Array], **config: Any) -> Adapter:
    weights, path = folder / "adapters.safetensors", folder / "adapter_config.json"
    weights.write_bytes(safetensors(tensors))
    kind = {"fine_tune_type": "lora", "lora_parameters": {"rank": 3, "scale": 20.0, "dropout": 0.0}}
    path.write_text(json.dumps({"num_layers": 16, "model": "org/base", **kind, **config}))
    return read_adapter(weights, path)


def test_a_lora_of_mlx_is_the_same_as_pefts_transposed(tmp_path: Path) -> None:
    a, b = values(8, 3), values(6, 3, seed=1)
    found = write_mlx(tmp_path, {f"{Q}.lora_a": a, f"{Q}.lora_b": b.T.copy()})
    (tensor,) = found.tensors
    assert found.is_lora
    weight = values(6, 8, seed=2)
    np.testing.assert_allclose(tensor.update.apply(weight), weight + 20 * (b @ a.T), rtol=1e-4)


def test_a_lora_of_mlx_on_the_embedding_is_found(tmp_path: Path) -> None:
    tensors = {
        "model.embed_tokens.lora_a": values(50, 3),
        "model.embed_tokens.lora_b": values(3, 6, seed=1),
    }
    update = write_mlx(tmp_path, tensors).tensors[0].update
    assert isinstance(update, LowRank)
    assert update.is_embedding
    expected = 20 * (tensors["model.embed_tokens.lora_a"] @ tensors["model.embed_tokens.lora_b"])
    np.testing.assert_allclose(update.apply(np.zeros((50, 6), np.float32)), expected, rtol=1e-4)


def test_a_dora_of_mlx_has_its_magnitudes(tmp_path: Path) -> None:
    tensors = {
        f"{Q}.lora_a": values(8, 3),
        f"{Q}.lora_b": values(3, 6, seed=1),
        f"{Q}.m": np.abs(values(6, seed=2)),
    }
    found = write_mlx(tmp_path, tensors, fine_tune_type="dora")
    assert found.methods == ("DoRA",)
    update = found.tensors[0].update
    assert isinstance(update, Dora)
    moved = update.apply(values(6, 8, seed=3))
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), tensors[f"{Q}.m"], rtol=1e-4)


def test_a_whole_fine_tune_of_mlx_replaces_weights(tmp_path: Path) -> None:
    config = {"fine_tune_type": "full", "lora_parameters": {}}
    found = write_mlx(tmp_path, {f"{Q}.weight": values(6, 8)}, **config)
    assert found.methods == ("modules saved whole",)


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        ({"fine_tune_type": "qora"}, "fine_tune_type is 'qora', expected lora, dora or full"),
        ({"lora_parameters": [3]}, r"lora_parameters is \[3\], expected an object"),
        ({"lora_parameters": {"rank": 3}}, "lora_parameters: scale is None, expected a number"),
        ({"lora_parameters": {"rank": 0, "scale": 1}}, "rank is 0, expected a positive integer"),
        ({"lora_parameters": {"rank": 4, "scale": 1}}, "has rank 3, but .* says 4"),
    ],
)
def test_a_config_of_mlx_that_makes_no_sense_is_refused(
    config: dict[str, Any], rule: str, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=rule):
        write_mlx(tmp_path, {f"{Q}.lora_a": values(8, 3), f"{Q}.lora_b": values(3, 6)}, **config)


# --- adapters that change nothing ------------------------------------------------------


@pytest.mark.parametrize(
    ("tensors", "config"),
    [
        ({name: t * ("lora_A" in name) for name, t in lora(Q).items()}, {}),
        (lora(Q), {"lora_alpha": 0}),
        ({f"base_model.model.{Q}.ia3_l": np.ones((64, 1), np.float32)}, {"peft_type": "IA3"}),
        (
            {
                f"base_model.model.{Q}.lokr_w1": np.zeros((8, 8), np.float32),
                f"base_model.model.{Q}.lokr_w2": values(8, 8),
            },
            {"peft_type": "LOKR", "alpha": 4},
        ),
    ],
    ids=["B is zero", "alpha is zero", "factors of one", "LoKr"],
)
def test_an_adapter_that_changes_nothing_is_noted(
    tensors: dict[str, Array], config: dict[str, Any], tmp_path: Path
) -> None:
    assert "changes nothing" in read(tmp_path, tensors, **config).notes[0]


def test_an_adapter_that_changes_one_module_is_not_noted(tmp_path: Path) -> None:
    tensors = lora(Q, Q.replace("q_proj", "k_proj"))
    tensors[f"base_model.model.{Q}.lora_B.weight"][:] = 0
    assert read(tmp_path, tensors).notes == ()


# --- names -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "lora_A", "lora_A.weight", ".lora_A.weight", "base_model.model.lora_A"),
        *(f"{Q}.lora_A.x.y.weight", f"{Q}.lora_A.weight.x", f"{Q}.lora_A\n.weight", "weight"),
        *(f"{Q}.base_layer.weight", f"{Q}.modules_to_save.a.b.weight", "vera_A.x.y", "q é.weight"),
    ],
)
def test_names_that_no_trainer_writes_are_refused(name: str) -> None:
    with pytest.raises(ConversionError, match="is not a tensor of a PEFT adapter"):
        sort_names([name], PATH)


def test_a_tensor_that_all_modules_share_is_kept_apart() -> None:
    names = [f"{Q}.vera_lambda_b", f"{Q}.vera_lambda_d", "base_model.vera_A", "base_model.vera_B"]
    found = sort_names(names, PATH)
    assert set(found.shared) == {"vera_A", "vera_B"}
    assert set(found.modules) == {Q}
