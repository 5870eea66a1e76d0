"""Memory of three variants on one base against three whole models, and the time to load one.

Run it with packages and a base of Qwen3-0.6B's shape::

    python scripts/make_qwen3_shape.py /tmp/q3/Qwen3-0.6B --adapters 3
    python -m benchmarks.shared_memory --base /tmp/q3/Qwen3-0.6B /tmp/q3/random-*.expert

Each case is a process of its own that decodes once with every model, so that all
weights are resident, and reads its proportional set size (Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from .table import show

CHILD = """
import json, re, sys, time
from pathlib import Path
from hivellm_lite.engine import Context, ContextOptions, Model
def pss():
    text = Path("/proc/self/smaps_rollup").read_text()
    return int(re.search(r"^Pss: +(\\d+) kB", text, re.M)[1]) * 1024
models = json.loads(sys.argv[1])
before, seconds, kept = pss(), [], []
for files, n_tensors in models:
    started = time.perf_counter()
    model = Model([Path(f) for f in files], n_tensors=n_tensors)
    seconds.append(time.perf_counter() - started)
    context = Context(model, ContextOptions(n_ctx=64))
    context.decode(list(range(1, 33)), 0)
    context.close()
    kept.append(model)
print(json.dumps([pss() - before, seconds]))
"""


def measure(models: list[tuple[list[str], int | None]]) -> tuple[int, list[float]]:
    """Bytes and seconds of loading each, in a child process."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(models)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    n_bytes, seconds = json.loads(done.stdout.splitlines()[-1])
    return n_bytes, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True, help="a Hugging Face folder")
    parser.add_argument("packages", type=Path, nargs=3)
    given = parser.parse_args()

    from hivellm_lite.adapters import AdapterOptions, prepare_adapter
    from hivellm_lite.bases import find_base, find_float_weights
    from hivellm_lite.cache import Cache
    from hivellm_lite.package import open_package

    cache = Cache()
    variants: list[tuple[list[str], int | None]] = []
    own = 0
    for path in given.packages:
        package = open_package(path, cache=cache)
        base = find_base(package, given=given.base, cache=cache)
        prepared = prepare_adapter(
            package,
            base.path,
            cache,
            AdapterOptions("exact"),
            float_weights=lambda p=package: find_float_weights(p, given=given.base, cache=cache),
        )
        variants.append(([str(file) for file in prepared.files], prepared.n_tensors))
        own = prepared.size
    whole = base.path.stat().st_size
    with tempfile.TemporaryDirectory(dir=cache.root) as folder:
        copies: list[tuple[list[str], int | None]] = []
        for number in range(3):
            copy = Path(folder) / f"{number}.gguf"
            shutil.copy(base.path, copy)
            copies.append(([str(copy)], None))
        measure(variants)  # warm the page cache
        shared_bytes, seconds = measure(variants)
        whole_bytes, _ = measure(copies)
    possible = 2 * (whole - own) / (3 * whole)
    show(
        "Three adapted models of one base in one process (proportional set size)",
        ("", "MB", "saving"),
        [
            ("three whole models", f"{whole_bytes / 1e6:.0f}", ""),
            (
                "three variants, parts shared",
                f"{shared_bytes / 1e6:.0f}",
                f"{1 - shared_bytes / whole_bytes:.1%} ({possible:.1%} are possible)",
            ),
        ],
    )
    print(f"\n  loading a variant, warm: {statistics.median(seconds):.2f} s (median of three)")


if __name__ == "__main__":
    main()
