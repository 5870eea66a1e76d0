"""The folder of installed experts, their registry and the trusted keys.

It is HiveLLM's own folder, so that both tools see the same experts.
"""

from __future__ import annotations

import os
from pathlib import Path

from .errors import RegistryError

__all__ = ["expert_home"]


def expert_home() -> Path:
    """``$HIVELLM_EXPERTS``, or ``~/.expert``. The folder need not exist.

    Raises RegistryError if neither is known.
    """
    try:
        return Path(os.environ.get("HIVELLM_EXPERTS") or "~/.expert").expanduser().absolute()
    except RuntimeError as error:  # of pathlib: no home folder, no such user
        raise RegistryError(
            f"no folder for installed experts is known: {error}\nSet HIVELLM_EXPERTS to a folder."
        ) from None
