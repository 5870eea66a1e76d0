"""Makes an adapter of every method of PEFT that changes weights, with PEFT's own logits.

The adapters are random, for the tiny models of ``tests/fixtures``. Usage, in an environment with
torch, transformers, peft and safetensors::

    python scripts/make_method_fixtures.py
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
from fixture_adapters import clean, load, logits_of, prompt_ids
from peft.tuners.boft import layer as boft_layer
from transformers import AutoTokenizer

FIXTURES = Path(__file__).parent.parent / "tests" / "fixtures"
ADAPTERS = FIXTURES / "methods"

ATTENTION = ["q_proj", "v_proj"]
MIXED = ["k_proj", "o_proj", "down_proj"]
"""Modules of different shapes, more and fewer outputs than inputs."""


def of(kind: type[peft.PeftConfig], modules: list[str] = MIXED, **options: Any) -> Any:
    options.setdefault("task_type", "CAUSAL_LM")
    return lambda: kind(target_modules=modules, **options)


FORMS: dict[str, dict[str, Callable[[], peft.PeftConfig]]] = {
    "tiny-llama": {
        "adalora": of(peft.AdaLoraConfig, init_r=4, target_r=2, total_step=10, lora_alpha=6),
        "adalora-pruned": of(peft.AdaLoraConfig, init_r=4, target_r=2, total_step=10),
        "bone-bat": of(peft.MissConfig, r=8, init_weights="bat"),
        "boft": of(peft.BOFTConfig, boft_block_size=8),
        "boft-butterfly": of(
            peft.BOFTConfig, ATTENTION, boft_block_size=8, boft_n_butterfly_factor=3
        ),
        "c3a": of(peft.C3AConfig, block_size=8),
        "delora": of(peft.DeloraConfig, r=3),
        "fourierft": of(peft.FourierFTConfig, n_frequency=40, scaling=300.0),
        "gralora": of(peft.GraloraConfig, r=4),
        "gralora-hybrid": of(peft.GraloraConfig, ATTENTION, r=4, hybrid_r=2, alpha=7),
        "hira": of(peft.HiraConfig, r=3),
        "hra": of(peft.HRAConfig, r=4),
        "hra-orthogonal": of(peft.HRAConfig, ATTENTION, r=3, apply_GS=True),
        "ln-tuning": of(peft.LNTuningConfig, ["input_layernorm", "norm"]),
        "miss": of(peft.MissConfig, r=8),
        "miss-mini": of(peft.MissConfig, r=8, mini_r=8, init_weights="mini"),
        "miss-uneven": of(peft.MissConfig, ATTENTION, r=6),
        "oft": of(peft.OFTConfig, oft_block_size=8),
        "oft-exact": of(peft.OFTConfig, oft_block_size=16, use_cayley_neumann=False),
        "oft-constrained": of(peft.OFTConfig, ATTENTION, oft_block_size=8, coft=True, eps=0.3),
        "oft-shared": of(peft.OFTConfig, ATTENTION, oft_block_size=8, block_share=True),
        "oft-three-terms": of(
            peft.OFTConfig, ATTENTION, oft_block_size=8, num_cayley_neumann_terms=3
        ),
        "olora": of(peft.LoraConfig, r=3, lora_alpha=6, init_lora_weights="olora"),
        "pissa": of(peft.LoraConfig, r=3, lora_alpha=6, init_lora_weights="pissa"),
        "pissa-dora": of(
            peft.LoraConfig, ATTENTION, r=3, lora_alpha=6, init_lora_weights="pissa", use_dora=True
        ),
        "randlora": of(peft.RandLoraConfig, r=5),
        "randlora-sparse": of(peft.RandLoraConfig, ATTENTION, r=8, sparse=True),
        "road": of(peft.RoadConfig, group_size=16),
        "road-2": of(peft.RoadConfig, ATTENTION, group_size=16, variant="road_2"),
        "road-4": of(peft.RoadConfig, ATTENTION, group_size=16, variant="road_4"),
        "shira": of(peft.ShiraConfig, r=2, random_seed=1),
        "tokens": of(peft.TrainableTokensConfig, ["embed_tokens"], token_indices=[5, 223, 361]),
        "tokens-lora": of(
            peft.LoraConfig,
            ATTENTION,
            r=2,
            trainable_token_indices={"embed_tokens": [223, 9], "lm_head": [4]},
        ),
        "vblora": of(peft.VBLoRAConfig, r=2, num_vectors=12, vector_length=8, topk=3),
        "vblora-topk": of(
            peft.VBLoRAConfig,
            ATTENTION,
            r=2,
            num_vectors=12,
            vector_length=8,
            save_only_topk_weights=True,
        ),
        "vera": of(peft.VeraConfig, r=6),
        "vera-unsaved": of(peft.VeraConfig, r=6, save_projection=False, projection_prng_key=-7),
    },
    "tiny-qwen3": {
        "tokens": of(peft.TrainableTokensConfig, ["embed_tokens"], token_indices=[220, 6, 363]),
    },
    "tiny-qwen2": {
        "beft": of(peft.BeftConfig, ATTENTION),
        "road": of(peft.RoadConfig, ATTENTION, group_size=16),
    },
}


RESIZED: dict[str, tuple[str, int, Callable[[], peft.PeftConfig]]] = {
    "saved": (
        "tiny-llama",
        512,
        of(peft.LoraConfig, ATTENTION, r=2, modules_to_save=["embed_tokens", "lm_head"]),
    ),
    "lora": ("tiny-llama", 507, of(peft.LoraConfig, ["embed_tokens", "lm_head", "q_proj"], r=2)),
    "tied": ("tiny-qwen3", 524, of(peft.LoraConfig, ATTENTION, r=2)),
    "smaller": ("tiny-llama", 496, of(peft.LoraConfig, ATTENTION, r=2)),
}
"""Adapters of a base that got, or lost, tokens: the base, the tokens, and the configuration."""


def make(base: Path, folder: Path, name: str, config: peft.PeftConfig, seed: int) -> np.ndarray:
    """Save a random adapter; returns PEFT's logits for the first prompt."""
    model = peft.get_peft_model(load(base), config).eval()
    generator = torch.Generator().manual_seed(seed)
    for parameter_name, parameter in model.named_parameters():
        if parameter.requires_grad or "lambda" in parameter_name:
            randomise(parameter_name, parameter.data, generator)
    if name == "adalora-pruned":
        prune(model, config)
    model.save_pretrained(folder)
    clean(folder)
    return logits_of(peft.PeftModel.from_pretrained(load(base), folder).eval(), prompt_ids(base)[0])


def make_resized(
    base: Path, folder: Path, size: int, config: peft.PeftConfig, seed: int
) -> np.ndarray:
    """Save a random adapter of a base with ``size`` tokens, and the tokenizer that names them.

    Returns PEFT's logits for the first prompt and the first added token.
    """
    ids, n_before = prompt_ids(base)[0], load(base).config.vocab_size
    tokenizer = AutoTokenizer.from_pretrained(base)
    names = [f"<|added_{index}|>" for index in range(len(tokenizer), size)]
    tokenizer.add_special_tokens({"additional_special_tokens": names[::2]})
    tokenizer.add_tokens(names[1::2])
    torch.manual_seed(seed)
    model = load(base)
    model.resize_token_embeddings(size, mean_resizing=False)
    model = peft.get_peft_model(model, config).eval()
    generator = torch.Generator().manual_seed(seed)
    for parameter_name, parameter in model.named_parameters():
        if parameter.requires_grad:
            randomise(parameter_name, parameter.data, generator)
    model.save_pretrained(folder, save_embedding_layers=True)
    tokenizer.save_pretrained(folder)
    clean(folder)
    for file in folder.iterdir():
        if not file.name.startswith(("adapter", "tokenizer")):
            file.unlink()
    again = load(base)
    again.resize_token_embeddings(size, mean_resizing=False)
    loaded = peft.PeftModel.from_pretrained(again, folder).eval()
    return logits_of(loaded, [*ids, min(n_before, size - 1)])


def prune(model: peft.PeftModel, config: peft.AdaLoraConfig) -> None:
    """Leave two of four ranks, as AdaLoRA's allocator does, and none in one module."""
    kept = [True, False, True, False]
    names = [name for name, _ in model.named_parameters() if name.endswith("lora_E.default")]
    pattern = {name.removeprefix("base_model.model."): kept for name in names}
    pattern[next(iter(pattern))] = [False] * 4
    config.rank_pattern = pattern


def randomise(name: str, values: torch.Tensor, generator: torch.Generator) -> None:
    """Values as large as trained ones or larger, so that every parameter changes the logits."""
    noise = torch.randn(values.shape, generator=generator)
    scales = {
        "oft_R": 0.1,
        "boft_R": 0.3,
        "boft_s": 0.2,
        "miss": 0.2,
        "bone": 0.2,
        "c3a": 2.0,
        "fourierft": 5.0,
        "lora_E": 2.0,
        "delora_lambda": 0.0,
        "gralora": 0.1,
        "vblora_vector_bank": 0.3,
        "vblora_logits": 2.0,
        "shira": 0.2,
        "randlora_lambda": 0.1,
    }
    scale = next((scale for part, scale in scales.items() if part in name), 0.3)
    values += scale * noise


class BlockDiagonal:
    """What BOFT's CUDA extension computes. Without it, PEFT leaves out all butterfly factors."""

    @staticmethod
    def apply(blocks: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.block_diag(*factor) for factor in blocks])


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    shutil.rmtree(ADAPTERS, ignore_errors=True)
    shutil.rmtree(FIXTURES / "resized", ignore_errors=True)
    boft_layer.get_fbd_cuda = lambda: True
    boft_layer.FastBlockDiag = BlockDiagonal
    reference: dict[str, np.ndarray] = {}
    for base, forms in FORMS.items():
        folder = FIXTURES / "models" / base
        for seed, (name, config) in enumerate(forms.items()):
            logits = make(folder, ADAPTERS / base / name, name, config(), 300 + seed)
            reference[f"{base}/{name}"] = np.round(logits * 2**14) / np.float32(2**14)
    np.savez_compressed(FIXTURES / "methods.npz", **reference)
    resized: dict[str, np.ndarray] = {}
    for seed, (name, (base, size, config)) in enumerate(RESIZED.items()):
        folder = FIXTURES / "models" / base
        resized[name] = make_resized(
            folder, FIXTURES / "resized" / name, size, config(), 390 + seed
        )
    np.savez_compressed(FIXTURES / "resized.npz", **resized)


if __name__ == "__main__":
    main()
