"""The goals on a fresh machine with a GPU, in one table.

::

    python -m benchmarks.device
    python -m benchmarks.device --device cpu --quick

Needs Python, NumPy and a build of llama-cpp-python with what these bring, and nothing installed of
this project: it runs from an unpacked archive of the repository. The base is one of Qwen3-0.6B's
shape with random weights at Q8_0, the experts are random LoRAs of rank 12 on six modules; both are
made here. ``--quick`` takes two of its 28 layers, few tokens and short runs: it shows that the
script works.

A step that fails ends the script, and is named. Random weights make the grammar's row the worst
case, because nearly every token that they want is refused.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]

import hivellm_lite  # noqa: E402

if not (ROOT / "hivellm_lite" / "converters").exists():
    hivellm_lite.__path__.append(str(ROOT))  # where an installation has converters and grammars

from . import device_rows as rows  # noqa: E402
from .device_rows import Measured, Setting  # noqa: E402
from .table import show  # noqa: E402

N_EXPERTS = 10
STARTED = time.perf_counter()


def main() -> None:
    parts = {
        "one": rows.one_answer,
        "together": rows.answers_together,
        "first": rows.first_token,
        "mixed": rows.mixed_experts,
        "grammar": rows.grammars,
    }
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="auto", help="as of Expert.load")
    parser.add_argument("--quick", action="store_true", help="two layers, few tokens, short runs")
    parser.add_argument("--work", type=Path, help="a folder to keep base and experts in")
    parser.add_argument("--only", action="append", choices=parts, help="may be repeated")
    parser.add_argument(
        "--own-context-bytes",
        type=int,
        help="memory for own contexts in the rows with them (default: the library's choice)",
    )
    given = parser.parse_args()
    work = given.work or Path(tempfile.mkdtemp(prefix="hivellm-device-"))
    measured: list[Measured] = []
    try:
        with step("base and experts"):
            setting = dataclasses.replace(
                prepare(work, quick=given.quick),
                device=given.device,
                own_context_bytes=given.own_context_bytes,
            )
        with step("device"):
            print(rows.describe(setting), flush=True)
        for name in given.only or parts:
            with step(name):
                for row in parts[name](setting):
                    print(f"    {row.name}: {row.ours}, {row.beside}", flush=True)
                    measured.append(row)
    finally:
        if given.work is None:
            shutil.rmtree(work, ignore_errors=True)
        if measured:
            conclude(measured, quick=given.quick)


def conclude(measured: list[Measured], *, quick: bool) -> None:
    """The table, and how many goals were reached."""
    shape = "Two layers of Qwen3-0.6B's shape" if quick else "Qwen3-0.6B's shape"
    show(
        f"{shape}, Q8_0, LoRA, {time.perf_counter() - STARTED:.0f} s in all",
        ("", "ours", "beside it", "relation", "goal", ""),
        [(m.name, m.ours, m.beside, m.relation, m.goal, m.verdict) for m in measured],
    )
    judged = [one.reached for one in measured if one.reached is not None]
    print(f"\n{sum(judged)} of {len(judged)} goals are reached")


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Say when a step begins; end the script where it fails."""
    print(f"[{time.perf_counter() - STARTED:6.1f} s] {name}", flush=True)
    try:
        yield
    except Exception as error:
        print(f"FAILED in the step {name!r}: {type(error).__name__}: {error}", flush=True)
        raise SystemExit(1) from error


def prepare(work: Path, *, quick: bool) -> Setting:
    """Make what is missing in ``work``: the base as a GGUF, and a package for each expert."""
    from hivellm_lite.converters.base import convert_base

    shape = make_qwen3_shape()
    if quick:
        shape.N_LAYERS, shape.N_VOCAB = 2, 4096
    work.mkdir(parents=True, exist_ok=True)
    base = work / f"qwen3-shape-{shape.N_LAYERS}.Q8_0.gguf"
    if not base.exists():
        shape.write_model(work / "hf")
        convert_base(work / "hf", base, quant="q8_0")
        shutil.rmtree(work / "hf")
    packages = [work / f"lora-{shape.N_LAYERS}-{number}.expert" for number in range(N_EXPERTS)]
    for number, path in enumerate(packages):
        if not path.exists():
            shape.write_package(path, number + 1, dora=False)
    return Setting(base, tuple(packages), work / "cache", quick=quick)


def make_qwen3_shape() -> ModuleType:
    """``scripts/make_qwen3_shape.py``."""
    path = ROOT / "scripts" / "make_qwen3_shape.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
