"""Run the benchmarks: ``make bench``, or ``python -m benchmarks.run --base GGUF``.

With ``--peft-python`` (a Python with torch, transformers and peft, as ``make train``
sets up), ``--llama-cpp`` (a checkout of llama.cpp) and ``--hugging-face`` (the base
as a Hugging Face folder) the tools that one would use instead run beside ours.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import convert_adapter, decode, installed_size, startup

SQL = Path(__file__).parents[1] / "examples" / "experts" / "sql.expert"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--package", type=Path, default=SQL)
    parser.add_argument("--peft-python", type=Path)
    parser.add_argument("--llama-cpp", type=Path)
    parser.add_argument("--hugging-face", type=Path)
    given = parser.parse_args()
    startup.main(given.base, given.package)
    convert_adapter.main(
        given.base, given.package, given.peft_python, given.llama_cpp, given.hugging_face
    )
    decode.main(given.base, given.package)
    installed_size.main(given.peft_python)


if __name__ == "__main__":
    main()
