"""The server, measured: ``python -m benchmarks.serving --base GGUF --llama-server PROGRAM``.

``load``: many clients ask three experts at once, some hang up, and each kept answer is compared
with that of the same request alone; llama-server gets the same. ``overhead``: one request through
HTTP and through the library. ``scripts/build_llama_server.py`` builds llama-server.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from ..experts.comparison import show_measurement
from ..experts.peers import find_llama_server
from ..experts.workload import Workload
from . import load, overhead


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--llama-server", type=Path, default=find_llama_server())
    parser.add_argument("--only", choices=("load", "overhead"))
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--peer-requests", type=int, help="of llama-server [default: a quarter]")
    parser.add_argument(
        "--prompt-tokens",
        type=int,
        nargs="*",
        default=[0, 300],
        help="lengths of the prompts' schemas; 0 is a schema of one line",
    )
    parser.add_argument("--repetitions", type=int, default=30)
    given = parser.parse_args()
    if given.llama_server is None:
        print("llama-server is not on the PATH: left out (--llama-server says where it is)")
    print(f"load average before: {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as place:
        workload = Workload(
            base=given.base,
            cache_dir=Path(place) / "cache",
            folder=Path(place),
            hugging_face=None,
            llama_server=given.llama_server,
            repetitions=given.repetitions,
        )
        if given.only != "load":
            show_measurement(overhead.measure(workload))
        if given.only != "overhead":
            peer_requests = given.peer_requests or given.requests // 4
            for n_tokens in given.prompt_tokens:
                asked = load.Load(given.clients, given.requests, peer_requests, n_tokens)
                load.measure(workload, asked)


if __name__ == "__main__":
    main()
