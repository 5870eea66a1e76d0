"""Many experts on one base, beside llama-cpp-python's `Llama` and `llama-server`.

::

    python -m benchmarks.experts --base .demo/SmolLM2-135M-Instruct.Q4_1.gguf --plot out.png

All run here and now, in turn, on the same files, prompts and threads. `llama-server` is
taken from the PATH or from beside the running Python, or left out. ``--hugging-face``
is the base with its float weights, for experts that are merged into it (variants);
without it they are merged into the base that is given.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from . import memory, prefixes, soak, swap, throughput, waiting
from .comparison import Measurement, show_measurement
from .peers import find_llama_server
from .workload import Workload


def main() -> None:
    parts: dict[str, Callable[[Workload], Sequence[Measurement]]] = {
        "swap": swap.measure,
        "prefixes": prefixes.measure,
        "throughput": throughput.measure,
        "memory": memory.measure,
        "waiting": waiting.measure,
        "soak": lambda workload: soak.measure(workload, given.soak_requests),
    }
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--hugging-face", type=Path, help="the same base as a folder")
    parser.add_argument("--llama-server", type=Path, default=find_llama_server())
    parser.add_argument("--only", action="append", choices=parts, help="may be repeated")
    parser.add_argument("--repetitions", type=int, default=16)
    parser.add_argument("--soak-requests", type=int, default=10_000)
    parser.add_argument("--plot", type=Path, help="a picture, for example out.png")
    given = parser.parse_args()
    if given.llama_server is None:
        print("llama-server is not on the PATH: left out (--llama-server says where it is)")
    measurements: list[Measurement] = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as place:
        folder = Path(place)
        workload = Workload(
            base=given.base,
            cache_dir=folder / "cache",
            folder=folder,
            hugging_face=given.hugging_face,
            llama_server=given.llama_server,
            repetitions=given.repetitions,
        )
        for name in given.only or parts:
            for measured in parts[name](workload):
                show_measurement(measured)
                measurements.append(measured)
    if given.plot is not None:
        from .plot import draw

        draw(measurements, given.plot)


if __name__ == "__main__":
    main()
