"""Whether a text names an installed expert, before any registry is read.

``sql``, ``expert-sql@0.3.0`` and ``expert-sql@>=0.2,<1`` do; a path or an address does not.
"""

from __future__ import annotations

import os
import re

from ..manifest.requirements import Requirement, parse_requirement

__all__ = ["asked_for", "asked_name"]


def asked_name(text: str | os.PathLike[str]) -> Requirement | None:
    """The name and versions that ``text`` asks for; None if it can only be a path or address."""
    if not isinstance(text, str) or re.search(r"[/\\:]", text) or text.startswith((".", "~", "-")):
        return None
    if text.lower().endswith((".expert", ".zip", ".gz", ".tar", ".json")):
        return None
    return asked_for(text) if text.strip() else None


def asked_for(text: str) -> Requirement:
    """What a text that is a name asks for.

    A name that is no requirement, such as ``SQL expert`` or ``a@b``, stands for itself.
    """
    return parse_requirement(text) or Requirement(text, text.strip(), ())
