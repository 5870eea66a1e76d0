"""Makes tiny bases that are ready GGUF files, of architectures that the converter does not write.

llama.cpp's own converter writes them, so the script needs a checkout of llama.cpp beside torch,
transformers, peft and gguf::

    python scripts/make_ready_fixtures.py PATH_TO_LLAMA_CPP

Each base has a LoRA and a DoRA of PEFT on attention and the feed-forward part, and the logits of
transformers and PEFT.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fixture_adapters import load, logits_of, lora, make_adapter, prompt_ids
from fixture_models import randomise
from transformers import (
    AutoModelForCausalLM,
    OlmoConfig,
    PhiConfig,
    Qwen3MoeConfig,
    Starcoder2Config,
)

FIXTURES = Path(__file__).parent.parent / "tests" / "fixtures"
READY = FIXTURES / "ready"
TOKENIZER = FIXTURES / "models" / "tiny-qwen2"

SIZES: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]

MODELS: dict[str, tuple[Any, list[str]]] = {
    "tiny-starcoder2": (
        Starcoder2Config(**SIZES, intermediate_size=96, num_key_value_heads=2, sliding_window=None),
        [*ATTENTION, "c_fc", "c_proj"],
    ),
    "tiny-olmo": (
        OlmoConfig(**SIZES, intermediate_size=96, num_key_value_heads=2),
        [*ATTENTION, "gate_proj", "up_proj", "down_proj"],
    ),
    "tiny-phi": (
        PhiConfig(**SIZES, intermediate_size=256, partial_rotary_factor=0.5),
        ["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"],
    ),
    "tiny-qwen3moe": (
        Qwen3MoeConfig(
            **SIZES,
            head_dim=16,
            num_key_value_heads=2,
            intermediate_size=96,
            moe_intermediate_size=32,
            num_experts=4,
            num_experts_per_tok=2,
            norm_topk_prob=True,
        ),
        ATTENTION,
    ),
}
"""Their configurations, and the modules that the adapters change."""


def write_gguf(llama_cpp: Path, folder: Path, out: Path) -> None:
    sys.path.insert(0, str(llama_cpp))
    import convert_hf_to_gguf  # type: ignore[import-not-found]
    from conversion.base import TextModel  # type: ignore[import-not-found]

    TextModel.get_vocab_base_pre = lambda *_: "qwen2"
    sys.argv = ["convert_hf_to_gguf.py", str(folder), "--outtype", "f32", "--outfile", str(out)]
    convert_hf_to_gguf.main()


def main() -> None:
    llama_cpp = Path(sys.argv[1]).resolve()
    torch.set_num_threads(1)
    shutil.rmtree(READY, ignore_errors=True)
    READY.mkdir()
    reference: dict[str, np.ndarray] = {}
    for seed, (name, (config, modules)) in enumerate(MODELS.items()):
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder) / name
            model = AutoModelForCausalLM.from_config(config)
            randomise(model, 400 + seed)
            model.to(torch.bfloat16).save_pretrained(base)
            for file in ("tokenizer.json", "tokenizer_config.json"):
                shutil.copy(TOKENIZER / file, base)
            write_gguf(llama_cpp, base, READY / f"{name}.gguf")
            reference[f"{name}/base"] = logits_of(load(base), prompt_ids(base)[0])
            for form, options in {"lora": {}, "dora": {"use_dora": True}}.items():
                made = lora(modules, r=2, **options)()
                logits = make_adapter(base, READY / name / form, form, made, 410 + seed)
                reference[f"{name}/{form}"] = logits
    np.savez_compressed(FIXTURES / "ready.npz", **reference)


if __name__ == "__main__":
    main()
