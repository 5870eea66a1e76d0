"""Logits that are not numbers."""

from __future__ import annotations

from ..errors import InferenceError

__all__ = ["NotNumbersError"]


class NotNumbersError(InferenceError):
    """A model computed NaN or infinity. What it left in the KV cache must not be used."""

    def __init__(self) -> None:
        super().__init__(
            "the model's logits are not numbers\n"
            "The weights of the base or of the adapter have NaN or overflow: get the files again, "
            "or use a smaller adapter_scale."
        )
