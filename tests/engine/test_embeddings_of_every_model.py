"""The embeddings of tokens in the place of the tokens give the same logits, in every architecture.

So a soft prompt acts as in Transformers, whatever llama.cpp does to its inputs.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.gguf.header import read_gguf_header
from hivellm_lite.converters.safetensors import SafetensorsFile
from hivellm_lite.converters.soft_prompts import convert_soft_prompt

from hivellm_lite.engine.options import ContextOptions
from hivellm_lite.engine.virtual_tokens import virtual_tokens
from hivellm_lite.errors import ConversionError
from hivellm_lite.inference.opening import open_session
from hivellm_lite.inference.options import SessionOptions

from ..support.paths import MODELS

NAMES = sorted(path.name for path in MODELS.iterdir())
TOKENS = [11, 35, 7, 90, 54, 23, 61, 12, 80, 5, 31, 44]
N_VIRTUAL = 7


def embeddings(folder: Path) -> np.ndarray:
    """What the embedding layer of Transformers gives for the first tokens."""
    for path in sorted(folder.glob("*.safetensors")):
        with SafetensorsFile(path) as file:
            name = next((n for n in file.tensors if n.endswith("embed_tokens.weight")), None)
            if name is not None:
                rows = file.read_float32(name)[TOKENS[:N_VIRTUAL]]
                scale = math.sqrt(rows.shape[1]) if is_scaled(folder) else 1.0
                return rows * np.float32(scale)
    raise LookupError(folder)


def is_scaled(folder: Path) -> bool:
    """Whether the embedding layer multiplies by the root of the width."""
    return "gemma" in json.loads((folder / "config.json").read_text())["model_type"]


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_tokens_act_like_the_tokens(name, tmp_path):
    base = tmp_path / "base.gguf"
    convert_base(MODELS / name, base, quant="f32")
    if "per_layer_token_embd.weight" in read_gguf_header(base).tensors:
        with pytest.raises(ConversionError, match="looks every token up in each layer"):
            convert_soft_prompt(embeddings(MODELS / name), read_gguf_header(base), base)
        return
    if name == "tiny-falcon-h1":
        with pytest.raises(ConversionError, match="multiplies the embeddings of tokens, but not"):
            convert_soft_prompt(embeddings(MODELS / name), read_gguf_header(base), base)
        return
    rows = convert_soft_prompt(embeddings(MODELS / name), read_gguf_header(base), base)
    virtual = virtual_tokens(hashlib.sha256(rows.tobytes()).hexdigest(), rows)
    options = SessionOptions(ContextOptions(256, kv_type="f32", flash_attention=False))
    session = open_session([base], "cpu", options)

    def logits(tokens):
        n = len(TOKENS) - N_VIRTUAL
        found = session.compute(
            tokens,
            (),
            n,
            lambda context, end: np.stack([context.logits(i) for i in range(end - n + 1, end + 1)]),
        )
        return found.astype(np.float64) - found.max(axis=1, keepdims=True)

    try:
        expected = logits(TOKENS)
        found = logits([*virtual, *TOKENS[N_VIRTUAL:]])
        assert abs(found - expected).max() < 1e-3
        other = virtual_tokens("1" * 64, -rows)
        assert abs(logits([*other, *TOKENS[N_VIRTUAL:]]) - expected).max() > 0.01
    finally:
        session.release()
