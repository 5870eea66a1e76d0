"""The recorded terminal sessions: what they show still happens."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from .support.paths import ROOT

FOLDER = ROOT / "scripts" / "recordings"


@pytest.mark.skipif(sys.platform == "win32", reason="records a pseudo-terminal")
@pytest.mark.cpu("the answers that are shown were given by a CPU")
@pytest.mark.parametrize("name", [path.stem for path in sorted(FOLDER.glob("*.sh"))])
def test_what_a_recording_shows_still_happens(
    name: str, real_base: Path, tmp_path: Path, example_cache: Path
):
    pytest.importorskip("cryptography", reason="signs a package")
    spec = importlib.util.spec_from_file_location(
        "record_terminal", ROOT / "scripts" / "record_terminal.py"
    )
    recorder = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = recorder
    try:
        spec.loader.exec_module(recorder)
        lines = (FOLDER / f"{name}.sh").read_text("utf-8").splitlines()
        lines.insert(0, f"#: export HIVELLM_HOME={example_cache}")  # converted once for all tests
        shown = "".join(event.text for event in recorder.record(lines, tmp_path))
    finally:
        del sys.modules[spec.name]
    assert "SELECT" in shown
    cast = (ROOT / "docs" / f"{name}.cast").read_text("utf-8").splitlines()[1:]
    assert without_chance("".join(json.loads(line)[2] for line in cast)) == without_chance(shown)


def without_chance(text: str) -> str:
    """The text without keys, digests and times."""
    return re.sub(r"[0-9a-f]{64}|[0-9-]{10}T[0-9:]{8}Z", "…", text)
