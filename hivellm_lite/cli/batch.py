"""``hivellm-lite batch``: answer the prompts of a file, and resume after an interruption."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import click

from ..errors import ExpertError
from ..manager import ExpertManager
from ..package.opening import Package
from ..progress import Progress
from ..residency.names import AUTO
from ..terminal_text import bounded, json_text
from .batch_lines import BatchLine, LineReader
from .option_names import as_options
from .options import (
    grammar_options,
    load_arguments,
    model_options,
    progress_bar,
    sampling_options,
    text_or_file,
)
from .output import say, write_output
from .package_type import PackageType
from .packages import load_experts, named_packages, open_packages

__all__ = ["batch"]

_Write = Callable[[Mapping[str, Any]], None]
"""Writes a result where the user wants it."""

_ANSWERS_DEPEND_ON = (
    *("base", "quantization", "adapter_mode", "extra_rank", "variant_type", "soft_prompt"),
    *("kv_type", "flash_attention", "n_ctx", "pre_tokenizer"),
)
"""Of the options that say what is loaded."""


class _InputFile(click.File):
    """``-`` where standard input is closed is wrong usage."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> IO[Any]:
        if value == "-" and sys.stdin is None:
            self.fail("standard input is closed", param, ctx)
        try:
            return super().convert(value, param, ctx)
        except ValueError as error:
            self.fail(f"{value}: {error}", param, ctx)


@click.command()
@click.argument("package", metavar="[NAME=]PACKAGE", type=PackageType(named=True))
@click.argument("file", type=_InputFile("rb"))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append the results to this file; skip lines with results there [default: stdout].",
)
@click.option("--overwrite", is_flag=True, help="Empty --output first.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="Answers computed together.",
)
@click.option(
    "--expert",
    "more",
    multiple=True,
    metavar="NAME=PACKAGE",
    help="Another expert that a line can name; may be repeated.",
)
@click.option(
    "--auto", is_flag=True, help="For lines that name no expert, choose one by the prompt."
)
@click.option(
    "--schema",
    metavar="TEXT|@FILE",
    callback=text_or_file,
    help="The schema for lines that have neither a schema nor a system message.",
)
@sampling_options
@grammar_options
@model_options
@click.pass_obj
def batch(
    settings: dict[str, Any],
    /,
    package: str,
    file: BinaryIO,
    output: Path | None,
    overwrite: bool,
    batch_size: int,
    more: tuple[str, ...],
    auto: bool,
    schema: str | None,
    stop: tuple[str, ...],
    **options: Any,
) -> None:
    """Answer every line of FILE ("-": stdin) with the expert in PACKAGE.

    A line is a JSON string, which is the prompt, or an object with "prompt" (or
    "messages"). The object may also have "id", "schema", "system", "expert",
    "max_tokens" and the library's other options, which override those of the command
    line. "expert" is a name, "auto", "base", or an object of names and weights.

    Each result is one line, written as soon as it is ready, with the "index" of its
    input line, counted from 0. With --output, a second run resumes after an
    interruption: it skips the lines that were answered, unless the line, the package
    or the options have changed. If --output has two results of one index, the last one
    counts. Exits with 1 if a line failed.
    """
    named = named_packages([package, *more])
    arguments = load_arguments(settings, options)
    opened = open_packages(
        settings, named, verify=arguments["verify"], offline=arguments["offline"]
    )
    defaults = {**options, "stop": list(stop) or None, "schema": schema}
    reader = LineReader(
        {name: value for name, value in defaults.items() if value is not None},
        {name: one.digest for name, one in opened.items()},
        AUTO if auto else next(iter(named)),
        {name: arguments[name] for name in _ANSWERS_DEPEND_ON},
    )
    lines = reader.read(file)
    with ExitStack() as stack:
        done: frozenset[tuple[int, str]] = frozenset()
        sink, name = _standard_output(), "standard output"
        if output is not None:
            if output.exists() and Path(file.name).exists() and output.samefile(file.name):
                raise click.UsageError(f"{output} is both the input and the output")
            sink, name = stack.enter_context(_opened(output, overwrite=overwrite)), str(output)
            done = _done(sink, output)
        pending = [line for line in lines if (line.index, line.digest) not in done]

        def write(record: Mapping[str, Any]) -> None:
            write_output(sink, json_text(record).encode() + b"\n", name)

        failed = _run(pending, write, opened, batch_size, arguments) if pending else 0
    answered, skipped = len(pending) - failed, len(lines) - len(pending)
    say(f"{answered} answered, {failed} failed, {skipped} were done before")
    if failed:
        raise click.exceptions.Exit(1)


# --- the output --------------------------------------------------------------------------


def _standard_output() -> BinaryIO:
    if sys.stdout is None:
        raise click.ClickException("standard output is closed")
    return sys.stdout.buffer


def _opened(path: Path, *, overwrite: bool) -> BinaryIO:
    """Open ``path``, for what is a file to read what is there, too."""
    try:
        is_file = path.is_file() or not path.exists()
        if not is_file:  # a device or a pipe: it holds nothing to go on from
            return cast(BinaryIO, path.open("wb"))
        return cast(BinaryIO, path.open("wb+" if overwrite else "ab+"))
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None


def _done(sink: BinaryIO, path: Path) -> frozenset[tuple[int, str]]:
    """Index and digest of the lines that are answered in ``sink``, which is at its end after.

    A half-written last line is cut off. Raises UsageError where it is another kind of file.
    """
    if not path.is_file():
        return frozenset()
    sink.seek(0)
    done: dict[int, str | None] = {}
    whole = 0
    for number, data in enumerate(sink, start=1):
        if not data.endswith(b"\n"):
            sink.truncate(whole)
            break
        whole += len(data)
        try:
            record = json.loads(data)
            done[record["index"]] = None if "error" in record else record["input"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise click.UsageError(
                f"{path}: line {number} is no result of this command\n"
                "Choose another --output, or --overwrite to lose what is there."
            ) from None
    sink.seek(0, os.SEEK_END)
    return frozenset((index, digest) for index, digest in done.items() if digest is not None)


def _run(
    lines: Iterable[BatchLine],
    write: _Write,
    packages: Mapping[str, Package],
    batch_size: int,
    arguments: Mapping[str, Any],
) -> int:
    """Answer all lines, writing each result when it is there; returns how many failed."""
    with ExpertManager(**arguments, max_streams=batch_size) as manager, progress_bar() as progress:
        load_experts(manager, packages, progress)
        return asyncio.run(_answer_all(list(lines), write, manager, batch_size, progress))


async def _answer_all(
    lines: list[BatchLine], write: _Write, manager: ExpertManager, size: int, progress: Progress
) -> int:
    failed = ended = 0
    waiting = iter(lines)

    async def work() -> None:
        nonlocal failed, ended
        for line in waiting:
            record = await _answer(line, manager)
            failed += "error" in record
            ended += 1
            write(record)
            progress("Answering", ended, len(lines))

    progress("Answering", 0, len(lines))
    await asyncio.gather(*(work() for _ in range(size)))
    return failed


async def _answer(line: BatchLine, manager: ExpertManager) -> dict[str, Any]:
    record: dict[str, Any] = {"index": line.index, "input": line.digest}
    if line.id is not None:
        record["id"] = line.id
    try:
        if line.problem is not None:
            raise line.problem
        result = await manager.agenerate(line.expert, **line.options)
    except (ExpertError, ValueError) as error:
        say(f"line {line.index + 1}: {as_options(str(error))}")
        return {**record, "error": {"type": type(error).__name__, "message": bounded(str(error))}}
    return {**record, **dataclasses.asdict(result)}
