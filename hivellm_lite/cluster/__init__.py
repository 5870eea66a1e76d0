"""Experts on the machines of a Ray cluster: ``serve run hivellm_lite.cluster:app config=FILE``.

A front reads ``model`` from a request and hands the request over to a replica that has this expert
in memory. Each replica runs the whole server over an `ExpertManager` of its own, so the API is the
same. Needs the extra ``ray``.
"""

from __future__ import annotations

from .application import app

__all__ = ["app"]
