"""``hivellm-lite batch``: answer the prompts of a file, and resume after an interruption."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import click

from ..batch.answering import BatchLine, Record, answer
from ..manager import ExpertManager
from ..package.opening import Package
from ..progress import Progress
from ..residency.names import AUTO
from ..terminal_text import json_text
from .batch_lines import LineReader
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
from .packages import load_experts, load_order, named_packages, open_packages

__all__ = ["batch"]

_Write = Callable[[Record], None]
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


def _ray_address(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """``--ray`` alone takes the next word for its address, and that may be PACKAGE."""
    if value and not re.fullmatch(r"[^\s/]+:\d+", value):
        raise click.BadParameter(
            f"{value!r} is no address of a Ray cluster, which is HOST:PORT\n"
            "Without an address, write --ray after FILE."
        )
    return value


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
@click.option(
    "--ray",
    is_flag=False,
    flag_value="",
    metavar="[ADDRESS]",
    callback=_ray_address,
    help="Answer on the machines of a Ray cluster: HOST:PORT [default: as RAY_ADDRESS says, or the "
    "cluster that runs on this machine, or else this machine alone]. Needs the extra 'ray'.",
)
@click.option(
    "--ray-workers",
    type=click.IntRange(1, 10_000),
    help="Processes that compute on the cluster [default: one for each GPU or, without any, for "
    "each machine].",
)
@click.option(
    "--ray-cpus",
    type=click.IntRange(1, 1024),
    help="CPUs that each of them takes [default: those of the smallest machine].",
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
    ray: str | None,
    ray_workers: int | None,
    ray_cpus: int | None,
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

    With --ray, the results are in the order of the input, and a line that a machine was
    lost with is computed again. Packages and --base must have the same paths on all
    machines.
    """
    if ray is None and (ray_workers or ray_cpus):
        raise click.UsageError("--ray-workers and --ray-cpus need --ray")
    if ray is not None and importlib.util.find_spec("ray") is None:
        raise click.UsageError("Ray is not installed: run pip install 'hivellm-lite[ray]'")
    named = named_packages([package, *more])
    arguments = load_arguments(settings, options)
    opened = open_packages(
        settings, named, verify=arguments["verify"], offline=arguments["offline"]
    )
    if isinstance(options["template"], Path):
        options["template"] = options["template"].absolute()  # workers run in other folders
    defaults = {**options, "stop": list(stop) or None, "schema": schema}
    reader = LineReader(
        {name: value for name, value in defaults.items() if value is not None},
        {name: one.digest for name, one in opened.items()},
        AUTO if auto else next(iter(named)),
        {name: arguments[name] for name in _ANSWERS_DEPEND_ON},
    )
    lines = reader.read(file)
    n_read = len(lines)
    with ExitStack() as stack:
        done: frozenset[tuple[int, str]] = frozenset()
        sink, name = _standard_output(), "standard output"
        if output is not None:
            if output.exists() and Path(file.name).exists() and output.samefile(file.name):
                raise click.UsageError(f"{output} is both the input and the output")
            sink, name = stack.enter_context(_opened(output, overwrite=overwrite)), str(output)
            done = _done(sink, output)
        if done:
            lines = [raw for raw in lines if (raw.number, reader.line(raw).digest) not in done]
        progress = stack.enter_context(progress_bar())
        n_failed = n_written = 0

        def write(record: Record) -> None:
            nonlocal n_failed, n_written
            if "error" in record:
                n_failed += 1
                say(f"line {record['index'] + 1}: {as_options(record['error']['message'])}")
            write_output(sink, json_text(record).encode() + b"\n", name)
            n_written += 1
            progress("Answering", n_written, len(lines))

        pending = map(reader.line, lines)
        if not lines:
            pass
        elif ray is None:
            _answer_here(pending, write, opened, batch_size, arguments, progress)
        else:
            from ..cluster.batches import answer_on_cluster

            answer_on_cluster(
                pending,
                len(lines),
                {name: (named[name], opened[name].digest) for name in load_order(opened)},
                [one for one in (options["template"],) if isinstance(one, Path)],
                arguments,
                address=ray,
                workers=ray_workers,
                cpus=ray_cpus,
                batch_size=batch_size,
                write=write,
                tell=lambda text: say(f"Warning: {text}"),
            )
    n_answered, n_skipped = len(lines) - n_failed, n_read - len(lines)
    say(f"{n_answered} answered, {n_failed} failed, {n_skipped} were done before")
    if n_failed:
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


# --- answering ---------------------------------------------------------------------------


def _answer_here(
    lines: Iterator[BatchLine],
    write: _Write,
    packages: Mapping[str, Package],
    batch_size: int,
    arguments: Mapping[str, Any],
    progress: Progress,
) -> None:
    """Answer all lines, writing each result when it is there."""

    async def work(manager: ExpertManager) -> None:
        for line in lines:
            write(await answer(line, manager))

    async def work_together(manager: ExpertManager) -> None:
        await asyncio.gather(*(work(manager) for _ in range(batch_size)))

    with ExpertManager(**arguments, max_streams=batch_size) as manager:
        load_experts(manager, packages, progress)
        asyncio.run(work_together(manager))
