"""Tensors of the other methods that do not belong together, or not to the base, are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.forms.targets import find_targets
from hivellm_lite.converters.gguf.header import GGUFHeader, read_gguf_header
from hivellm_lite.converters.peft.adapter import read_adapter

from hivellm_lite.errors import ConversionError

from ...support.model_files import Array, lora, write_adapter
from ...support.paths import MODELS

Q0 = "model.layers.0.self_attn.q_proj"
P = f"base_model.model.{Q0}"
LOHA = {"peft_type": "LOHA", "alpha": 4}
LOKR = {"peft_type": "LOKR", "alpha": 4}


def ones(*shape: int) -> Array:
    return np.ones(shape, np.float32)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> GGUFHeader:
    path = tmp_path_factory.mktemp("base") / "tiny-llama.gguf"
    convert_base(MODELS / "tiny-llama", path, quant="f32")
    return read_gguf_header(path)


@pytest.mark.parametrize(
    ("tensors", "config", "rule"),
    [
        ({**lora(Q0), f"{P}.lora_magnitude_vector": ones(63)}, {}, "magnitude has 63 values"),
        ({**lora(Q0), f"{P}.lora_magnitude_vector": ones(8, 8)}, {}, "expected a vector"),
        ({f"{P}.lora_magnitude_vector": ones(64)}, {}, "has no lora_A and lora_B beside it"),
        (lora(Q0), {"use_dora": True}, "says use_dora, but it has no magnitude"),
        ({**lora(Q0), f"{P}.lora_B.bias": ones(3)}, {}, "the bias has 3 values"),
        ({f"{P}.ia3_l": ones(64)}, {"peft_type": "IA3"}, r"expected \(out, 1\) or \(1, in\)"),
        ({f"{P}.ia3_l": ones(8, 8)}, {"peft_type": "IA3"}, "expected .out, 1. or"),
        ({f"{P}.ia3_l": ones(64, 1) * np.nan}, {"peft_type": "IA3"}, "NaN or infinity"),
        (
            {f"{P}.hada_w1_a": ones(64, 2), f"{P}.hada_w1_b": ones(2, 64)},
            LOHA,
            "has no hada_w2_a|holds no|has no hada_w2",
        ),
        (
            {
                f"{P}.hada_w1_a": ones(64, 2),
                f"{P}.hada_w1_b": ones(2, 64),
                f"{P}.hada_w2_a": ones(64, 3),
                f"{P}.hada_w2_b": ones(3, 64),
            },
            LOHA,
            "the four factors do not fit each other",
        ),
        ({f"{P}.lokr_w1": ones(8, 8)}, LOKR, "has no lokr_w2"),
        (
            {
                f"{P}.lokr_w1": ones(8, 8),
                f"{P}.lokr_w2_a": ones(8, 2),
                f"{P}.lokr_w2_b": ones(3, 8),
            },
            LOKR,
            "do not fit",
        ),
        (
            {f"{P}.lokr_w1": ones(8, 8), f"{P}.lokr_w2_a": ones(8, 2)},
            LOKR,
            "has no lokr_w2_b beside it",
        ),
        ({**lora(Q0), f"{P}.ia3_l": ones(64, 1)}, {}, "adapted in several ways at once"),
        ({**lora(Q0), f"{P}.weight": ones(64, 64)}, {}, "adapted in several ways at once"),
        ({**lora(Q0), f"{P}.lora_embedding_A": ones(2, 64)}, {}, "beside it|does not belong"),
        ({f"{P}.bias": ones(0)}, {}, "is empty"),
        (
            {**lora(Q0), "base_model.model.lm_head.base_layer.weight": ones(4, 4)},
            {},
            "has no LoRA beside it",
        ),
    ],
)
def test_tensors_that_do_not_belong_together_are_refused(
    tensors: dict[str, Array], config: dict[str, object], rule: str, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=rule):
        read_adapter(*write_adapter(tmp_path, tensors, **config))


@pytest.mark.parametrize(
    ("tensors", "config", "rule"),
    [
        ({f"{P}.ia3_l": ones(63, 1)}, {"peft_type": "IA3"}, "63 factors for 64"),
        ({f"{P}.ia3_l": ones(1, 63)}, {"peft_type": "IA3"}, "63 factors for 64"),
        (
            {f"{P}.lokr_w1": ones(2, 2), f"{P}.lokr_w2": ones(3, 3)},
            LOKR,
            r"weight has shape \[6, 6\]",
        ),
        (
            {"base_model.model.model.embed_tokens.weight": ones(512, 64)},
            {},
            "a vocabulary of 512 tokens for one end of the model only",
        ),
        (
            {"base_model.model.lm_head.weight": ones(512, 64)},
            {},
            "a vocabulary of 512 tokens for one end of the model only",
        ),
        ({"base_model.model.model.norm.weight": ones(65)}, {}, r"shape \[65\]"),
        (
            {"base_model.model.model.rotary.weight": ones(65)},
            {},
            "not a module of the architecture",
        ),
        ({f"{P}.bias": ones(65)}, {}, r"shape \[65\]"),
        ({"base_model.model.model.layers.0.mlp.experts.weight": ones(9)}, {}, "not a module"),
    ],
)
def test_updates_that_do_not_fit_the_base_are_refused(
    tensors: dict[str, Array],
    config: dict[str, object],
    rule: str,
    tmp_path: Path,
    base: GGUFHeader,
) -> None:
    adapter = read_adapter(*write_adapter(tmp_path, tensors, **config))
    with pytest.raises(ConversionError, match=rule) as caught:
        find_targets(adapter, base)
    of_another_base = "factors" in rule or "shape" in rule
    assert ("trained for another base" in str(caught.value)) == of_another_base


def test_methods_are_named(tmp_path: Path) -> None:
    tensors = {
        **lora(Q0),
        f"{P}.lora_magnitude_vector": ones(64),
        "base_model.model.model.norm.weight": ones(64),
        "base_model.model.model.layers.0.self_attn.k_proj.bias": ones(32),
    }
    adapter = read_adapter(*write_adapter(tmp_path, tensors))
    assert adapter.methods == ("DoRA", "modules saved whole", "trained biases")


WIDE = {
    f"{P}.lokr_w1_a": ones(30_000, 1),
    f"{P}.lokr_w1_b": ones(1, 30_000),
    f"{P}.lokr_w2": ones(1, 1),
}
"""Some 240 kB that stand for a matrix of 3.6 GB."""


def test_a_product_out_of_proportion_is_refused(tmp_path: Path) -> None:
    files = write_adapter(tmp_path, WIDE, **{**LOKR, "r": 1})
    with pytest.raises(ConversionError, match=r"factor of shape \[30000, 30000\] is larger"):
        read_adapter(*files)


def test_shapes_are_compared_with_the_base_before_anything_is_multiplied(
    tmp_path: Path, base: GGUFHeader
) -> None:
    files = write_adapter(tmp_path, WIDE, **{**LOKR, "r": 1})
    outline = read_adapter(*files, values="skip")
    assert outline.tensors[0].update.shape == (30_000, 30_000)
    with pytest.raises(ConversionError, match=r"shape \[30000, 30000\]"):
        find_targets(outline, base)


@pytest.mark.parametrize(
    ("tensors", "config"),
    [
        ({**lora(Q0), f"{P}.lora_magnitude_vector": ones(64)}, {}),
        ({f"{P}.ia3_l": ones(64, 1)}, {"peft_type": "IA3"}),
        ({f"{P}.hada_w{i}_{side}": ones(*shape) for i in (1, 2)
          for side, shape in (("a", (64, 2)), ("b", (2, 64)))}, LOHA),
        ({f"{P}.lokr_w1": ones(8, 8), f"{P}.lokr_w2_a": ones(8, 2), f"{P}.lokr_w2_b": ones(2, 8)},
         LOKR),
    ],
    ids=["DoRA", "IA³", "LoHa", "LoKr"],
)  # fmt: skip
def test_without_its_numbers_an_adapter_has_the_same_shapes(
    tensors: dict[str, Array], config: dict[str, object], tmp_path: Path, base: GGUFHeader
) -> None:
    files = write_adapter(tmp_path, tensors, **config)
    whole = read_adapter(*files)
    for values in ("check", "skip"):
        outline = read_adapter(*files, values=values)
        assert outline.methods == whole.methods
        assert [t.update.shape for t in outline.tensors] == [t.update.shape for t in whole.tensors]
        assert len(find_targets(outline, base)) == len(find_targets(whole, base))


def test_checked_numbers_are_refused_as_kept_ones_are(tmp_path: Path) -> None:
    tensors = lora(Q0)
    tensors[f"{P}.lora_B.weight"][63, 1] = np.inf
    files = write_adapter(tmp_path, tensors)
    with pytest.raises(ConversionError, match="NaN or infinity"):
        read_adapter(*files, values="check")
    assert read_adapter(*files, values="skip").tensors
