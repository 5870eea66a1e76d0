from __future__ import annotations

import subprocess
import sys

import pytest

from hivellm_lite import converters


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_the_package_loads_neither_numpy_nor_gguf() -> None:
    heavy = "{'numpy', 'gguf', 'llama_cpp', 'torch', 'transformers', 'peft'}"
    assert run(f"import hivellm_lite.converters, sys; print({heavy} & set(sys.modules))") == "set()"


def test_converting_loads_neither_llama_cpp_nor_torch() -> None:
    code = (
        "import sys\n"
        "from hivellm_lite.converters.checkpoints import opening\n"
        "from hivellm_lite.converters.base import conversion\n"
        "from hivellm_lite.converters.forms import lora\n"
        "from hivellm_lite.converters.gguf import header\n"
        "from hivellm_lite.converters.peft import adapter\n"
        "print({'llama_cpp', 'torch', 'transformers', 'peft'} & set(sys.modules))"
    )
    assert run(code) == "set()"


ALIASES = {"Array", "Float32Array", "Scalar", "Values"}
"""Types that signatures name; an alias has another name of its own, or none."""


def test_every_public_name_is_there() -> None:
    assert converters.__all__ == sorted(converters.__all__)
    assert set(converters.__all__) >= ALIASES
    for name in set(converters.__all__) - ALIASES:
        assert getattr(converters, name).__name__ == name
    for name in ALIASES:
        assert getattr(converters, name) is not None


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        converters.nonsense  # noqa: B018
