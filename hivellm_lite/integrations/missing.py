"""What is said where the library of an integration is not installed."""

from __future__ import annotations

__all__ = ["missing"]


def missing(error: ModuleNotFoundError, extra: str) -> ImportError:
    """What to raise for a module that was not found: an error that names the extra, unless the
    module is one of this package.
    """
    if (error.name or "").startswith("hivellm_lite"):
        return error
    return ImportError(
        f"{error.name} is not installed: run pip install 'hivellm-lite[{extra}]'", name=error.name
    )
