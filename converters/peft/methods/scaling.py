"""Methods that only scale what a module puts out or takes in, or train its norm or bias.

Source: ``tuners/ia3``, ``tuners/ln_tuning`` and ``tuners/beft`` of PEFT 0.21.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..updates import AddedBias, Scaled
from .reader import BIAS, WEIGHT, Change, Reader

__all__ = ["beft", "ia3"]


def ia3(reader: Reader) -> Iterator[Change]:
    """Every output times its factor, or every input in ``feedforward_modules``."""
    shape = reader.shape_of("ia3_l")
    if len(shape) != 2 or 1 not in shape:
        raise reader.fail(f"ia3_l has shape {list(shape)}, expected (out, 1) or (1, in)")
    factors = reader.need_vector("ia3_l")
    axis = 0 if shape[1] == 1 else 1
    yield Change(WEIGHT, Scaled(factors, axis), "IA³")
    if axis == 0:
        yield Change(BIAS, Scaled(factors, 0), "IA³", optional=True)


def beft(reader: Reader) -> Iterator[Change]:
    """A bias that is added to the module's own, or is its only one."""
    yield Change(BIAS, AddedBias(reader.need_vector("beft_bias"), 1.0), "BEFT")
