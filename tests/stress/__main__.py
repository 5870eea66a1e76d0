"""Everything at once for as long as is asked: ``python -m tests.stress --seconds 3600``.

Threads ask, stream, leave, cancel, load, evict, fork and collect garbage, and programs end in the
middle. Every whole answer must be the one that the expert gives alone. A thread that finishes
nothing for `PATIENCE` seconds ends the run with the tracebacks of all threads. Exit status 0: no
wrong answer, no hang, no signal.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import os
import random
import resource
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

from hivellm_lite.manager import registry_of

from .workers import WORKERS
from .world import World, make_world

PATIENCE = 100.0
"""Seconds in which every thread must finish something, also on a busy machine."""


def work(world: World, name: str, seed: int) -> None:
    draw = random.Random(f"{seed} {name}")
    world.beats[name] = time.monotonic()
    while world.running:
        try:
            WORKERS[name](world, draw)
        except Exception:
            world.wrong.append(f"{name}: {traceback.format_exc()}")
            return
        world.beat(name)
    del world.beats[name]


def watch(world: World) -> None:
    """End the process where a thread stands still."""
    while True:
        time.sleep(1.0)
        now = time.monotonic()
        for name, beat in list(world.beats.items()):
            if now - beat > PATIENCE:
                print(f"{name} stands still for {now - beat:.0f} s", file=sys.stderr)
                faulthandler.dump_traceback(all_threads=True)
                os._exit(2)


def resident() -> float:
    """Memory of this process in MB, now where the system tells it, otherwise the most so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--as-on-a-device", action="store_true", help="own contexts, and overlap")
    parser.add_argument("--only", nargs="*", default=list(WORKERS), choices=list(WORKERS))
    arguments = parser.parse_args()
    faulthandler.enable()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HIVELLM_HOME"] = folder
        os.environ["HF_HUB_OFFLINE"] = "1"
        world = make_world(Path(folder), arguments.seconds, as_on_a_device=arguments.as_on_a_device)
        threading.Thread(target=watch, args=(world,), daemon=True).start()
        threads = [
            threading.Thread(target=work, args=(world, name, arguments.seed), name=name)
            for name in arguments.only
        ]
        for thread in threads:
            thread.start()
        early = None
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.5)
            left = world.until - time.monotonic()
            if early is None and left < 0.8 * arguments.seconds:
                early = resident()
        for thread in threads:
            thread.join()
        world.kept.clear()
        gc.collect()
        world.beats["closing"] = time.monotonic()
        stats = world.manager.stats()
        time.sleep(2.0)  # threads that prepare what a cancelled task wanted
        busy = [entry.name for entry in registry_of(world.manager).entries() if entry.in_use]
        world.manager.close()
        del world.beats["closing"]
    if busy:
        world.wrong.append(f"in use though nobody asks: {busy}")
    print(", ".join(f"{name} {n}" for name, n in sorted(world.counts.items())))
    print({key: stats["experts"][key] for key in ("loads", "reloads", "evictions", "hits")})
    for base in stats["bases"]:
        print(base["residency"], base["requests"]["overlapped"], "overlapped")
    print(f"memory {early or 0:.0f} MB after a fifth of the time, {resident():.0f} MB at the end")
    for one in world.wrong:
        print(one, file=sys.stderr)
    return bool(world.wrong)


if __name__ == "__main__":
    sys.exit(main())
