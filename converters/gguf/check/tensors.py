"""Checks the tensors that a model must have and may have: their names, shapes and types.

llama.cpp itself checks names and shapes. It accepts any type, though, and its kernels end the
process for a type that they do not know.

Source: ``load_arch_tensors`` in src/models/ and ``create_tensor_qkv`` in
src/llama-model.cpp of llama.cpp; the types in ggml/src/ggml-cpu/ggml-cpu.c.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...architectures import Architecture
from ..header import GGUFHeader, GGUFTensor
from .problems import Findings

__all__ = ["check_layout", "check_matrix_type", "check_tensors", "check_types"]

_INTERMEDIATE = frozenset({"Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64"})
"""Types that ggml knows but cannot multiply with."""

MIN_ALIGNMENT = 32
"""llama.cpp asserts that mapped tensors begin at multiples of this number of bytes."""

_Shape = tuple[int, ...]
_SCALES = (".scale", ".input_scale")


@dataclass(frozen=True)
class _Layout:
    """The shapes of the tensors that a model must have, and of the tensors that it may have."""

    required: Mapping[str, _Shape]
    optional: Mapping[str, _Shape]


def check_layout(findings: Findings, header: GGUFHeader) -> None:
    """Check that the tensors of a file follow each other without gaps, as llama.cpp expects."""
    if header.alignment < MIN_ALIGNMENT:
        findings.add(
            "general.alignment", str(header.alignment), f"a power of two from {MIN_ALIGNMENT} on"
        )
        return
    end = 0
    for tensor in header.tensors.values():
        if tensor.type_name.startswith("type "):
            findings.add(tensor.name, f"of {tensor.type_name}", "a type that ggml knows")
            return
        if tensor.offset != end:
            findings.add(tensor.name, f"at byte {tensor.offset} of the data", f"at byte {end}")
            return
        end += -(-tensor.n_bytes // header.alignment) * header.alignment


def check_types(findings: Findings, tensors: Iterable[GGUFTensor]) -> None:
    """Check any architecture: norms and biases are float32, matrices can be multiplied with."""
    for tensor in tensors:
        is_vector = len(tensor.shape) == 1 or tensor.name.endswith((".bias", "_norm.weight"))
        _check_type(findings, tensor, is_vector=is_vector)


def check_tensors(
    findings: Findings,
    architecture: Architecture,
    sizes: Mapping[str, int],
    tensors: Mapping[str, GGUFTensor],
) -> None:
    """Check that a model of a known architecture has exactly the tensors that its graph uses."""
    layout = _layout(architecture, sizes, tensors)
    for name, shape in layout.required.items():
        if name not in tensors:
            findings.add(name, "missing", f"a tensor of shape {list(shape)}")
    for name, tensor in tensors.items():
        expected = layout.required.get(name) or layout.optional.get(name)
        if expected is None:
            findings.add(
                name, "a tensor", f"none of this name in {architecture.name} with these sizes"
            )
        elif _plain(tensor.shape) != _plain(expected):
            why = ""
            if tensor.shape[1:] == expected[1:] and expected[0] == sizes.get("vocab"):
                why = f": the tokenizer has {expected[0]} tokens"
            findings.add(name, f"of shape {list(tensor.shape)}", f"shape {list(expected)}{why}")
        else:
            _check_type(findings, tensor, is_vector=len(expected) == 1)


def _check_type(findings: Findings, tensor: GGUFTensor, *, is_vector: bool) -> None:
    if is_vector and tensor.type_name != "F32":
        findings.add(tensor.name, f"of type {tensor.type_name}", "type F32")
    else:
        check_matrix_type(findings, tensor)


def check_matrix_type(findings: Findings, tensor: GGUFTensor) -> None:
    """Note a tensor of a type that ggml cannot multiply with."""
    if tensor.type_name in _INTERMEDIATE:
        findings.add(tensor.name, f"of type {tensor.type_name}", "a type to multiply with")


def _plain(shape: _Shape) -> _Shape:
    """The shape without leading dimensions of size one."""
    start = 0
    while start < len(shape) - 1 and shape[start] == 1:
        start += 1
    return shape[start:]


def _layout(
    architecture: Architecture, sizes: Mapping[str, int], tensors: Mapping[str, GGUFTensor]
) -> _Layout:
    shapes = architecture.shapes(sizes)
    required: dict[str, _Shape] = {}
    optional: dict[str, _Shape] = {}
    for module, name in architecture.global_modules.items():
        place = optional if module == "lm_head" and architecture.may_tie else required
        if module != "lm_head" or architecture.own_head:
            place[f"{name}.weight"] = shapes[module]
    if architecture.name == "qwen2":
        optional["output.bias"] = (sizes["vocab"],)
    for name in ("rope_freqs", "rope_factors_long", "rope_factors_short"):
        if architecture.rope_tensors:
            optional[f"{name}.weight"] = (sizes["rotary"] // 2,)
    n_q, n_kv = (sizes[name] * sizes["head_dim"] for name in ("heads", "kv_heads"))
    for layer in range(sizes["layers"]):
        block = f"blk.{layer}."
        for module, names in architecture.layer_modules.items():
            if not isinstance(names, str):
                continue  # another module of the table has these tensors as they are
            name = names
            shape, weight = shapes[module], f"{block}{name}.weight"
            if sizes["experts"] and module.startswith("mlp."):
                _add_experts(required, block + name, shape, sizes["experts"])
                continue
            required[weight] = shape
            if len(shape) > 1:
                if _may_have_bias(architecture, module):
                    optional[f"{block}{name}.bias"] = shape[:1]
                optional |= {f"{block}{name}{suffix}": (1,) for suffix in _SCALES}
        if sizes["experts"]:
            required[f"{block}ffn_gate_inp.weight"] = (sizes["experts"], sizes["hidden"])
        if f"{block}attn_qkv.weight" in tensors and f"{block}attn_q.weight" in required:
            for part in "qkv":
                del required[f"{block}attn_{part}.weight"]
            required[f"{block}attn_qkv.weight"] = (n_q + 2 * n_kv, sizes["hidden"])
        optional[f"{block}attn_qkv.bias"] = (n_q + 2 * n_kv,)
    return _Layout(required, optional)


def _may_have_bias(architecture: Architecture, module: str) -> bool:
    if module.startswith("self_attn.") and module != "self_attn.o_proj":
        return True
    return module in architecture.biases


def _add_experts(required: dict[str, _Shape], name: str, shape: _Shape, n_experts: int) -> None:
    required[f"{name}_exps.weight"] = (n_experts, *shape)
