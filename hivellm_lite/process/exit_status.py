"""How a child process ended, in words."""

from __future__ import annotations

import signal

__all__ = ["describe_exit"]

_MEANINGS = {
    "SIGILL": "an instruction that this processor or its configuration does not allow",
    "SIGSEGV": "an access to memory that is not there",
    "SIGABRT": "an internal check of llama.cpp",
    "SIGKILL": "killed from outside, usually for lack of memory",
}

_ON_WINDOWS = {0xC000001D: "SIGILL", 0xC0000005: "SIGSEGV", 0xC0000409: "SIGABRT"}
"""Windows has no signals: a crash ends with one of the numbers of ntstatus.h. C's ``abort`` ends
with that of a stack overrun."""


def describe_exit(code: int, stderr: str) -> str:
    """An exit status in words: the signal's name, what Windows says, or an error's last line."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"the process died of {name} ({_MEANINGS.get(name, 'a signal')})"
    if code in _ON_WINDOWS:
        return f"the process died with status 0x{code:X} ({_MEANINGS[_ON_WINDOWS[code]]})"
    last = stderr.strip().splitlines()[-1:] or ["no message"]
    return f"exit status {code}: {last[0]}"
