"""One base, its weights repacked or not, and the LoRA experts that are asked on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..experts.workload import QUESTIONS, Question, Workload

SCHEMA_PART = "CREATE TABLE t{} (id INTEGER PRIMARY KEY, name TEXT, city TEXT);"


@dataclass(frozen=True)
class Case(Workload):
    """A `Workload` whose experts are ``experts``.

    ``peers``: whether `Llama` and llama-server are asked, too. ``quick`` repeats less.
    """

    experts: tuple[Path, ...] = ()
    repacked: bool = True
    peers: bool = True
    quick: bool = False

    @property
    def name(self) -> str:
        return f"{self.base.stem}{'' if self.repacked else ', as stored'}"

    def packages(self, count: int) -> dict[str, Path]:
        return {path.stem: path for path in self.experts[:count]}

    def package_of(self, expert: str) -> Path:
        return self.packages(len(self.experts))[expert]

    def questions_of(self, expert: str, count: int, first: int = 0) -> list[Question]:
        """Short questions, no two of which are equal."""
        prompts = [f"{first + n}: {QUESTIONS[(first + n) % len(QUESTIONS)]}" for n in range(count)]
        return self.questions(expert, [None], prompts)


@dataclass(frozen=True)
class Row:
    """Figures of one way; those that the way does not have are missing."""

    way: str
    figures: dict[str, float]
