"""Write ``docs/cli.md`` from the ``--help`` pages of the commands, and the table for shells.

Usage: ``python scripts/make_cli_docs.py``
"""

from __future__ import annotations

from pathlib import Path

import click

from hivellm_lite.cli import cli
from hivellm_lite.cli.command_table import TABLE, table_of, written

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
WIDTH = 92


def help_pages(
    command: click.Command, name: str, parent: click.Context | None = None
) -> list[tuple[str, str]]:
    """(command line, help text) of a command and of all its subcommands."""
    context = command.make_context(
        name, [], parent, resilient_parsing=True, terminal_width=WIDTH, max_content_width=WIDTH
    )
    pages = [(context.command_path, command.get_help(context))]
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            child = command.get_command(context, below)
            assert child is not None
            pages += help_pages(child, below, context)
    return pages


def render() -> str:
    parts = [
        "# The command-line tool",
        "Made by `scripts/make_cli_docs.py` from `--help`; a test fails when the two differ.",
        "Answers go to stdout, everything else to stderr. Exit codes: 0 done, 1 an error that "
        "the message explains, 2 wrong usage, 130 interrupted. A reader of stdout that goes away "
        "(`| head`) ends the tool in silence, with 1.",
        "An answer or a grammar goes to a pipe or a file byte for byte. To a terminal it goes "
        "without what a terminal would obey: escape sequences and other control characters "
        "(line breaks and tabs stay) and bidirectional controls are shown as `\\x1b` or "
        "`\\u202e`. All other lines, on stdout and stderr, are written so wherever they go, "
        "since they hold what packages and the Hub say; messages are cut at 40 lines. JSON has "
        "these characters as `\\u` escapes everywhere, which stand for the same value. Where "
        "stdout has an encoding without some character of an answer, that is written as an "
        "escape and a warning says so. What the tool reads is UTF-8, with or without a byte "
        "order mark.",
        "A shell completes commands, options, files, and the names and versions of installed "
        "experts after this line. It asks the tool at each tab key; nothing of the answer is "
        "executed, and names that a shell would have to quote are not offered.",
        "| shell | |\n|---|---|\n"
        '| bash (4.4 or newer) | `eval "$(hivellm-lite completion bash)"` in `~/.bashrc` |\n'
        '| zsh | `eval "$(hivellm-lite completion zsh)"` in `~/.zshrc` |\n'
        "| fish | `hivellm-lite completion fish > ~/.config/fish/completions/hivellm-lite.fish`, "
        "once |",
    ]
    for path, text in help_pages(cli, "hivellm-lite"):
        parts.append(f"## {path}\n\n```\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def render_table() -> str:
    return f"{written(table_of(cli))}\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    TABLE.write_text(render_table(), encoding="utf-8")
