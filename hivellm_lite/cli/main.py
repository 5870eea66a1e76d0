"""The command group, and the one place where errors become messages."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import Any

import click

from .._version import __version__
from ..errors import ExpertError

__all__ = ["cli", "main"]

_COMMANDS = {
    "run": ("run", "run"),
    "chat": ("chat", "chat"),
    "batch": ("batch", "batch"),
    "route": ("route", "route"),
    "inspect": ("inspect", "inspect"),
    "grammar": ("grammar", "grammar"),
    "convert": ("convert", "convert"),
    "verify-conversion": ("verify", "verify_conversion"),
    "estimate": ("estimate", "estimate"),
    "bench": ("bench", "bench"),
    "cache": ("cache", "cache"),
    "doctor": ("doctor", "doctor"),
}
"""Command names and where each lives: (module, attribute). Loaded on use only."""


class _LazyGroup(click.Group):
    """Imports a command's module when the command is used, to keep ``--help`` fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f".{module}", __package__), attribute)
        assert isinstance(command, click.Command)  # noqa: S101
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hivellm-lite")
@click.option("--debug", is_flag=True, help="Show tracebacks and llama.cpp's log.")
@click.option(
    "--cache-dir",
    type=click.Path(file_okay=False),
    metavar="PATH",
    help="Folder for unpacked packages and converted files [default: $HIVELLM_HOME, "
    "or the platform's cache folder].",
)
@click.pass_context
def cli(ctx: click.Context, debug: bool, cache_dir: str | None) -> None:
    """Run HiveLLM experts on llama.cpp: no PyTorch, one base model, many experts."""
    ctx.obj = {"cache_dir": cache_dir, "debug": debug}
    if debug:
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")
    else:
        handler = _Warnings(logging.WARNING)
        logger = logging.getLogger("hivellm_lite")
        logger.addHandler(handler)
        ctx.call_on_close(lambda: logger.removeHandler(handler))


class _Warnings(logging.Handler):
    """Shows the library's warnings on stderr, as a tool's own."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"Warning: {record.getMessage()}", err=True)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: domain errors become one message on stderr and exit code 1."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    try:
        result: Any = cli.main(arguments, prog_name="hivellm-lite", standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except click.exceptions.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (ExpertError, ValueError) as error:
        if debug:
            raise
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # the reader of our output has gone (``| head``): nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        click.echo(
            f"Error: {type(error).__name__}: {error}\n"
            "This is a defect of hivellm-lite; run again with --debug for the traceback.",
            err=True,
        )
        sys.exit(1)
