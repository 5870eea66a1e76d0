"""LoHa and LoKr: Hadamard and Kronecker products of small matrices.

Source: ``tuners/loha/layer.py`` and ``tuners/lokr/layer.py`` of PEFT 0.21.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..updates import Hadamard, Kronecker
from .reader import WEIGHT, Change, Reader

__all__ = ["loha", "lokr"]


def loha(reader: Reader) -> Iterator[Change]:
    """``W + scale · (w1_a · w1_b) ∘ (w2_a · w2_b)``."""
    w1_a, w1_b = reader.take_pair("hada_w1_a", "hada_w1_b")
    w2_a, w2_b = reader.take_pair("hada_w2_a", "hada_w2_b")
    shapes = [m.shape for m in (w1_a, w1_b, w2_a, w2_b)]
    (n_out, r1), (r2, n_in), *others = shapes
    if r1 != r2 or others != [(n_out, r1), (r1, n_in)]:
        raise reader.fail(f"the four factors do not fit each other: {shapes}")
    reader.check_rank(r1)
    scale = reader.scale
    yield Change(WEIGHT, Hadamard(w1_a, w1_b, w2_a, w2_b, scale), "LoHa")


def lokr(reader: Reader) -> Iterator[Change]:
    """``W + scale · w1 ⊗ w2``; each factor may be a product itself."""
    factors = []
    for side in ("lokr_w1", "lokr_w2"):
        if side in reader.roles:
            factors.append(reader.take(side))
            continue
        if not {f"{side}_a", f"{side}_b"} & reader.roles.keys():
            raise reader.fail(f"has no {side}")
        a, b = reader.take_pair(f"{side}_a", f"{side}_b")
        if a.shape[1] != b.shape[0]:
            raise reader.fail(f"{side}_a {list(a.shape)} and {side}_b {list(b.shape)} do not fit")
        reader.check_rank(a.shape[1])
        factors.append(reader.product(a, b))
    w1, w2 = factors
    yield Change(WEIGHT, Kronecker(w1, w2, reader.scale), "LoKr")
