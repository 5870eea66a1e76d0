"""Makes the tiny models, adapters and reference logits in ``tests/fixtures``.

The script needs torch, transformers, peft, safetensors and sentencepiece. The package and
its tests need none of these, so the results are committed. Everything is seeded: running
the script again changes nothing, unless one of those libraries has changed.

    python scripts/make_fixtures.py [NAME ...]

Names of models make only these and their adapters again.
"""

from __future__ import annotations

import json
import shutil
import sys
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
from fixture_families import FAMILIES, FAMILY_FORMS
from fixture_models import MODELS, YARN
from fixture_tokenizers import HARD_TEXTS
from tokenizers import Tokenizer

ALL_MODELS = MODELS | FAMILIES
FIXTURES = Path(__file__).parent.parent / "tests" / "fixtures"


def rounded(logits: np.ndarray) -> np.ndarray:
    """Logits rounded to a grid a hundred times finer than the tests' tolerance: smaller files."""
    return np.round(logits * 2**14) / np.float32(2**14)


def make_models(bases: dict[str, Path], reference: dict[str, np.ndarray]) -> None:
    path = FIXTURES / "tokens.json"
    tokens: dict[str, Any] = json.loads(path.read_text()) | {"texts": HARD_TEXTS}
    for name, folder in bases.items():
        ALL_MODELS[name](folder)
        model = load(folder)
        for i, ids in enumerate(prompt_ids(folder)):
            reference[f"{name}/ids/{i}"] = np.array(ids, np.int32)
            logits = logits_of(model, ids)
            reference[f"{name}/logits/{i}"] = rounded(logits) if name in FAMILIES else logits
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokens[name] = [tokenizer.encode(t, add_special_tokens=False).ids for t in HARD_TEXTS]
    path.write_text(json.dumps(tokens, indent=None) + "\n")


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
        if (folder := bases.get(name.split("/")[0])) is None:
            continue
        reference[name] = logits_of(load(folder, rope_parameters=rope), prompt_ids(folder)[0])


def make_adapters(bases: dict[str, Path], reference: dict[str, np.ndarray]) -> None:
    for base in {"tiny-llama", "tiny-qwen3"} & {*bases}:
        for seed, (name, options) in enumerate(LORA.items()):
            if base == "tiny-qwen3" and name not in ("plain", "patterns", "head", "embedding"):
                continue
            folder = FIXTURES / "adapters" / base / name
            logits = make_lora(bases[base], folder, name, options, 100 + seed)
            if base == "tiny-llama" or name in ("plain", "patterns"):
                reference[f"{base}/adapter/{name}"] = logits
    for base, forms in (FORMS | FAMILY_FORMS).items():
        if base not in bases:
            continue
        for seed, (name, config) in enumerate(forms.items()):
            folder = FIXTURES / "adapters" / base / name
            logits = make_adapter(bases[base], folder, name, config(), 200 + seed)
            reference[f"{base}/adapter/{name}"] = rounded(logits)
    for name, config in REFUSED.items() if "tiny-llama" in bases else ():
        folder = FIXTURES / "adapters" / "refused" / name
        torch.manual_seed(0)
        peft.get_peft_model(load(bases["tiny-llama"]), config).save_pretrained(folder)
        clean(folder)


def main() -> None:
    names = sys.argv[1:] or list(ALL_MODELS)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    bases = {name: FIXTURES / "models" / name for name in names}
    for name, folder in bases.items():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(FIXTURES / "adapters" / name, ignore_errors=True)
    path = FIXTURES / "reference.npz"
    kept = dict(np.load(path)) if path.is_file() else {}
    reference = {key: v for key, v in kept.items() if key.split("/")[0] not in bases}
    make_models(bases, reference)
    make_rope_forms(bases, reference)
    make_adapters(bases, reference)
    np.savez_compressed(path, **reference)


if __name__ == "__main__":
    main()
