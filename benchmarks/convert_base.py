"""Converting a Hugging Face folder to Q8_0, as a whole process, against llama.cpp's own script.

::

    python scripts/make_qwen3_shape.py /tmp/q3/Qwen3-0.6B
    python -m benchmarks.convert_base --hugging-face /tmp/q3/Qwen3-0.6B \\
        --peft-python PYTHON --llama-cpp CHECKOUT

``PYTHON`` has torch and transformers. The peak is that of the resident set (Linux).
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from .table import median_ratio, show

OURS = (
    "import sys; from pathlib import Path; from hivellm_lite.converters.base import convert_base; "
    "convert_base(Path(sys.argv[1]), Path(sys.argv[2]), quant='q8_0')"
)
THEIRS = """
import sys
sys.path.insert(0, sys.argv[1])
import convert_hf_to_gguf
from conversion.base import TextModel
TextModel.get_vocab_base_pre = lambda *_: "qwen2"  # it knows real tokenizers only, by their tokens
sys.argv = ["convert_hf_to_gguf.py", sys.argv[2], "--outfile", sys.argv[3], "--outtype", "q8_0"]
convert_hf_to_gguf.main()
"""
RUNS = 3


def run(command: Sequence[str | Path]) -> tuple[float, float]:
    """Wall seconds and peak megabytes of one process."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed with exit status {process.returncode}: {command}")
    assert isinstance(usage, resource.struct_rusage)
    return time.perf_counter() - started, usage.ru_maxrss * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hugging-face", type=Path, required=True)
    parser.add_argument("--peft-python", type=Path, required=True)
    parser.add_argument("--llama-cpp", type=Path, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "model.gguf"
        commands: list[list[str | Path]] = [
            [sys.executable, "-c", OURS, given.hugging_face, out],
            [given.peft_python, "-c", THEIRS, given.llama_cpp, given.hugging_face, out],
        ]
        results: list[list[tuple[float, float]]] = [[], []]
        for _ in range(RUNS):
            for result, command in zip(results, commands, strict=True):
                result.append(run(command))
                out.unlink()
    ours, theirs = ([seconds for seconds, _ in result] for result in results)
    rows = []
    for name, result in zip(("hivellm-lite", "llama.cpp"), results, strict=True):
        seconds = statistics.median(s for s, _ in result)
        rows.append((name, f"{seconds:.1f}", f"{max(mb for _, mb in result):.0f}"))
    show(
        f"{given.hugging_face.name} to Q8_0, {RUNS} runs each: "
        f"{median_ratio(ours, theirs):.1f} times as fast",
        ("", "s (median)", "peak MB"),
        rows,
    )


if __name__ == "__main__":
    main()
