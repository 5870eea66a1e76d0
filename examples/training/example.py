"""What a generator makes: one question about one schema, with its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

Split = Literal["train", "held-out"]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Example:
    """One question. ``kind`` names the template it came from, for tables of accuracy."""

    schema: str
    question: str
    answer: str
    kind: str


def weighted(rng: Random, choices: dict[Callable[..., Item], int]) -> Callable[..., Item]:
    """One of the keys, drawn in proportion to its weight."""
    return rng.choices(list(choices), weights=list(choices.values()))[0]
