"""Converting an adapter, as a whole process, against llama.cpp's own script.

The script needs torch, transformers and a Hugging Face folder of the base; the
row appears with ``--llama-cpp`` and ``--peft-python`` (see ``run.py``).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from .table import median_ratio, process_seconds, show

OURS = """
import sys
from hivellm_lite.cli import main
main(["--cache-dir", sys.argv[1], "convert", sys.argv[2], "--base", sys.argv[3]])
"""


def main(
    base: Path,
    package: Path,
    peft_python: Path | None,
    llama_cpp: Path | None,
    hugging_face: Path | None,
) -> None:
    import shutil

    from hivellm_lite.cache import Cache
    from hivellm_lite.package import open_package

    with tempfile.TemporaryDirectory() as folder:
        opened = open_package(package, cache=Cache(Path(folder) / "unpacked"))
        cache = Path(folder) / "cache"
        # each run starts from an empty cache: the process removes what the last one made
        code = f"import shutil; shutil.rmtree({str(cache)!r}, ignore_errors=True){OURS}"
        commands: list[list[str | Path]] = [[sys.executable, "-c", code, cache, package, base]]
        if peft_python and llama_cpp and hugging_face:
            script = llama_cpp / "convert_lora_to_gguf.py"
            out = Path(folder) / "theirs.gguf"
            adapter = Path(folder) / "adapter"
            shutil.copytree(opened.root, adapter)
            commands.append(
                [
                    peft_python,
                    script,
                    adapter,
                    "--base",
                    hugging_face,
                    "--outfile",
                    out,
                    "--outtype",
                    "f32",
                ]
            )
        seconds = process_seconds(*commands, runs=5)
    rows = [
        ("hivellm-lite convert (unpacking included)", f"{statistics.median(seconds[0]):.2f}", "1")
    ]
    if len(seconds) > 1:
        ratio = median_ratio(seconds[0], seconds[1])
        rows.append(
            (
                "llama.cpp convert_lora_to_gguf.py",
                f"{statistics.median(seconds[1]):.2f}",
                f"{ratio:.1f}",
            )
        )
    show("Adapter conversion (median of 5 whole processes)", ("", "s", "times as long"), rows)
