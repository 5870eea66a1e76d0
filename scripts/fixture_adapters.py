"""Random PEFT adapters of every form for the tiny models, and PEFT's own logits with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
import transformers
from fixture_tokenizers import PROMPTS
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

__all__ = ["FORMS", "LORA", "REFUSED", "load", "logits_of", "make_adapter", "make_lora"]
__all__ += ["clean", "prompt_ids"]

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
MLP = ["gate_proj", "up_proj", "down_proj"]
ALL = [*ATTENTION, *MLP]
FUSED = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]

LORA: dict[str, dict[str, Any]] = {
    "plain": {"r": 4, "lora_alpha": 8, "target_modules": ALL},
    "rslora": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "use_rslora": True},
    "patterns": {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "k_proj", "o_proj", "up_proj"],
        "rank_pattern": {"q_proj": 2, r"model\.layers\.1\.mlp\..*": 6},
        "alpha_pattern": {"^model.layers.0.self_attn.k_proj": 32, "up_proj": 3},
    },
    "layers": {"r": 2, "lora_alpha": 4, "target_modules": ["o_proj"], "layers_to_transform": [1]},
    "head": {"r": 4, "lora_alpha": 8, "target_modules": ["lm_head", "v_proj"]},
    "embedding": {"r": 4, "lora_alpha": 8, "target_modules": ["embed_tokens", "q_proj"]},
    "bf16": {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["k_proj", "gate_proj"],
        "init_lora_weights": "orthogonal",
    },
    "f16": {"r": 3, "lora_alpha": 9, "target_modules": ["q_proj", "down_proj"]},
}


def lora(modules: list[str] = ALL, **options: Any) -> Callable[[], peft.PeftConfig]:
    kind = {"r": 4, "lora_alpha": 8, "target_modules": modules, "task_type": "CAUSAL_LM"}
    return lambda: peft.LoraConfig(**(kind | options))


def ia3(modules: list[str], feedforward: list[str]) -> Callable[[], peft.PeftConfig]:
    return lambda: peft.IA3Config(
        target_modules=modules, feedforward_modules=feedforward, task_type="CAUSAL_LM"
    )


def lokr(modules: list[str] = ALL, **options: Any) -> Callable[[], peft.PeftConfig]:
    kind = {"r": 2, "alpha": 4, "target_modules": modules, "task_type": "CAUSAL_LM"}
    return lambda: peft.LoKrConfig(**(kind | options))


def loha(modules: list[str] = ALL) -> Callable[[], peft.PeftConfig]:
    return lambda: peft.LoHaConfig(r=2, alpha=4, target_modules=modules, task_type="CAUSAL_LM")


EVERY_FORM = {
    "dora": lora(use_dora=True),
    "dora-old-name": lora(ATTENTION, use_dora=True),
    "dora-rslora": lora(["q_proj", "v_proj", "down_proj"], use_dora=True, use_rslora=True),
    "dora-embedding": lora(["embed_tokens", "v_proj"], use_dora=True),
    "ia3-output": ia3(["k_proj", "v_proj"], []),
    "ia3": ia3(["k_proj", "v_proj", "down_proj"], ["down_proj"]),
    "loha": loha(),
    "lokr": lokr(),
    "lokr-full": lokr(ATTENTION, r=16),
    "lokr-both": lokr(decompose_both=True, decompose_factor=8),
    "saved-embedding": lora(["q_proj"], modules_to_save=["embed_tokens", "lm_head"]),
    "saved-norms": lora(["q_proj"], modules_to_save=["norm", "input_layernorm"]),
    "lora-bias": lora(["q_proj", "k_proj", "v_proj"], lora_bias=True),
}

BIASED = {
    "plain": lora(),
    "dora": lora(use_dora=True),
    "ia3": ia3(["k_proj", "v_proj", "down_proj"], ["down_proj"]),
    "bias-all": lora(["q_proj", "v_proj"], bias="all"),
    "bias-lora-only": lora(["q_proj", "v_proj"], bias="lora_only"),
    "lora-bias": lora(["q_proj", "k_proj", "v_proj"], lora_bias=True),
}

FORMS: dict[str, dict[str, Callable[[], peft.PeftConfig]]] = {
    "tiny-llama": EVERY_FORM,
    "tiny-qwen3": EVERY_FORM,
    "tiny-llama3": BIASED,
    "tiny-qwen2": {**BIASED, "loha": loha(ATTENTION)},
    "tiny-gemma3": {
        "plain": lora(r=2),
        "dora": lora(r=2, use_dora=True),
        "ia3": ia3(["k_proj", "v_proj", "down_proj"], ["down_proj"]),
        "lokr": lokr(ATTENTION),
        "saved-norms": lora(
            ["q_proj"],
            modules_to_save=["norm", "post_feedforward_layernorm", "k_norm"],
        ),
    },
    "tiny-gemma2": {"plain": lora(lora_alpha=32), "dora": lora(ATTENTION, use_dora=True)},
    "tiny-phi3": {
        "plain": lora(FUSED),
        "dora": lora(FUSED, use_dora=True),
        "ia3": ia3(["qkv_proj", "down_proj"], ["down_proj"]),
        "lokr": lokr(FUSED),
        "loha": loha(["qkv_proj", "gate_up_proj"]),
    },
}
"""Adapters that are not plain LoRA, or not on a plain Llama, by base and name."""

REFUSED: dict[str, Any] = {
    "dora": peft.LoraConfig(r=2, target_modules=["q_proj"], use_dora=True),
    "modules-to-save": peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["norm"]),
    "trainable-tokens": peft.LoraConfig(
        r=2, target_modules=["q_proj"], trainable_token_indices={"embed_tokens": [1, 2]}
    ),
    "lora-bias": peft.LoraConfig(r=2, target_modules=["q_proj"], lora_bias=True),
    "pissa": peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights="pissa"),
    "olora": peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights="olora"),
    "replication": peft.LoraConfig(
        r=2, target_modules=["q_proj"], layer_replication=[(0, 2), (1, 2)]
    ),
    "alora": peft.LoraConfig(r=2, target_modules=["q_proj"], alora_invocation_tokens=[1, 2]),
    "ia3": peft.IA3Config(
        target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]
    ),
    "loha": peft.LoHaConfig(r=2, target_modules=["q_proj"]),
    "lokr": peft.LoKrConfig(r=2, target_modules=["q_proj"]),
    "adalora": peft.AdaLoraConfig(r=2, target_modules=["q_proj"], total_step=10),
    "oft": peft.OFTConfig(oft_block_size=32, target_modules=["q_proj"]),
    "vera": peft.VeraConfig(r=2, target_modules=["q_proj"], save_projection=True),
    "prompt": peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2),
}


def load(folder: Path, **changes: Any) -> torch.nn.Module:
    """The model of the class that its config names, which may be a multimodal one."""
    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    model = getattr(transformers, name).from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", **changes
    )
    return model.eval()


def logits_of(model: torch.nn.Module, ids: list[int]) -> np.ndarray:
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().numpy()


def prompt_ids(base: Path) -> list[list[int]]:
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in PROMPTS]


def make_lora(
    base: Path, folder: Path, name: str, options: dict[str, Any], seed: int
) -> np.ndarray:
    """Save a random LoRA; returns the logits of PEFT's own model for the first prompt."""
    config = peft.LoraConfig(task_type="CAUSAL_LM", **options)
    model = peft.get_peft_model(load(base), config)
    generator = torch.Generator().manual_seed(seed)
    for parameter_name, parameter in model.named_parameters():
        if "lora_" in parameter_name:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data.copy_(0.3 * noise)
    kinds = {"bf16": torch.bfloat16, "f16": torch.float16}
    if name in kinds:
        for parameter_name, parameter in model.named_parameters():
            if "lora_" in parameter_name:
                parameter.data = parameter.data.to(kinds[name]).float()
    model.save_pretrained(folder)
    weights = folder / "adapter_model.safetensors"
    if name in kinds:
        save_file({k: v.to(kinds[name]) for k, v in load_file(weights).items()}, weights)
    clean(folder)
    return logits_of(peft.PeftModel.from_pretrained(load(base), folder).eval(), prompt_ids(base)[0])


def make_adapter(
    base: Path, folder: Path, name: str, config: peft.PeftConfig, seed: int
) -> np.ndarray:
    """Save a random adapter of any form; returns PEFT's logits for the first prompt."""
    model = peft.get_peft_model(load(base), config).eval()
    generator = torch.Generator().manual_seed(seed)
    for parameter_name, parameter in model.named_parameters():
        if parameter.requires_grad:
            _randomise(parameter_name, parameter.data, generator)
    before = logits_of(model, prompt_ids(base)[0])
    model.save_pretrained(folder)
    clean(folder)
    after = logits_of(
        peft.PeftModel.from_pretrained(load(base), folder).eval(), prompt_ids(base)[0]
    )
    if not np.array_equal(before, after):
        raise SystemExit(f"{folder} does not hold all of the adapter")
    if name == "dora-old-name":
        weights = folder / "adapter_model.safetensors"
        tensors = {
            key + ".weight" if key.endswith("magnitude_vector") else key: value
            for key, value in load_file(weights).items()
        }
        save_file(tensors, weights, metadata={"format": "pt"})
    return after


def _randomise(name: str, values: torch.Tensor, generator: torch.Generator) -> None:
    """Values as large as trained ones or larger, so that every parameter changes the logits."""
    noise = torch.randn(values.shape, generator=generator)
    uniform = torch.rand(values.shape, generator=generator)
    if "magnitude" in name:
        values *= 0.8 + 0.4 * uniform
    elif "ia3_" in name:
        values.copy_(0.7 + 0.6 * uniform)
    elif "hada_" in name:
        values.copy_(0.6 * noise)
    elif "lokr_" in name:
        values.copy_(0.3 * noise)
    elif "modules_to_save" in name:
        values += 0.2 * noise
    elif "lora_" in name and not name.endswith(".bias"):
        values.copy_(0.2 * noise)
    else:
        values += 0.3 * noise


def clean(folder: Path) -> None:
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = "tiny"
    for name in ("target_modules", "feedforward_modules"):  # PEFT writes sets in any order
        if isinstance(config.get(name), list):
            config[name].sort()
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
