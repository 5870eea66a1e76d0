"""Tiny models of the architectures that came after Llama, Qwen 3, Gemma 3 and Phi."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from fixture_adapters import ALL, ATTENTION, lora
from fixture_models import LLAMA3, common, randomise
from fixture_tokenizers import save_tokenizer

__all__ = ["FAMILIES", "FAMILY_FORMS"]


AFTER_GELU = ("post_feedforward_layernorm.weight", "post_per_layer_input_norm.weight")
"""Norms of Gemma 4, which keep the difference of llama.cpp's GELU small; see `randomise`."""


def save(folder: Path, model: torch.nn.Module, seed: int, norm: float = 1.0) -> None:
    randomise(model, seed, norm)
    if model.config.model_type.startswith("gemma4"):
        for name, parameter in model.named_parameters():
            if name.endswith(AFTER_GELU):
                parameter.data.copy_(0.015 * (1 + 0.2 * parameter.data.sign()))
    if model.config.model_type == "gemma":
        for layer in model.model.layers:
            layer.mlp.down_proj.weight.data *= 0.01
    model.to(torch.bfloat16).save_pretrained(folder)


def make(
    name: str, seed: int, kind: str = "qwen2", layers: int = 2, **options: Any
) -> Callable[[Path], None]:
    """A maker of a tiny ``{name}ForCausalLM`` with the tokenizer ``kind``."""

    def write(folder: Path) -> None:
        tokenizer = save_tokenizer(kind, folder)
        usual = common(tokenizer, tokenizer.get_vocab_size())
        usual |= {"num_hidden_layers": layers, "intermediate_size": 64, "pad_token_id": None}
        if name == "HunYuanDenseV1":
            usual["eod_token_id"] = usual["eos_token_id"]
        kind_of_config = "Qwen3_5Text" if name == "Qwen3_5" else name
        config = getattr(transformers, f"{kind_of_config}Config")(**(usual | options))
        save(folder, getattr(transformers, f"{name}ForCausalLM")(config), seed)
        if name == "GraniteMoeHybrid":
            use_published_names(folder / "config.json")

    return write


def use_published_names(path: Path) -> None:
    """Transformers 5 writes other names for the kinds of Granite's layers."""
    text = path.read_text().replace('"linear_attention"', '"mamba"')
    path.write_text(text.replace('"full_attention"', '"attention"'))


def make_gemma3_whole(folder: Path) -> None:
    """A multimodal model, as Gemma 3 4B is: its text model is what we convert."""
    tokenizer = save_tokenizer("gemma", folder)
    text = common(tokenizer, tokenizer.get_vocab_size() + 64)
    text |= {"num_hidden_layers": 6, "sliding_window": 8, "pad_token_id": 0}
    text |= {"head_dim": 16, "query_pre_attn_scalar": 16, "intermediate_size": 32}
    config = transformers.Gemma3Config(
        text_config=text,
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 16,
        },
        mm_tokens_per_image=4,
        boi_token_index=3,
        eoi_token_index=4,
        image_token_index=5,
        dtype="bfloat16",
        attn_implementation="eager",
    )
    save(folder, transformers.Gemma3ForConditionalGeneration(config), 21, norm=0.0)


OLMO3_ROPE = {
    "full_attention": {
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 128,
    },
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
}

MINISTRAL3_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 16.0,
    "original_max_position_embeddings": 8,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}

HUNYUAN_ROPE = {"rope_type": "dynamic", "alpha": 1000.0, "rope_theta": 10000.0, "factor": 1.0}

QWEN3_5_OPTIONS: dict[str, Any] = {
    "head_dim": 32,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.25,
        "mrope_section": [2, 1, 1],
        "mrope_interleaved": True,
    },
}

GRANITE4_OPTIONS: dict[str, Any] = {
    "tie_word_embeddings": True,
    "num_local_experts": 0,
    "num_experts_per_tok": 0,
    "intermediate_size": 96,
    "shared_intermediate_size": 96,
    "position_embedding_type": "rope",
    "attention_multiplier": 0.2,
    "embedding_multiplier": 3.0,
    "residual_multiplier": 0.4,
    "logits_scaling": 2.0,
}


def make_qwen3_5_whole(folder: Path) -> None:
    """The multimodal class of Qwen 3.5, whose published folders all are of it."""
    tokenizer = save_tokenizer("qwen2", folder)
    text = common(tokenizer, tokenizer.get_vocab_size()) | QWEN3_5_OPTIONS
    text |= {"num_hidden_layers": 4, "intermediate_size": 32, "pad_token_id": None}
    config = transformers.Qwen3_5Config(
        text_config=text,
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 64,
            "num_position_embeddings": 16,
        },
        tie_word_embeddings=True,
        dtype="bfloat16",
        attn_implementation="eager",
    )
    save(folder, transformers.Qwen3_5ForConditionalGeneration(config), 34)


def make_gemma4(folder: Path) -> None:
    """Like E2B: layers with inputs of their own, and layers that share keys and are wider."""
    tokenizer = save_tokenizer("gemma", folder)
    options = common(tokenizer, tokenizer.get_vocab_size() - 1)
    options |= {"num_hidden_layers": 6, "intermediate_size": 32, "pad_token_id": 0}
    options |= {"head_dim": 16, "global_head_dim": 32, "sliding_window": 8}
    options |= {"num_kv_shared_layers": 2, "use_double_wide_mlp": True}
    options |= {"layer_types": [WINDOWED, WHOLE] * 3}
    options |= {"hidden_size_per_layer_input": 16, "final_logit_softcapping": 20.0}
    options["vocab_size_per_layer_input"] = options["vocab_size"]
    model = transformers.Gemma4ForCausalLM(transformers.Gemma4TextConfig(**options))
    for layer in model.model.layers:
        layer.layer_scalar.fill_(0.7)
    save(folder, model, 35)


WINDOWED, WHOLE = "sliding_attention", "full_attention"


def make_smolvlm(folder: Path) -> None:
    """A class that wraps a Llama and calls it ``text_model``."""
    tokenizer = save_tokenizer("smollm", folder)
    text = common(tokenizer, tokenizer.get_vocab_size())
    text |= {"model_type": "llama", "intermediate_size": 64, "pad_token_id": 0}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 2, "image_size": 32, "patch_size": 16}
    config = transformers.SmolVLMConfig(
        text_config=text,
        vision_config=vision,
        scale_factor=2,
        tie_word_embeddings=True,
        pad_token_id=0,
        dtype="bfloat16",
        attn_implementation="eager",
    )
    save(folder, transformers.SmolVLMForConditionalGeneration(config), 36)


FAMILIES: dict[str, Callable[[Path], None]] = {
    "tiny-smolvlm": make_smolvlm,
    "tiny-gemma": make("Gemma", 37, kind="gemma", head_dim=32, pad_token_id=0),
    "tiny-qwen3-moe": make(
        "Qwen3Moe",
        38,
        head_dim=32,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        norm_topk_prob=True,
    ),
    "tiny-gemma4": make_gemma4,
    "tiny-qwen3_5-whole": make_qwen3_5_whole,
    "tiny-gemma3-whole": make_gemma3_whole,
    "tiny-granite": make(
        "Granite",
        22,
        tie_word_embeddings=True,
        attention_multiplier=0.2,
        embedding_multiplier=3.0,
        residual_multiplier=0.4,
        logits_scaling=2.0,
    ),
    "tiny-smollm3": make("SmolLM3", 23, layers=4),
    "tiny-olmo2": make("Olmo2", 24),
    "tiny-olmo3": make("Olmo3", 25, layers=4, sliding_window=8, rope_parameters=OLMO3_ROPE),
    "tiny-ministral3": make("Ministral3", 26, head_dim=32, rope_parameters=MINISTRAL3_ROPE),
    "tiny-exaone4": make(
        "Exaone4",
        27,
        sliding_window=None,
        layer_types=["full_attention"] * 2,
        rope_parameters=LLAMA3,
        tie_word_embeddings=True,
    ),
    "tiny-hunyuan": make(
        "HunYuanDenseV1",
        28,
        kind="deepseek-v3",
        head_dim=32,
        tie_word_embeddings=True,
        rope_parameters=HUNYUAN_ROPE,
        max_position_embeddings=262_144,
    ),
    "tiny-qwen3_5": make(
        "Qwen3_5", 30, kind="qwen35", layers=4, tie_word_embeddings=True, **QWEN3_5_OPTIONS
    ),
    "tiny-falcon-h1": make(
        "FalconH1",
        39,
        head_dim=16,
        mamba_d_ssm=64,
        mamba_n_heads=4,
        mamba_d_head=16,
        mamba_n_groups=2,
        mamba_d_state=16,
        mamba_rms_norm=True,
        mamba_norm_before_gate=False,
        embedding_multiplier=3.0,
        lm_head_multiplier=0.5,
        attention_in_multiplier=0.9,
        attention_out_multiplier=0.7,
        key_multiplier=0.6,
        ssm_in_multiplier=1.2,
        ssm_out_multiplier=0.8,
        ssm_multipliers=[0.9, 0.8, 1.1, 1.2, 0.7],
        mlp_multipliers=[0.8, 0.6],
    ),
    "tiny-lfm2": make(
        "Lfm2",
        31,
        layers=3,
        layer_types=["conv", "full_attention", "conv"],
        block_multiple_of=32,
        intermediate_size=128,
    ),
    "tiny-granite4": make(
        "GraniteMoeHybrid", 32, layer_types=["attention"] * 2, **GRANITE4_OPTIONS
    ),
    "tiny-granite4-hybrid": make(
        "GraniteMoeHybrid",
        33,
        layers=3,
        layer_types=["mamba", "attention", "mamba"],
        vocab_size=512,
        mamba_n_heads=8,
        mamba_n_groups=2,
        mamba_d_state=16,
        **(GRANITE4_OPTIONS | {"position_embedding_type": None}),
    ),
    "tiny-ernie4_5": make("Ernie4_5", 29, kind="llama", head_dim=16),
}


def plain_and_dora(
    modules: list[str] | str = ALL,
) -> dict[str, Callable[[], peft.PeftConfig]]:
    return {"plain": lora(modules, r=2), "dora": lora(modules, r=2, use_dora=True)}


MULTIMODAL = ("tiny-gemma3-whole", "tiny-qwen3_5-whole", "tiny-smolvlm")

OF_THE_TEXT = r".*(language_model|text_model).*\.(q|k|v|o|gate|up|down)_proj"
"""Modules of the vision towers have the same names."""

FAMILY_FORMS: dict[str, dict[str, Callable[[], peft.PeftConfig]]] = {
    **{name: plain_and_dora(OF_THE_TEXT if name in MULTIMODAL else ALL) for name in FAMILIES},
    "tiny-gemma": plain_and_dora(ATTENTION),  # more GELU, more of its difference
    "tiny-qwen3-moe": plain_and_dora(ATTENTION),
    "tiny-qwen3_5": plain_and_dora(
        [*ALL, "in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b", "out_proj"]
    ),
    "tiny-gemma4": plain_and_dora([*ALL, "per_layer_input_gate", "per_layer_projection"]),
    # A seed with which float32 does not lose three digits in PyTorch's delta net.
    "tiny-qwen3_5-whole": dict(reversed(plain_and_dora(OF_THE_TEXT).items())),
    "tiny-falcon-h1": plain_and_dora([*ALL, "in_proj"]),
    "tiny-lfm2": plain_and_dora(
        ["q_proj", "k_proj", "v_proj", "in_proj", "out_proj", "w1", "w2", "w3"]
    ),
    "tiny-granite4": plain_and_dora([*ATTENTION, "input_linear", "output_linear"]),
    "tiny-granite4-hybrid": plain_and_dora(
        [*ATTENTION, "in_proj", "out_proj", "input_linear", "output_linear"]
    ),
}
"""A plain LoRA and a DoRA for each of them, on every linear module of the layers."""
