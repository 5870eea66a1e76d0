"""What applies together: adapters and their scales, as contexts, streams and requests have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..engine import Adapter, Applied

__all__ = ["uses"]


def uses(applied: Applied, adapter: Adapter) -> bool:
    """Whether an adapter is among those that apply, at whatever scale."""
    return any(one is adapter for one, _ in applied)
