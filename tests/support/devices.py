"""The device that the tests compute on, and how far its numbers may be from the CPU's.

``HIVELLM_TEST_DEVICE`` names it as ``device=`` does. Without it the tests take what a user gets:
a GPU if this build of llama.cpp has one. A test that is about the CPU carries
``@pytest.mark.cpu(reason)`` and computes there on every machine.
"""

from __future__ import annotations

import os

TEST_DEVICE = os.environ.get("HIVELLM_TEST_DEVICE", "auto")

LOGITS = 0.1
"""What logits may differ by on a GPU between two ways of computing the same row.

A GPU multiplies float32 as TF32 or float16, each batch size with another kernel, so logits of
order 10 differ by 0.02 on an H200. A wrong row or position moves them by more than 1.
"""

BITS = "on a CPU every way to compute a row gives the same bits; a GPU rounds by batch size"
ANSWERS = (
    "a GPU rounds by batch size, so two tokens that are equally likely may change places "
    "in an answer computed beside others"
)
MEMORY = "the memory of the process is checked, and a GPU's memory is its own"
CHILDREN = "a forked child cannot use its parent's GPU"
"""Reasons of ``@pytest.mark.cpu``."""


def on_cpu() -> bool:
    """Whether models are computed by the CPU in this test."""
    from hivellm_lite.engine.device import is_cpu

    return is_cpu("auto")


def tolerance(on_a_cpu: float, elsewhere: float = LOGITS) -> float:
    """The largest difference that a test allows on the device that it computes on."""
    return on_a_cpu if on_cpu() else elsewhere
