"""Programs that others run today, and what the pages for them make of these programs."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.paths import EXPERTS, ROOT
from .blocks import blocks_of

PAGE = ROOT / "docs" / "migrating-from-transformers.md"

BLOCKS = [block.text for block in blocks_of(PAGE) if block.language == "python"]
BEFORE, AFTER, COMPARED = BLOCKS

ANSWER = "SELECT COUNT(*) FROM users WHERE city = 'Berlin'\n"

pytestmark = [
    pytest.mark.unmeasured,
    pytest.mark.cpu("the answers that the page shows were given by a CPU"),
]


@pytest.fixture
def folder(tmp_path: Path, real_base: Path) -> Path:
    """What a reader of the page has after its shell blocks."""
    (tmp_path / "sql.expert").symlink_to(EXPERTS / "sql.expert")
    (tmp_path / real_base.name).symlink_to(real_base)
    shell = [block.text for block in blocks_of(PAGE) if block.language == "sh"]
    for text in shell[:2]:
        subprocess.run(
            ["bash", "-euc", text],
            cwd=tmp_path,
            env={**_environment(tmp_path), "PATH": _path()},
            check=True,
            capture_output=True,
        )
    return tmp_path


def _path() -> str:
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def _environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "HIVELLM_HOME": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
        "TQDM_DISABLE": "1",
    }


def _printed(folder: Path, program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_after_the_move_from_transformers_the_adapter_answers(folder):
    assert _printed(folder, AFTER) == ANSWER


@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "transformers", "peft")),
    reason="compares with PEFT: needs torch, transformers and peft",
)
def test_before_the_move_it_gave_the_same_answer_token_for_token(folder):
    assert _printed(folder, BEFORE + COMPARED) == ANSWER
