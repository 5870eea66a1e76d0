"""llama.cpp's own quantisation: rows of one type, and whole files in its mixes of types.

Needs no model in memory. `quantize_rows` may be called from several threads at
once; ctypes releases the interpreter lock for it.

Source: ``ggml_quantize_chunk`` in ggml/include/ggml.h, ``llama_model_quantize`` in
include/llama.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ConversionError
from .ggml import ggml_function
from .native import fresh_log, llama, reason, start

__all__ = ["quantize_file", "quantize_rows"]

MAX_BUFFER = 256 << 20
"""Bytes of tensor rows that llama.cpp holds at once while it quantises a file."""


@functools.cache
def _quantize_chunk() -> Any:
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    return ggml_function(
        "ggml_quantize_chunk",
        ctypes.c_size_t,
        [ctypes.c_int, pointer, pointer, size, size, size, pointer],
    )


@functools.cache
def _prepare(kind: int) -> Any:
    """``ggml_quantize_chunk``, once the tables of the type are built, under the library's lock."""
    ggml_function("ggml_quantize_init", None, [ctypes.c_int])(kind)
    return _quantize_chunk()


def quantize_rows(
    values: npt.NDArray[np.float32], kind: int, n_bytes: int
) -> npt.NDArray[np.uint8]:
    """``values`` (rows, columns) as rows of ggml's type ``kind``, ``n_bytes`` each.

    The caller has checked that the type needs no importance matrix and that the
    columns are whole blocks: the library ends the process otherwise.
    """
    rows = np.ascontiguousarray(values, np.float32)
    n_rows, n_columns = rows.shape
    out = np.empty((n_rows, n_bytes), np.uint8)
    written = _prepare(kind)(kind, rows.ctypes.data, out.ctypes.data, 0, n_rows, n_columns, None)
    assert written == out.nbytes  # the caller's size of a row  # noqa: S101
    return out


def quantize_file(source: Path, out: Path, file_type: int, *, threads: int) -> None:
    """Write the GGUF ``source`` to ``out`` in llama.cpp's mix ``file_type`` (``llama_ftype``).

    Tensors whose shape a type does not allow get the type that llama.cpp falls
    back to. Raises ConversionError with llama.cpp's reason.
    """
    start()
    parameters = llama.llama_model_quantize_default_params()
    parameters.nthread = threads
    parameters.ftype = file_type
    parameters.max_buf_size = MAX_BUFFER
    with fresh_log():
        status = llama.llama_model_quantize(
            os.fsencode(source), os.fsencode(out), ctypes.byref(parameters)
        )
        if status != 0:
            with contextlib.suppress(OSError):
                out.unlink()
            raise ConversionError(f"cannot quantise {source.name}\n{reason()}")
