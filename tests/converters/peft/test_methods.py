"""Tensors of the other methods that do not belong together, or not to the base, are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.forms.fitting import find_targets
from hivellm_lite.converters.forms.lora import convert_lora
from hivellm_lite.converters.forms.merging import merged
from hivellm_lite.converters.forms.weights import gguf_weights
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


VERA = {"peft_type": "VERA", "r": None, "lora_alpha": None}
BANK = "base_model.vblora_vector_bank"


@pytest.mark.parametrize(
    ("tensors", "config", "rule"),
    [
        (
            {f"{P}.lora_A": ones(2, 64), f"{P}.lora_B": ones(64, 2), f"{P}.lora_E": ones(3, 1)},
            {"peft_type": "ADALORA"},
            r"lora_E has shape \[3, 1\], expected \[2, 1\]",
        ),
        (
            {f"{P}.vera_lambda_d": ones(2), f"{P}.vera_lambda_b": ones(64)},
            VERA,
            "no vera_A and vera_B, which all modules share",
        ),
        ({f"{P}.vera_lambda_d": ones(2)}, VERA, "has no vera_lambda_b beside it|vera_lambda_b"),
        (
            {
                f"{P}.vera_lambda_d": ones(9),
                f"{P}.vera_lambda_b": ones(64),
                "base_model.vera_A": ones(4, 64),
                "base_model.vera_B": ones(64, 4),
            },
            VERA,
            "vera_A has rank 4, vera_lambda_d 9",
        ),
        (
            {f"{P}.vblora_logits_A": ones(2, 8, 4), f"{P}.vblora_logits_B": ones(8, 2, 4)},
            {"peft_type": "VBLORA"},
            "no vblora_vector_bank",
        ),
        (
            {
                f"{P}.vblora_logits_A": ones(2, 8, 5),
                f"{P}.vblora_logits_B": ones(8, 2, 5),
                BANK: ones(4, 8),
            },
            {"peft_type": "VBLORA"},
            "chooses from 5 vectors, not 4",
        ),
        (
            {
                f"{P}.vblora_logits_A_topk_indices": np.full((2, 8, 2), 4, np.int32),
                f"{P}.vblora_logits_A_topk_weights": ones(2, 8, 1),
                f"{P}.vblora_logits_B_topk_indices": np.zeros((8, 2, 2), np.int32),
                f"{P}.vblora_logits_B_topk_weights": ones(8, 2, 1),
                BANK: ones(4, 8),
            },
            {"peft_type": "VBLORA"},
            "names a vector beyond the 4 of the bank",
        ),
        (
            {
                f"{P}.vblora_logits_A_topk_indices": np.zeros((2, 8, 2), np.int32),
                f"{P}.vblora_logits_B_topk_indices": np.zeros((8, 2, 2), np.int32),
                BANK: ones(4, 8),
            },
            {"peft_type": "VBLORA"},
            "has no vblora_logits_A_topk_weights beside it",
        ),
        (
            {f"{P}.randlora_lambda": ones(4, 16), f"{P}.randlora_gamma": ones(16, 64)},
            {"peft_type": "RANDLORA"},
            r"no randlora_A(.|\n)*save_projection=True",
        ),
        ({f"{P}.oft_R.weight": ones(8, 27)}, {"peft_type": "OFT"}, "27 values, which is no tria"),
        (
            {f"{P}.oft_R.weight": ones(8, 28)},
            {"peft_type": "OFT", "num_cayley_neumann_terms": 65},
            "num_cayley_neumann_terms is 65; 64 are allowed",
        ),
        (
            {f"{P}.boft_R": ones(1, 8, 8, 4), f"{P}.boft_s": ones(64, 1)},
            {"peft_type": "BOFT"},
            r"boft_R has shape \[1, 8, 8, 4\]",
        ),
        (
            {f"{P}.boft_R": ones(3, 2, 32, 32), f"{P}.boft_s": ones(64, 1)},
            {"peft_type": "BOFT"},
            "boft_R has shape",
        ),
        (
            {f"{P}.road_theta": ones(31), f"{P}.road_alpha": ones(31)},
            {"peft_type": "ROAD", "group_size": 16},
            "31 angles and 31 factors of road_1 in groups of 16",
        ),
        (
            {f"{P}.road_theta": ones(32), f"{P}.road_alpha": ones(32)},
            {"peft_type": "ROAD", "variant": "road_3"},
            "variant is 'road_3'",
        ),
        ({f"{P}.miss_block": ones(4, 8, 7)}, {"peft_type": "MISS", "init_weights": "bat"},
         "expected square blocks"),
        (
            {f"{P}.gralora_A": ones(2, 32, 5), f"{P}.gralora_B": ones(2, 5, 32)},
            {"peft_type": "GRALORA"},
            "gralora_A .* and gralora_B .* do not fit",
        ),
        (
            {f"{P}.shira_weight": ones(5), f"{P}.shira_indices": np.zeros((2, 4), np.int32)},
            {"peft_type": "SHIRA"},
            r"5 values at places of shape \[2, 4\]",
        ),
        (
            {f"{P}.shira_weight": ones(2), f"{P}.shira_indices": ones(2, 2) / 2},
            {"peft_type": "SHIRA"},
            "holds values that are no integers",
        ),
        ({f"{P}.shira_weight": ones(5)}, {"peft_type": "SHIRA"}, "has no shira_indices"),
        (
            {"base_model.model.model.embed_tokens.trainable_tokens_delta": ones(2, 64)},
            {"peft_type": "TRAINABLE_TOKENS", "token_indices": [1, 2, 3]},
            "2 trained rows, but token_indices has 3 tokens",
        ),
        (
            {"base_model.model.model.embed_tokens.trainable_tokens_delta": ones(2, 64)},
            {"peft_type": "TRAINABLE_TOKENS", "token_indices": [1, 1]},
            "names an index twice",
        ),
        (
            {"base_model.model.model.embed_tokens.trainable_tokens_delta": ones(2, 64)},
            {"peft_type": "TRAINABLE_TOKENS", "token_indices": [-1, 1]},
            "0 to .* are possible",
        ),
    ],
)  # fmt: skip
def test_tensors_of_a_method_that_do_not_belong_together_are_refused(
    tensors: dict[str, Array], config: dict[str, object], rule: str, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=rule):
        read_adapter(*write_adapter(tmp_path, tensors, **config))


@pytest.mark.parametrize(
    ("tensors", "config", "rule"),
    [
        ({f"{P}.oft_R.weight": ones(7, 28)}, {"peft_type": "OFT"}, "7 blocks of 8 inputs"),
        ({f"{P}.hra_u": ones(63, 2)}, {"peft_type": "HRA"}, "reflections of 63 inputs"),
        ({f"{P}.c3a_kernel": ones(8, 9, 8)}, {"peft_type": "C3A"}, r"has shape \[64, 72\]"),
        ({f"{P}.miss_block": ones(8, 63)}, {"peft_type": "MISS"}, "a block of shape"),
        ({f"{P}.fourierft_spectrum": ones(5000)}, {"peft_type": "FOURIERFT"}, "5000 frequencies"),
        (
            {
                f"{P}.shira_weight": ones(2),
                f"{P}.shira_indices": np.array([[0, 63], [0, 64]], np.int32),
            },
            {"peft_type": "SHIRA"},
            r"a place \[63, 64\] outside of a weight \[64, 64\]",
        ),
        (
            {f"{P}.shira_weight": ones(1), f"{P}.shira_indices": np.full((2, 1), -1, np.int32)},
            {"peft_type": "SHIRA"},
            "outside of a weight",
        ),
        (
            {"base_model.model.model.embed_tokens.trainable_tokens_delta": ones(1, 64)},
            {"peft_type": "TRAINABLE_TOKENS", "token_indices": [500]},
            "token 500 of a vocabulary of 500",
        ),
        ({f"{P}.road_theta": ones(16), f"{P}.road_alpha": ones(16)},
         {"peft_type": "ROAD", "group_size": 16}, "angles for 32 outputs"),
        (
            {name: np.ones_like(values) for name, values in lora(Q0, rank=65).items()},
            {"r": 65, "init_lora_weights": "pissa"},
            "an initial part of rank 65",
        ),
    ],
)  # fmt: skip
def test_a_method_that_does_not_fit_the_base_says_what_it_has(
    tensors: dict[str, Array],
    config: dict[str, object],
    rule: str,
    tmp_path: Path,
    base: GGUFHeader,
) -> None:
    adapter = read_adapter(*write_adapter(tmp_path, tensors, **config))
    with pytest.raises(ConversionError, match=rule):
        find_targets(adapter, base)


def test_projections_out_of_proportion_are_refused(tmp_path: Path, base: GGUFHeader) -> None:
    tensors = {f"{P}.vera_lambda_d": ones(1 << 21), f"{P}.vera_lambda_b": ones(64)}
    adapter = read_adapter(*write_adapter(tmp_path, tensors, **VERA, save_projection=False))
    with pytest.raises(ConversionError, match="larger than any adapter needs"):
        find_targets(adapter, base)


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


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("tensors", "config"),
    [
        ({f"{P}.hra_u": np.zeros((64, 2), np.float32)}, {"peft_type": "HRA"}),
        (
            {
                f"{P}.lora_A": ones(2, 64) * 1e38,
                f"{P}.lora_B": ones(64, 2) * 1e38,
                f"{P}.lora_E": ones(2, 1) * 1e38,
            },
            {"peft_type": "ADALORA"},
        ),
        (
            {
                f"{P}.vera_lambda_d": ones(2) * 3e38,
                f"{P}.vera_lambda_b": ones(64) * 3e38,
                "base_model.vera_A": ones(2, 64) * 3e38,
                "base_model.vera_B": ones(64, 2),
            },
            VERA,
        ),
    ],
    ids=["HRA", "AdaLoRA", "VeRA"],
)
def test_numbers_out_of_range_are_errors_without_warnings(
    tensors: dict[str, Array], config: dict[str, object], tmp_path: Path, base: GGUFHeader
) -> None:
    adapter = read_adapter(*write_adapter(tmp_path, tensors, **config))
    with gguf_weights(base.path) as source:
        (target, update), *_ = find_targets(adapter, base)
        with pytest.raises(ConversionError, match="NaN or infinite"):
            merged(target, [update], source)
    if adapter.is_lora:
        with pytest.raises(ConversionError, match="exceed the range"):
            convert_lora(adapter, base, tmp_path / "adapter.gguf")
