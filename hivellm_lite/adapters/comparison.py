"""Compares a form of an adapter with the exact change, which is written for that purpose.

A reference takes at least as much disk as the changed tensors in float32. It is in the
folder of the unfinished cache entry. So it is removed before the entry is finished, or
together with the unfinished entry if the process was killed.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..converters.forms.change_loss import ChangeLoss
from ..converters.forms.exact_lora import exact_lora_bytes, write_exact_lora
from ..converters.forms.targets import Target
from ..converters.forms.variant import convert_variant
from ..converters.forms.variant_files import loading_order
from ..converters.forms.weights import GGUFWeights, WeightSource
from ..converters.gguf.published_parts import published_parts
from ..converters.peft.updates import Unchanged, Update
from ..errors import ExpertError
from .loss import Divergence
from .measurement import (
    LoraMeter,
    ModelFiles,
    NotMeasured,
    Places,
    check_room,
    lora_meter,
    measure_models,
)

__all__ = ["Comparison", "Meant"]

_FLOAT32_BYTES = 4
_FAILURES = (NotMeasured, ExpertError, OSError, MemoryError)
"""After one of these errors the weights alone decide: a failed measurement is no reason to
refuse an adapter."""


@dataclass(frozen=True)
class Meant:
    """What an adapter means: ``updates`` of the weights of ``source``, beside ``base``.

    ``base_parts`` returns the parts of the base in loading order; that takes time and disk.
    """

    updates: Sequence[tuple[Target, Update]]
    base: GGUFWeights
    source: WeightSource
    base_parts: Callable[[], list[Path]]

    @property
    def is_on_base(self) -> bool:
        """Whether the changed weights are the base's own, as far as that is known."""
        return self.source.is_float == self.base.is_float


class Comparison:
    """Measures forms of one adapter. A context manager: its exit removes all references."""

    def __init__(
        self,
        meant: Meant,
        places: Places,
        folder: Path,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._meant, self._places, self._progress = meant, places, progress
        self._folder, self._scratch = folder, folder / "measuring"
        self._stack = ExitStack()
        self._meter: LoraMeter | None = None
        self._reason = ""

    def of_lora(self, lora: Path, loss: ChangeLoss) -> tuple[Divergence | None, str]:
        """The divergence of a GGUF LoRA that loses ``loss``, or None and why it is unknown.

        The reference is made for the first LoRA that loses anything.
        """
        if loss.share == 0.0:
            return None, "nothing is lost"
        if self._reason:
            return None, self._reason
        try:
            self._meter = self._meter or self._open_meter()
            return self._meter.measure(lora, loss.share), ""
        except _FAILURES as error:
            self._reason = _first_line(error)
            return None, self._reason

    def of_model(self, served: ModelFiles) -> tuple[Divergence | None, str]:
        """The divergence of a variant, or None and why it is unknown."""
        meant = self._meant
        if any(target.resized for target, _ in meant.updates):
            return None, "the adapter changes the size of the vocabulary"
        shapes = {target.gguf_name: target.shape for target, _ in meant.updates}
        without: AbstractContextManager[ModelFiles] = self._merged(with_adapter=False)
        if meant.is_on_base:
            without = _standing(ModelFiles(published_parts(meant.base.header.path)))
        try:
            check_room(self._folder, _FLOAT32_BYTES * sum(map(math.prod, shapes.values())))
            exact = self._merged(with_adapter=True)
            return measure_models(exact, without, served, self._places), ""
        except _FAILURES as error:
            return None, _first_line(error)

    def close(self) -> None:
        """Free the loaded models and remove the written files."""
        self._stack.close()
        self._meter = None
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> Comparison:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_meter(self) -> LoraMeter:
        updates, base, source = self._meant.updates, self._meant.base, self._meant.source
        check_room(self._folder, exact_lora_bytes(updates))
        self._scratch.mkdir(exist_ok=True)
        reference = self._scratch / "exact.gguf"
        write_exact_lora(updates, base.header, source, reference, progress=self._progress)
        rounds = not base.is_float
        meter = lora_meter(base.header.path, reference, self._places, rounds=rounds)
        return self._stack.enter_context(meter)

    @contextmanager
    def _merged(self, *, with_adapter: bool) -> Iterator[ModelFiles]:
        """A model with the changed tensors in float32: exactly what the adapter means."""
        place = self._scratch / ("exact" if with_adapter else "without")
        place.mkdir(parents=True)
        updates = self._meant.updates
        if not with_adapter:
            updates = [(target, Unchanged()) for target, _ in updates]
        parts = self._meant.base_parts()
        try:
            report = convert_variant(
                updates,
                self._meant.base.header,
                [part.name for part in parts],
                self._meant.source,
                place,
                quantization="f32",
                progress=self._progress,
            )
            yield ModelFiles(loading_order(parts, place), report.n_tensors)
        finally:
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _standing(model: ModelFiles) -> Iterator[ModelFiles]:
    """A model whose files exist already."""
    yield model


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
