"""Every error that this package raises on purpose.

::

    ExpertError
    ├── LoadError                 an expert or its base cannot be made ready
    │   ├── PackageError          the archive or folder itself
    │   ├── ManifestError         manifest.json
    │   ├── ConversionError       adapter or base to GGUF
    │   ├── BaseNotFoundError     no base model where it was looked for
    │   └── CacheError            the cache folder
    └── InferenceError            a loaded expert cannot answer
        ├── ContextLengthError    the prompt does not fit the context
        ├── GrammarError          a grammar cannot be used or cannot be left
        └── OutOfMemoryError      the model or its context does not fit

A message says what was found, where, and what to do next. It may have several
lines; the first one stands alone.
"""

from __future__ import annotations

__all__ = [
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
]


class ExpertError(Exception):
    """Base of every error below; catch this one to catch them all."""


class LoadError(ExpertError):
    """An expert or its base model cannot be made ready."""


class PackageError(LoadError):
    """The archive or folder cannot be opened, is unsafe, or lacks a file."""


class ManifestError(LoadError):
    """``manifest.json`` is not what the format asks for."""


class ConversionError(LoadError):
    """An adapter or a base model cannot be turned into a GGUF file."""


class BaseNotFoundError(LoadError):
    """The base model that a package names is in none of the searched places."""


class CacheError(LoadError):
    """The cache folder cannot be used."""


class InferenceError(ExpertError):
    """A loaded expert cannot answer."""


class ContextLengthError(InferenceError):
    """The prompt has more tokens than the context holds."""


class GrammarError(InferenceError):
    """A grammar is unusable, or generation reached a state that it cannot leave.

    ``text`` is the answer up to there; empty where nothing was generated.
    """

    text: str = ""


class OutOfMemoryError(InferenceError):
    """The model, its context or a conversion needs more memory than there is."""
