"""Which method quantised a checkpoint, by its configuration.

Nothing here loads numpy: a base that cannot be read is refused before it is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....errors import ConversionError
from ...json_file import read_json

__all__ = ["QuantizationSettings", "read_settings", "settings_of"]

READ = frozenset(
    {
        *("bitsandbytes", "gptq", "awq", "fp8", "fbgemm_fp8", "compressed-tensors", "modelopt"),
        "mxfp4",
    }
)
"""Methods whose formats are read: each is plain arithmetic on what the files hold."""

_OLDER_FILES: Mapping[str, str] = {"quantize_config.json": "gptq", "quant_config.json": "awq"}
"""Where tools kept their settings before ``config.json`` had a place for them."""

_COMPRESSED_FORMATS = frozenset(
    {
        *("dense", "float-quantized", "int-quantized", "naive-quantized", "pack-quantized"),
        *("nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized", "mixed-precision"),
    }
)


@dataclass(frozen=True)
class QuantizationSettings:
    """``method`` as Transformers names it, and its options. ``source`` names the file."""

    method: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    source: str = "config.json"

    def size(self, name: str, *others: str) -> int | None:
        """A positive integer among the options; None if there is none.

        Raises ConversionError for anything else, except -1, which means none.
        """
        for key in (name, *others):
            value = self.options.get(key)
            if value is None or value == -1:
                continue
            if type(value) is not int or not 0 < value < 1 << 31:
                raise ConversionError(f"{self.source}: {key} is {value!r:.50}, expected a size")
            return value
        return None


def read_settings(folder: Path) -> QuantizationSettings:
    """The settings in ``folder``. Raises ConversionError for a method that is not read."""
    path = folder / "config.json"
    config = read_json(path) if path.is_file() else {}
    found = settings_of(config, path)
    if not found.method:
        for name, method in _OLDER_FILES.items():
            if (older := folder / name).is_file():
                return _checked(method, read_json(older), older)
    return found


def settings_of(config: Mapping[str, Any], path: Path) -> QuantizationSettings:
    """The settings in ``config``, the contents of ``path``; without a method if it has none.

    Raises ConversionError for a method that is not read.
    """
    inner = config.get("text_config")
    for place in (config, inner if isinstance(inner, dict) else {}):
        for key in ("quantization_config", "compression_config"):
            if options := place.get(key):
                if not isinstance(options, dict):
                    raise ConversionError(f"{path}: {key} is not an object")
                return _checked(_method(options), options, path)
    return QuantizationSettings(source=str(path))


def _method(options: Mapping[str, Any]) -> str:
    method = options.get("quant_method")
    if isinstance(method, str):
        return method.replace("_", "-") if "compressed" in method else method
    # bitsandbytes before Transformers 4.37 did not name itself.
    older = any(options.get(f"load_in_{bits}bit") for bits in (4, 8))
    return "bitsandbytes" if older else "of an unnamed method"


def _checked(method: str, options: Mapping[str, Any], path: Path) -> QuantizationSettings:
    problem = ""
    if method in ("auto-round", "intel/auto-round"):
        # It writes the packings of other tools.
        packing = str(options.get("packing_format", "auto_round:auto_gptq"))
        if packing in ("auto_round:auto_gptq", "auto_round:gptq"):
            return _checked("gptq", options, path)
        if packing in ("auto_round:auto_awq", "auto_round:awq"):
            return _checked("awq", options, path)
        problem = f"AutoRound's packing {packing!r:.50} is not read"
    elif method not in READ:
        problem = f"the checkpoint is quantised ({method:.50}), which cannot be read as floats here"
    elif method == "gptq":
        problem = _gptq_problem(options)
    elif method == "awq":
        version = str(options.get("version", "gemm")).lower()
        if options.get("backend") == "llm-awq":
            version = "llm-awq"
        if version != "gemm":
            problem = f"AWQ's packing {version!r:.50} is not read, only 'gemm'"
    elif method == "compressed-tensors":
        problem = _compressed_problem(options)
    if problem:
        raise ConversionError(
            f"{path}: {problem}\nConvert the original float checkpoint, or use a ready GGUF file."
        )
    return QuantizationSettings(method, options, str(path))


def _gptq_problem(options: Mapping[str, Any]) -> str:
    packing = options.get("checkpoint_format") or options.get("format") or "gptq"
    if packing not in ("gptq", "gptq_v2"):
        return f"GPTQ's packing {packing!r:.50} is not read, only 'gptq' and 'gptq_v2'"
    if options.get("is_marlin_format"):
        return "GPTQ's packing 'marlin' is not read, only 'gptq' and 'gptq_v2'"
    return ""


def _compressed_problem(options: Mapping[str, Any]) -> str:
    packing = str(options.get("format", "dense"))
    if packing not in _COMPRESSED_FORMATS:
        return f"the packing {packing!r:.50} of compressed-tensors is not read"
    sparsity = options.get("sparsity_config")
    if isinstance(sparsity, dict) and sparsity.get("format", "dense") != "dense":
        return (
            f"the sparse packing {sparsity.get('format')!r:.50} of compressed-tensors is not read"
        )
    if options.get("transform_config"):
        return "the rotations (transform_config) of compressed-tensors are not undone"
    return ""
