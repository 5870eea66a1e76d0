"""Makes the soft prompts in ``tests/fixtures/soft_prompts``, with PEFT's logits for them.

The tiny models and their adapters must exist (`make_fixtures.py`). Like these, the results are
committed, and running the script again changes nothing but a storage's number in ``before-1.6.pt``.

    python scripts/make_soft_prompt_fixtures.py
"""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import peft
import torch
from fixture_adapters import clean, load, prompt_ids

FIXTURES = Path(__file__).parent.parent / "tests" / "fixtures"
PLACE = FIXTURES / "soft_prompts"

PLACES = 6
"""Of each text, so many last places are compared."""


def encoder(kind: str) -> peft.PeftConfig:
    return peft.PromptEncoderConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=6,
        encoder_hidden_size=16,
        encoder_reparameterization_type=kind,
    )


METHODS: dict[str, Callable[[], peft.PeftConfig]] = {
    "prompt-tuning": lambda: peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5),
    "p-tuning": lambda: encoder("MLP"),
    "p-tuning-lstm": lambda: encoder("LSTM"),
    "cpt": lambda: peft.CPTConfig(
        task_type="CAUSAL_LM",
        cpt_token_ids=[5, 6, 7, 8],
        cpt_mask=[1, 1, 1, 1],
        cpt_tokens_type_mask=[1, 2, 3, 4],
    ),
}
MADE = {
    "tiny-llama": list(METHODS),
    "tiny-qwen3": ["prompt-tuning", "p-tuning"],
    "tiny-gemma3": ["prompt-tuning", "p-tuning"],
    "tiny-gemma2": ["prompt-tuning"],
}
REFUSED: dict[str, Callable[[], peft.PeftConfig]] = {
    "prefix-tuning": lambda: peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2),
    "multitask": lambda: peft.MultitaskPromptTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=2, num_tasks=2, num_ranks=1
    ),
}
BESIDE = {"tiny-llama": ["plain", "dora"], "tiny-qwen3": ["dora"], "tiny-gemma3": ["plain"]}
"""Adapters that a soft prompt of the manifest stands beside."""


def kept(logits: torch.Tensor) -> np.ndarray:
    """The last places, rounded to a grid a hundred times finer than the tests' tolerance."""
    return np.round(logits[0, -PLACES:].float().numpy() * 2**14) / np.float32(2**14)


def make_adapter(base: Path, folder: Path, config: peft.PeftConfig) -> np.ndarray:
    """Save a random soft prompt of PEFT; returns the logits of PEFT's own model."""
    torch.manual_seed(1)
    model = peft.get_peft_model(load(base), config).eval()
    for name, parameter in model.named_parameters():
        if "prompt_encoder" in name:
            parameter.data += 0.3 * torch.randn(parameter.shape)
    model.save_pretrained(folder)
    clean(folder)
    ids = torch.tensor([prompt_ids(base)[0]])
    with torch.no_grad():
        return kept(peft.PeftModel.from_pretrained(load(base), folder).eval()(ids).logits)


def beside(base: Path, adapter: str, rows: torch.Tensor) -> np.ndarray:
    """The logits of an adapter with rows of embeddings before the prompt."""
    folder = FIXTURES / "adapters" / base.name / adapter
    model = peft.PeftModel.from_pretrained(load(base), folder).eval()
    ids = torch.tensor([prompt_ids(base)[0]])
    with torch.no_grad():
        tokens = model.get_input_embeddings()(ids)
        return kept(model(inputs_embeds=torch.cat((rows[None], tokens), dim=1)).logits)


def make_torch_files(rows: torch.Tensor) -> None:
    """The same rows in the forms that ``torch.save`` writes, and forms that are refused."""
    files = PLACE / "torch"
    files.mkdir(parents=True)
    wide = torch.randn(11, rows.shape[1])
    wide[2:9] = rows
    forms = {
        "parameter.pt": torch.nn.Parameter(rows.clone()),
        "half.bin": OrderedDict(prompt_embeddings=rows.half(), step=torch.tensor(3.0), n=3),
        "transposed.pt": rows.T.contiguous().bfloat16().T,
        "view.pth": {"soft_prompt": wide[2:9], "config": {"sizes": [1, 2], "of": (1, None)}},
        "state.pt": torch.nn.Embedding.from_pretrained(rows.clone()).state_dict(),
        "module.pt": torch.nn.Linear(2, 2),
        "double.pt": rows.double()[:1],
        "sparse.pt": rows[:1].to_sparse(),
    }
    for name, value in forms.items():
        torch.save(value, files / name)
    torch.save(rows[:1], files / "before-1.6.pt", _use_new_zipfile_serialization=False)
    torch.save(rows[:1], files / "protocol-4.pt", pickle_protocol=4)


def main() -> None:
    torch.set_num_threads(1)
    shutil.rmtree(PLACE, ignore_errors=True)
    reference: dict[str, np.ndarray] = {}
    models = FIXTURES / "models"
    for base, names in MADE.items():
        for name in names:
            logits = make_adapter(models / base, PLACE / base / name, METHODS[name]())
            reference[f"{base}/{name}"] = logits
    for name, config in REFUSED.items():
        torch.manual_seed(0)
        folder = PLACE / "refused" / name
        peft.get_peft_model(load(models / "tiny-llama"), config()).save_pretrained(folder)
        clean(folder)
    torch.manual_seed(2)
    rows = torch.randn(7, 64)
    make_torch_files(rows)
    reference["rows"] = rows.numpy()
    for base, adapters in BESIDE.items():
        for adapter in adapters:
            reference[f"{base}/{adapter}/rows"] = beside(models / base, adapter, rows)
    np.savez_compressed(PLACE / "reference.npz", **reference)


if __name__ == "__main__":
    main()
