"""Writes ``tests/fixtures/gemma3n.npz``: what Transformers computes with the model of
``tests/support/gemma3n_model.py``.

    python -m scripts.fixture_gemma3n
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save
from transformers import Gemma3nForCausalLM

from tests.support.gemma3n_model import write_gemma3n

OUT = Path(__file__).parents[1] / "tests" / "fixtures" / "gemma3n.npz"
IDS = [2, 17, 301, 44, 9, 260, 123, 5, 400, 77, 31, 8, 199, 350, 12, 66, 471, 90, 15, 222]


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = write_gemma3n(Path(folder) / "model", save)
        model = Gemma3nForCausalLM.from_pretrained(
            path, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        with torch.no_grad():
            logits = model(torch.tensor([IDS])).logits[0].numpy()
    np.savez_compressed(OUT, ids=np.array(IDS, np.int32), logits=logits)


if __name__ == "__main__":
    main()
