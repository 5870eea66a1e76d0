"""Safetensors files and adapter configs that lie or ask for too much, drawn at random."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

from ..support.paths import FIXTURES
from .values import odd_json, odd_name, odd_pattern, odd_value, wide_json

__all__ = ["ADAPTERS", "CONFIG", "WEIGHTS"]

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"

_FOLDER = FIXTURES / "adapters" / "tiny-llama"
_Q = "base_model.model.model.layers.0.self_attn.q_proj"

Files = dict[str, bytes]


def framed(header: str | bytes, data: bytes = b"") -> bytes:
    raw = header.encode("utf-8", "surrogatepass") if isinstance(header, str) else header
    return len(raw).to_bytes(8, "little") + raw + data


def tensors(shapes: dict[str, list[int]], fill: float = 0.5, dtype: str = "F32") -> bytes:
    """A well-formed file of these tensors."""
    header, position, size = {}, 0, {"F32": 4, "F16": 2, "BF16": 2, "F64": 8}[dtype]
    for name, shape in shapes.items():
        n_bytes = int(np.prod(shape, dtype=np.int64)) * size
        offsets = [position, position + n_bytes]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        position += n_bytes
    kind = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8"}[dtype]
    data = np.full(position // size, fill if dtype != "BF16" else 0x3F00, kind).tobytes()
    return framed(json.dumps(header), data)


def config(**options: Any) -> bytes:
    return json.dumps(
        {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "alpha": 1, **options}
    ).encode()


def real(random: Random) -> Files:
    """An adapter of the fixtures."""
    folder = random.choice(sorted(_FOLDER.iterdir()))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def wide_header(random: Random) -> Files:
    n = random.choice([10_000, 1_000_000, 12_000_000])
    inside = wide_json(random, n)
    header = random.choice(
        [f'{{"a":{inside}}}', f'{{"__metadata__":{inside}}}', f'{{"a":{{"shape":{inside}}}}}']
    )
    return {WEIGHTS: framed(header), CONFIG: config()}


def repeated_keys(random: Random) -> Files:
    n = random.choice([10, 10_000, 200_000])
    keys = [f"k{i}" for i in range(n)]
    keys.append(random.choice(keys))
    random.shuffle(keys)
    return {WEIGHTS: framed("{" + ",".join(f'"{k}":1' for k in keys) + "}"), CONFIG: config()}


def many_tensors(random: Random) -> Files:
    n = random.choice([1_000, 20_000, 60_000])
    part = random.choice(["a", "layers.0.self_attn.q_proj", "a." * 30 + "b", "x" * 150])
    role = random.choice(["lora_A.weight", "bias", "ia3_l", "hada_w1_a", "lokr_w1", "nonsense"])
    name = f"base_model.model.{part}"
    header = {
        f"{name}{i}.{role}": {"dtype": "F16", "shape": [1, 1], "data_offsets": [2 * i, 2 * i + 2]}
        for i in range(n)
    }
    return {WEIGHTS: framed(json.dumps(header), bytes(2 * n)), CONFIG: config()}


def odd_shapes(random: Random) -> Files:
    sizes = [0, 1, 2, 2**31, 2**40, 2**62, 2**63 - 1, -1]
    shape = random.choices(sizes, k=random.randint(0, 9))
    offsets = random.choices([0, 4, 8, 2**63 - 1, 2**64, -4], k=random.choice([1, 2, 2, 2, 3]))
    entry = {"dtype": random.choice(["F32", "BF16", "I64", "F8_E4M3", "BOOL", ""]), "shape": shape}
    header = {f"{_Q}.lora_A.weight": {**entry, "data_offsets": offsets}}
    return {WEIGHTS: framed(json.dumps(header), bytes(8)), CONFIG: config()}


def odd_header(random: Random) -> Files:
    files = real(random)
    raw = files[WEIGHTS]
    n = int.from_bytes(raw[:8], "little")
    files[WEIGHTS] = framed(odd_json(random, json.loads(raw[8 : 8 + n])), raw[8 + n :])
    return files


def odd_length(random: Random) -> Files:
    files = real(random)
    length = random.choice([0, 1, 7, 2**24, 2**31, 2**63, 2**64 - 1, random.randrange(10**4)])
    files[WEIGHTS] = length.to_bytes(8, "little") + files[WEIGHTS][8:]
    return files


def flipped_weights(random: Random) -> Files:
    files = real(random)
    data = bytearray(files[WEIGHTS])
    for _ in range(random.randint(1, 30)):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    files[WEIGHTS] = bytes(data if random.random() < 0.8 else data[: random.randrange(len(data))])
    return files


def wide_products(random: Random) -> Files:
    """Narrow factors whose product, or broadcast, takes gigabytes."""
    n = random.choice([500, 30_000, 200_000])
    kind = random.choice(["LOKR", "LOHA", "LORA", "DORA", "IA3", "embedding"])
    shapes: dict[str, list[int]] = {
        "LOKR": random.choice(
            [
                {"lokr_w1_a": [n, 1], "lokr_w1_b": [1, n], "lokr_w2": [1, 1]},
                {"lokr_w1": [n, 1], "lokr_w2": [1, n]},
                {
                    "lokr_w1_a": [n, 1],
                    "lokr_w1_b": [1, 1],
                    "lokr_w2_a": [1, 1],
                    "lokr_w2_b": [1, n],
                },
            ]
        ),
        "LOHA": {
            "hada_w1_a": [n, 1],
            "hada_w1_b": [1, n],
            "hada_w2_a": [n, 1],
            "hada_w2_b": [1, n],
        },
        "LORA": {"lora_A.weight": [1, n], "lora_B.weight": [n, 1]},
        "DORA": {"lora_A.weight": [1, n], "lora_B.weight": [n, 1], "lora_magnitude_vector": [n]},
        "IA3": {"ia3_l": random.choice([[n, 1], [1, n]])},
        "embedding": {"lora_embedding_A": [1, n], "lora_embedding_B": [n, 1]},
    }[kind]
    module = "base_model.model.model.embed_tokens" if kind == "embedding" else _Q
    method = {"DORA": "LORA", "embedding": "LORA"}.get(kind, kind)
    named = {f"{module}.{role}": shape for role, shape in shapes.items()}
    return {
        WEIGHTS: tensors(named, dtype=random.choice(["F32", "F16", "BF16", "F64"])),
        CONFIG: config(peft_type=method, use_dora=kind == "DORA", r=1),
    }


def many_zeros(random: Random) -> Files:
    """A large tensor that packs into nothing: legitimate, so it has to be read piece by piece."""
    n = random.choice([1 << 20, 1 << 24])
    return {
        WEIGHTS: tensors(
            {f"{_Q}.lora_A.weight": [1, n], f"{_Q}.lora_B.weight": [n, 1]}, 0.0, "F16"
        ),
        CONFIG: config(),
    }


def odd_numbers(random: Random) -> Files:
    fill = random.choice([float("nan"), float("inf"), -float("inf"), 3e38, 1e-45, -0.0, 6e4])
    rank = random.choice([1, 3, 64])
    shapes = {f"{_Q}.lora_A.weight": [rank, 64], f"{_Q}.lora_B.weight": [64, rank]}
    alpha = random.choice([1, 0, -5, 9.9e8, 1e-300])
    options = config(r=rank, lora_alpha=alpha, use_rslora=random.random() < 0.5)
    return {WEIGHTS: tensors(shapes, fill), CONFIG: options}


def odd_names(random: Random) -> Files:
    name = odd_name(random).encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    where = random.choice(
        ["{0}", "base_model.model.{0}.lora_A.weight", f"{_Q}.lora_A.{{0}}.weight"]
    )
    names = {where.format(name): [1, 1], f"{_Q}.lora_B.weight": [1, 1]}
    return {WEIGHTS: tensors(names), CONFIG: config()}


def odd_config(random: Random) -> Files:
    files = real(random)
    files[CONFIG] = odd_json(random, json.loads(files[CONFIG]))
    return files


def wide_config(random: Random) -> Files:
    files = real(random)
    key = random.choice(["rank_pattern", "target_modules", "x", "loftq_config"])
    text = wide_json(random, random.choice([10_000, 2_000_000, 9_000_000]))
    files[CONFIG] = f'{{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "{key}": {text}}}'.encode()
    return files


def patterns(random: Random) -> Files:
    files = real(random)
    options = json.loads(files[CONFIG])
    n = random.choice([1, 1, 3, 50, 5_000])
    key = random.choice(["rank_pattern", "alpha_pattern"])
    options[key] = {f"{odd_pattern(random)}{i or ''}": 4 for i in range(n)}
    files[CONFIG] = json.dumps(options).encode()
    return files


def one_odd_option(random: Random) -> Files:
    files = real(random)
    options = json.loads(files[CONFIG])
    key = random.choice(sorted(options))
    text = json.dumps(options)[:-1] + f', "{key}": {odd_value(random)}}}'
    files[CONFIG] = text.encode("utf-8", "surrogatepass")
    return files


ADAPTERS: dict[str, Callable[[Random], Files]] = {
    "a header of many values": wide_header,
    "a key twice": repeated_keys,
    "many tensors": many_tensors,
    "odd shapes": odd_shapes,
    "an odd header": odd_header,
    "an odd length": odd_length,
    "flipped bits in weights": flipped_weights,
    "products out of proportion": wide_products,
    "many zeros": many_zeros,
    "odd numbers": odd_numbers,
    "odd tensor names": odd_names,
    "an odd config": odd_config,
    "a config of many values": wide_config,
    "patterns": patterns,
    "one odd option": one_odd_option,
}
"""The files of an adapter."""
