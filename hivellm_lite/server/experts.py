"""The ``model`` of a request: an expert's name, ``auto``, ``base``, or a blend."""

from __future__ import annotations

from collections.abc import Collection

from ..residency.choice import ExpertName
from ..residency.names import RESERVED
from .errors import APIError, invalid

__all__ = ["MAX_SCALE", "model_not_found", "read_model"]

MAX_SCALE = 100.0
"""The largest scale of an adapter: 1 is what it was trained for, and 1e30 makes logits infinite."""


def read_model(text: str, names: Collection[str]) -> ExpertName:
    """Who answers: a name, or the names and weights of a blend such as ``sql:0.7+style:0.3``.

    ``names``: the experts that there are. A weight that is not given is 1. A name that contains
    ``:`` or ``+`` itself wins over reading it as a blend.

    Raises APIError: 404 for an unknown name, 400 for a weight that is no number.
    """
    if text in names or text in RESERVED:
        return text
    if not ("+" in text or ":" in text):
        raise model_not_found(text, names)
    weights: dict[str, float] = {}
    for part in text.split("+"):
        name, colon, written = part.rpartition(":")
        if not colon:
            name, written = part, "1"
        name = name.strip()
        if name not in names:
            raise model_not_found(name or part, names)
        if name in weights:
            raise invalid("model", f"Invalid 'model': the blend names '{name}' twice.")
        weights[name] = _weight(name, written)
    return weights


def model_not_found(name: str, names: Collection[str]) -> APIError:
    """The error by which clients tell a wrong model from a wrong address."""
    listed = ", ".join(f"'{one}'" for one in (*sorted(names), *RESERVED))
    shown = name if len(name) <= 200 else name[:199] + "…"
    return APIError(
        404,
        f"The model '{shown}' does not exist. There are {listed}.",
        param="model",
        code="model_not_found",
    )


def _weight(name: str, written: str) -> float:
    try:
        weight = float(written)
    except ValueError:
        weight = float("nan")
    if not abs(weight) <= MAX_SCALE:
        raise invalid(
            "model",
            f"Invalid 'model': the weight of '{name}' is not a number from "
            f"{-MAX_SCALE:g} to {MAX_SCALE:g}. Write a blend as 'sql:0.7+style:0.3'.",
        )
    return weight
