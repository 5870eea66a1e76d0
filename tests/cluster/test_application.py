"""A fleet behind Serve's own proxies, as far as it gets without a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from hivellm_lite.cluster import app

PACKAGES = "[packages]\nsql = 'x'\n"


@pytest.mark.parametrize("args", [{}, {"file": "fleet.toml"}, {"config": "a", "port": "1"}])
def test_the_configuration_and_nothing_else_is_given(args: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="and nothing else"):
        app(args)


@pytest.mark.parametrize("text", [PACKAGES, f"host = '127.0.0.1'\n{PACKAGES}"])
def test_clients_without_keys_must_be_wanted(tmp_path: Path, text: str) -> None:
    config = tmp_path / "fleet.toml"
    config.write_text(text)
    with pytest.raises(ValueError, match="no API key is set") as raised:
        app({"config": str(config)})
    assert str(raised.value).startswith(f"{config}: ")
