"""The command-line tool ``hivellm-lite``. Built on the library; holds no logic of its own.

Private: may change in any release. Only the command itself is public.
"""

from __future__ import annotations

import sys

try:
    from .main import cli, main
except KeyboardInterrupt:  # Ctrl-C while the tool starts: as quiet as later
    print("Interrupted.", file=sys.stderr)
    raise SystemExit(130) from None

__all__ = ["cli", "main"]
