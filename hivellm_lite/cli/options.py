"""Options and output that several commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from ..bases import QUANTIZATIONS, Progress

__all__ = [
    "base_options",
    "json_option",
    "no_verify_option",
    "package_argument",
    "print_json",
    "progress_bar",
    "text_or_file",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])

package_argument = click.argument("package", type=click.Path())
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
no_verify_option = click.option(
    "--no-verify", is_flag=True, help="Ignore a digest file beside the package that differs."
)


def base_options(command: _Command) -> _Command:
    """``--base`` and ``--quantization``."""
    command = click.option(
        "--quantization",
        type=click.Choice(QUANTIZATIONS),
        default=QUANTIZATIONS[0],
        show_default=True,
        help="What a Hugging Face folder is converted to.",
    )(command)
    return click.option(
        "--base",
        type=click.Path(),
        metavar="PATH",
        help="The base model: a .gguf file or a Hugging Face folder "
        "[default: looked for by its name].",
    )(command)


def text_or_file(_ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """An option's value, or with ``@FILE`` that file's text (``@-``: standard input)."""
    if value is None or not value.startswith("@"):
        return value
    if value == "@-":
        return sys.stdin.read()
    try:
        return Path(value[1:]).read_text("utf-8")
    except OSError as error:
        raise click.BadParameter(f"{value[1:]}: {error.strerror}", param=parameter) from None
    except UnicodeDecodeError:
        raise click.BadParameter(f"{value[1:]}: not UTF-8 text", param=parameter) from None


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on stderr that appears with the first report; nothing without a terminal."""
    bar: Any = None
    done_before = 0

    def report(label: str, done: int, total: int) -> None:
        nonlocal bar, done_before
        if bar is None:
            bar = click.progressbar(
                length=max(1, total),
                label=f"Converting {label}",
                file=sys.stderr,
                hidden=not sys.stderr.isatty(),
                show_eta=True,
            )
            bar.__enter__()
        bar.update(done - done_before)
        done_before = done

    try:
        yield report
    finally:
        if bar is not None:
            bar.__exit__(None, None, None)
