from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hivellm_lite.converters.peft.adapter import read_adapter

from hivellm_lite.errors import ConversionError

from ...support.model_files import Array, lora, write_adapter
from ...support.paths import ADAPTERS

Q0, Q10 = "model.layers.0.self_attn.q_proj", "model.layers.10.self_attn.q_proj"
PREFIX = "base_model.model."

REFUSED = {
    "alora": "aLoRA",
    "prompt": "prompt",
    "replication": "layer_replication",
}

ONLY_IN_THE_CONFIG = {"alora", "replication"}


COVERED = {
    "dora": ("DoRA",),
    "ia3": ("IA³",),
    "loha": ("LoHa",),
    "lokr": ("LoKr",),
    "lora-bias": ("LoRA", "a bias on lora_B"),
    "modules-to-save": ("LoRA", "modules saved whole"),
    "adalora": ("AdaLoRA",),
    "oft": ("OFT",),
    "olora": ("OLoRA",),
    "pissa": ("PiSSA",),
    "trainable-tokens": ("LoRA", "trainable tokens"),
    "vera": ("VeRA",),
}


@pytest.mark.parametrize(("name", "methods"), COVERED.items())
def test_what_peft_saved_is_recognised(name: str, methods: tuple[str, ...]) -> None:
    folder = ADAPTERS / "refused" / name
    adapter = read_adapter(folder / "adapter_model.safetensors", folder / "adapter_config.json")
    assert adapter.methods == methods
    assert adapter.is_lora == (name in ("adalora", "vera"))


@pytest.mark.parametrize("name", REFUSED)
def test_what_peft_saved_with_another_method_is_refused_by_name(name: str) -> None:
    folder = ADAPTERS / "refused" / name
    with pytest.raises(ConversionError, match=REFUSED[name]):
        read_adapter(folder / "adapter_model.safetensors", folder / "adapter_config.json")


@pytest.mark.parametrize("name", sorted(set(REFUSED) - ONLY_IN_THE_CONFIG))
def test_the_tensors_alone_betray_another_method(name: str) -> None:
    folder = ADAPTERS / "refused" / name
    with pytest.raises(ConversionError, match=f"{REFUSED[name]}.*not supported yet"):
        read_adapter(folder / "adapter_model.safetensors", r=2, alpha=8)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        (f"{PREFIX}{Q0}.lora_diag.default", "KaSA"),
        (f"{PREFIX}{Q0}.hada_t1", "LoHa on convolutions"),
        (f"{PREFIX}{Q0}.lokr_t2", "LoKr on convolutions"),
        (f"{PREFIX}{Q0}.oft_s", "OFT of a PEFT before 0.14"),
    ],
)
def test_a_tensor_beside_the_pairs_is_refused_by_name(
    name: str, method: str, tmp_path: Path
) -> None:
    tensors = {**lora(Q0), name: np.ones(64, np.float32)}
    with pytest.raises(ConversionError, match=f"{method}.*not supported yet") as caught:
        read_adapter(*write_adapter(tmp_path, tensors))
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["x", f"{PREFIX}{Q0}.lora_C", f"{PREFIX}{Q0}.lora_down.alpha"])
def test_an_unknown_tensor_is_refused(name: str, tmp_path: Path) -> None:
    tensors = {**lora(Q0), name: np.ones(64, np.float32)}
    with pytest.raises(ConversionError, match="is not a tensor of a PEFT adapter"):
        read_adapter(*write_adapter(tmp_path, tensors))


@pytest.mark.parametrize(
    "prefix",
    [
        *("", PREFIX, f"module.{PREFIX}", f"_orig_mod.{PREFIX}", f"_fsdp_wrapped_module.{PREFIX}"),
        *(f"{PREFIX}{PREFIX}", f"{PREFIX}_orig_mod.", f"{PREFIX}module._orig_mod.", "model."),
        *(f"{PREFIX}language_model.", f"{PREFIX}model.language_model.", f"{PREFIX}thinker."),
    ],
)
@pytest.mark.parametrize("adapter", ["", ".default", ".sql_v2"])
def test_modules_are_found_under_every_naming(prefix: str, adapter: str, tmp_path: Path) -> None:
    plain = lora(Q0)
    renamed = {
        name.replace(PREFIX, prefix).replace(".weight", f"{adapter}.weight"): values
        for name, values in plain.items()
    }
    (tensor,) = read_adapter(*write_adapter(tmp_path, renamed)).tensors
    assert (tensor.module, tensor.suffix) == (Q0, ".weight")
    update = tensor.update
    np.testing.assert_array_equal(update.b, plain[f"{PREFIX}{Q0}.lora_B.weight"])
    assert (update.rank, update.scale, update.is_embedding) == (2, 4, False)


def test_modules_come_in_the_order_of_the_layers(tmp_path: Path) -> None:
    q2 = Q0.replace("0", "2")
    adapter = read_adapter(*write_adapter(tmp_path, lora(Q10, q2)))
    assert [tensor.module for tensor in adapter.tensors] == [q2, Q10]


def test_fan_in_fan_out_changes_nothing(tmp_path: Path) -> None:
    """It says how the *base* stores its weight; A and B are the same either way."""
    plain = read_adapter(*write_adapter(tmp_path, lora(Q0)))
    flagged = read_adapter(*write_adapter(tmp_path, lora(Q0), fan_in_fan_out=True))
    np.testing.assert_array_equal(plain.tensors[0].update.a, flagged.tensors[0].update.a)


def test_bias_options_without_bias_tensors_are_harmless(tmp_path: Path) -> None:
    assert read_adapter(*write_adapter(tmp_path, lora(Q0), bias="all")).tensors


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_float_types_become_float32(dtype: Any, tmp_path: Path) -> None:
    tensors = {name: values.astype(dtype) for name, values in lora(Q0).items()}
    (tensor,) = read_adapter(*write_adapter(tmp_path, tensors)).tensors
    update = tensor.update
    assert update.a.dtype == update.b.dtype == np.float32
    np.testing.assert_array_equal(update.a, tensors[f"{PREFIX}{Q0}.lora_A.weight"].astype("f4"))


def test_a_copy_of_the_base_beside_an_embedding_lora_is_noted() -> None:
    folder = ADAPTERS / "tiny-llama" / "embedding"
    adapter = read_adapter(folder / "adapter_model.safetensors", folder / "adapter_config.json")
    name = f"{PREFIX}model.embed_tokens.base_layer.weight"
    assert adapter.base_copies == (("model.embed_tokens", name, (500, 64)),)
    assert [t.update.is_embedding for t in adapter.tensors] == [True, False, False]


def changed(**changes: Array | None) -> dict[str, Array]:
    """A pair for Q0 with its A or B replaced, or removed."""
    tensors: dict[str, Array] = {}
    for name, values in lora(Q0).items():
        side = name.split(".")[-2][-1]
        replacement = changes.get(side, values)
        if replacement is not None:
            tensors[name] = replacement
    return tensors


def full(value: float, *shape: int) -> Array:
    return np.full(shape, value, np.float32)


@pytest.mark.parametrize(
    ("tensors", "rule"),
    [
        ({}, "holds no LoRA tensors"),
        (changed(B=None), "lora_A.weight' has no lora_B beside it"),
        (changed(A=None), "lora_B.weight' has no lora_A beside it"),
        (changed(A=full(1, 3, 64)), "has rank 3, lora_B .* has 2"),
        (changed(A=full(1, 3, 64), B=full(1, 64, 3)), "has rank 3, but .*config.json says 2"),
        (changed(A=full(np.nan, 2, 64)), "lora_A.weight' contains NaN or infinity"),
        (changed(B=full(-np.inf, 64, 2)), "lora_B.weight' contains NaN or infinity"),
        (changed(A=full(1, 0, 64)), "is empty"),
        (changed(A=full(1, 2, 0)), "is empty"),
        (changed(A=full(1, 128)), "expected a matrix"),
        (changed(A=full(1, 2, 64, 1, 1)), "expected a matrix"),
        (changed(A=np.ones((2, 64), np.int32)), "is I32"),
        ({f"{'x' * 300}.lora_A.weight": full(1, 2, 64)}, "is longer than 200"),
        (
            {**lora(Q0), **{n.replace(PREFIX, ""): v for n, v in lora(Q0).items()}},
            "are the same tensor",
        ),
        (
            {**lora(Q0), **{n.replace(".weight", ".b.weight"): v for n, v in lora(Q10).items()}},
            "several adapters",
        ),
    ],
)
def test_damaged_adapters_are_refused(tensors: dict[str, Array], rule: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=rule):
        read_adapter(*write_adapter(tmp_path, tensors))


def test_a_rank_that_contradicts_the_manifest_is_refused(tmp_path: Path) -> None:
    weights, _ = write_adapter(tmp_path, lora(Q0))
    assert read_adapter(weights, r=2, alpha=3).tensors[0].update.scale == 1.5
    with pytest.raises(ConversionError, match="rank 2, but the manifest says 16"):
        read_adapter(weights, r=16, alpha=32)
