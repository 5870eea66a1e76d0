"""A judge of corpora that only exists as a package of npm: one process, asked line by line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path


class NodeJudge:
    """Answers of a script for Node.js that reads a JSON string a line and writes a list a line.

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
        """What the script has against ``text``."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(text), file=self._process.stdin, flush=True)
        found: list[str] = json.loads(self._process.stdout.readline())
        return found
