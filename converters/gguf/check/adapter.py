"""Checks a GGUF adapter for contents that fail an assertion in llama.cpp: keys of another type, odd
shapes.

Source: ``llama_adapter_lora_init_impl`` in src/llama-adapter.cpp of llama.cpp.
"""

from __future__ import annotations

import math
from pathlib import Path

from ....errors import ConversionError, LoadError
from ..header import GGUFTensor, read_gguf_header
from .problems import Findings
from .tensors import check_layout, check_matrix_type

__all__ = ["check_adapter"]

_TEXTS = ("general.type", "adapter.type")
_ALPHA = "adapter.lora.alpha"
_FLOAT32 = 6


def check_adapter(path: Path) -> None:
    """Raise LoadError if this adapter would make llama.cpp end the process.

    llama.cpp itself checks whether the adapter is a LoRA and fits a model.
    """
    try:
        header = read_gguf_header(path)
    except ConversionError as error:
        raise LoadError(f"cannot load the adapter: {error}") from error
    findings = Findings(header)
    check_layout(findings, header)
    for key in _TEXTS:
        findings.text(key)
    if _ALPHA in header.arrays:
        findings.add(_ALPHA, "an array", "a finite float32")
    elif _ALPHA in header.metadata:
        alpha = header.metadata[_ALPHA]
        if header.type_codes[_ALPHA] != _FLOAT32 or not math.isfinite(float(alpha)):
            findings.add(_ALPHA, f"{alpha!r:.50}", "a finite float32")
    for name, tensor in header.tensors.items():
        _check_tensor(findings, name, tensor)
    if findings.problems:
        lines = "\n".join(f"  {problem}" for problem in findings.problems[:5])
        raise LoadError(
            f"cannot load the adapter {path}: it contradicts itself\n{lines}\n"
            "If the file is in the cache, it is damaged: 'hivellm-lite cache clear' removes it, "
            "and the adapter is converted again."
        )


def _check_tensor(findings: Findings, name: str, tensor: GGUFTensor) -> None:
    target, _, side = name.rpartition(".")
    if side not in ("lora_a", "lora_b"):
        return  # llama.cpp refuses or ignores such a tensor
    if len(tensor.shape) != 2:
        findings.add(name, f"of shape {list(tensor.shape)}", "a matrix")
    else:
        check_matrix_type(findings, tensor)
        _check_rank(findings, tensor, target, side)


def _check_rank(findings: Findings, tensor: GGUFTensor, target: str, side: str) -> None:
    if side == "lora_b":
        first = findings.header.tensors.get(f"{target}.lora_a")
        # The embedding's pair is stored transposed.
        side_of_rank = 1 if target == "token_embd.weight" else 0
        rank = first.shape[side_of_rank] if first and len(first.shape) == 2 else None
        if rank != tensor.shape[1]:
            found = f"of rank {tensor.shape[1]}"
            findings.add(tensor.name, found, f"the rank of its lora_a, {rank}")
