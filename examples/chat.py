"""A conversation with several experts: each question goes to the one that fits it.

    python examples/chat.py sql.expert cypher.expert --base MODEL.gguf --schema "…"

Reads a question from each line of the input. Ctrl-D ends it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hivellm_lite import ExpertManager


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", nargs="+", type=Path)
    parser.add_argument("--base", required=True)
    parser.add_argument("--schema")
    given = parser.parse_args()
    with ExpertManager(base=given.base) as manager:
        for package in given.packages:
            manager.load_expert(package.stem, package)
        for question in map(str.strip, sys.stdin):
            if not question:
                continue
            name = manager.route(question).expert or "base"
            print(f"{name}> ", end="", flush=True)
            for piece in manager.generate_stream(name, question, schema=given.schema):
                print(piece, end="", flush=True)
            print()


if __name__ == "__main__":
    main()
