"""A line of a file of prompts, and the record that answers the line."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

from ..errors import ExpertError
from ..manager import ExpertManager
from ..terminal_text import bounded

__all__ = ["BatchLine", "Record", "answer", "failed"]

Record: TypeAlias = dict[str, Any]
"""``index``, ``input`` (the line's digest) and ``id``, if the line has one; then the fields of
`InferenceResult`, or ``error``."""


@dataclasses.dataclass(frozen=True)
class BatchLine:
    """One line of the input: its options, or why it cannot be answered.

    ``index`` counts all lines from 0. ``digest`` is of the line as it is written, the options
    of the command line, the model's among them, and the packages of the experts that it names.
    """

    index: int
    digest: str
    id: Any
    expert: str | dict[str, float]
    options: dict[str, Any]
    problem: Exception | None


async def answer(line: BatchLine, manager: ExpertManager) -> Record:
    """The record of a line: its answer, or why it has none."""
    if line.problem is not None:
        return failed(line, line.problem)
    try:
        result = await manager.agenerate(line.expert, **line.options)
    except (ExpertError, ValueError) as error:
        return failed(line, error)
    return {**_record(line), **dataclasses.asdict(result)}


def failed(line: BatchLine, error: Exception) -> Record:
    """The record of a line that has no answer."""
    told = {"type": type(error).__name__, "message": bounded(str(error))}
    return {**_record(line), "error": told}


def _record(line: BatchLine) -> Record:
    """The beginning of a record: which line it is of."""
    record: Record = {"index": line.index, "input": line.digest}
    return record if line.id is None else {**record, "id": line.id}
