"""A fleet that grows with its load, and whose experts change while it answers."""

from __future__ import annotations

import importlib.util
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from ..support.waiting import wait_until
from .running import ask, fleet_process, ray_environment, written

pytestmark = [
    pytest.mark.unmeasured,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None,
        reason="Ray is not installed: pip install 'hivellm-lite[ray]' (370 MB)",
    ),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP"),
]

STYLE = "größe"
"""An expert that is forgotten for the other one; Ray's metrics break on its name."""


def test_a_fleet_grows_and_changes_while_it_answers(experts, tiny_base, tmp_path):
    options = {
        "base": str(tiny_base), "cache-dir": str(tmp_path / "cache"), "port": 0, "n-ctx": 1024,
        "device": "cpu", "drain": 20.0, "max-loaded-experts": 1,
        "cluster": {
            "replicas": 1, "max-replicas": 2, "ongoing": 2, "cpus": 0.5, "upscale-delay": 0.0,
        },
    }  # fmt: skip
    config = tmp_path / "fleet.toml"
    written(config, {"sql": experts("sql")}, **dict(options))
    with (
        fleet_process(config, ray_environment(tmp_path)) as fleet,
        ThreadPoolExecutor(8) as threads,
    ):
        assert fleet.ask("sql").status_code == 200
        assert len(fleet.metric("hivellm_answers")) == 1

        # more waits than one replica should have to do
        enough = threading.Event()
        asked = [threads.submit(_ask_on, fleet.address, enough) for _ in range(6)]
        wait_until(lambda: len(fleet.metric("hivellm_answers")) == 2)

        # the file changes: the replicas are replaced while requests come
        options["cluster"]["replicas"] = 2
        written(config, {"sql": experts("sql"), STYLE: experts("style")}, **dict(options))
        assert fleet.ask(STYLE).json()["error"]["code"] == "model_not_found"
        fleet.process.send_signal(signal.SIGHUP)
        fleet.line("deployed as the file now says")
        names = [STYLE, "sql"] * 4
        assert {fleet.ask(name).status_code for name in names} == {200}
        enough.set()
        statuses = [status for one in asked for status in one.result()]
        assert set(statuses) == {200}

        # a file that cannot be used changes nothing
        config.write_text("prot = 7\n")
        fleet.process.send_signal(signal.SIGHUP)
        assert "no option 'prot'" in fleet.line("The fleet stays as it is")
        assert fleet.ask(STYLE).status_code == 200

        # a change that waits for what the cluster has not is given up for the next one
        impossible = {**options["cluster"], "cpus": 1000.0}
        written(config, {"sql": experts("sql")}, **{**options, "cluster": impossible})
        fleet.process.send_signal(signal.SIGHUP)
        time.sleep(1)
        written(config, {"sql": experts("sql"), STYLE: experts("style")}, **dict(options))
        fleet.process.send_signal(signal.SIGHUP)
        fleet.line("deployed as the file now says")
        assert fleet.ask(STYLE).status_code == 200

        # one with an expert that cannot be loaded is taken back
        written(config, {"sql": tmp_path / "nothing.expert"}, **dict(options))
        fleet.process.send_signal(signal.SIGHUP)
        assert "no such file" in fleet.line("The fleet becomes again what it was")
        assert {fleet.ask(STYLE).status_code for _ in range(8)} == {200}

        # an answer that runs is ended before the fleet is
        with httpx.stream(
            "POST", f"{fleet.address}/v1/chat/completions", timeout=60,
            json={
                "model": "sql", "messages": [{"role": "user", "content": "A"}], "stream": True,
                "max_tokens": 200, "grammar": "off",
            },
        ) as response:  # fmt: skip
            chunks = response.iter_text()
            text = next(chunks)
            fleet.process.terminate()
            text += "".join(chunks)
        assert text.endswith("data: [DONE]\n\n")
        assert '"error"' not in text


def _ask_on(address: str, enough: threading.Event) -> list[int]:
    """The statuses of answers, one after the other."""
    statuses = []
    while not enough.is_set():
        statuses.append(ask(address, "sql", max_tokens=400, grammar="off").status_code)
    return statuses
