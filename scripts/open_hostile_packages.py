"""Opens many hostile packages, each in a child process under caps, and counts what became of them.

    python scripts/open_hostile_packages.py --count 1000
    python scripts/open_hostile_packages.py --seed 4711          # one of them, with its message

The tests open a slice of the same. It ends with 1 if anything happened that must not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.hostile.children import Outcome, outcomes, prepare
from tests.hostile.packages import write_hostile
from tests.packages import FIXTURES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first package")
    parser.add_argument("--seed", type=int, help="only this one")
    options = parser.parse_args()
    prepare()
    seeds = range(options.first, options.first + options.count)
    counts: Counter[str] = Counter()
    largest: dict[str, Outcome] = {}
    slowest: dict[str, Outcome] = {}
    bad = 0
    with tempfile.TemporaryDirectory(prefix="hostile-") as place:
        base = Path(place) / "tiny-llama.gguf"
        make_base(base)
        for seed in seeds if options.seed is None else [options.seed]:
            with tempfile.TemporaryDirectory(dir=place) as folder:
                kind, package = write_hostile(seed, Path(folder))
                if seed % 50 == 0:
                    print(f"{seed} …", file=sys.stderr, flush=True)
                for step, outcome in outcomes(package, base, Path(folder)):
                    counts[f"{step}: {outcome.result}"] += 1
                    largest[step] = max(
                        outcome, largest.get(step, outcome), key=lambda o: o.megabytes
                    )
                    slowest[step] = max(
                        outcome, slowest.get(step, outcome), key=lambda o: o.cpu_seconds
                    )
                    if not outcome.is_fine or options.seed is not None:
                        bad += not outcome.is_fine
                        print(f"{seed} ({kind}), {step}: {outcome.result}", flush=True)
                        print(
                            f"  {outcome.cpu_seconds:.1f} s, {outcome.megabytes:.0f} MB\n"
                            f"{outcome.detail}",
                            flush=True,
                        )
    for name, n in sorted(counts.items()):
        print(f"{n:6} {name}")
    for step in largest:
        print(
            f"{step}: at most {slowest[step].cpu_seconds:.1f} s of processor time, "
            f"{largest[step].megabytes:.0f} MB above the start"
        )
    return 1 if bad else 0


def make_base(path: Path) -> None:
    """The tiny Llama of the fixtures as a GGUF."""
    from hivellm_lite.converters.base import convert_base

    convert_base(FIXTURES / "models" / "tiny-llama", path, quant="f32")


if __name__ == "__main__":
    sys.exit(main())
