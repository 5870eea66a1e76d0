"""Converts a base model, as Hugging Face stores it, into one GGUF file.

Importing this package loads neither numpy nor gguf; using a name does.

Private: may change in any release. `convert_base` and `estimate_size` are public as names of
`hivellm_lite.converters`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_names

if TYPE_CHECKING:
    from .conversion import BaseReport, convert_base, estimate_size

__all__ = ["BaseReport", "convert_base", "estimate_size"]

__getattr__, __dir__ = lazy_names(__name__, {"conversion": __all__})
