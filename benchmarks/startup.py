"""Start-up of the import and of the command, as whole processes."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from .table import process_seconds, show


def main() -> None:
    tool = Path(sys.executable).parent / "hivellm-lite"
    nothing, imported, binding, help_page = process_seconds(
        [sys.executable, "-c", "pass"],
        [sys.executable, "-c", "import hivellm_lite"],
        [sys.executable, "-c", "import llama_cpp"],
        [tool, "--help"],
        runs=11,
    )
    idle = statistics.median(nothing)
    show(
        "Start-up (median of 11 whole processes)",
        ("", "ms", "ms above an empty Python"),
        [
            (
                name,
                f"{statistics.median(s) * 1e3:.0f}",
                f"{(statistics.median(s) - idle) * 1e3:.0f}",
            )
            for name, s in (
                ("python -c pass", nothing),
                ("import hivellm_lite", imported),
                ("import llama_cpp", binding),
                ("hivellm-lite --help", help_page),
            )
        ],
    )
