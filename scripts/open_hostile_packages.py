"""Opens many hostile packages, each in a child process under limits, and counts the outcomes.

    python scripts/open_hostile_packages.py --count 1000
    python scripts/open_hostile_packages.py --seed 4711          # one of them, with its message

The tests open a part of the same packages. The script exits with 1 if anything happened that
must not happen. It prints its counts even if it is interrupted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.hostile.children import Outcome, outcomes, prepare
from tests.hostile.packages import write_hostile
from tests.support.paths import FIXTURES


class Tally:
    """The outcomes so far."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.n_bad = 0
        self._slowest: dict[str, float] = {}
        self._largest: dict[str, float] = {}

    def add(self, seed: int, kind: str, step: str, outcome: Outcome, *, verbose: bool) -> None:
        self.counts[f"{step}: {outcome.result}"] += 1
        self._slowest[step] = max(outcome.cpu_seconds, self._slowest.get(step, 0.0))
        self._largest[step] = max(outcome.megabytes, self._largest.get(step, 0.0))
        self.n_bad += not outcome.is_fine
        if verbose or not outcome.is_fine:
            spent = f"{outcome.cpu_seconds:.1f} s, {outcome.megabytes:.0f} MB"
            print(f"{seed} ({kind}), {step}: {outcome.result}, {spent}\n{outcome.detail}")

    def show(self) -> None:
        for name, n in sorted(self.counts.items()):
            print(f"{n:6} {name}")
        for step in self._slowest:
            print(
                f"{step}: at most {self._slowest[step]:.1f} s of processor time, "
                f"{self._largest[step]:.0f} MB above the start"
            )
        sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first package")
    parser.add_argument("--seed", type=int, help="only this one")
    options = parser.parse_args()
    prepare()
    tally = Tally()
    seeds = range(options.first, options.first + options.count)
    try:
        open_all(seeds if options.seed is None else [options.seed], tally, options.seed is not None)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    tally.show()
    return 1 if tally.n_bad else 0


def open_all(seeds: Iterable[int], tally: Tally, verbose: bool) -> None:
    """Write, open and remove one package after the other."""
    from hivellm_lite.converters.base import convert_base

    with tempfile.TemporaryDirectory(prefix="hostile-") as place:
        base = Path(place) / "tiny-llama.gguf"
        convert_base(FIXTURES / "models" / "tiny-llama", base, quant="f32")
        for seed in seeds:
            with tempfile.TemporaryDirectory(dir=place) as folder:
                kind, package = write_hostile(seed, Path(folder))
                for step, outcome in outcomes(package, base, Path(folder)):
                    tally.add(seed, kind, step, outcome, verbose=verbose)


if __name__ == "__main__":
    sys.exit(main())
