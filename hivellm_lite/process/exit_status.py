"""How a child process ended, in words."""

from __future__ import annotations

import signal

__all__ = ["describe_exit"]


def describe_exit(code: int, stderr: str) -> str:
    """An exit status in words: the signal's name, or the last line of an error."""
    if code < 0:
        name = signal.Signals(-code).name
        meaning = {
            "SIGILL": "an instruction that this processor or its configuration does not allow",
            "SIGSEGV": "an access to memory that is not there",
            "SIGABRT": "an internal check of llama.cpp",
            "SIGKILL": "killed from outside, usually for lack of memory",
        }.get(name, "a signal")
        return f"the process died of {name} ({meaning})"
    last = stderr.strip().splitlines()[-1:] or ["no message"]
    return f"exit status {code}: {last[0]}"
