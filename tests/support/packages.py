"""Builds small expert packages for tests.

Usage::

    files = expert_files(manifest_v2(name="expert-x"))
    path = write_package(tmp_path / "x.expert", files)     # also .zip, or no suffix: a folder
"""

from __future__ import annotations

import io
import json
import platform
import struct
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hivellm_lite.engine.row_shapes import row_shape

from .devices import TEST_DEVICE, on_cpu
from .paths import FIXTURES

_DTYPES = {"float32": "F32", "float16": "F16", "int32": "I32", "int64": "I64"}

BASE = "tiny-base"
"""Last component of the base model's name in the manifests below."""


def manifest_v2(**overrides: Any) -> dict[str, Any]:
    """A schema 2.0 manifest with the traits of published ones; a value of None removes a key."""
    manifest = {
        "name": "expert-tiny",
        "version": "0.3.0",
        "schema_version": "2.0",
        "description": "Consultas curtas e válidas",
        "author": "somebody",
        "base_models": [
            {
                "name": f"D:/models/{BASE}",
                "sha256": "",
                "quantization": "int4",
                "rope_scaling": {"type": "ntk-by-parts", "factor": 8.0, "_comment": "β=0.25"},
                "prompt_template": "qwen3",
                "adapters": [
                    {
                        "type": "dora",
                        "target_modules": ["q_proj", "v_proj"],
                        "r": 4,
                        "alpha": 8,
                        "scaling": "dora",
                        "dropout": 0.1,
                        "size_bytes": 0,
                        "sha256": "",
                    }
                ],
            }
        ],
        "soft_prompts": [],
        "capabilities": ["database:sql", "language:en"],
        "routing": {"keywords": ["sql", "table"], "exclude_keywords": ["what is"], "priority": 0.8},
        "constraints": {"max_chain": 10, "load_order": 6, "incompatible_with": [], "requires": []},
        "training": {
            "decoding": {
                "use_grammar": False,
                "stop_sequences": [";", "\n\n"],
                "temperature": 0.7,
                "top_p": 0.8,
                "top_k": 20,
                "min_p": 0,
                "_comment": "recommended",
            }
        },
        "license": "cc-by-4.0",
    }
    return _overridden(manifest, overrides)


def manifest_v1(**overrides: Any) -> dict[str, Any]:
    """A schema 1.0 manifest, with ``adapters`` at the root and placeholders for digests."""
    manifest = {
        "name": "expert-old",
        "version": "1.0.0",
        "base_model": {"name": f"org/{BASE}", "sha256": "some_hash", "rope_scaling": "yarn-128k"},
        "adapters": [
            {"type": "lora", "r": 4, "alpha": 4, "path": "weights/tiny/adapter", "sha256": None}
        ],
        "capabilities": ["test"],
    }
    return _overridden(manifest, overrides)


def _overridden(manifest: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**manifest, **overrides}.items() if value is not None}


def expert_files(
    manifest: Mapping[str, Any] | None = None, *, adapter: str = ""
) -> dict[str, bytes]:
    """The files of a package; ``adapter`` is the folder of the adapter, such as ``"adapter/"``."""
    return {
        "manifest.json": manifest_bytes(manifest_v2() if manifest is None else manifest),
        f"{adapter}adapter_config.json": b'{"peft_type": "LORA", "r": 4}',
        f"{adapter}adapter_model.safetensors": safetensors_bytes({"a": np.ones((4, 2), "f4")}),
    }


def adapter_files(model: str = "tiny-llama", adapter: str = "plain") -> dict[str, bytes]:
    """The files of an adapter of the fixtures."""
    folder = FIXTURES / "adapters" / model / adapter
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def grammar_package(path: Path, grammar: str | None = None, **decoding: Any) -> Path:
    """Write a package for the tiny Llama with a grammar and its manifest's ``decoding``."""
    files = adapter_files()
    files["manifest.json"] = manifest_bytes(manifest_v2(training={"decoding": decoding}))
    if grammar is not None:
        files["grammar.gbnf"] = grammar.encode()
    return write_package(path, files)


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    """The manifest as packagers write it: indented UTF-8 JSON."""
    return json.dumps(manifest, indent=2, ensure_ascii=False).encode()


def safetensors_bytes(tensors: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """A safetensors file: 8 bytes with the header's length, the JSON header, the data."""
    header, data = {}, b""
    for name, tensor in tensors.items():
        start, data = len(data), data + np.ascontiguousarray(tensor).tobytes()
        header[name] = {
            "dtype": _DTYPES[tensor.dtype.name],
            "shape": list(tensor.shape),
            "data_offsets": [start, len(data)],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def write_package(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write a zip for ``.zip``, a folder for no suffix, a gzip-compressed tar for all else."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    elif path.suffix:
        path.write_bytes(tar_bytes((member(name), data) for name, data in files.items()))
    else:
        for name, data in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    return path


def member(name: str, **fields: Any) -> tarfile.TarInfo:
    """A tar member's header with the given TarInfo fields, such as ``type`` or ``linkname``."""
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def tar_bytes(
    members: Iterable[tuple[tarfile.TarInfo, bytes]], *, mode: str = "w:gz", pax: bool = False
) -> bytes:
    """A tar of the members in this order; ``mode="w"`` leaves it uncompressed."""
    buffer = io.BytesIO()
    tar_format = tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT
    with tarfile.open(fileobj=buffer, mode=mode, format=tar_format) as tar:  # type: ignore[call-overload]
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def all_but_fresh(n_prompt: int) -> int:
    """Tokens of a known prompt that are not computed again, on the fixtures' F32 models."""
    processor = platform.machine() if on_cpu() else TEST_DEVICE
    return row_shape(["F32"], processor).n_reusable(n_prompt, n_prompt)
