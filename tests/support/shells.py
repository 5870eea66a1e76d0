"""Real shells at a terminal: what a line becomes after the tab key.

Usage::

    with Shell("bash", folder, script) as shell:
        shell.completed("hivellm-lite run sq")      # ["hivellm-lite", "run", "sql"]
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import time
from pathlib import Path
from types import TracebackType

import pytest

_START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
_READY = {
    "bash": "bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; PS1='> '",
    "zsh": "unset zle_bracketed_paste; bindkey -e; PS1='> '",
    "fish": "function fish_prompt; echo -n '> '; end; set -g fish_greeting",
}
_LONGEST_WAIT_S = 30.0


class Shell:
    """An interactive shell in ``folder`` that has read the completion ``script``.

    ``tool`` is the folder with the command ``hivellm-lite``. The test is skipped where the shell is
    missing.
    """

    def __init__(self, name: str, folder: Path, script: str, tool: Path) -> None:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed: scripts/install_test_tools.sh, as root")
        self._place = folder / f"script.{name}"
        self._place.write_text(f"{script}\n{_READY[name]}\n")
        self._name, self._folder, self._tool = name, folder, tool

    def __enter__(self) -> Shell:
        import pty  # not on Windows

        self._pid, self._terminal = pty.fork()
        if self._pid == 0:  # the shell
            os.chdir(self._folder)
            path = f"{self._tool}{os.pathsep}{os.environ['PATH']}"
            more = {"PATH": path, "TERM": "dumb", "HOME": str(self._folder), "COLUMNS": "500"}
            os.execvpe(_START[self._name][0], _START[self._name], {**os.environ, **more})
        self._type(f"source {self._place}\r")
        self._type("printf '<%s>' ready\r")
        self._wait_for(r"<ready>")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.close(self._terminal)
        os.waitpid(self._pid, 0)

    def completed(self, line: str) -> list[str]:
        """The words that the shell has after the tab key, as it hands them to a command."""
        self._type(f"{line}\t")
        self._type("\x01printf '<%s>' \x05 .\r")
        found = self._wait_for(r"(?<!')(<[^\r\n]*)<\.>")
        return re.findall(r"<(.*?)>", found)

    def listed(self, line: str, wanted: str) -> str:
        """What the shell shows after pressing tab twice, up to ``wanted``.

        On a simple terminal fish shows no list, so it is asked by a command.
        """
        self._type(f"complete -C '{line}'\r" if self._name == "fish" else f"{line}\t\t")
        shown = self._wait_for(wanted)
        self._type("\x15\x03")
        return shown

    def _type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def _wait_for(self, pattern: str) -> str:
        """What the terminal shows, up to the pattern."""
        shown = ""
        until = time.monotonic() + _LONGEST_WAIT_S
        while time.monotonic() < until:
            if select.select([self._terminal], [], [], 1)[0]:
                shown += os.read(self._terminal, 65536).decode(errors="replace")
                if match := re.search(pattern, shown):
                    return match[match.lastindex or 0]
        raise AssertionError(f"{self._name} shows {shown!r} and never {pattern}")
