"""Joining a Ray cluster as the program that gives it work, and that alone runs a fleet there."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
from collections.abc import Iterator

from ..errors import LoadError

__all__ = ["check_reachable", "claimed", "connected"]

REACH_SECONDS = 5.0
"""For the first sign of a cluster. Ray itself tries for two minutes, and ends the process then."""

_CLAIMS = "hivellm-lite"
"""Ray's namespace of the claims."""


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """Inside, this process is connected to the cluster at ``address``, which is ``HOST:PORT``.

    An empty address is the cluster that ``RAY_ADDRESS`` names or that runs on this machine, or else
    one of this machine alone, which ends with the context. SIGTERM ends the process as a shell
    expects, but not before the context. Raises LoadError where no cluster is reached.
    """
    check_reachable(address or os.environ.get("RAY_ADDRESS", ""))
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # this tool reports to nobody
    before = signal.getsignal(signal.SIGTERM)
    try:
        try:
            ray.init(
                address=address or None,
                log_to_driver=False,
                include_dashboard=False,
                logging_level=logging.ERROR,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise LoadError(f"{address or 'Ray'}: no Ray cluster was reached: {error}") from None
        signal.signal(signal.SIGTERM, _end)
        yield
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def claimed(name: str) -> Iterator[None]:
    """Inside, no other command runs the fleet ``name`` on the cluster: the first one to end would
    end the replicas of both. Ray ends the claim with this process, however that ends.

    Raises LoadError where another command runs the fleet.
    """
    import ray

    kind = ray.remote(num_cpus=0)(_Claim)
    try:
        claim = kind.options(name=name, namespace=_CLAIMS).remote()
    except ValueError:
        raise LoadError(
            f"another command runs the fleet {name!r} on this cluster\n"
            "End that one, or give this one another name in [cluster]."
        ) from None
    try:
        yield
    finally:
        ray.kill(claim)


class _Claim:
    """An actor that does nothing but exist."""


def _end(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def check_reachable(address: str) -> None:
    """Raise LoadError if ``address`` is a ``HOST:PORT`` at which nothing listens."""
    if not (found := re.fullmatch(r"\[?([^\s/]+?)\]?:(\d+)", address)):
        return
    try:
        socket.create_connection((found[1], int(found[2])), timeout=REACH_SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise LoadError(
            f"{address}: no Ray cluster is there: {error}\n"
            "'ray status' on a machine of the cluster shows its address. Start one with 'ray start "
            "--head'."
        ) from None
