"""Check that a tag, the version and the change log agree, before a release is built.

Usage: ``python scripts/check_release.py v1.2.3 [--notes FILE]``

``--notes`` writes what the change log says about the version.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def problems(tag: str, root: Path) -> list[str]:
    """What keeps ``tag`` from being released; empty if nothing does."""
    found = []
    version = version_of(root)
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, and hivellm_lite/_version.py says {version}: v{version}")
    if not notes(version, root):
        found.append(f"CHANGELOG.md has no section '## [{version}] - DATE' with text in it")
    if f"\nversion: {version}\n" not in (root / "CITATION.cff").read_text("utf-8"):
        found.append(f"CITATION.cff does not say 'version: {version}'")
    return found


def version_of(root: Path) -> str:
    """The version of the package."""
    text = (root / "hivellm_lite" / "_version.py").read_text("utf-8")
    return str(re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)[0])


def notes(version: str, root: Path) -> str:
    """What the change log says about a version; empty if nothing."""
    text = (root / "CHANGELOG.md").read_text("utf-8")
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)"
    found = re.search(heading, text, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tag")
    parser.add_argument("--notes", type=Path)
    options = parser.parse_args()
    if found := problems(options.tag, ROOT):
        raise SystemExit("\n".join(found))
    if options.notes is not None:
        options.notes.write_text(notes(version_of(ROOT), ROOT) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
