"""Text of strangers in Markdown and in YAML: shown as it is, without becoming markup."""

from __future__ import annotations

import json
import re

from ..terminal_text import one_line

__all__ = ["code", "prose", "yaml_text"]

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~$&!@])")
"""What begins markup anywhere in a line, GitHub's extensions, formulas and mentions included."""

_BEGINNING = re.compile(r"^([-+=]|\d{1,9}(?=[.)](?:\s|$)))")
_ADDRESS = re.compile(r"(?i)(https?|ftp|mailto|xmpp)(:)|(www)(\.)")
"""Bare addresses become links by themselves."""

_NOT_IN_YAML = re.compile("[^\t\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

MAX_TEXT = 4_000
"""Characters of one paragraph of a manifest."""


def prose(text: object, limit: int = MAX_TEXT) -> str:
    """``text`` on one line, with a backslash before everything that Markdown would obey."""
    line = _MARKUP.sub(r"\\\1", one_line(" ".join(str(text).split()), limit))
    line = _ADDRESS.sub(_broken, line)
    if match := _BEGINNING.match(line):
        number = match[0].isdigit()
        cut = match.end() if number else 0
        line = f"{line[:cut]}\\{line[cut:]}"
    return line


def code(text: object) -> str:
    """``text`` on one line as a code span, whatever backticks it holds."""
    line = one_line(" ".join(str(text).split())) or " "
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest or line == " " else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def yaml_text(text: object) -> str:
    """``text`` as a YAML string between double quotes.

    YAML 1.1 and 1.2 disagree on which bare words are numbers or true (``1e3``, ``no``), and the
    Hub reads another version than Python's usual reader writes. A quoted string is one in both.
    """
    quoted = json.dumps(one_line(text), ensure_ascii=False)
    return _NOT_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def _broken(match: re.Match[str]) -> str:
    return f"{match[1] or match[3]}\\{match[2] or match[4]}"
