"""Puts errors into words: every ordinary condition of a machine, a file or an input."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from ..errors import ExpertError

__all__ = ["advice_for", "explain"]

_ADVICE: Mapping[int, str] = {
    errno.ENOSPC: "Make room on that disk, or choose a folder on another one.",
    errno.EDQUOT: "Make room within the quota, or choose a folder on another disk.",
    errno.EFBIG: "Files may not be that large here; see 'ulimit -f'.",
    errno.EACCES: "Check who may read and write it.",
    errno.EPERM: "Check who may read and write it.",
    errno.EROFS: "Choose a folder that can be written: --cache-dir, or HIVELLM_HOME.",
    errno.EMFILE: "Close other files, or allow more: 'ulimit -n'.",
    errno.ENFILE: "The machine has too many files open; close some programs.",
    errno.ENOMEM: "Close other programs, or use a smaller base or --n-ctx.",
    errno.EAGAIN: "The machine allows no more processes or threads; see 'ulimit -u'.",
    errno.ENAMETOOLONG: "Check the path; it is longer than this system allows.",
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "A part of the path that should be a folder is a file.",
    errno.EISDIR: "This is a folder; a file is expected.",
    errno.ELOOP: "Its links lead in a circle.",
    errno.EIO: "The disk or its connection fails; see the system's log.",
}


def explain(error: Exception) -> str | None:
    """The message for ``error``; None for what can only be a defect of this program."""
    if isinstance(error, UnicodeError) and not isinstance(error, ExpertError):
        return f"a text is not in the encoding that is expected: {error}\nSave it as UTF-8."
    if isinstance(error, ExpertError | ValueError):
        return str(error) or type(error).__name__
    if isinstance(error, MemoryError):
        return (
            f"not enough memory{f': {error}' if str(error) else ''}\n"
            "Close other programs, or use a smaller base, --n-ctx or input."
        )
    if isinstance(error, RecursionError):
        return "an input is nested too deeply\nCheck the JSON files, grammars and schemas in use."
    if isinstance(error, ArithmeticError):
        return (
            f"numbers of an input cannot be computed with: {error}\n"
            "Check config.json and adapter_config.json for zeros and huge values; --debug shows "
            "where it was."
        )
    if isinstance(error, ImportError):
        return f"{error}\nRun 'hivellm-lite doctor', which says what is wrong and what to do."
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return "no home folder is known\nWrite paths without '~', and set HIVELLM_HOME."
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return f"{error}\n{_ADVICE[errno.EAGAIN]}"
    return None


def _of_system(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    what = f"{error.filename}: {reason}" if error.filename else reason
    if error.filename2:
        what = f"{error.filename} and {error.filename2}: {reason}"
    advice = advice_for(error)
    return f"{what}\n{advice}" if advice else what


def advice_for(error: BaseException) -> str:
    """What to do about an error of the system; empty where nothing general can be said."""
    number = getattr(error, "errno", None)
    return _ADVICE.get(number, "") if isinstance(number, int) else ""
