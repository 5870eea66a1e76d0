"""Random damage to models: metadata, arrays, tensors and bytes, each in ways that once killed."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

from .gguf_files import (
    ARRAY,
    BOOL,
    FLOAT32,
    INT32,
    STRING,
    UINT16,
    UINT32,
    Document,
    TensorEntry,
    Value,
)

__all__ = ["write_damaged"]

INTEGERS = [
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    15,
    16,
    31,
    32,
    33,
    63,
    64,
    128,
    255,
    256,
    512,
    513,
    600,
    1024,
    65535,
    65536,
    1 << 20,
    (1 << 24) + 1,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
]
FLOATS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-6,
    1e-30,
    1e30,
    3.4e38,
    float("inf"),
    float("-inf"),
    float("nan"),
]
TEXTS = [
    b"",
    b"a",
    b"llama",
    b"gpt2",
    b"bert",
    b"t5",
    b"rwkv",
    b"no_vocab",
    b"plamo2",
    b"gemma4",
    b"test",
    b"hybriddna",
    b"whitespace",
    b"none",
    b"linear",
    b"yarn",
    b"longrope",
    b"default",
    b"qwen2",
    b"llama-bpe",
    b"tekken",
    b"kimi-k2",
    b"gemma4",
    b"adapter",
    b"\xff\xfe",
    b"x\0y",
    b"Phi-3 mini",
    b"phi3",
    b"A" * 70000,
    b"mamba",
    b"qwen3",
    b"gemma2",
    b"gemma3",
    b"phi3",
    b"falcon",
    b"gptneox",
    b"qwen2moe",
    b"starcoder2",
    b"olmo2",
    b"clip",
    b"deci",
    b"llama4",
]
TOKENS = [
    b"",
    b"\0",
    b"a\0b",
    b"[PAD5]",
    b"<unk>",
    b"<s>",
    b"</s>",
    b"\xff",
    b"\xc3",
    b"[EMPTY_7]",
    b" ",
    b"\n",
    "\u2581".encode(),
    b"<0x0A>",
    b"<0x",
    b"<|im_end|>",
    b"<|end|>",
    b"<|call|>",
    b"<|return|>",
    b"<|channel|>",
    b"unused",
    b"B" * 5000,
    "\u4f60".encode() * 900,
]
OPTIONAL = {
    "expert_count": INTEGERS,
    "expert_used_count": INTEGERS,
    "expert_group_count": INTEGERS,
    "nextn_predict_layers": INTEGERS,
    "attention.causal": [False, True],
    "pooling_type": INTEGERS,
    "rope.scaling.type": TEXTS,
    "rope.scaling.factor": FLOATS,
    "rope.scaling.attn_factor": FLOATS,
    "rope.scaling.original_context_length": INTEGERS,
    "rope.dimension_count": INTEGERS,
    "rope.dimension_count_swa": INTEGERS,
    "attention.key_length": INTEGERS,
    "attention.value_length": INTEGERS,
    "attention.key_length_swa": INTEGERS,
    "attention.value_length_swa": INTEGERS,
    "attention.sliding_window": INTEGERS,
    "attention.sliding_window_pattern": INTEGERS,
    "attn_logit_softcapping": FLOATS,
    "final_logit_softcapping": FLOATS,
    "rope.freq_base": FLOATS,
    "rope.freq_base_swa": FLOATS,
    "embedding_length_out": INTEGERS,
    "attention.scale": FLOATS,
    "rope.scaling.finetuned": [True],
    "rope.scaling.yarn_ext_factor": FLOATS,
    "rope.scaling.yarn_attn_factor": FLOATS,
    "rope.scaling.yarn_log_multiplier": FLOATS,
    "attention.max_alibi_bias": FLOATS,
    "attention.clamp_kqv": FLOATS,
    "vocab_size": INTEGERS,
    "tensor_data_layout": TEXTS,
    "expert_feed_forward_length": INTEGERS,
    "expert_shared_count": INTEGERS,
    "attention.layer_norm_epsilon": FLOATS,
    "use_parallel_residual": [True],
    "attention.recurrent_layers": INTEGERS,
    "deepstack_mapping": INTEGERS,
    "expert_weights_scale": FLOATS,
    "logit_scale": FLOATS,
    "router_layer": INTEGERS,
}
GLOBAL = {
    "split.count": INTEGERS,
    "split.no": INTEGERS,
    "general.alignment": INTEGERS,
    "tokenizer.ggml.bos_token_id": INTEGERS,
    "tokenizer.ggml.eos_token_id": INTEGERS,
    "tokenizer.ggml.eot_token_id": INTEGERS,
    "tokenizer.ggml.padding_token_id": INTEGERS,
    "tokenizer.ggml.unknown_token_id": INTEGERS,
    "tokenizer.ggml.fim_pad_token_id": INTEGERS,
    "tokenizer.ggml.add_bos_token": [True, False],
    "tokenizer.ggml.add_eos_token": [True],
    "tokenizer.ggml.add_space_prefix": [True, False],
    "general.name": TEXTS,
    "tokenizer.ggml.remove_extra_whitespaces": [True],
    "tokenizer.ggml.add_sep_token": [True],
    "general.file_type": INTEGERS,
    "tokenizer.ggml.model": TEXTS,
    "tokenizer.ggml.pre": TEXTS,
    "general.type": TEXTS,
    "tokenizer.ggml.seperator_token_id": INTEGERS,
}

Mutation = Callable[[Document, random.Random], None]


def typed(value: object) -> Value:
    if isinstance(value, bool):
        return Value(BOOL, value)
    if isinstance(value, int):
        return Value(UINT32, value)
    if isinstance(value, float):
        return Value(FLOAT32, value)
    assert isinstance(value, bytes)
    return Value(STRING, value)


def change_value(document: Document, rng: random.Random) -> None:
    key = rng.choice([k for k, v in document.keys.items() if v.code != ARRAY])
    old = document.keys[key]
    choices = {UINT32: INTEGERS, INT32: [0, -1, 5], FLOAT32: FLOATS, STRING: TEXTS, BOOL: [0, 1, 7]}
    value = rng.choice(choices.get(old.code, [0, 1]))
    if old.code == UINT32 and rng.random() < 0.4:
        value = max(0, old.value + rng.choice([-2, -1, 1, 2, old.value, -(old.value // 2)]))
    old.value = value


def change_type(document: Document, rng: random.Random) -> None:
    key = rng.choice(list(document.keys))
    code = rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12])
    document.keys[key] = Value(STRING, b"text") if code == STRING else Value(code, 1)


def to_array(document: Document, rng: random.Random) -> None:
    key = rng.choice(list(document.keys))
    n = rng.choice([0, 1, 2, 3, 513])
    element = rng.choice([UINT32, INT32, FLOAT32, BOOL, STRING])
    items = [b"x"] * n if element == STRING else [rng.choice([0, 1, 2, 4]) for _ in range(n)]
    document.keys[key] = Value(ARRAY, items, element)


def delete_key(document: Document, rng: random.Random) -> None:
    del document.keys[rng.choice(list(document.keys))]


def add_key(document: Document, rng: random.Random) -> None:
    architecture = document.keys.get(b"general.architecture", Value(STRING, b"llama")).value
    if rng.random() < 0.6:
        name, values = rng.choice(list(OPTIONAL.items()))
        key = architecture + b"." + name.encode()
    else:
        name, values = rng.choice(list(GLOBAL.items()))
        key = name.encode()
    value = rng.choice(values)
    document.keys[key] = typed(value)
    if name == "split.count":
        document.keys[key] = Value(UINT16, value & 0xFFFF)
    if rng.random() < 0.1:
        n = document.keys.get(architecture + b".block_count", Value(UINT32, 2)).value % 600
        element = document.keys[key].code
        if element != ARRAY:
            document.keys[key] = Value(ARRAY, [document.keys[key].value] * n, element)


def change_array(document: Document, rng: random.Random) -> None:
    key = rng.choice([k for k, v in document.keys.items() if v.code == ARRAY])
    array = document.keys[key]
    array.value = list(array.value)
    action = rng.randrange(5)
    if action == 0:
        array.value = array.value[: rng.choice([0, 1, len(array.value) // 2, len(array.value) - 1])]
    elif action == 1:
        array.value += array.value[: rng.choice([1, 5])]
    elif array.value:
        for _ in range(rng.choice([1, 1, 2, 20])):
            place = rng.randrange(len(array.value))
            if array.element == STRING:
                array.value[place] = rng.choice([*TOKENS, rng.choice(array.value)])
            elif array.element == FLOAT32:
                array.value[place] = rng.choice(FLOATS)
            else:
                array.value[place] = rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 99])


def retype_tensor(document: Document, rng: random.Random) -> None:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    tensor = rng.choice(document.tensors)
    kind = rng.choice([*GGMLQuantizationType])
    block, n_bytes = GGML_QUANT_SIZES[kind]
    size = 1
    for length in tensor.shape:
        size *= length
    tensor.code = int(kind)
    if tensor.shape[0] % block == 0:  # a lie that fits the file
        tensor.data = bytes(size // block * n_bytes)


def reshape_tensor(document: Document, rng: random.Random) -> None:
    tensor = rng.choice(document.tensors)
    action = rng.randrange(6)
    if action == 0:
        tensor.shape = tensor.shape[::-1]
    elif action == 1:
        tensor.shape = [*tensor.shape, 1]
    elif action == 2:
        tensor.shape = [1, *tensor.shape]
    elif action == 3:
        tensor.shape[rng.randrange(len(tensor.shape))] = rng.choice(
            [0, 1, 32, 64, 1 << 40, (1 << 64) - 1]
        )
    elif action == 4:
        tensor.shape[-1] *= 2
        tensor.data *= 2
    else:
        tensor.shape[-1] //= 2
        tensor.data = tensor.data[: len(tensor.data) // 2]


def rename_tensor(document: Document, rng: random.Random) -> None:
    tensor = rng.choice(document.tensors)
    other = rng.choice(document.tensors).name
    tensor.name = rng.choice(
        [
            other,
            tensor.name + b"x",
            b"",
            b"output.weight",
            b"rope_freqs.weight",
            b"blk.0.attn_q.bias",
            b"blk.0.attn_output.bias",
            b"blk.0.ffn_up.bias",
            b"blk.0.ffn_gate_inp.weight",
            b"n" * 64,
            b"output.bias",
            b"blk.0.attn_q.scale",
            b"rope_factors_long.weight",
            b"cls.output.weight",
            b"blk.0.attn_qkv.weight",
            b"dense_2.weight",
            b"output.scale",
            b"blk.0.attn_q.input_scale",
            b"blk.99.attn_q.weight",
            b"blk.0.attn_q_norm.weight",
        ]
    )


def add_tensor(document: Document, rng: random.Random) -> None:
    tensor = rng.choice(document.tensors)
    extra = TensorEntry(tensor.name, list(tensor.shape), tensor.code, tensor.data)
    document.tensors.insert(rng.randrange(len(document.tensors) + 1), extra)
    position = document.tensors.index(extra)
    rename_tensor(document, rng) if rng.random() < 0.2 else None
    small = rng.random() < 0.5
    names = [
        b"output.weight",
        b"rope_freqs.weight",
        b"blk.0.attn_q.bias",
        b"blk.0.attn_k.bias",
        b"blk.0.attn_output.bias",
        b"blk.0.ffn_up.bias",
        b"output.bias",
        b"blk.0.attn_q.scale",
        b"blk.0.ffn_up.scale",
        b"rope_factors_long.weight",
        b"rope_factors_short.weight",
        b"blk.0.attn_qkv.bias",
        b"blk.0.attn_qkv.weight",
        b"dense_2.weight",
        b"cls.output.weight",
        b"output_norm.bias",
        b"blk.0.attn_norm.bias",
        b"blk.0.attn_output.input_scale",
    ]
    document.tensors[position].name = rng.choice(names)
    if small:
        n = rng.choice([1, 4, 8, 16, 32, 64, 128])
        code = rng.choice([0, 0, 0, 1, 26, 28, 24, 30])
        size = {0: 4, 1: 2, 26: 4, 28: 8, 24: 1, 30: 2}[code]
        document.tensors[position] = TensorEntry(rng.choice(names), [n], code, bytes(n * size))


def drop_tensor(document: Document, rng: random.Random) -> None:
    del document.tensors[rng.randrange(len(document.tensors))]


def move_tensor(document: Document, rng: random.Random) -> None:
    rng.choice(document.tensors).offset = rng.choice([0, 1, 32, 64, 4096, 1 << 40, (1 << 64) - 32])


def corrupt_data(document: Document, rng: random.Random) -> None:
    tensor = rng.choice(document.tensors)
    tensor.data = rng.choice([b"\xff", b"\0", b"\x7f\xc0"]) * len(tensor.data)
    tensor.data = tensor.data[: len(tensor.data)]


def change_alignment(document: Document, rng: random.Random) -> None:
    value = rng.choice([0, 1, 2, 4, 8, 16, 32, 48, 64, 128, 4096, 1 << 31])
    document.keys[b"general.alignment"] = Value(UINT32, value)
    if 0 < value < 8192 and rng.random() < 0.8:
        document.alignment = value


def rename_architecture(document: Document, rng: random.Random) -> None:
    """The same model under another name, with all its keys."""
    old = document.keys[b"general.architecture"].value
    new = rng.choice([b"llama", b"qwen2", b"qwen3", b"gemma2", b"gemma3", b"phi3"])
    keys = {}
    for key, value in document.keys.items():
        keys[new + key[len(old) :] if key.startswith(old + b".") else key] = value
    document.keys = keys
    document.keys[b"general.architecture"] = Value(STRING, new)


def regroup_heads(document: Document, rng: random.Random) -> None:
    """Other numbers of heads with the same products."""
    architecture = document.keys[b"general.architecture"].value
    heads = document.keys[architecture + b".attention.head_count"]
    kv_heads = document.keys[architecture + b".attention.head_count_kv"]
    width = document.keys[architecture + b".embedding_length"].value // max(1, heads.value)
    factor = rng.choice([2, 4, 8, 16])
    if rng.random() < 0.5:
        heads.value, kv_heads.value, width = (
            heads.value * factor,
            kv_heads.value * factor,
            width // factor,
        )
    else:
        heads.value = max(1, heads.value // factor)
        kv_heads.value, width = max(1, kv_heads.value // factor), width * factor
    for name in (b"attention.key_length", b"attention.value_length", b"rope.dimension_count"):
        if rng.random() < 0.7:
            document.keys[architecture + b"." + name] = Value(UINT32, width)


MUTATIONS: list[Mutation] = [
    change_value,
    change_value,
    change_value,
    change_type,
    to_array,
    delete_key,
    add_key,
    add_key,
    change_array,
    change_array,
    retype_tensor,
    retype_tensor,
    reshape_tensor,
    rename_tensor,
    add_tensor,
    add_tensor,
    drop_tensor,
    move_tensor,
    corrupt_data,
    change_alignment,
    rename_architecture,
    regroup_heads,
]


def mutate(document: Document, rng: random.Random) -> str:
    names = []
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 5])):
        mutation = rng.choice(MUTATIONS)
        try:
            mutation(document, rng)
            names.append(mutation.__name__)
        except (KeyError, IndexError, ValueError, TypeError):
            continue
    return "+".join(names)


def damage_bytes(path: Path, header_size: int, rng: random.Random) -> str:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 2, 8, 64])):
        data[rng.randrange(header_size)] = rng.choice([0, 1, 0xFF, rng.randrange(256)])
    if rng.random() < 0.2:
        del data[rng.randrange(len(data)) :]
    path.write_bytes(data)
    return "bytes"


def write_damaged(document: Document, path: Path, rng: random.Random) -> str:
    """Write a damaged copy of ``document``; returns what was done to it."""
    changed = document.clone()
    note = "" if rng.random() < 0.1 else mutate(changed, rng)
    try:
        changed.write(path)
    except (struct.error, OverflowError):
        document.write(path)
        note = ""
    return note or damage_bytes(path, len(document.header()), rng)
