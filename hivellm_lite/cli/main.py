"""The command group, and the one place where errors become messages."""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import click

from .._version import __version__
from ..terminal_text import bounded
from .failures import explain
from .option_names import as_options
from .output import ReaderGone, discard, discard_unwritten, finish, say, say_error

__all__ = ["cli", "main"]


class _Place(NamedTuple):
    """Where a command is, and what the list of commands says of it."""

    module: str
    attribute: str
    summary: str


_SECTIONS = {
    "Ask": {
        "run": _Place("run", "run", "Ask an expert one question."),
        "chat": _Place("chat", "chat", "Talk to one expert or to several."),
        "batch": _Place("batch", "batch", "Answer every line of a file."),
        "serve": _Place("serve", "serve", "Serve experts with OpenAI's API, and a page."),
        "route": _Place("route", "route", "Show which of several experts a prompt would go to."),
    },
    "Find and install": {
        "search": _Place("search", "search", "Look for experts in indexes."),
        "install": _Place("install", "install", "Install experts, to use them by their names."),
        "list": _Place("installed", "list_experts", "List the installed experts."),
        "show": _Place("installed", "show", "Show what is known of an installed expert."),
        "update": _Place("update", "update", "Update installed experts from their sources."),
        "uninstall": _Place("installed", "uninstall", "Uninstall experts."),
        "lock": _Place("lock", "lock", "Write down which experts a team uses, with their bytes."),
    },
    "Look closer": {
        "inspect": _Place("inspect", "inspect", "Show what a package holds."),
        "verify": _Place("verify", "verify", "Verify who signed a package."),
        "trust": _Place("trust", "trust", "Choose the keys whose signatures you trust."),
        "convert": _Place("convert", "convert", "Convert a package ahead of its first use."),
        "verify-conversion": _Place(
            "verify_conversion", "verify_conversion", "Measure how exact a converted expert is."
        ),
        "estimate": _Place("estimate", "estimate", "Show how much memory experts will take."),
        "bench": _Place("bench", "bench", "Measure how fast an expert is on this machine."),
    },
    "Make and publish": {
        "init": _Place("init", "init", "Write the manifest of an adapter that PEFT saved."),
        "grammar": _Place("grammar", "grammar", "Check, repair, try and make grammars."),
        "package": _Place("package", "package", "Make a package of a folder."),
        "keygen": _Place("keygen", "keygen", "Make a key that signs packages."),
        "sign": _Place("sign", "sign", "Sign a package."),
        "push": _Place("push", "push", "Publish a package on the Hub."),
        "index": _Place("index", "index", "Make an index of packages."),
    },
    "This machine": {
        "doctor": _Place("doctor", "doctor", "Check that llama.cpp works on this machine."),
        "cache": _Place("cache", "cache", "Show, check and clear the cache."),
        "completion": _Place(
            "completion", "completion", "Print the script that completes command lines in a shell."
        ),
    },
}

_COMMANDS = {name: place for section in _SECTIONS.values() for name, place in section.items()}


class _LazyGroup(click.Group):
    """Imports a command's module only when the command is used, to keep ``--help`` fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        if _is_completing():
            from .command_table import command_from_table

            return command_from_table(cmd_name)
        place = _COMMANDS[cmd_name]
        module = importlib.import_module(f".{place.module}", __package__)
        command = getattr(module, place.attribute)
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        width = max(map(len, _COMMANDS))  # the summaries of all sections in one column
        for title, section in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(width), place.summary) for name, place in section.items()]
                )


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
    """Run HiveLLM experts on llama.cpp: no PyTorch, one base model, many experts.

    PACKAGE is an .expert file, a folder, an installed expert, written as sql or
    expert-sql@>=0.2,<1, or a repository on the Hub, written as
    owner/repository[@revision][:file.expert].
    """
    ctx.obj = {"cache_dir": cache_dir, "debug": debug}
    factory = logging.getLogRecordFactory()
    logging.setLogRecordFactory(_harmless(factory))
    ctx.call_on_close(lambda: logging.setLogRecordFactory(factory))
    root = logging.getLogger()
    handler: logging.Handler
    if debug:
        logger, handler, level = root, _Messages("{name}: "), root.level
        root.setLevel(logging.DEBUG)
        ctx.call_on_close(lambda: root.setLevel(level))
    else:
        logger, handler = logging.getLogger("hivellm_lite"), _Messages("Warning: ")
        handler.setLevel(logging.WARNING)
    logger.addHandler(handler)
    ctx.call_on_close(lambda: logger.removeHandler(handler))


def _harmless(make: Callable[..., logging.LogRecord]) -> Callable[..., logging.LogRecord]:
    """Makes records that no handler of any library can harm a terminal with."""

    def make_record(*given: Any, **more: Any) -> logging.LogRecord:
        record = make(*given, **more)
        with contextlib.suppress(TypeError, ValueError):  # a wrong format: the handler tells
            record.msg, record.args = bounded(record.getMessage()), None
        return record

    return make_record


class _Messages(logging.Handler):
    """Shows what the library logs on stderr, after the given words."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    def emit(self, record: logging.LogRecord) -> None:
        say(f"{self._words.format(name=record.name)}{as_options(record.getMessage())}")


_COMPLETION = "_HIVELLM_LITE_COMPLETE"
"""What a shell sets to ask for completions, or for its script."""


def _is_completing() -> bool:
    return os.environ.get(_COMPLETION, "").endswith("_complete")


def main(arguments: list[str] | None = None) -> None:
    """Entry point: every error becomes one message on stderr and an exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if _COMPLETION in os.environ:
        from .completing import register

        register()
    gc.set_threshold(_COLLECT_AFTER)
    try:
        code = _run(arguments)
    except KeyboardInterrupt:  # while another error was told
        code = _INTERRUPTED
    sys.exit(code)


_COLLECT_AFTER = 50_000
"""Objects after which Python looks for cycles. By default it does so after 700, a hundred times
while the modules of a command are imported, which takes a tenth of that time and finds nothing."""

_INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells."""


def _run(arguments: list[str]) -> int:
    debug = "--debug" in arguments
    try:
        _check(arguments)
        result: Any = cli.main(arguments, prog_name="hivellm-lite", standalone_mode=False)
        finish()
        return result if isinstance(result, int) else 0
    except (click.exceptions.Abort, KeyboardInterrupt):
        say("Interrupted.")
        return _INTERRUPTED
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            say(f"{error.ctx.get_usage()}\n{_help_hint(error.ctx)}\n")
        say_error(error.format_message())
        discard_unwritten()
        return error.exit_code
    except (ReaderGone, BrokenPipeError):
        # nobody is left to tell, and nothing is wrong: ``| head``
        discard(sys.stdout)
        return 1
    except Exception as error:
        if debug:
            say(traceback.format_exc().rstrip(), max_lines=1000)
            return 1
        message = explain(error)
        say_error(
            message
            if message is not None
            else f"{type(error).__name__}: {error}\n"
            "This is a defect of hivellm-lite; run again with --debug for the traceback."
        )
        discard_unwritten()  # such as a help text on a full disk
        return 1


def _check(arguments: list[str]) -> None:
    """Refuse NUL characters here, before a system call fails on them somewhere deep."""
    for number, argument in enumerate(arguments, start=1):
        if "\0" in argument:
            raise click.UsageError(f"argument {number} holds a NUL character: {argument!r}")


def _help_hint(context: click.Context) -> str:
    return f"Try '{context.command_path} {context.help_option_names[0]}' for help."
