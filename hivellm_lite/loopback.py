"""Whether an address stays on this machine."""

from __future__ import annotations

import ipaddress

__all__ = ["is_loopback"]


def is_loopback(host: str) -> bool:
    """Whether ``host`` is ``localhost``, or a number such as ``127.0.0.1`` or ``::1``.

    Other names are not looked up: somebody else may decide what they mean.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
