"""Runs a model that lies in several files, as exactly as llama.cpp can: F32, one thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from hivellm_lite.engine import Context, ContextOptions, Model, Row


def split_logits(
    files: list[Path], tokens: npt.NDArray[np.int64], n_tensors: int | None = None
) -> npt.NDArray[np.float32]:
    """Logits at every position, (tokens, vocabulary)."""
    model = Model(files, device="cpu", n_tensors=n_tensors)
    options = ContextOptions(n_ctx=128, n_threads=1, kv_type="f32", flash_attention=False)
    context = Context(model, options)
    ids = [int(token) for token in tokens]
    context.decode([Row(0, 0, ids, n_logits=len(ids))])
    rows = np.stack([context.logits(i) for i in range(len(ids))])
    model.close()
    return rows
