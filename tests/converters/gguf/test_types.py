"""ggml's types: the table is that of the ``gguf`` package."""

from __future__ import annotations

import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from hivellm_lite.converters.gguf.types import (
    TENSOR_TYPES,
    n_tensor_bytes,
    type_name,
    type_number,
)


@pytest.mark.parametrize("kind", GGMLQuantizationType, ids=lambda kind: kind.name)
def test_every_type_of_the_gguf_package_is_known(kind):
    assert TENSOR_TYPES[kind.name] == (kind, *GGML_QUANT_SIZES[kind])
    assert type_name(kind) == kind.name
    assert type_number(kind.name) == kind


def test_bytes_of_tensors():
    assert n_tensor_bytes((3, 64), "Q8_0") == 3 * 2 * 34
    assert n_tensor_bytes((3, 65), "Q8_0") == -1
    assert n_tensor_bytes((3, 65), "type 99") is None
    assert type_name(99) == "type 99"
