"""A judge of corpora that exists only as an npm package: one process that answers line by line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path


class NodeJudge:
    """The answers of a Node.js script that reads a JSON string per line and writes a list per line.

    The packages that the script needs are found through the environment's NODE_PATH.
    """

    def __init__(self, script: str) -> None:
        self._process = subprocess.Popen(
            ["node", str(Path(__file__).with_name(script))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def errors(self, text: str) -> list[str]:
        """The errors that the script finds in ``text``."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(text), file=self._process.stdin, flush=True)
        found: list[str] = json.loads(self._process.stdout.readline())
        return found
