from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hivellm_lite.converters.architectures import ARCHITECTURES
from hivellm_lite.converters.base.config import ModelConfig, read_model_config
from hivellm_lite.converters.base.rope import rope_metadata

from hivellm_lite.errors import ConversionError

from ...support.model_files import change_json, copy_model
from ...support.paths import MODELS


def config(folder: Path, **changes: Any) -> ModelConfig:
    return read_model_config(copy_model("tiny-llama", folder, **changes))


def test_sizes_are_read() -> None:
    found = read_model_config(MODELS / "tiny-qwen3")
    assert found.sizes == {
        "hidden": 64,
        "feed_forward": 96,
        "heads": 4,
        "kv_heads": 2,
        "head_dim": 32,
        "rotary": 32,
        "layers": 2,
        "vocab": 516,
    }
    assert (len(found.kinds), found.n_context, found.tied_head) == (2, 512, True)
    assert (found.architecture.name, found.rope.kind) == ("qwen3", "default")


def test_old_configs_leave_things_out(tmp_path: Path) -> None:
    found = config(tmp_path, head_dim=None, num_key_value_heads=None, rope_parameters=None)
    assert (found.sizes["head_dim"], found.sizes["kv_heads"]) == (16, 4)
    assert (found.rope.kind, found.rope.theta) == ("default", 10000.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"rope_parameters": {"rope_type": "default", "rope_theta": 777.0}},
        {"rope_parameters": None, "rope_theta": 777.0, "rope_scaling": None},
        {"rope_parameters": None, "rope_theta": 777, "rope_scaling": {"type": "default"}},
    ],
)
def test_rope_theta_is_found_where_each_version_puts_it(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    assert config(tmp_path, **changes).rope.theta == 777


@pytest.mark.parametrize("kind", ["dynamic", "longrope", "ntk-by-parts", "new"])
def test_other_rope_scalings_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=f"RoPE scaling '{kind}' is not supported for llama"):
        config(tmp_path, rope_parameters={"rope_type": kind, "rope_theta": 1e4, "factor": 2.0})


def test_llama3_scaling_is_refused_where_llama_cpp_has_none(tmp_path: Path) -> None:
    folder = copy_model("tiny-qwen3", tmp_path, rope_parameters={"rope_type": "llama3"})
    with pytest.raises(ConversionError, match="'llama3' is not supported for qwen3"):
        read_model_config(folder)


LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 1e4,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"architectures": None}, "architectures does not name"),
        ({"architectures": []}, "architectures does not name"),
        ({"architectures": ["MambaForCausalLM"]}, "'MambaForCausalLM' is not supported"),
        ({"hidden_size": None}, "hidden_size is None, expected a positive integer"),
        ({"vocab_size": -1}, "vocab_size is -1"),
        ({"intermediate_size": 1.5}, "intermediate_size is 1.5"),
        ({"num_hidden_layers": 20_000}, "20000 layers"),
        ({"num_hidden_layers": 2**40}, "num_hidden_layers is"),
        ({"num_key_value_heads": 3}, "cannot share 3 key-value heads"),
        ({"head_dim": 15}, "heads of size 15"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps is 'small', expected a number"),
        ({"rms_norm_eps": 0}, "rms_norm_eps is 0, expected a positive number"),
        ({"rms_norm_eps": 1e-300}, "rms_norm_eps is 1e-300, expected a positive number"),
        ({"rope_theta": 10**400, "rope_parameters": None}, "rope_theta is 1000"),
        ({"rope_theta": float("nan"), "rope_parameters": None}, "rope_theta is nan"),
        ({"hidden_size": 2, "head_dim": None}, "head_dim is 0"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu' is not supported for llama, only silu"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"quantization_config": {"quant_method": "hqq"}}, r"is quantised \(hqq\).*\nConvert"),
        ({"quantization_config": "x"}, "quantization_config is not an object"),
        ({"rope_parameters": [1]}, "RoPE parameters are not an object"),
        ({"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4}}, "factor is None"),
        ({"rope_parameters": {"rope_theta": -1}}, "rope_theta is -1"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ({"rope_parameters": {**LLAMA3, "low_freq_factor": None}}, "low_freq_factor is None"),
        ({"rope_parameters": {**LLAMA3, "low_freq_factor": 4.0}}, "are equal"),
    ],
)
def test_a_config_that_cannot_be_converted_is_refused(
    changes: dict[str, Any], rule: str, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=rule):
        config(tmp_path, **changes)


YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}
LONG = {"rope_type": "longrope", "short_factor": [1.0] * 6, "long_factor": [2.0] * 6}


@pytest.mark.parametrize(
    ("name", "changes", "rule"),
    [
        ("tiny-qwen3", {"rope_parameters": {**YARN, "factor": None}}, "factor is None"),
        (
            "tiny-qwen3",
            {"rope_parameters": {**YARN, "attention_factor": 1.0}},
            "attention_factor is 1, llama.cpp uses 1.1386",
        ),
        ("tiny-qwen3", {"rope_parameters": {**YARN, "mscale": 1.0}}, "YaRN with mscale"),
        ("tiny-qwen3", {"rope_parameters": {**YARN, "truncate": False}}, "without truncate"),
        ("tiny-qwen2", {"head_dim": 32}, "4 heads of size 32 do not make the hidden size 64"),
        ("tiny-qwen3", {"mlp_bias": True}, "mlp_bias is not supported for qwen3"),
        ("tiny-phi4", {"rope_parameters": {**LONG, "long_factor": [1.0]}}, "list of 8 numbers"),
        (
            "tiny-phi4",
            {"rope_parameters": {**LONG, "partial_rotary_factor": 0.75, "long_factor": [0] * 6}},
            "long_factor is 0, expected a positive number",
        ),
        ("tiny-phi4", {"partial_rotary_factor": 2}, "factor 2 of 16 is not an even number"),
        ("tiny-phi3", {"rope_parameters": YARN}, "'yarn' is not supported for phi3, only default"),
        ("tiny-gemma2", {"query_pre_attn_scalar": 64}, "is 64, but llama.cpp computes with 32"),
        ("tiny-gemma2", {"tie_word_embeddings": False}, "a head of its own is not supported"),
        ("tiny-gemma2", {"sliding_window": None}, "sliding_window is None"),
        ("tiny-gemma2", {"final_logit_softcapping": None}, "final_logit_softcapping is None"),
        ("tiny-gemma2", {"hidden_activation": "silu"}, "only gelu_pytorch_tanh"),
        ("tiny-gemma3", {"layer_types": ["full_attention"] * 7}, "5 layers of sliding_attention"),
        (
            "tiny-gemma3",
            {"layer_types": None, "sliding_window_pattern": 4},
            "sliding_window_pattern is 4, llama.cpp computes with 6",
        ),
        ("tiny-gemma3", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ("tiny-gemma3", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
        (
            "tiny-gemma3",
            {"rope_parameters": {"sliding_attention": {"rope_type": "yarn"}}},
            "of the sliding_attention layers",
        ),
    ],
)
def test_what_an_architecture_cannot_do_is_refused(
    name: str, changes: dict[str, Any], rule: str, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=rule):
        read_model_config(copy_model(name, tmp_path, **changes))


def test_the_supported_architectures_are_listed(tmp_path: Path) -> None:
    with pytest.raises(ConversionError) as caught:
        config(tmp_path, architectures=["MambaForCausalLM"])
    for architecture in ARCHITECTURES:
        assert all(name in str(caught.value) for name in architecture.hf_names)


def test_gemma_s_final_soft_cap_is_read(tmp_path: Path) -> None:
    found = read_model_config(copy_model("tiny-gemma3", tmp_path, final_logit_softcapping=30.0))
    assert found.hyper_parameters["final_logit_softcapping"] == 30


def test_yarn_s_numbers_are_read(tmp_path: Path) -> None:
    rope = {**YARN, "attention_factor": 1.1386294, "beta_fast": 16, "beta_slow": 2}
    found = read_model_config(copy_model("tiny-qwen3", tmp_path, rope_parameters=rope)).rope
    assert rope_metadata(found) == {
        "rope.freq_base": 1e4,
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": 4.0,
        "rope.scaling.original_context_length": 512,
        "rope.scaling.yarn_beta_fast": 16.0,
        "rope.scaling.yarn_beta_slow": 2.0,
    }


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 200_000, "\xff"])
def test_a_config_that_is_no_json_object_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text, "latin-1")
    with pytest.raises(ConversionError, match=r"cannot read|not a JSON object"):
        read_model_config(tmp_path)


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"cannot read .*config\.json"):
        read_model_config(tmp_path)


def test_a_huge_config_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(200_000_001)
    with pytest.raises(ConversionError, match="larger than"):
        read_model_config(tmp_path)


def test_a_list_of_end_tokens_stands_for_its_first(tmp_path: Path) -> None:
    folder = copy_model("tiny-llama", tmp_path, eos_token_id=[7, 8])
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [9, 8]}))
    assert read_model_config(folder).token_ids == {"bos": 0, "eos": 9}


@pytest.mark.parametrize(("used", "n_notes"), [(True, 1), (False, 0), (None, 0)])
def test_a_window_is_noted_only_where_it_is_used(
    used: bool | None, n_notes: int, tmp_path: Path
) -> None:
    folder = copy_model("tiny-qwen3", tmp_path, sliding_window=64, use_sliding_window=used)
    assert len(read_model_config(folder).notes) == n_notes


def test_biases_follow_the_config(tmp_path: Path) -> None:
    assert config(tmp_path).biased == frozenset()
    folder = tmp_path / "tiny-llama"
    change_json(folder / "config.json", attention_bias=True)
    assert read_model_config(folder).biased == {f"self_attn.{name}_proj" for name in "qkvo"}


def test_a_vocabulary_that_nobody_has_tokens_for_is_refused(tmp_path: Path) -> None:
    """Each id without a token would become a string: gigabytes, from a few zeros."""
    folder = copy_model("tiny-llama", tmp_path, vocab_size=2_000_000)
    with pytest.raises(ConversionError, match="a vocabulary of 2000000; 1048576 are allowed"):
        read_model_config(folder)
