"""An expert that is loaded when the first question comes."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping

from ..expert import Expert
from ..inference.off_loop import LOADING, off_loop
from ..loading.options import LoadOptions

__all__ = ["LazyExpert"]


class LazyExpert:
    """``model`` is a path or name, as `Expert.load` takes it, or an expert that its owner closes.

    ``options`` are those of `LoadOptions`. Raises ValueError for options of a loaded expert.
    """

    def __init__(
        self, model: str | os.PathLike[str] | Expert, options: Mapping[str, object] | None = None
    ) -> None:
        if isinstance(model, Expert) and options:
            raise ValueError(
                f"options of loading were given with a loaded expert: {', '.join(options)}\n"
                "Give them to Expert.load."
            )
        self._model = model
        self._options = LoadOptions(**(options or {}))  # type: ignore[typeddict-item]
        self._expert = model if isinstance(model, Expert) else None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The name or path that was given, or ``name@version`` of a loaded expert."""
        model = self._model
        return f"{model.name}@{model.version}" if isinstance(model, Expert) else os.fspath(model)

    def get(self) -> Expert:
        """The expert; one thread loads it while others wait. Raises what `Expert.load` does."""
        with self._lock:
            if self._expert is None:
                assert not isinstance(self._model, Expert)  # noqa: S101 - see __init__
                self._expert = Expert.load(self._model, **self._options)
            return self._expert

    async def aget(self) -> Expert:
        """`get`; the event loop runs meanwhile."""
        loaded = self._expert
        return loaded if loaded is not None else await off_loop(self.get, threads=LOADING)

    def close(self) -> None:
        """Free an expert that was loaded here; the next question loads it again."""
        with self._lock:
            if self._expert is not None and self._expert is not self._model:
                self._expert.close()
                self._expert = None
