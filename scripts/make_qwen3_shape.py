"""Write a Hugging Face folder of Qwen3-0.6B's real shape with random weights, for benchmarks.

Usage: ``python scripts/make_qwen3_shape.py FOLDER`` (1.2 GB, bfloat16)

The weights mean nothing; sizes, types and vocabulary size are those of the real model.
The tokenizer is the tiny Qwen3's of the test fixtures, padded with unused tokens.
With ``--adapters N`` it also writes N random DoRA packages of the published kind beside it, with
``--loras N`` N LoRA packages of the same rank and modules, which convert in a moment.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np

TINY = Path(__file__).parents[1] / "tests" / "fixtures" / "models" / "tiny-qwen3"
N_VOCAB, N_EMBD, N_FF, N_LAYERS = 151_936, 1024, 3072, 28
N_HEADS, N_KV, HEAD = 16, 8, 128
RANK = 12
TARGETS = ("q", "k", "v", "o", "up", "down")

LAYER = {
    "input_layernorm": (N_EMBD,),
    "self_attn.q_proj": (N_HEADS * HEAD, N_EMBD),
    "self_attn.k_proj": (N_KV * HEAD, N_EMBD),
    "self_attn.v_proj": (N_KV * HEAD, N_EMBD),
    "self_attn.o_proj": (N_EMBD, N_HEADS * HEAD),
    "self_attn.q_norm": (HEAD,),
    "self_attn.k_norm": (HEAD,),
    "post_attention_layernorm": (N_EMBD,),
    "mlp.gate_proj": (N_FF, N_EMBD),
    "mlp.up_proj": (N_FF, N_EMBD),
    "mlp.down_proj": (N_EMBD, N_FF),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--adapters", type=int, default=0, metavar="N")
    parser.add_argument("--loras", type=int, default=0, metavar="N")
    given = parser.parse_args()
    write_model(given.folder)
    for number in range(given.adapters):
        write_package(given.folder.parent / f"random-{number}.expert", number + 1, dora=True)
    for number in range(given.loras):
        write_package(given.folder.parent / f"lora-{number}.expert", number + 1, dora=False)


def write_model(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder)
    shapes = {"model.embed_tokens": (N_VOCAB, N_EMBD), "model.norm": (N_EMBD,)}
    for layer in range(N_LAYERS):
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in LAYER.items()}
    random = np.random.default_rng(0)
    with (folder / "model.safetensors").open("wb") as file:
        header, offset = {}, 0
        for name, shape in shapes.items():
            n_bytes = 2 * int(np.prod(shape))
            header[f"{name}.weight"] = {
                "dtype": "BF16",
                "shape": list(shape),
                "data_offsets": [offset, offset + n_bytes],
            }
            offset += n_bytes
        text = json.dumps(header).encode()
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            file.write(bfloat16(weights(random, shape)))


def weights(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    return random.standard_normal(shape, dtype=np.float32) * np.float32(0.02)


def bfloat16(values: np.ndarray) -> bytes:
    return (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()


def write_config(folder: Path) -> None:
    for path in TINY.iterdir():
        if path.suffix in (".json", ".jinja") and path.name != "model.safetensors":
            shutil.copy(path, folder / path.name)
    config = json.loads((TINY / "config.json").read_text())
    config |= {
        "hidden_size": N_EMBD,
        "intermediate_size": N_FF,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": N_HEADS,
        "num_key_value_heads": N_KV,
        "head_dim": HEAD,
        "vocab_size": N_VOCAB,
        "max_position_embeddings": 40960,
        "tie_word_embeddings": True,
    }
    for name in ("layer_types", "max_window_layers"):
        config.pop(name, None)
    (folder / "config.json").write_text(json.dumps(config, indent=2))


def write_package(path: Path, seed: int, *, dora: bool) -> None:
    """A package as published ones are: six modules, rank 12, float32."""
    tensors = adapter_tensors(np.random.default_rng(seed), dora=dora)
    header, offset = {}, 0
    for name, values in tensors.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(values.shape),
            "data_offsets": [offset, offset + values.nbytes],
        }
        offset += values.nbytes
    text = json.dumps(header).encode()
    data = b"".join(values.tobytes() for values in tensors.values())
    method = "dora" if dora else "lora"
    manifest = {
        "name": f"{'random' if dora else 'lora'}-{seed}",
        "version": "0.0.1",
        "schema_version": "2.0",
        "base_models": [
            {"name": "Qwen3-0.6B", "adapters": [{"type": method, "r": RANK, "alpha": 2 * RANK}]}
        ],
        "capabilities": ["database:sql"],
    }
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 2 * RANK, "use_dora": dora}
    files = {
        "manifest.json": json.dumps(manifest).encode(),
        "adapter_config.json": json.dumps(config).encode(),
        "adapter_model.safetensors": len(text).to_bytes(8, "little") + text + data,
    }
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def adapter_tensors(random: np.random.Generator, *, dora: bool) -> dict[str, np.ndarray]:
    tensors = {}
    for layer in range(N_LAYERS):
        for name in TARGETS:
            block = "mlp" if name in ("up", "down") else "self_attn"
            module = f"{block}.{name}_proj"
            n_out, n_in = LAYER[module]
            prefix = f"base_model.model.model.layers.{layer}.{module}"
            tensors[f"{prefix}.lora_A.weight"] = random.standard_normal((RANK, n_in)) * 0.02
            tensors[f"{prefix}.lora_B.weight"] = random.standard_normal((n_out, RANK)) * 0.01
            if dora:
                magnitude = np.sqrt(n_in) * 0.02 * (1 + 0.01 * random.standard_normal(n_out))
                tensors[f"{prefix}.lora_magnitude_vector"] = magnitude
    return {name: values.astype(np.float32) for name, values in tensors.items()}


if __name__ == "__main__":
    main()
