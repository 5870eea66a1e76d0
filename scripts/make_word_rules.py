r"""Writes the part of a grammar that is a table of words: keywords, and names that are none.

GBNF supports neither letter case nor "any word except". So a grammar names its keywords in
capital letters, and lists the words that are not names in comments that begin with
``# reserved:``. This script writes rules below the line ``MARK``, at the end of the grammar:

- every keyword in either letter case, ``AS ::= [aA] [sS]``;
- ``plain``, a name that is not a reserved word in any letter case. It walks through the tree
  of the reserved words' letters, and leaves the tree or stops before a word is complete.
  There is one way to continue for each next letter. ``not-ab`` continues with any letter
  except those two, and ``word-char`` is any letter of a name.

The grammar itself defines ``letter-beyond``, the letters of names that are not ASCII.

    python scripts/make_word_rules.py grammars/sql-postgres.gbnf
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from string import ascii_lowercase

MARK = "# Written by scripts/make_word_rules.py. Do not edit the rules below.\n"

Tree = dict[str, "Tree"]
WHOLE = ""  # the key in a node where a word ends


def either_case(letter: str) -> str:
    return f"[{letter}{letter.upper()}]"


def keywords_of(grammar: str) -> list[str]:
    """The names in capital letters that the rules refer to."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|#.*', " ", grammar)
    return sorted(set(re.findall(r"(?<![\w-])[A-Z]{2,}(?![\w-])", bare)))


def reserved_of(grammar: str) -> list[str]:
    return " ".join(re.findall(r"^# reserved:(.*)$", grammar, re.MULTILINE)).split()


def tree_of(words: list[str]) -> Tree:
    root: Tree = {}
    for word in words:
        node = root
        for letter in word:
            node = node.setdefault(letter, {})
        node[WHOLE] = {}
    return root


def after(node: Tree, left: set[str]) -> str:
    """How a name may continue from this node; ``left`` collects the rules that this needs."""
    letters = "".join(sorted(letter for letter in node if letter != WHOLE))
    if not letters:
        return "word-char+"
    left.add(letters)
    options = [f"not-{letters}"]
    options += [f"{either_case(letter)} {after(node[letter], left)}" for letter in letters]
    return f"({' | '.join(options)}){'' if WHOLE in node else '?'}"


def without(letters: str) -> str:
    """The ASCII letters except these, in both cases, in the form of a character class."""
    kept = "".join(" " if letter in letters else letter for letter in ascii_lowercase)
    runs = "".join(run if len(run) < 3 else f"{run[0]}-{run[-1]}" for run in kept.split())
    return runs + runs.upper()


def word_rules(grammar: str) -> str:
    """The generated part of a grammar, from its hand-written part."""
    rules = [
        f"{word} ::= {' '.join(map(either_case, word.lower()))}" for word in keywords_of(grammar)
    ]
    tree = tree_of(reserved_of(grammar))
    initials = "".join(sorted(tree))
    left: set[str] = set()
    names = [f"plain-{initial}" for initial in initials]
    rules.append(f"plain ::= [{without(initials)}_] word-char* | letter-beyond word-char*")
    rules[-1] += "".join(f" | {name}" for name in names)
    for name, initial in zip(names, initials, strict=True):
        rules.append(f"{name} ::= {either_case(initial)} {after(tree[initial], left)}")
    rules += [
        f"not-{letters} ::= ([{without(letters)}0-9_] | letter-beyond) word-char*"
        for letters in sorted(left)
    ]
    rules.append("word-char ::= [a-zA-Z0-9_] | letter-beyond")
    return "\n".join(rules) + "\n"


def complete(grammar: str) -> str:
    """The grammar with its generated part written again."""
    by_hand, mark, _ = grammar.partition(MARK)
    if not mark:
        raise ValueError(f"the grammar lacks the line {MARK!r}")
    return by_hand + mark + word_rules(by_hand)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(complete(path.read_text("utf-8")), "utf-8")
