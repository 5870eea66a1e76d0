"""What grammars cost: for each token, and in whole answers of a real model.

::

    python -m benchmarks.grammars --vocab ggml-vocab-qwen2.gguf
    python -m benchmarks.grammars --base SmolLM2.Q4_1.gguf

``--vocab`` is any GGUF with a vocabulary; llama.cpp's sources have some without weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import enforcement, generations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocab", type=Path)
    parser.add_argument("--base", type=Path)
    parser.add_argument(
        "--json-grammar", type=Path, action="append", default=[], help="also measure this file"
    )
    parser.add_argument(
        "--sql-grammar", type=Path, action="append", default=[], help="also measure this file"
    )
    given = parser.parse_args()
    if given.vocab is None and given.base is None:
        parser.error("give --vocab, --base or both")
    if given.vocab is not None:
        enforcement.main(given.vocab, given.json_grammar, given.sql_grammar)
    if given.base is not None:
        generations.main(given.base)


if __name__ == "__main__":
    main()
