"""A front over replicas in the test's own process: real servers, asked without a network."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hivellm_lite import ExpertManager
from hivellm_lite.server.application import create_server
from hivellm_lite.server.options import ServerOptions

from ..server.conftest import experts, manager  # noqa: F401 - fixtures
from .near_replicas import NearReplicas


@pytest.fixture
def replicas(manager: ExpertManager) -> Callable[..., NearReplicas]:  # noqa: F811
    def make(**options: object) -> NearReplicas:
        return NearReplicas(create_server(manager, ServerOptions(**options)))

    return make
