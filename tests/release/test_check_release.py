"""What keeps a tag from being released."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hivellm_lite import __version__

from ..support.paths import ROOT

_spec = importlib.util.spec_from_file_location(
    "check_release", ROOT / "scripts" / "check_release.py"
)
check_release = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(check_release)

TAG = f"v{__version__}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "hivellm_lite").mkdir()
    for name in ("hivellm_lite/_version.py", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(
        f"# Changelog\n\n## [Unreleased]\n\n- soon\n\n## [{__version__}] - 2026-01-31\n\n"
        "### Added\n\n- this\n\n## [0.0.1] - 2025-01-01\n\n- that\n",
        encoding="utf-8",
    )
    return tmp_path


def test_nothing_keeps_a_whole_release(project: Path):
    assert check_release.problems(TAG, project) == []
    assert check_release.notes(__version__, project) == "### Added\n\n- this"


def test_the_citation_of_this_project_names_its_version():
    assert [text for text in check_release.problems(TAG, ROOT) if "CITATION" in text] == []


def test_everything_that_is_wrong_is_named(project: Path):
    (project / "CHANGELOG.md").write_text("## [Unreleased]\n\n- soon\n", encoding="utf-8")
    (project / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 0.0.1\n", encoding="utf-8")
    found = check_release.problems("v9.9.9", project)
    assert len(found) == 3
    assert f"the tag is v9.9.9, and hivellm_lite/_version.py says {__version__}" in found[0]
    assert "CHANGELOG.md has no section" in found[1]
    assert "CITATION.cff does not say" in found[2]


@pytest.mark.parametrize(
    ("extra", "name"), [("workflows", "zizmor"), ("release", "pip-audit"), ("server", "uvicorn")]
)
def test_requirements_of_an_extra_are_printed_without_its_comments(extra, name):
    script = ROOT / "scripts" / "requirements_of.py"
    done = subprocess.run(
        [sys.executable, script, extra], capture_output=True, encoding="utf-8", check=True
    )
    words = done.stdout.split()
    assert any(word.startswith(name) for word in words)
    assert all("#" not in word for word in words)
    missing = subprocess.run(
        [sys.executable, script, "none"], capture_output=True, encoding="utf-8"
    )
    assert missing.returncode == 1
    assert "has no extra 'none'" in missing.stderr
