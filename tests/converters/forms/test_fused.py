"""Adapters for projections that are apart on fused ones, and the other way round."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hivellm_lite.converters import Adapter, GGUFHeader, read_adapter, read_gguf_header
from hivellm_lite.converters.forms.fitting import find_targets
from hivellm_lite.converters.forms.lora import convert_lora
from hivellm_lite.converters.forms.merging import merged
from hivellm_lite.converters.forms.weights import gguf_weights

from hivellm_lite.errors import ConversionError

from ...support import llama
from ...support.model_files import Array, write_adapter
from ...support.paths import FIXTURES

LAYER = "base_model.model.model.layers.0."
FUSED = {
    "self_attn.qkv_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
}
RNG = np.random.default_rng(5)
TOKENS = np.load(FIXTURES / "reference.npz")["tiny-llama/ids/0"]


def random(*shape: int) -> Array:
    return 0.3 * RNG.standard_normal(shape, np.float32)


def sizes_of(header: GGUFHeader, fused: str) -> list[int]:
    """The rows of each part, from the shapes of the base or, where it is fused, its config."""
    heads, kv = (header.hyper_parameter(f"attention.head_count{end}") for end in ("", "_kv"))
    names = {"self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up"}
    tensor = header.tensors.get(f"blk.0.{names[fused]}.weight")
    if fused == "mlp.gate_up_proj":
        n = header.hyper_parameter("feed_forward_length")
        return [n, n]
    if tensor is not None:
        size = tensor.shape[0] // (heads + 2 * kv)
        return [heads * size, kv * size, kv * size]
    return [header.tensors[f"blk.0.attn_{one}.weight"].shape[0] for one in "qkv"]


def pair(header: GGUFHeader, *, dora: bool) -> tuple[dict[str, Array], dict[str, Array]]:
    """The same adapter with its projections fused and apart."""
    n_in = header.hyper_parameter("embedding_length")
    fused, apart = {}, {}
    for whole, parts in FUSED.items():
        sizes = sizes_of(header, whole)
        a, b, magnitude = random(2, n_in), random(sum(sizes), 2), 1 + np.abs(random(sum(sizes)))
        starts = np.cumsum([0, *sizes])
        for name, rows in [(whole, slice(None))] + [
            (part, slice(starts[i], starts[i + 1])) for i, part in enumerate(parts)
        ]:
            goal = fused if name == whole else apart
            goal[f"{LAYER}{name}.lora_A.weight"] = a
            goal[f"{LAYER}{name}.lora_B.weight"] = np.ascontiguousarray(b[rows])
            if dora:
                goal[f"{LAYER}{name}.lora_magnitude_vector"] = magnitude[rows].copy()
    return fused, apart


def results(adapter: Adapter, whole: Path) -> dict[str, Array]:
    with gguf_weights(whole) as source:
        return {
            target.gguf_name: merged(target, [update], source)
            for target, update in find_targets(adapter, source.header)
        }


@pytest.mark.parametrize("dora", [False, True], ids=["LoRA", "DoRA"])
@pytest.mark.parametrize("base", ["tiny-phi3", "tiny-llama", "tiny-qwen3"])
def test_both_layouts_change_the_same_weights(
    base: str, dora: bool, split_base: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    whole = split_base(base)[0].with_name("whole.gguf")
    found = [
        results(read_adapter(*write_adapter(tmp_path, tensors, use_dora=dora)), whole)
        for tensors in pair(read_gguf_header(whole), dora=dora)
    ]
    assert found[0].keys() == found[1].keys()
    assert len(found[0]) == (2 if base == "tiny-phi3" else 5)
    for name, values in found[0].items():
        np.testing.assert_allclose(found[1][name], values, atol=1e-5)


@pytest.mark.parametrize("base", ["tiny-phi3", "tiny-llama"])
def test_both_layouts_give_the_same_logits_as_a_lora(
    base: str, split_base: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    whole = split_base(base)[0].with_name("whole.gguf")
    header = read_gguf_header(whole)
    rows = [llama.logits(whole, TOKENS)]
    for tensors in pair(header, dora=False):
        adapter = read_adapter(*write_adapter(tmp_path, tensors))
        convert_lora(adapter, header, tmp_path / "adapter.gguf")
        rows.append(llama.logits(whole, TOKENS, tmp_path / "adapter.gguf"))
    assert np.abs(rows[1] - rows[0]).max() > 0.5
    np.testing.assert_allclose(rows[2], rows[1], atol=1e-3)


def test_a_method_without_rows_of_its_own_is_computed_on_the_whole(
    split_base: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    whole = split_base("tiny-llama")[0].with_name("whole.gguf")
    w1, w2 = random(8, 8), random(16, 8)
    tensors = {
        f"{LAYER}self_attn.qkv_proj.lokr_w1": w1,
        f"{LAYER}self_attn.qkv_proj.lokr_w2": w2,
    }
    adapter = read_adapter(*write_adapter(tmp_path, tensors, peft_type="LOKR", alpha=2))
    delta = np.kron(w1, w2)
    with gguf_weights(whole) as source:
        for target, update in find_targets(adapter, source.header):
            rows = {"attn_q": (0, 64), "attn_k": (64, 96), "attn_v": (96, 128)}
            start, stop = rows[target.gguf_name.split(".")[2]]
            changed = merged(target, [update], source) - source.read(target)
            np.testing.assert_allclose(changed, delta[start:stop], atol=1e-5)


def test_a_method_that_needs_all_rows_is_refused_by_name(
    split_base: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    header = read_gguf_header(split_base("tiny-llama")[0].with_name("whole.gguf"))
    tensors = {
        f"{LAYER}self_attn.qkv_proj.road_theta": random(64),
        f"{LAYER}self_attn.qkv_proj.road_alpha": random(64),
    }
    adapter = read_adapter(*write_adapter(tmp_path, tensors, peft_type="ROAD", group_size=16))
    with pytest.raises(ConversionError, match="RoAd mixes outputs") as caught:
        find_targets(adapter, header)
    assert "another base" not in str(caught.value)


def test_fused_rows_that_the_parts_do_not_have_are_refused(
    split_base: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    header = read_gguf_header(split_base("tiny-llama")[0].with_name("whole.gguf"))
    tensors = {
        f"{LAYER}self_attn.qkv_proj.lora_A.weight": random(2, 64),
        f"{LAYER}self_attn.qkv_proj.lora_B.weight": random(160, 2),
    }
    adapter = read_adapter(*write_adapter(tmp_path, tensors))
    with pytest.raises(ConversionError, match=r"shape \[160, 64\], not \[128, 64\]"):
        find_targets(adapter, header)
