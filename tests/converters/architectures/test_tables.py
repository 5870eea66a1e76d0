"""The tables of architectures: what they cover is proven, and what they cannot say is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hivellm_lite.converters.architectures import ARCHITECTURES, architecture_of_gguf
from hivellm_lite.converters.architectures.changes import Change, TiledHeads
from hivellm_lite.converters.architectures.ready import READY
from hivellm_lite.converters.architectures.text_part import left_out, text_names
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.base.config import read_model_config
from hivellm_lite.converters.forms.fitting import find_targets
from hivellm_lite.converters.gguf.header import read_gguf_header
from hivellm_lite.converters.safetensors import SafetensorsFile

from hivellm_lite.errors import ConversionError

from ...support.model_files import change_json, copy_model, safetensors, saved_adapter
from ...support.paths import MODELS, ROOT

CLASSES = {
    json.loads((path / "config.json").read_text())["architectures"][0] for path in MODELS.iterdir()
}


def test_every_table_is_proven_by_a_tiny_model() -> None:
    proven = {read_model_config(path).architecture.name for path in MODELS.iterdir()}
    proven.add("gemma3n")  # in test_gemma3n.py
    assert proven == {architecture.name for architecture in ARCHITECTURES}


def test_the_page_of_architectures_has_every_proven_class() -> None:
    page = (ROOT / "docs" / "architectures.md").read_text()
    assert [name for name in sorted(CLASSES) if f"| `{name}` |" not in page] == []


def test_no_ready_architecture_has_a_table_too() -> None:
    assert {architecture.name for architecture in ARCHITECTURES} & READY == set()


def test_value_heads_are_tiled_behind_the_keys() -> None:
    sizes = {"k": 2, "v": 4}
    assert TiledHeads("k", "v")(8, sizes).tolist() == [0, 1, 4, 5, 2, 3, 6, 7]
    behind = TiledHeads("k", "v", after_keys=True)(8, sizes).tolist()
    assert behind == [0, 1, 2, 3, 4, 6, 5, 7]
    with pytest.raises(ConversionError, match="9 rows cannot be 4 heads for 2 keys"):
        TiledHeads("k", "v")(9, sizes)
    with pytest.raises(ConversionError, match="cannot be 3 heads for 2 keys"):
        TiledHeads("k", "v")(9, {"k": 2, "v": 3})


def test_a_change_of_shape_and_values() -> None:
    assert Change(squeezed=True).shape((6, 1, 4), {}) == (6, 4)
    assert Change(as_column=True).shape((6,), {}) == (6, 1)
    assert Change(groups="n").shape((6,), {"n": 2}) == (2, 3)
    with pytest.raises(ConversionError, match="cannot be 4 groups"):
        Change(groups="n").shape((6,), {"n": 4})
    found = Change(negative_exp=True).values(np.array([0.0, 1.0], np.float32))
    np.testing.assert_allclose(found, [-1, -np.e], rtol=1e-6)


def test_both_ways_to_wrap_a_text_model_give_the_names_of_text_alone() -> None:
    names = ["model.language_model.layers.0.x", "language_model.model.norm.w", "lm_head.weight"]
    found = text_names([*names, "language_model.lm_head.bias"])
    assert list(found) == ["model.layers.0.x", "model.norm.w", "lm_head.weight", "lm_head.bias"]
    assert found["model.layers.0.x"] == names[0]
    assert [left_out(name) for name in ("model.vision_tower.a", "visual.b", "model.norm.w")] == [
        "vision_tower",
        "visual",
        None,
    ]


def test_a_part_that_is_neither_text_nor_seen_is_refused(tmp_path: Path) -> None:
    folder = copy_model("tiny-gemma3-whole", tmp_path)
    path = folder / "model.safetensors"
    with SafetensorsFile(path) as file:
        tensors = {name: file.read_float32(name) for name in file.tensors}
    path.write_bytes(safetensors({**tensors, "model.memory.w": np.ones(3, np.float32)}))
    with pytest.raises(ConversionError, match=r"'model\.memory\.w' has no place in gemma3"):
        convert_base(folder, tmp_path / "a.gguf", quant="f16")


def test_the_weights_of_a_layer_that_guesses_ahead_are_left_out(tmp_path: Path) -> None:
    folder = copy_model("tiny-qwen3_5", tmp_path)
    path = folder / "model.safetensors"
    with SafetensorsFile(path) as file:
        tensors = {name: file.read_float32(name) for name in file.tensors}
    path.write_bytes(safetensors({**tensors, "mtp.fc.weight": np.ones((2, 2), np.float32)}))
    convert_base(folder, tmp_path / "a.gguf", quant="f32")
    convert_base(MODELS / "tiny-qwen3_5", tmp_path / "b.gguf", quant="f32")
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_an_expert_that_is_missing_or_of_another_shape_is_named(tmp_path: Path) -> None:
    folder = copy_model("tiny-qwen3-moe", tmp_path)
    path = folder / "model.safetensors"
    with SafetensorsFile(path) as file:
        tensors: dict[str, Any] = {name: file.read_float32(name) for name in file.tensors}
    name = "model.layers.1.mlp.experts.2.up_proj.weight"
    path.write_bytes(safetensors({**tensors, name: np.ones((3, 3), np.float32)}))
    with pytest.raises(ConversionError, match=rf"'{name}' is F32 \[3, 3\]"):
        convert_base(folder, tmp_path / "a.gguf", quant="f16")
    del tensors[name]
    path.write_bytes(safetensors(tensors))
    with pytest.raises(ConversionError, match=rf"'{name}' is missing"):
        convert_base(folder, tmp_path / "a.gguf", quant="f16")


def test_a_class_that_wraps_a_known_text_model_converts_without_being_known(
    tmp_path: Path,
) -> None:
    folder = copy_model("tiny-smolvlm", tmp_path, architectures=["NewForConditionalGeneration"])
    assert convert_base(folder, tmp_path / "a.gguf", quant="f16").architecture == "llama"
    text = json.loads((folder / "config.json").read_text())["text_config"]
    change_json(folder / "config.json", text_config={**text, "model_type": "gemma2"})
    with pytest.raises(ConversionError, match="'NewForConditionalGeneration' is not supported"):
        convert_base(folder, tmp_path / "b.gguf", quant="f16")


def test_a_model_of_granite_4_without_mixers_is_plain_granite(tmp_path: Path) -> None:
    convert_base(MODELS / "tiny-granite4", tmp_path / "a.gguf", quant="f16")
    header = read_gguf_header(tmp_path / "a.gguf")
    assert header.architecture == "granite"
    assert header.tensors["blk.0.ffn_up.weight"].shape == (96, 64)
    assert architecture_of_gguf("granitehybrid").tensor_names("model.layers.0.mlp.up_proj") == ()


def test_a_gemma_4_without_a_cap_says_so(tmp_path: Path) -> None:
    """Without the key llama.cpp would cap its logits at 30."""
    folder = copy_model("tiny-gemma4", tmp_path, final_logit_softcapping=None)
    convert_base(folder, tmp_path / "a.gguf", quant="f16")
    metadata = read_gguf_header(tmp_path / "a.gguf").metadata
    assert metadata["gemma4.final_logit_softcapping"] == 0.0


def test_a_falcon_that_does_not_say_its_multipliers_takes_no_adapter(tmp_path: Path) -> None:
    """As llama.cpp's own converter writes it."""
    convert_base(MODELS / "tiny-falcon-h1", tmp_path / "a.gguf", quant="f16")
    header = read_gguf_header(tmp_path / "a.gguf")
    arrays = {name: a for name, a in header.arrays.items() if "hivellm" not in name}
    adapter = saved_adapter("tiny-falcon-h1", "plain")
    assert find_targets(adapter, header)
    with pytest.raises(ConversionError, match="does not say what its weights were multiplied by"):
        find_targets(adapter, dataclasses.replace(header, arrays=arrays))


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("GptOssForCausalLM", "'GptOssForCausalLM' is not supported: llama.cpp rounds"),
        ("PaliGemmaForConditionalGeneration", "attend in both directions"),
        (
            "RwkvForCausalLM",
            r"'RwkvForCausalLM' is not supported\nSupported are .*Qwen3_5ForCausalLM",
        ),
        ("RwkvForCausalLM", "a ready GGUF file of the model can be the base"),
    ],
)
def test_an_unknown_class_is_refused_with_what_works_instead(
    name: str, rule: str, tmp_path: Path
) -> None:
    folder = copy_model("tiny-llama", tmp_path, architectures=[name])
    with pytest.raises(ConversionError, match=rule):
        read_model_config(folder)


MOE = {"num_local_experts": 8, "num_experts_per_tok": 2}


@pytest.mark.parametrize(
    ("name", "changes", "rule"),
    [
        ("tiny-granite4", MOE, "Granite with experts"),
        ("tiny-granite4-hybrid", MOE, "Granite with experts"),
        ("tiny-granite4-hybrid", {"mamba_expand": 3}, "mamba_expand is 3, llama.cpp has 2"),
        ("tiny-granite4-hybrid", {"mamba_n_heads": 7}, "no 7 heads of the Mamba mixer"),
        ("tiny-granite4-hybrid", {"mamba_proj_bias": True}, "mamba_proj_bias"),
        ("tiny-granite4-hybrid", {"mamba_conv_bias": False}, "always adds the bias"),
        ("tiny-granite4-hybrid", {"layer_types": ["mamba", 3, "mamba"]}, "layer_types has 3"),
        ("tiny-smollm3", {"no_rope_layers": [1, 1, 1, 1]}, "a zero for every fourth layer"),
        ("tiny-smollm3", {"no_rope_layers": [1, 1, 1]}, "expected a list of 4 flags"),
        ("tiny-smollm3", {"attention_bias": True}, "attention_bias is not supported"),
        ("tiny-olmo2", {"tie_word_embeddings": True}, "a tied head is not supported"),
        ("tiny-olmo3", {"layer_types": ["full_attention"]}, "expected a list of 4"),
        ("tiny-exaone4", {"sliding_window": 64}, "with a sliding window"),
        ("tiny-ernie4_5", {"use_bias": True}, "use_bias is not supported"),
        ("tiny-ministral3", {"model_type": "mistral4"}, "text model of type 'mistral4'"),
        ("tiny-ministral3", {"rope_parameters": {"rope_type": "default"}}, "without YaRN"),
        ("tiny-hunyuan", {"rope_parameters": {"rope_type": "dynamic"}}, "'dynamic' is not"),
        ("tiny-lfm2", {"conv_bias": True}, "conv_bias"),
        ("tiny-lfm2", {"layer_types": None, "full_attn_idxs": 3}, "full_attn_idxs is 3"),
        ("tiny-lfm2", {"layer_types": ["conv", "mamba", "conv"]}, "layer_types has 'mamba'"),
        ("tiny-lfm2", {"conv_L_cache": 10**9}, "conv_L_cache is 1000000000"),
        ("tiny-qwen3_5", {"linear_value_head_dim": 8}, "differs from linear_key_head_dim"),
        ("tiny-qwen3_5", {"linear_num_value_heads": 3}, "cannot be 3 heads|asks for"),
        ("tiny-qwen3_5", {"attn_output_gate": False}, "without an output gate"),
        ("tiny-qwen3_5", {"full_attention_interval": 0, "layer_types": None}, "interval is 0"),
        (
            "tiny-qwen3_5",
            {"rope_parameters": {"partial_rotary_factor": 0.25, "mrope_section": [9, 9, 9]}},
            "mrope_section is",
        ),
        ("tiny-qwen3-moe", {"num_local_experts": 4096}, "1024 at most"),
        ("tiny-qwen3-moe", {"norm_topk_prob": False}, "norm_topk_prob is not true"),
        ("tiny-qwen3-moe", {"mlp_only_layers": [0]}, "layers without experts"),
        ("tiny-gemma4", {"enable_moe_block": True}, "with experts"),
        ("tiny-gemma4", {"num_kv_shared_layers": 6}, "num_kv_shared_layers is 6"),
        ("tiny-gemma4", {"num_kv_shared_layers": 1}, "the layers before those that share keys"),
        ("tiny-gemma4", {"vocab_size_per_layer_input": 7}, "vocab_size_per_layer_input is 7"),
        ("tiny-gemma4", {"use_bidirectional_attention": "all"}, "use_bidirectional_attention"),
        (
            "tiny-gemma4",
            {"per_layer_config": {"1": {"head_dim": 32}, "3": {"head_dim": 64}}},
            "several values of head_dim",
        ),
        ("tiny-falcon-h1", {"mamba_norm_before_gate": True}, "mamba_norm_before_gate"),
        ("tiny-falcon-h1", {"tie_word_embeddings": True}, "a multiplier of its own"),
        ("tiny-falcon-h1", {"ssm_multipliers": [1.0]}, "expected a list of 5 numbers"),
        ("tiny-falcon-h1", {"key_multiplier": 0}, "key_multiplier is 0"),
        ("tiny-gemma", {"hidden_act": "silu"}, "hidden_act 'silu' is not supported for gemma"),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(
    name: str, changes: dict[str, Any], rule: str, tmp_path: Path
) -> None:
    folder = copy_model(name, tmp_path, **changes)
    with pytest.raises(ConversionError, match=rule):
        convert_base(folder, tmp_path / "a.gguf", quant="f16")
