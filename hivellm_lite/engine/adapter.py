"""Adapters of a model, and which of them apply together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..converters.gguf.check import check_adapter
from ..errors import LoadError, OutOfMemoryError
from ..process.memory_limits import require_memory
from ..process.state import loading
from .native import LOADING_BYTES, Native, fresh_log, is_lack_of_memory, llama, reason

if TYPE_CHECKING:
    from .model import Model

__all__ = ["Adapter", "Applied"]

Applied: TypeAlias = "tuple[tuple[Adapter, float], ...]"
"""Adapters and their scales, as they apply together; none for the base alone."""


class Adapter(Native):
    """A GGUF LoRA of one model. Raises LoadError for a file that llama.cpp refuses."""

    def __init__(self, model: Model, path: Path, *, name: str = "") -> None:
        """``name`` is shown to users; the file's if there is none."""
        check_adapter(path)
        n_bytes = path.stat().st_size
        require_memory(f"loading {path.name}", n_bytes, reserved=n_bytes + LOADING_BYTES)
        with fresh_log(), loading(), model.reserving, model.adapting:
            model.free_dropped_adapters()
            pointer = llama.llama_adapter_lora_init(model.pointer, os.fsencode(path))
        if not pointer:
            error = OutOfMemoryError if is_lack_of_memory(reason()) else LoadError
            raise error(f"llama.cpp cannot load the adapter {path}\n{reason()}")
        # a finalizer may run on any thread, and must not wait for `adapting`
        self._own(pointer, model.dropped_adapters.append)
        self.model = model
        self.name = name or path.stem
        model.adapters.add(self)

    def close(self) -> None:
        """Take the adapter off every context that applies it, then free it."""
        if not self.closed:
            for context in list(self.model.contexts):
                context.let_go(self)
        super().close()
        with self.model.reserving, self.model.adapting:
            self.model.free_dropped_adapters()
