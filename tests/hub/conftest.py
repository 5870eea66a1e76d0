"""Fixtures of the tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest

from hivellm_lite.hub import parse_reference
from hivellm_lite.hub.download import fetch_files

from .contents import LARGE, REPOSITORY, SMALL


@pytest.fixture
def repository(server):
    return server.add(REPOSITORY, {"small.json": SMALL, "large.bin": LARGE})


@pytest.fixture
def fetch(hub, repository):
    """Download from the repository; returns the snapshot's folder."""

    def run(*names: str, reference: str = REPOSITORY, progress=None, hub=hub) -> Path:
        listing = hub.list_files(parse_reference(reference))
        return fetch_files(hub, listing, names or listing.names, progress)

    return run
