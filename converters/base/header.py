"""Writes everything of a GGUF file that precedes the tensor data."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..architectures import HyperParameters
from ..quantization import file_type, is_mix
from ..tokenizers.vocabulary import Vocabulary, write_vocabulary
from .config import ModelConfig
from .plan import PlannedTensor
from .rope import rope_metadata

__all__ = ["write_header"]


def write_header(
    config: ModelConfig, vocabulary: Vocabulary, tensors: list[PlannedTensor], quant: str, out: Path
) -> None:
    """Write everything that precedes the tensor data."""
    from gguf import GGML_QUANT_VERSION, GGMLQuantizationType, GGUFType, GGUFWriter

    writer = GGUFWriter(path=None, arch=config.architecture.name)
    writer.add_type(GGUFType.MODEL)
    for key, value in _hyper_parameters(config).items():
        name = f"{config.architecture.name}.{key}"
        if isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        else:
            writer.add_array(name, list(value))
    writer.add_file_type(file_type("f16" if is_mix(quant) else quant))
    writer.add_quantization_version(GGML_QUANT_VERSION)
    write_vocabulary(writer, vocabulary)
    for tensor in tensors:
        kind = GGMLQuantizationType[tensor.kind]
        # With a raw type and a dtype other than uint8, the shape is used unchanged.
        writer.add_tensor_info(
            tensor.name, tensor.shape, np.dtype(np.float32), tensor.n_bytes, raw_dtype=kind
        )
    try:
        writer.write_header_to_file(out)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    finally:
        writer.close()


def _hyper_parameters(config: ModelConfig) -> HyperParameters:
    """All of them by GGUF key. The architecture's own replace the usual ones."""
    sizes = config.sizes
    usual: dict[str, str | int | float] = {
        "block_count": len(config.kinds),
        "context_length": config.n_context,
        "embedding_length": sizes["hidden"],
        "feed_forward_length": sizes["feed_forward"],
        "attention.head_count": sizes["heads"],
        "attention.head_count_kv": sizes["kv_heads"],
    }
    if config.writes_head_dim:
        usual["attention.key_length"] = usual["attention.value_length"] = sizes["head_dim"]
    usual["attention.layer_norm_rms_epsilon"] = float(config.rms_norm_eps)
    return {**usual, **rope_metadata(config.rope), **config.hyper_parameters}
