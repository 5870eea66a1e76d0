"""Size on disk of what an installation brings, counted from installed metadata."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from .table import show

COUNT = """
import json, re, sys
from importlib.metadata import PackageNotFoundError, distribution
seen, todo = {}, sys.argv[1:]
while todo:
    name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
    if name in seen:
        continue
    try:
        found = distribution(name)
    except PackageNotFoundError:
        continue
    seen[name] = sum(f.locate().stat().st_size for f in found.files or () if f.locate().is_file())
    for text in found.requires or ():
        requirement, _, marker = text.partition(";")
        if "extra" not in marker:
            todo.append(re.match(r"[A-Za-z0-9._-]+", requirement).group())
print(json.dumps(seen))
"""


def _sizes(python: Path, *names: str) -> dict[str, int]:
    done = subprocess.run([python, "-c", COUNT, *names], capture_output=True, text=True, check=True)
    sizes: dict[str, int] = json.loads(done.stdout)
    return sizes


def main(peft_python: Path | None) -> None:
    ours = _sizes(Path(sys.executable), "hivellm-lite")
    rows = [("hivellm-lite", str(len(ours)), f"{sum(ours.values()) / 1e6:.0f}", "1")]
    if peft_python:
        theirs = _sizes(peft_python, "torch", "transformers", "peft")
        ratio = sum(theirs.values()) / sum(ours.values())
        megabytes = f"{sum(theirs.values()) / 1e6:.0f}"
        name = "torch (CPU) + transformers + peft"
        rows.append((name, str(len(theirs)), megabytes, f"{ratio:.1f}"))
    show("Installed size, dependencies included", ("", "packages", "MB", "times as large"), rows)
