"""The text model inside a multimodal checkpoint: its names of tensors, and what is left out.

Transformers has wrapped text models in two ways, as ``language_model.model.layers`` and as
``model.language_model.layers``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["left_out", "text_names"]

_WRAPPERS = (
    ("model.language_model.model.", "model."),
    ("model.language_model.", "model."),
    ("language_model.model.", "model."),
    ("language_model.", ""),
    ("model.text_model.", "model."),
    ("model.lm_head.", "lm_head."),
)

_OTHER_PARTS = frozenset(
    {
        "audio_model",
        "audio_tower",
        "connector",
        "embed_audio",
        "embed_vision",
        "image_newline",
        "mlp1",
        "multi_modal_projector",
        "vision_embedder",
        "vision_model",
        "vision_projection",
        "vision_tower",
        "visual",
    }
)
"""The names of modules that see or hear."""


def text_names(stored: Iterable[str]) -> Mapping[str, str]:
    """The stored name of each tensor, by the name that it has in a model of text alone."""
    found: dict[str, str] = {}
    for name in stored:
        plain = name
        for wrapper, replacement in _WRAPPERS:
            if name.startswith(wrapper):
                plain = replacement + name[len(wrapper) :]
                break
        if plain == name or plain not in found:
            found[plain] = name
    return found


def left_out(name: str) -> str | None:
    """The part that sees or hears which the tensor ``name`` belongs to; None for any other."""
    first = name.removeprefix("model.").partition(".")[0]
    return first if first in _OTHER_PARTS else None
