"""``hivellm-lite serve`` as a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..experts.workload import N_CTX, Question, Workload

CHAT = "/v1/chat/completions"


class OurServer:
    """Serves the packages on a free port of loopback."""

    def __init__(self, workload: Workload, packages: dict[str, Path]) -> None:
        command: list[str | Path] = [sys.executable, "-m", "hivellm_lite", "serve"]
        command += [f"{name}={package}" for name, package in packages.items()]
        command += ["--base", workload.base, "--n-ctx", str(N_CTX), "--port", "0", "--quiet"]
        command += ["--n-threads", str(workload.n_threads), "--preload"]
        environment = {**os.environ, "HIVELLM_HOME": str(workload.cache_dir)}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        assert self.process.stderr is not None
        said = ""
        for line in self.process.stderr:
            said += line
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                return
        raise RuntimeError(f"the server did not start:\n{said}")

    def close(self) -> None:
        self.process.terminate()
        self.process.communicate()

    @staticmethod
    def request(question: Question, max_tokens: int, *, stream: bool = True) -> dict[str, Any]:
        """The path and the body that ask a question."""
        body = {
            "model": question.expert,
            "messages": [{"role": "user", "content": question.prompt}],
            "schema": question.schema,
            "temperature": 0,
            "max_tokens": max_tokens,
            "stop": ["\x00"],  # never written: nothing but the end token ends an answer early
            "grammar": "off",
            "stream": stream,
        }
        return {"path": CHAT, "body": body}
