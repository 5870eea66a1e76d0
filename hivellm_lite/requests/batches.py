"""The prompts of a batch, each with its own options."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..errors import ExpertError
from .argument_types import check_prompts
from .options import BatchPrompt

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .options import GenerationOptions

__all__ = ["UNANSWERABLE", "Maker", "build_each", "complete_prompts"]

UNANSWERABLE = (ExpertError, ValueError, TypeError)
"""What is wrong with one prompt of a batch, and leaves the others alone."""

_Made = TypeVar("_Made", covariant=True)
_One = TypeVar("_One")


class Maker(Protocol[_Made]):
    """Makes something of one prompt and its options."""

    def __call__(
        self, prompt: str | None = None, **options: Unpack[GenerationOptions]
    ) -> _Made: ...


def build_each(
    make: Maker[_One], prompts: Iterable[str | BatchPrompt], options: GenerationOptions
) -> list[_One | Exception]:
    """What ``make`` makes of each prompt; the exception where a prompt cannot be asked."""

    def build(one: BatchPrompt) -> _One | Exception:
        try:
            return make(**one)
        except UNANSWERABLE as error:
            return error

    return [build(one) for one in complete_prompts(prompts, options)]


def complete_prompts(
    prompts: Iterable[str | BatchPrompt], options: GenerationOptions
) -> list[BatchPrompt]:
    """Each prompt with all its options: its own win over the common ``options``.

    ``seed`` is the first prompt's; the next one gets ``seed + 1``, and so on.
    """
    seed = options.get("seed")
    found = []
    for index, entry in enumerate(check_prompts(prompts)):
        common: GenerationOptions = {**options}
        if seed is not None:
            common["seed"] = (seed + index) % (1 << 32)
        own = BatchPrompt(prompt=entry) if isinstance(entry, str) else entry
        found.append(BatchPrompt(**{**common, **own}))
    return found
