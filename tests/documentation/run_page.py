"""A program: runs the blocks of a page, one after the other, as a reader would.

Usage: ``python -m tests.documentation.run_page PAGE`` in the reader's folder. Prints what goes
wrong, and ends with 1 then.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import re
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .blocks import Block, blocks_of

_SERVE = re.compile(r"^(?:\$ )?(hivellm-lite serve .*)$", re.MULTILINE)


class Reader:
    """Somebody who types what a page says."""

    def __init__(self, page: Path, stack: contextlib.ExitStack) -> None:
        self._page = page
        self._stack = stack
        self._names: dict[str, Any] = {"__name__": "__page__"}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = str(free.getsockname()[1])

    def read(self) -> Iterator[str]:
        """What goes wrong."""
        printed = ""
        for block in blocks_of(self._page):
            if block.not_run is not None:
                printed = None
                continue
            try:
                if block.file is not None:
                    Path(block.file).write_text(block.text, "utf-8")
                elif block.language == "python":
                    printed = self._python(block)
                elif block.language == "sh":
                    printed = self._shell(self._local(block.text))
                elif block.language == "console":
                    self._console(block)
                elif block.language == "output" and printed is not None:
                    check(printed, block.text)
            except BaseException as error:
                where = f"{self._page.name}:{block.line}"
                shown = traceback.format_exc() if not isinstance(error, Wrong) else str(error)
                yield f"{where}: {shown}"
                return  # what follows may need it

    def _python(self, block: Block) -> str:
        name = f"{self._page.name}:{block.line}"
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(self._local(block.text), name, "exec", flags, dont_inherit=True)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            work = eval(code, self._names)
            if inspect.iscoroutine(work):
                asyncio.run(work)
        return out.getvalue()

    def _console(self, block: Block) -> None:
        text = self._local(block.text).replace("\\\n", "")
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            lines = part.splitlines(keepends=True)
            n_command = 1
            while subprocess.run(
                ["bash", "-n"], input="".join(lines[:n_command]), text=True, capture_output=True
            ).returncode:
                n_command += 1
            check(
                self._shell("".join(lines[:n_command]), ends_well=False), "".join(lines[n_command:])
            )

    def _shell(self, text: str, *, ends_well: bool = True) -> str:
        text = text.replace("\\\n", "")
        if serving := _SERVE.search(text):
            before, after = text[: serving.start()], text[serving.end() :]
            printed = self._shell(before) if before.strip() else ""
            self._serve(serving[1])
            return printed + (self._shell(after) if after.strip() else "")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
        )  # fmt: skip
        if ends_well and done.returncode:
            raise Wrong(f"ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def _serve(self, command: str) -> None:
        """Run a server until the page has been read."""
        if "--port" not in command:
            command = f"{command.partition('  #')[0]} --port {self._port}"
        process = self._stack.enter_context(
            subprocess.Popen(["bash", "-c", f"exec {command}"], stderr=subprocess.PIPE, text=True)
        )
        self._stack.callback(process.terminate)
        said = []
        for line in process.stderr:
            said.append(line)
            if "Serving" in line:
                return
        raise Wrong("".join(said))

    def _local(self, text: str) -> str:
        return text.replace("127.0.0.1:8000", f"127.0.0.1:{self._port}")


class Wrong(Exception):
    """A page that does not say what happens."""


def check(printed: str, told: str) -> None:
    """Raises Wrong where a text is not what the page tells."""
    pattern = re.escape(told.strip()).replace("…", ".*")
    if not re.fullmatch(pattern, printed.strip(), re.DOTALL):
        raise Wrong(f"the page tells\n{told}\nbut this is printed:\n{printed}")


def main() -> int:
    with contextlib.ExitStack() as stack:
        problems = list(Reader(Path(sys.argv[1]), stack).read())
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
