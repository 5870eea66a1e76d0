"""Print the requirements of an extra of this project, one word each, for pip.

Usage: ``python scripts/requirements_of.py EXTRA``

``pip install '.[EXTRA]'`` would install the project and llama.cpp, too.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def main() -> None:
    # Python 3.10 reads no TOML, and nothing is installed yet
    text = PROJECT.read_text("utf-8")
    section = text.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    listed = re.search(
        rf"^{re.escape(sys.argv[1])} = \[(.*?)\]$", section, re.MULTILINE | re.DOTALL
    )
    if listed is None:
        raise SystemExit(f"{PROJECT} has no extra {sys.argv[1]!r}")
    print(*re.findall(r'"([^"]+)"', listed[1]))


if __name__ == "__main__":
    main()
