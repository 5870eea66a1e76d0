"""Write the base as a Hugging Face folder in float32, for tools that do not read GGUF.

Usage: ``cd examples; python -m training.export_base BASE.gguf FOLDER``, in the training
environment.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from training.train import load_base


def main() -> None:
    gguf, folder = Path(sys.argv[1]), Path(sys.argv[2])
    model, tokenizer = load_base(gguf)
    model.to(torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main()
