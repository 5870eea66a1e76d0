"""Every error that this package raises on purpose.

::

    ExpertError
    ├── LoadError                 an expert or its base cannot be made ready
    │   ├── PackageError          the archive or folder itself
    │   │   └── SignatureError    who made it: no valid signature, or an unknown key
    │   ├── RegistryError         what is installed, or asked for by name
    │   ├── ManifestError         manifest.json
    │   ├── ConversionError       adapter or base to GGUF
    │   ├── BaseNotFoundError     no base model in any of the places searched
    │   └── CacheError            the cache folder
    └── InferenceError            a loaded expert cannot answer
        ├── ContextLengthError    the prompt does not fit the context
        ├── GrammarError          a grammar cannot be used, or has no legal next token
        └── OutOfMemoryError      the model or its context does not fit

A message says what was found, where, and what to do next. It may have several lines; the
first line makes sense alone.
"""

from __future__ import annotations

__all__ = [
    "MAX_LINE",
    "MAX_LINES",
    "BaseNotFoundError",
    "CacheError",
    "ContextLengthError",
    "ConversionError",
    "ExpertError",
    "GrammarError",
    "InferenceError",
    "LoadError",
    "ManifestError",
    "OutOfMemoryError",
    "PackageError",
    "RegistryError",
    "SignatureError",
]


MAX_LINES = 40
"""The most lines of a message; the longest list of problems has about twenty."""

MAX_LINE = 1000
"""The most characters of a line: names and paths from a package can have any length."""

_LAST_LINES = 4
"""Lines at the end that are always kept: they say what to do."""


def _bounded(message: str) -> str:
    """``message`` with at most `MAX_LINES` lines of `MAX_LINE` characters.

    A message or line that is too long loses its middle, so the fault and the advice stay.
    """
    if len(message) <= MAX_LINE and message.count("\n") < MAX_LINES:
        return message
    lines = message.split("\n")
    if len(lines) > MAX_LINES:
        n_first = MAX_LINES - _LAST_LINES - 1
        left_out = f"  … {len(lines) - n_first - _LAST_LINES} lines left out …"
        lines = [*lines[:n_first], left_out, *lines[-_LAST_LINES:]]
    half = MAX_LINE // 2
    return "\n".join(
        line if len(line) <= MAX_LINE else f"{line[: half - 1]} … {line[2 - half :]}"
        for line in lines
    )


class ExpertError(Exception):
    """The base of every error below: catch it to catch them all.

    Messages are limited to 40 lines of 1,000 characters, whatever a package puts into them.
    """

    def __init__(self, *arguments: object) -> None:
        texts = (_bounded(value) if isinstance(value, str) else value for value in arguments)
        super().__init__(*texts)


class LoadError(ExpertError):
    """An expert or its base model cannot be made ready."""


class PackageError(LoadError):
    """The archive or folder cannot be opened, is unsafe, or lacks a file."""


class SignatureError(PackageError):
    """A package is not what its author signed, or nobody who is trusted signed it."""


class RegistryError(LoadError):
    """The registry of installed experts cannot be used, or holds no expert of that name."""


class ManifestError(LoadError):
    """``manifest.json`` does not follow the format."""


class ConversionError(LoadError):
    """An adapter or a base model cannot be turned into a GGUF file."""


class BaseNotFoundError(LoadError):
    """The base model that a package names is in none of the places searched."""


class CacheError(LoadError):
    """The cache folder cannot be used."""


class InferenceError(ExpertError):
    """A loaded expert cannot answer."""


class ContextLengthError(InferenceError):
    """The prompt has more tokens than the context holds."""


class GrammarError(InferenceError):
    """A grammar cannot be used, or no token of the vocabulary may come next.

    ``text`` is the answer so far; empty if nothing was generated.
    """

    text: str = ""


class OutOfMemoryError(InferenceError):
    """The model, its context or a conversion needs more memory than there is."""
