"""Documentation that is made from the code, and commands that the README promises."""

from __future__ import annotations

import importlib.util
import re
import sys

from .support.paths import ROOT

PACKAGE = ROOT / "hivellm_lite"
ROOM_MAP = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def test_the_page_of_the_command_line_is_what_help_prints():
    spec = importlib.util.spec_from_file_location("docs", ROOT / "scripts" / "make_cli_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text("utf-8") == module.render(), "run scripts/make_cli_docs.py"
    table = module.TABLE.read_text("utf-8")
    assert table == module.render_table(), "run scripts/make_cli_docs.py"


def test_every_make_target_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)", (ROOT / "README.md").read_text()))
    assert {"test", "demo"} <= named <= targets


def test_files_that_the_documentation_links_to_exist():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_source_files_that_the_documentation_names_exist():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for name in re.findall(r"`(\w+/[\w/]+\.py)`", page.read_text("utf-8")):
            places = [ROOT / name, PACKAGE / name]
            assert any(place.exists() for place in places), f"{page.name} names {name}"


def test_the_map_of_the_rooms_names_every_folder_and_every_module_that_stands_alone():
    folders = [PACKAGE, ROOT / "converters"]
    rooms = {init.parent for folder in folders for init in folder.rglob("__init__.py")}
    modules = {path for folder in folders for path in folder.glob("*.py")}
    wanted = {f"{room.relative_to(ROOT)}/" for room in rooms}
    wanted |= {str(path.relative_to(ROOT)) for path in modules if not path.name.startswith("_")}
    named = set(re.findall(r"^\| `([^`]+)` \|", ROOM_MAP, re.MULTILINE))
    assert wanted - named <= {"hivellm_lite/", "converters/"}


def test_every_path_in_the_guide_for_contributors_exists():
    roots = ("hivellm_lite", "converters", "grammars", "tests", "scripts", "docs", "benchmarks")
    named = [text for text in re.findall(r"`([^`\n]+)`", ROOM_MAP) if text.startswith(roots)]
    paths = {text for text in named if "/" in text and not re.search("[A-Z]{4,}", text)}
    assert len(paths) > 60
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_the_readme_is_one_page_and_its_picture_shows_what_the_page_measured():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 130
    spec = importlib.util.spec_from_file_location("figures", ROOT / "scripts" / "draw_figures.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    assert module.PICTURE.read_text("utf-8") == module.render(), "run scripts/draw_figures.py"


def test_limits_that_the_pages_quote_are_those_of_the_code():
    from hivellm_lite.converters.forms.low_rank import EXTRA_RANKS
    from hivellm_lite.converters.safetensors import MAX_TENSORS

    from hivellm_lite.archive.limits import LIMITS
    from hivellm_lite.engine.openmp import SPIN_COUNT
    from hivellm_lite.engine.sizes import N_BATCH, N_OUTPUTS, N_UBATCH_SCORES
    from hivellm_lite.errors import MAX_LINE, MAX_LINES
    from hivellm_lite.gbnf.limits import MAX_DEPTH, MAX_NODES, MAX_REPETITIONS, MAX_RULES
    from hivellm_lite.inference import kv_streams, parked

    quoted = {
        "adapters.md": [f"extra ranks ({', '.join(map(str, EXTRA_RANKS))})"],
        "design.md": [
            f"Fewer than {kv_streams.WORTH_PARKING} tokens are computed again",
            f"saves at least {kv_streams.WORTH_RESTORING} tokens",
            f"At most {N_OUTPUTS} rows of logits",
            f"computed {N_UBATCH_SCORES} tokens at a time instead of {N_BATCH}",
            f"a spin count of {SPIN_COUNT}",
        ],
        "experts.md": [
            f"*parked* if it has {kv_streams.WORTH_PARKING} tokens or more",
            f"`parked_bytes` ({parked.DEFAULT_PARKED_BYTES >> 20} MiB)",
            f"GOMP_SPINCOUNT={SPIN_COUNT}",
        ],
        "grammars.md": [
            f"| rules | {MAX_RULES:,},",
            f"| {MAX_NODES:,} |",
            f"inside one another | {MAX_DEPTH} |",
            f"| `n` in `x{{m,n}}` | {MAX_REPETITIONS:,} ",
        ],
        "packages.md": [
            f"{LIMITS.total_bytes >> 30} GiB of output",
            f"{LIMITS.ratio} bytes of output per byte of input",
            f"{LIMITS.members:,} members",
            f"{MAX_TENSORS:,} tensors",
            f"{MAX_LINES} lines of {MAX_LINE:,} characters",
        ],
    }
    for page, sayings in quoted.items():
        text = " ".join((ROOT / "docs" / page).read_text("utf-8").split())
        assert [saying for saying in sayings if saying not in text] == [], page
