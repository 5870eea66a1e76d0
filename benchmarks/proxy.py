"""What HAProxy adds to a request, measured with a stand-in that answers at once.

Usage: ``python -m benchmarks.proxy``

Requests alternate between the server itself and the proxy, in one run.
"""

from __future__ import annotations

import re
import statistics
import time
from pathlib import Path

import httpx

from tests.deploy.proxy import haproxy
from tests.deploy.stand_in import StandIn
from tests.server.running import serving

N_REQUESTS = 500


def milliseconds(client: httpx.Client, body: dict[str, object]) -> float:
    began = time.perf_counter()
    client.post("/v1/chat/completions", json=body).raise_for_status()
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    with (
        serving(StandIn("s1").app) as address,
        haproxy([address] * 3) as proxy,
        httpx.Client(base_url=address, trust_env=False) as server,
    ):
        for n_bytes in (100, 200_000):
            messages = [{"role": "user", "content": "x" * n_bytes}]
            body = {"messages": messages, "model": "sql"}
            pairs = [
                (milliseconds(server, body), milliseconds(proxy.client, body))
                for _ in range(N_REQUESTS)
            ]
            direct, proxied = (statistics.median(times) for times in zip(*pairs, strict=True))
            print(f"{n_bytes} bytes: {direct:.2f} ms, through HAProxy {proxied:.2f} ms (medians)")
        (pid,) = re.findall(r"^Pid: (\d+)$", proxy.command("show info"), re.MULTILINE)
        status = Path(f"/proc/{pid}/status").read_text()
        print("memory of HAProxy:", *re.findall(r"VmRSS:\s*(.*)", status))


if __name__ == "__main__":
    main()
