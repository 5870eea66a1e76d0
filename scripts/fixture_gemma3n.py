"""Writes ``tests/fixtures/gemma3n/``: a LoRA for the model of ``tests/support/gemma3n_model.py``,
and what Transformers and PEFT compute with both.

    PYTHONPATH=.:scripts python -m scripts.fixture_gemma3n
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import peft
import torch
from fixture_adapters import clean, logits_of, lora
from safetensors.numpy import save
from transformers import Gemma3nForCausalLM

from tests.support.gemma3n_model import write_gemma3n

OUT = Path(__file__).parents[1] / "tests" / "fixtures" / "gemma3n"
MODULES = ["q_proj", "o_proj", "gate_proj", "down_proj", "linear_left", "linear_right"]
MODULES += ["per_layer_input_gate", "per_layer_projection"]
IDS = [2, 17, 301, 44, 9, 260, 123, 5, 400, 77, 31, 8, 199, 350, 12, 66, 471, 90, 15, 222]


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = write_gemma3n(Path(folder) / "model", save)
        model = Gemma3nForCausalLM.from_pretrained(
            path, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        logits = logits_of(model, IDS)
        config = lora(MODULES, r=2, layers_to_transform=[0, 12, 21])()
        adapted = peft.get_peft_model(model, config).eval()
        generator = torch.Generator().manual_seed(5)
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.data.copy_(0.2 * noise)
        adapted.save_pretrained(OUT)
        clean(OUT)
        found = {"logits": logits, "adapted": logits_of(adapted, IDS)}
    np.savez_compressed(OUT / "reference.npz", ids=np.array(IDS, np.int32), **found)


if __name__ == "__main__":
    main()
