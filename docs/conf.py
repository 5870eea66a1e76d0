"""How Sphinx builds the site: ``make docs``."""

from __future__ import annotations

import re
from pathlib import Path

from pygments.lexers.data import JsonLexer
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]

project = "hivellm-lite"
author = "the hivellm-lite maintainers"
project_copyright = author
release = re.search(r'"(.+)"', (ROOT / "hivellm_lite" / "_version.py").read_text("utf-8"))[1]

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"hivellm-lite {release}"
html_show_sourcelink = False
html_copy_source = False


def setup(app: Sphinx) -> None:
    """Languages of code blocks that Pygments knows under other names."""
    app.add_lexer("jsonl", JsonLexer)
    app.add_lexer("gbnf", TextLexer)
