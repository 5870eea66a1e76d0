"""What the child of `trial` does with an untrusted model."""

from __future__ import annotations

from pathlib import Path

from .context import Context
from .model import Model
from .options import ContextOptions
from .rows import Row

__all__ = ["run"]

_TEXT = "Hello wörld, 你好\n\n\t 123 \x00"
_N_CTX = 64


def run(path: str, device: str) -> None:
    """Load the model, tokenize, decode; an error ends the process, and so may llama.cpp."""
    model = Model(Path(path), device=device)
    for special in (False, True):
        model.tokenize(_TEXT, special=special)
    _ = model.pieces
    context = Context(model, ContextOptions(n_ctx=_N_CTX))
    context.decode([Row(0, 0, [0, model.n_vocab - 1])])
    context.decode([Row(0, 2, [0])])
