"""What a machine of each kind takes for its work, and where each number is from.

"Measured here" is `python -m benchmarks.fleet_costs`: CPU time on two shared cores, SmolLM2-135M at
Q4_1 with the SQL expert's LoRA. A second run gave 0.92 to 1.03 times these decodes and 0.73 to 1.06
times these prompts. All other sources are pages of the documentation.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, replace

__all__ = ["H200", "KINDS", "QWEN3", "SMOLLM2", "Kind", "Workload", "interpolated"]

Points = tuple[tuple[float, float], ...]
"""Rising places and the value at each."""


@dataclass(frozen=True)
class Kind:
    """A machine with one base. Times are seconds.

    ``steps``: a decode by its rows (answers of one expert). ``prompts``: a prompt by its tokens
    that are not cached. ``swap``: what the next decode takes more after a change of adapters, and
    ``swap_per_adapter`` that for each adapter in memory. ``load``: a converted adapter into memory.
    ``convert``: the first use of an expert on a machine; one core of ``cores`` is busy with that.
    ``download``: before that. ``streams``: answers together. ``resident``: experts in memory.
    ``kv_bytes``: of one token; ``parked_bytes``: for prefixes of prompts.
    """

    name: str
    steps: Points
    prompts: Points
    swap: float
    swap_per_adapter: float
    load: float
    convert: float
    download: float
    cores: int
    streams: int
    resident: int
    kv_bytes: int
    parked_bytes: int = 256 << 20

    def step_seconds(self, n_rows: int) -> float:
        return interpolated(self.steps, n_rows)

    def prompt_seconds(self, n_tokens: int) -> float:
        return interpolated(self.prompts, n_tokens)

    def swap_seconds(self, n_loaded: int) -> float:
        return self.swap + self.swap_per_adapter * n_loaded

    @property
    def share_left(self) -> float:
        """The part of the computing that is left while an adapter is converted."""
        return (self.cores - 1) / self.cores if self.cores > 1 else 0.5


def interpolated(points: Points, x: float) -> float:
    """The value at ``x`` on straight lines between the points, which go on beyond."""
    index = min(max(bisect.bisect_left(points, (x,)), 1), len(points) - 1)
    (x0, y0), (x1, y1) = points[index - 1 : index + 1]
    return y0 + (y1 - y0) / (x1 - x0) * (x - x0)


def _ms(*points: tuple[float, float]) -> Points:
    return tuple((x, y / 1e3) for x, y in points)


SMOLLM2 = Kind(
    "SmolLM2-135M Q4_1, two cores",
    # measured here: rows of one expert at position 70
    steps=_ms(
        (1, 19.1), (2, 25.5), (3, 30.1), (4, 33.3), (6, 44.5), (8, 51.8), (12, 67.2), (16, 83.6)
    ),
    # measured here: from position 60 on; a warm prompt has some 14 tokens left to compute
    prompts=_ms((4, 35.3), (8, 63.2), (16, 77.2), (32, 141.7), (64, 269.8), (128, 447.6)),
    # measured here: 1.3, 7.4, 9.8 and 22.2 ms with 2, 20, 60 and 120 adapters loaded
    swap=1e-3,
    swap_per_adapter=0.17e-3,
    load=0.02,  # measured here 0.02; README.md: 19 ms for an evicted LoRA
    convert=30.0,  # docs/adapters.md: 29 s of one core for a DoRA; measured here 22 and 30
    download=1.0,  # ASSUMED: 3 MB (the example packages) and some requests to a registry
    cores=2,
    streams=16,  # docs/experts.md: max_streams
    resident=64,  # chosen: 64 × 12.2 MB (README.md: 297 MB with 1, 528 MB with 20 experts)
    kv_bytes=23_000,  # docs/experts.md: 523 tokens take 12 MB
)

QWEN3 = replace(
    SMOLLM2,
    name="Qwen3-0.6B's shape Q8_0, two cores",
    # README.md: 53 ms for one; docs/design.md: decodes of several rows in decodes of one
    steps=_ms((1, 53), (2, 106), (3, 122), (4, 127), (6, 164), (8, 175), (12, 217), (16, 260)),
    prompts=_ms((8, 85), (128, 1357)),  # docs/design.md: "in a fifth of the time of a single one"
    swap=9e-3,  # README.md: 9 ms more to the first token of another expert
    load=0.06,  # ASSUMED: SmolLM2's, by the size of the adapter (27 MB instead of 8.7)
    convert=30.0 * 3,  # ASSUMED: SmolLM2's, by the size of the adapter
    resident=64,  # 64 × 36 MB (README.md: 775 MB with 1, 1465 MB with 20 experts)
    kv_bytes=114_688,  # by the shape: 28 layers × 8 heads × 128 × 2 × 2 bytes
)

H200 = replace(
    QWEN3,
    name="Qwen3-0.6B's shape Q8_0, H200",
    # docs/design.md and a run on one H200: 2.85 ms a token alone; 1643, 3741 and 4525 tokens/s for
    # 8, 32 and 64 answers together, prompts included
    steps=_ms((1, 2.85), (8, 4.87), (32, 8.55), (64, 14.1)),
    prompts=_ms((1, 3.9), (512, 39.0)),  # 3.9 ms measured with a warm prompt; the slope is ASSUMED
    swap=0.0,  # contexts of their own; 34 ms a swap without (docs/design.md)
    swap_per_adapter=0.0,
    load=0.1,  # ASSUMED: a context of its own, beside the adapter
    cores=16,
    streams=64,  # as measured
    resident=200,  # ASSUMED: half of the memory; three contexts took 0.23 GB each, and they grow
)

KINDS = {"smollm2": SMOLLM2, "qwen3": QWEN3, "h200": H200}


@dataclass(frozen=True)
class Workload:
    """Who asks what. ``prefix``: tokens with which all prompts of an expert begin, its system
    message and schema. ``own`` and ``answers``: tokens of prompts after that, and of answers, drawn
    evenly; as the questions of `benchmarks.serving` have them (measured here, greedy, SmolLM2).
    """

    n_experts: int = 1000
    zipf: float = 1.0
    rate: float = 1.5
    """Requests a second and machine."""
    prefix: int = 50
    own: tuple[int, ...] = (12, 12, 13, 13, 14, 14, 15, 15, 15, 16, 22)
    answers: tuple[int, ...] = (
        12, 14, 5, 9, 14, 12, 9, 12, 14, 19, 14, 12, 9, 8, 20, 11,
        22, 18, 13, 16, 24, 22, 16, 22, 22, 13, 17, 21, 19, 14, 22, 17,
        15, 16, 14, 14, 16, 15, 16, 15, 14, 13, 15, 14, 13, 13, 15, 15,
    )  # fmt: skip
