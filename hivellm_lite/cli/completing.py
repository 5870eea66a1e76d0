"""Answers a shell that completes a command line: ``_HIVELLM_LITE_COMPLETE=bash_complete``.

The classes take the place of click's own for bash, zsh and fish. Those take the words as the shell
split them, which bash does at ``@``, ``=`` and ``:``, and insert names unquoted. Nothing is printed
but completions; whatever goes wrong, there are none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    add_completion_class,
    split_arg_string,
)

from ..terminal_text import one_line
from .completion_scripts import SCRIPTS

__all__ = ["register"]

MAX_HELP = 80
"""Characters of a description."""

MAX_FILES = 1_000
"""Files and folders that are offered to fish; more are of no use to anybody."""


def register() -> None:
    """Let click use the classes of this module."""
    for kind in (_Bash, _Zsh, _Fish):
        add_completion_class(kind)


class _Line(ShellComplete):
    """Takes ``COMP_LINE``, the command line up to the cursor, and ``COMP_CUR``, its last part
    that the shell replaces (none: all of the last word).
    """

    source_template = ""

    def source(self) -> str:
        return SCRIPTS[self.name]

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ.get("COMP_LINE", "")
        words = split_arg_string(line)
        # with one more character: does it lengthen the last word, or begin another?
        begun = len(split_arg_string(f"{line}x")) == len(words)
        return (words[1:-1], words[-1]) if begun else (words[1:], "")

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        option, equals, _ = incomplete.partition("=")
        before = option + equals if equals and option.startswith("-") else ""
        items = super().get_completions(args, incomplete)
        cut = self._cut(incomplete)
        return [made for item in items for made in self._shown(item, before, cut)]

    def complete(self) -> str:
        try:
            text = super().complete()
        except Exception:  # a shell shows errors in the middle of the line that is typed
            text = ""
        if not text:  # click would print an empty line, which fish takes for a completion
            raise SystemExit(0)
        return text

    def _cut(self, incomplete: str) -> str | None:
        """The begin of the last word that stays, because the shell replaces only what follows;
        None if that is unknown, as after quotes.
        """
        replaced = os.environ.get("COMP_CUR")
        if replaced is None:
            return ""
        if replaced in ("=", ":"):  # bash gives where it split as the word
            replaced = ""
        if not incomplete.endswith(replaced):
            return None
        return incomplete[: len(incomplete) - len(replaced)]

    def _shown(
        self, item: CompletionItem, before: str, cut: str | None
    ) -> Iterator[CompletionItem]:
        if item.type != "plain":
            yield item
            return
        value = f"{before}{item.value}"
        if cut is not None and value.isprintable() and value.startswith(cut):
            yield CompletionItem(value[len(cut) :], help=one_line(item.help or "", MAX_HELP))


class _Bash(_Line):
    name = "bash"

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{item.value}"


class _Zsh(_Line):
    name = "zsh"

    def format_completion(self, item: CompletionItem) -> str:
        # An empty last line would be lost in the shell.
        return f"{item.type}\n{item.value or '-'}\n{item.help or ' '}"


class _Fish(_Line):
    name = "fish"

    def _shown(
        self, item: CompletionItem, before: str, cut: str | None
    ) -> Iterator[CompletionItem]:
        if item.type == "plain":
            yield from super()._shown(item, before, cut)
            return
        for found in _files(item.value, item.type):
            yield CompletionItem(f"{before}{item.before or ''}{found}")

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.value}\t{item.help}" if item.help else str(item.value)


def _files(begun: str, kind: str) -> list[str]:
    """The folders (with ``/`` at the end) and the files of this kind that continue ``begun``."""
    folder, slash, start = begun.rpartition("/")
    place = Path(os.path.expanduser(folder + slash or "."))  # noqa: PTH111 - "~" may be unknown
    found = []
    with os.scandir(place) as entries:
        for entry in entries:
            name = entry.name
            is_hidden = name.startswith(".") and not start.startswith(".")
            if is_hidden or not name.startswith(start) or not name.isprintable():
                continue
            if entry.is_dir():
                found.append(f"{folder}{slash}{name}/")
            elif kind == "file" or (kind == "expert" and name.endswith(".expert")):
                found.append(f"{folder}{slash}{name}")
    return sorted(found)[:MAX_FILES]
