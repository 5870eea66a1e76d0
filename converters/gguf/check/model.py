"""Checks a model, in one file or in parts."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from ....errors import ConversionError, LoadError
from ...architectures import ARCHITECTURES
from ..header import UNNAMED, GGUFHeader, GGUFTensor, read_gguf_header
from ..published_parts import part_names, published_parts
from .hyper_parameters import check_general, check_sizes
from .problems import Findings, GGUFProblem
from .tensors import check_layout, check_tensors, check_types
from .vocabulary import check_vocabulary

__all__ = ["MAX_SHOWN", "check_model", "find_problems"]

MAX_SHOWN = 5
"""Problems that a message lists. A file with one usually has many."""

_KNOWN = {table.name: table for table in ARCHITECTURES if table.checked_whole}
_UNCHECKED = ("deepstack_mapping", "rope.dimension_sections")
"""Keys of models that also see. What llama.cpp asserts about them is not checked."""

_UINT16 = 2


def check_model(files: Sequence[Path]) -> bool:
    """Raise LoadError if this model would make llama.cpp end the process.

    Returns whether the check is complete, which it is for the architectures whose tables say so,
    unless the model also sees.

    ``files`` are the parts in loading order. If the only file is the first part of a split
    model, the other parts are found by their names, as in llama.cpp. The result is remembered
    as long as the files do not change.
    """
    parts = tuple(Path(file) for file in files)
    if len(parts) == 1:
        parts = _siblings(parts[0])
    problems = _remembered(parts, tuple(_stamp(part) for part in parts))
    if problems:
        lines = [f"  {problem}" for problem in problems[:MAX_SHOWN]]
        if len(problems) > MAX_SHOWN:
            lines.append(f"  and {len(problems) - MAX_SHOWN} more")
        raise LoadError(
            "\n".join(
                [
                    f"{parts[0]} contradicts itself; llama.cpp cannot compute with it",
                    *lines,
                    "The file is damaged or was made by a faulty converter: get it again, or "
                    "convert the original model.",
                ]
            )
        )
    header = read_gguf_header(parts[0])
    own = {f"{header.architecture}.{name}" for name in _UNCHECKED}
    return header.architecture in _KNOWN and own.isdisjoint(header.arrays)


def find_problems(parts: Sequence[GGUFHeader]) -> list[GGUFProblem]:
    """All problems of a model that consists of ``parts``. The first part has the metadata."""
    findings = Findings(parts[0])
    tensors = _joined(findings, parts)
    check_general(findings)
    check_vocabulary(findings)
    architecture = _KNOWN.get(parts[0].architecture)
    if architecture is None:
        check_types(findings, tensors.values())
    elif (sizes := check_sizes(findings, architecture)) is not None and not findings.problems:
        check_tensors(findings, architecture, sizes, tensors)
    # Last: a tensor of another shape or type moves all tensors after it.
    for header in parts:
        check_layout(findings, header)
    first: dict[str, GGUFProblem] = {}
    for problem in findings.problems:
        first.setdefault(problem.key, problem)
    return list(first.values())


def _joined(findings: Findings, parts: Sequence[GGUFHeader]) -> dict[str, GGUFTensor]:
    """The tensors of all parts, by name."""
    tensors: dict[str, GGUFTensor] = {}
    for number, header in enumerate(parts):
        if len(parts) > 1:
            _check_part(findings, header, number)
        for name, tensor in header.tensors.items():
            if name in tensors:
                findings.add(name, "in two parts", "one tensor of this name")
            tensors[name] = tensor
    return tensors


@functools.lru_cache(maxsize=64)
def _remembered(parts: tuple[Path, ...], _stamps: tuple[object, ...]) -> tuple[GGUFProblem, ...]:
    if len(parts) == 1:
        return tuple(find_problems([read_gguf_header(parts[0])]))
    headers = [read_gguf_header(part, part=True) for part in parts]
    if headers[0].architecture == UNNAMED:
        raise ConversionError(f"{parts[0]}: general.architecture is missing or not a string")
    return tuple(find_problems(headers))


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise LoadError(f"cannot open {path}: {error.strerror or error}") from error
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _siblings(path: Path) -> tuple[Path, ...]:
    """All parts of the split model that ``path`` begins; ``path`` alone for a whole model."""
    count = read_gguf_header(path, part=True).metadata.get("split.count", 0)
    if type(count) is not int or count < 2:
        return (path,)
    names = part_names(path.name)
    if len(names) != count or path.name != names[0]:
        raise LoadError(
            f"{path} says that it is part of a model in {count} files, "
            f"but is not called …-00001-of-{count:05}.gguf\n"
            "Give the first file, with its name and the others beside it as they were published."
        )
    return published_parts(path)


def _check_part(findings: Findings, header: GGUFHeader, number: int) -> None:
    found = header.metadata.get("split.no")
    if found != number or header.type_codes["split.no"] != _UINT16:
        findings.add("split.no", f"{found!r:.50} in {header.path.name}", f"{number}, as uint16")
