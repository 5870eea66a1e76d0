"""How far the answers of a converted adapter are from those of its exact change.

llama.cpp computes both on the same base and over the same given texts; nothing is generated. A
GGUF LoRA is compared with the exact change as a LoRA of full rank, on one loaded base. A variant
is compared with the same variant in float32. The references are temporary files in the folder of
the unfinished cache entry. They are deleted when the entry is finished, or together with the
entry if the process is killed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..converters.gguf.published_parts import published_parts
from ..engine.options import ContextOptions
from ..inference.opening import open_session
from ..inference.options import SessionOptions
from ..inference.scoring import log_probability_blocks
from ..inference.session import Session
from ..package.grammar import package_grammar
from ..package.opening import Package
from ..process.memory_limits import available_memory
from ..requests.builder import RequestBuilder
from ..requests.grammars import GrammarChooser
from ..storage.disk_space import free_bytes
from .loss import ALLOWED, Divergence
from .texts import MeasuredText

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..engine import Applied

__all__ = [
    "LoraMeter",
    "ModelFiles",
    "NotMeasured",
    "Places",
    "check_room",
    "lora_meter",
    "measure_models",
]

N_CTX = 512
"""Positions of the context; longer prompts lose their beginning."""

PLACES_PER_TEXT = 48
"""The most tokens of one answer that are compared."""

PROMPT_PLACES = 32
"""The most tokens of a question without an answer that are compared."""

MEMORY_SHARE = 0.5
"""The share of free memory that a reference may take."""


class NotMeasured(Exception):
    """The divergence cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Places:
    """What is compared: texts, where they are from, and whose prompts they become."""

    package: Package
    texts: Sequence[MeasuredText]
    origin: str


@dataclass(frozen=True)
class ModelFiles:
    """Files to load as one model, and how many tensors they have together (None: as they say)."""

    files: Sequence[Path]
    n_tensors: int | None = None


_Rows = list["NDArray[np.float32]"]


def check_room(folder: Path, n_bytes: int) -> None:
    """Raise NotMeasured if a reference of ``n_bytes`` does not fit disk or memory well."""
    free = free_bytes(folder)
    if n_bytes > free / 2:
        raise NotMeasured(
            f"the exact change takes {n_bytes / 1e6:.0f} MB, {free / 1e6:.0f} MB of disk are free"
        )
    memory = available_memory()
    if memory is not None and n_bytes > MEMORY_SHARE * memory:
        raise NotMeasured(
            f"the exact change takes {n_bytes / 1e6:.0f} MB, {memory / 1e6:.0f} MB of memory are "
            "free"
        )


class LoraMeter:
    """Measures GGUF LoRAs on one base; `lora_meter` opens one."""

    def __init__(self, session: Session, reference: Path, places: Places, *, rounds: bool) -> None:
        self._session, self._reference, self._rounds = session, reference, rounds
        self._pairs = _token_pairs(session, places)
        self._expected = self._rows(reference)
        self._without = _mean_divergence(self._expected, _rows(session, (), self._pairs))
        self._origin = places.origin

    def measure(self, lora: Path, weights: float) -> Divergence:
        """The loss of the GGUF LoRA in the file ``lora``, which misses ``weights`` of the
        squared change.
        """
        served = _mean_divergence(self._expected, self._rows(lora))
        in_doubt = self._rounds and weights <= ALLOWED and served > ALLOWED * self._without
        noise = self._noise(weights) if in_doubt else 0.0
        positions = sum(map(len, self._expected))
        return Divergence(served, self._without, positions, self._origin, noise)

    def _noise(self, weights: float) -> float:
        """What rounding adds to the divergence when ``weights`` of the squared change differ.

        How often rounded values flip depends on how far a change moves them. So the exact
        change is made as much stronger as the form misses; what the divergence is then
        above that share of the effect is rounding.
        """
        rows = self._rows(self._reference, 1.0 + math.sqrt(weights))
        return max(0.0, _mean_divergence(self._expected, rows) - weights * self._without)

    def _rows(self, lora: Path, scale: float = 1.0) -> _Rows:
        from ..engine import Adapter  # loads llama.cpp

        adapter = Adapter(self._session.model, lora)
        try:
            return _rows(self._session, ((adapter, scale),), self._pairs)
        finally:
            self._session.forget_adapter(adapter)


@contextmanager
def lora_meter(base: Path, reference: Path, places: Places, *, rounds: bool) -> Iterator[LoraMeter]:
    """A meter on ``base``; ``reference`` is the exact change as a GGUF LoRA. ``rounds``: whether
    the base is quantised, so that llama.cpp rounds what it computes with.
    """
    with _session(ModelFiles(published_parts(base))) as session:
        yield LoraMeter(session, reference, places, rounds=rounds)


def measure_models(
    exact: AbstractContextManager[ModelFiles],
    without: AbstractContextManager[ModelFiles],
    served: ModelFiles,
    places: Places,
) -> Divergence:
    """The loss of a whole model. ``exact`` and ``without`` (the adapter) make their files when
    they are entered and delete them afterwards; one stands at a time.
    """
    with exact as files, _session(files) as session:
        pairs = _token_pairs(session, places)
        expected = _rows(session, (), pairs)
    with without as files, _session(files) as session:
        effect = _mean_divergence(expected, _rows(session, (), pairs))
    with _session(served) as session:
        lost = _mean_divergence(expected, _rows(session, (), pairs))
    return Divergence(lost, effect, sum(map(len, expected)), places.origin)


@contextmanager
def _session(model: ModelFiles) -> Iterator[Session]:
    context = ContextOptions(N_CTX, kv_type="f32", flash_attention=False)
    options = SessionOptions(context, max_streams=1, parked_bytes=0, shared=False)
    session = open_session(model.files, "cpu", options, n_tensors=model.n_tensors)
    try:
        yield session
    finally:
        session.release()


def _token_pairs(session: Session, places: Places) -> list[tuple[list[int], list[int]]]:
    """Prompt and answer of every text as tokens; without an answer, the question's own end."""
    package = places.package
    grammars = GrammarChooser(package.manifest, session, lambda: package_grammar(package))
    builder = RequestBuilder(package.manifest, session, grammars)
    n_ctx = min(N_CTX, session.model.n_ctx_train)
    pairs = []
    for text in places.texts:
        prompt = builder.prompt_tokens(text.question, schema=text.schema or None)
        answer = session.model.tokenize(text.answer)[: min(PLACES_PER_TEXT, n_ctx // 2)]
        if not answer:
            half = max(1, len(prompt) - PROMPT_PLACES)
            prompt, answer = prompt[:half], prompt[half:]
        prompt = prompt[-(n_ctx - len(answer)) :]
        if prompt and answer:
            pairs.append((prompt, answer))
    if not pairs:
        raise NotMeasured("the texts have no tokens in this vocabulary")
    return pairs


def _rows(session: Session, applied: Applied, pairs: list[tuple[list[int], list[int]]]) -> _Rows:
    """Log-probabilities (places, vocabulary) of every pair's answer."""
    return [
        np.concatenate(
            [
                rows.astype(np.float32)
                for rows in log_probability_blocks(session, prompt, answer, applied)
            ]
        )
        for prompt, answer in pairs
    ]


def _mean_divergence(expected: _Rows, found: _Rows) -> float:
    """Nats a token; NotMeasured where a model gives no finite numbers.

    ``p · (e^d − 1 − d)`` with ``d = ln q − ln p`` instead of ``−p · d``: the same sum, as
    probabilities add up to 1, but rounding errors stay as small as the divergence is.
    """
    total = 0.0
    for p, q in zip(expected, found, strict=True):
        d = q.astype(np.float64) - p
        total += float((np.exp(p, dtype=np.float64) * (np.expm1(d) - d)).sum())
    if not np.isfinite(total):
        raise NotMeasured("a model's answers are no finite numbers")
    return total / sum(map(len, expected))
