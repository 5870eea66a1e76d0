from __future__ import annotations

import socket

import pytest

from hivellm_lite.cluster.connection import check_reachable
from hivellm_lite.errors import LoadError


def test_an_address_where_nothing_listens_is_refused_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check_reachable(f"127.0.0.1:{port}")
    with pytest.raises(LoadError, match=f"^127.0.0.1:{port}: no Ray cluster is there"):
        check_reachable(f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["127.0.0.1:99999", f"{'x' * 70}.example:1"])
def test_an_address_that_cannot_be_one_is_refused(address):
    with pytest.raises(LoadError, match="no Ray cluster is there"):
        check_reachable(address)


@pytest.mark.parametrize("address", ["", "auto", "local", "ray://127.0.0.1:1"])
def test_other_addresses_are_left_to_ray(address):
    check_reachable(address)
