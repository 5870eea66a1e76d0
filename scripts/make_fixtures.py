"""Makes the tiny models, adapters and reference logits in ``tests/fixtures``.

The script needs torch, transformers, peft, safetensors and sentencepiece. The package and
its tests need none of these, so the results are committed. Everything is seeded: running
the script again changes nothing, unless one of those libraries has changed.

    python scripts/make_fixtures.py
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
from fixture_adapters import (
    FORMS,
    LORA,
    REFUSED,
    clean,
    load,
    logits_of,
    make_adapter,
    make_lora,
    prompt_ids,
)
from fixture_models import MODELS, YARN
from fixture_tokenizers import HARD_TEXTS
from tokenizers import Tokenizer

FIXTURES = Path(__file__).parent.parent / "tests" / "fixtures"


def rounded(logits: np.ndarray) -> np.ndarray:
    """Logits rounded to a grid a hundred times finer than the tests' tolerance: smaller files."""
    return np.round(logits * 2**14) / np.float32(2**14)


def make_models(bases: dict[str, Path], reference: dict[str, np.ndarray]) -> None:
    tokens: dict[str, Any] = {"texts": HARD_TEXTS}
    for name, folder in bases.items():
        MODELS[name](folder)
        model = load(folder)
        for i, ids in enumerate(prompt_ids(folder)):
            reference[f"{name}/ids/{i}"] = np.array(ids, np.int32)
            reference[f"{name}/logits/{i}"] = logits_of(model, ids)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokens[name] = [tokenizer.encode(t, add_special_tokens=False).ids for t in HARD_TEXTS]
    (FIXTURES / "tokens.json").write_text(json.dumps(tokens, indent=None) + "\n")


def make_rope_forms(bases: dict[str, Path], reference: dict[str, np.ndarray]) -> None:
    """Logits of tiny models with a different RoPE scaling than their config has."""
    linear = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5000.0}
    changed = {
        "tiny-llama/linear": linear,
        "tiny-llama/yarn": YARN,
        "tiny-qwen3/yarn": YARN,
        "tiny-gemma3/linear": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
    }
    for name, rope in changed.items():
        folder = bases[name.split("/")[0]]
        reference[name] = logits_of(load(folder, rope_parameters=rope), prompt_ids(folder)[0])


def make_adapters(bases: dict[str, Path], reference: dict[str, np.ndarray]) -> None:
    for base in ("tiny-llama", "tiny-qwen3"):
        for seed, (name, options) in enumerate(LORA.items()):
            if base == "tiny-qwen3" and name not in ("plain", "patterns", "head", "embedding"):
                continue
            folder = FIXTURES / "adapters" / base / name
            logits = make_lora(bases[base], folder, name, options, 100 + seed)
            if base == "tiny-llama" or name in ("plain", "patterns"):
                reference[f"{base}/adapter/{name}"] = logits
    for base, forms in FORMS.items():
        for seed, (name, config) in enumerate(forms.items()):
            folder = FIXTURES / "adapters" / base / name
            logits = make_adapter(bases[base], folder, name, config(), 200 + seed)
            reference[f"{base}/adapter/{name}"] = rounded(logits)
    for name, config in REFUSED.items():
        folder = FIXTURES / "adapters" / "refused" / name
        torch.manual_seed(0)
        peft.get_peft_model(load(bases["tiny-llama"]), config).save_pretrained(folder)
        clean(folder)


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    shutil.rmtree(FIXTURES / "models", ignore_errors=True)
    shutil.rmtree(FIXTURES / "adapters", ignore_errors=True)
    bases = {name: FIXTURES / "models" / name for name in MODELS}
    reference: dict[str, np.ndarray] = {}
    make_models(bases, reference)
    make_rope_forms(bases, reference)
    make_adapters(bases, reference)
    np.savez_compressed(FIXTURES / "reference.npz", **reference)


if __name__ == "__main__":
    main()
