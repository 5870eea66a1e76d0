"""Reads soft prompts that PEFT saved: prompt tuning, P-tuning and context-aware prompt tuning.

These methods train rows of embeddings that stand before the prompt. However they are computed in
training, PEFT saves the rows themselves, as one tensor ``prompt_embeddings``.

Source: ``PeftModel.get_prompt_embedding_to_save``, ``PeftModelForCausalLM.forward`` and
``PromptLearningConfig`` of PEFT 0.21.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import ConversionError
from ..json_file import read_json
from ..safetensors import Float32Array, SafetensorsFile
from .config import MAX_CONFIG_BYTES, MAX_CONFIG_MEMORY, OTHERS

__all__ = ["check_rows", "prompt_method", "read_prompt"]

TENSOR = "prompt_embeddings"

MAX_TOKENS = 2048
"""Virtual tokens of one soft prompt. Real ones have 8 to 100."""

MAX_NUMBERS = 1 << 24
"""Numbers of one soft prompt: 1,024 tokens of Llama 3.1 405B, which has embeddings of 16,384."""

_METHODS: Mapping[str, str] = {
    "PROMPT_TUNING": "prompt tuning",
    "P_TUNING": "P-tuning",
    "CPT": "context-aware prompt tuning",
}
"""The values of ``peft_type`` whose rows are all that they save."""


def prompt_method(config: Path | None) -> str | None:
    """The name of the method, such as ``"P-tuning"``, if an ``adapter_config.json`` is one of a
    soft prompt; None for any other, and without a file.

    Raises ConversionError for a config that cannot be read.
    """
    return None if config is None else _METHODS.get(str(_read(config).get("peft_type")))


def read_prompt(weights: Path, config: Path) -> Float32Array:
    """The rows (tokens, n_embd) of a soft prompt. Their values are not checked.

    Raises ConversionError where the config asks for more than rows before the prompt, and where
    config and tensors disagree.
    """
    options = _read(config)
    if (kind := str(options.get("peft_type"))) not in _METHODS:
        name, way_out = OTHERS.get(kind, (f"{kind:.50}", ""))
        raise ConversionError(f"{config}: {name} is not a soft prompt\n{way_out}".strip())
    n_tokens = _size(options, "num_virtual_tokens", config)
    width = _size(options, "token_dim", config)
    if (parts := options.get("num_transformer_submodules")) not in (None, 1):
        raise ConversionError(
            f"{config}: num_transformer_submodules is {parts!r:.50}: a prompt for an encoder and a "
            "decoder, not for a causal language model"
        )
    if (task := options.get("task_type")) not in (None, "CAUSAL_LM"):
        raise ConversionError(f"{config}: task_type is {task!r:.50}, expected CAUSAL_LM")
    if options.get("modules_to_save"):
        raise ConversionError(
            f"{config}: modules_to_save beside a soft prompt: not supported yet\n"
            "Train a LoRA with modules_to_save, and list the soft prompt in the manifest."
        )
    with SafetensorsFile(weights) as file:
        others = [name for name in file.tensors if name != TENSOR]
        if others or TENSOR not in file.tensors:
            found = repr(others[0])[:80] if others else "no tensor"
            raise ConversionError(f"{weights}: holds {found}; a soft prompt is one {TENSOR!r}")
        shape = file.info(TENSOR).shape
        if shape != (n_tokens, width):
            raise ConversionError(
                f"{weights}: {TENSOR!r} has the shape {list(shape)}; {config.name} says "
                f"num_virtual_tokens={n_tokens} and token_dim={width}"
            )
        check_rows(shape, weights)
        return file.read_float32(TENSOR)


def check_rows(shape: Sequence[int], path: Path) -> None:
    """Raise ConversionError for a soft prompt that is larger than any real one, or empty."""
    n_tokens, width = shape
    if not 0 < n_tokens <= MAX_TOKENS or not 0 < n_tokens * width <= MAX_NUMBERS:
        raise ConversionError(
            f"{path}: a soft prompt of {n_tokens} virtual tokens of {width} numbers; at most "
            f"{MAX_TOKENS} tokens and {MAX_NUMBERS} numbers are allowed"
        )


def _read(config: Path) -> Mapping[str, Any]:
    return read_json(config, max_bytes=MAX_CONFIG_BYTES, max_memory=MAX_CONFIG_MEMORY)


def _size(options: Mapping[str, Any], name: str, config: Path) -> int:
    value = options.get(name)
    if type(value) is not int or not 0 < value < 1 << 31:
        raise ConversionError(f"{config}: {name} is {value!r:.50}, expected a positive integer")
    return value
