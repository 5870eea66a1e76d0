"""What the README and the pages tell a reader to type, typed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ..support.paths import EXPERTS, ROOT
from .blocks import LANGUAGES, blocks_of

GENERATED = ("api.md", "cli.md", "manifest.md")
"""Pages that scripts write from the code; other tests compare them."""

PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if page.name not in GENERATED
]

pytestmark = [
    pytest.mark.unmeasured,
    pytest.mark.skipif(shutil.which("bash") is None, reason="pages are typed into bash"),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_block_names_a_language_that_says_what_becomes_of_it(page):
    wrong = [f"line {one.line}: {one.language!r}" for one in blocks_of(page)
             if one.language not in LANGUAGES]  # fmt: skip
    assert not wrong, f"{page.name}: use one of {', '.join(LANGUAGES)}"


OWN = ("integrations.md",)
"""Pages whose libraries may be missing: tests of their own run them section by section."""

RUN = [
    page
    for page in PAGES
    if page.name not in OWN
    and any(
        one.language in ("python", "sh", "console") and one.not_run is None
        for one in blocks_of(page)
    )
]


@pytest.mark.cpu("the answers that pages show were given by a CPU")
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_what_a_page_tells_to_type_does_what_it_says(page, real_base, tmp_path, example_cache):
    reader = tmp_path / "reader"
    shutil.copytree(EXPERTS, reader / "examples" / "experts")
    (reader / ".demo").mkdir()
    for place in (reader, reader / ".demo"):
        (place / real_base.name).symlink_to(real_base)
    for package in EXPERTS.glob("*.expert"):
        shutil.copy(package, reader)
    trained = reader / "my-sql-adapter"
    with tarfile.open(EXPERTS / "sql.expert") as archive:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            archive.extract(name, trained, filter="data")
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        **os.environ, "HIVELLM_HOME": str(example_cache), "HOME": str(home), "HF_HUB_OFFLINE": "1",
        "HIVELLM_EXPERTS": str(home / ".expert"), "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.documentation.run_page", str(page)],
        cwd=reader, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
