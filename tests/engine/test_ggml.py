"""ggml's functions are found as Windows finds them: in the library that has them."""

from __future__ import annotations

import ctypes

import pytest

from hivellm_lite.engine import devices
from hivellm_lite.engine.ggml import find_function, ggml_function, ggml_libraries

OF_REGISTRY = ("ggml_backend_dev_count", "ggml_backend_dev_get")
OF_BASE = (
    *("ggml_backend_dev_type", "ggml_backend_dev_name", "ggml_backend_dev_description"),
    *("ggml_backend_dev_memory", "ggml_quantize_chunk", "ggml_quantize_init"),
)


def test_each_function_is_in_one_of_the_libraries_beside_llamas():
    _, registry, base = ggml_libraries()
    for name in OF_REGISTRY:
        assert hasattr(registry, name)
        assert not hasattr(base, name)
    for name in OF_BASE:
        assert hasattr(base, name)


def test_a_library_that_lacks_a_function_is_passed_over():
    _, registry, base = ggml_libraries()
    other = ctypes.CDLL(ctypes.pythonapi._name)  # a library that has none of them
    count = find_function("ggml_backend_dev_count", [other, base, registry])
    count.restype = ctypes.c_size_t
    assert count() == len(devices())
    assert find_function("ggml_backend_dev_type", [other, base]) is not None


def test_a_function_that_no_library_has_is_named():
    with pytest.raises(AttributeError, match="no function ggml_of_another_day"):
        ggml_function("ggml_of_another_day", None, [])
