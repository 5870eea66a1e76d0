"""Writes small safetensors files, GGUF files and model folders, well-formed or not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hivellm_lite.converters import Adapter, read_adapter
from hivellm_lite.converters.base.config import read_model_config
from hivellm_lite.converters.tokenizers.vocabulary import Vocabulary, read_vocabulary

from .paths import ADAPTERS, MODELS

Array = npt.NDArray[Any]

NAMES = {"float32": "F32", "float16": "F16", "float64": "F64", "int32": "I32", "bool": "BOOL"}


def safetensors(tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a well-formed file."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    data = b""
    for name, values in tensors.items():
        raw = values.tobytes()
        header[name] = {
            "dtype": NAMES[str(values.dtype)],
            "shape": list(values.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    return framed(json.dumps(header).encode(), data)


def framed(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def lora(*modules: str, rank: int = 2, n_in: int = 64, n_out: int = 64) -> dict[str, Array]:
    """Random A and B for ``modules``, with PEFT's names."""
    rng = np.random.default_rng(0)
    tensors: dict[str, Array] = {}
    for module in modules:
        prefix = f"base_model.model.{module}"
        tensors[f"{prefix}.lora_A.weight"] = rng.standard_normal((rank, n_in), np.float32)
        tensors[f"{prefix}.lora_B.weight"] = rng.standard_normal((n_out, rank), np.float32)
    return tensors


def write_adapter(folder: Path, tensors: Mapping[str, Array], **config: Any) -> tuple[Path, Path]:
    """An adapter folder's two files; ``config`` changes a plain config of rank 2, alpha 8."""
    weights, path = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    weights.write_bytes(safetensors(tensors))
    path.write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 8, **config}))
    return weights, path


def copy_model(name: str, folder: Path, **config: Any) -> Path:
    """A copy of a tiny model with ``config.json`` changed; a value of None removes the key."""
    target = folder / name
    shutil.copytree(MODELS / name, target)
    change_json(target / "config.json", **config)
    return target


def change_json(path: Path, **changes: Any) -> None:
    value = json.loads(path.read_text())
    value.update(changes)
    kept = {key: entry for key, entry in value.items() if entry is not None}
    path.write_text(json.dumps(kept))


def saved_adapter(base: str, name: str) -> Adapter:
    """An adapter of the fixtures, as PEFT saved it for the model ``base``."""
    folder = ADAPTERS / base / name
    return read_adapter(folder / "adapter_model.safetensors", folder / "adapter_config.json")


def vocabulary_in(folder: Path) -> Vocabulary:
    """The vocabulary that the conversion of the model in ``folder`` writes."""
    config = read_model_config(folder)
    return read_vocabulary(
        folder,
        size=config.sizes["vocab"],
        token_ids=config.token_ids,
        architecture=config.architecture.name,
    )
