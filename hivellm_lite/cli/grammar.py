"""``hivellm-lite grammar``: what a grammar says, whether it can be enforced, what it accepts."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from itertools import takewhile
from pathlib import Path
from typing import Any

import click

from ..gbnf.checks import Problem, check_grammar
from ..gbnf.earley import Recogniser, Recognition
from ..gbnf.library import grammar_names, grammar_text
from ..gbnf.printer import print_grammar
from ..gbnf.repair import repair_grammar
from ..gbnf.syntax import Grammar
from ..json_schema import schema_to_grammar, unenforced_keywords
from ..json_schema.layout import Whitespace
from ..storage.whole_files import write_text_whole
from ..terminal_text import one_line
from .grammar_argument import grammar_argument, read_grammar, refusal_of
from .input_text import read_text
from .options import json_option, text_or_file
from .output import print_answer, print_json, print_line, say

__all__ = ["grammar"]

EXCERPT = 72
"""Characters of a line that are shown around the place where a text is refused."""

EXPECTED_SHOWN = 12

PROBLEMS_SHOWN = 100


@click.group()
def grammar() -> None:
    """Check, repair and try grammars, or make one from a JSON schema. Needs no model.

    GRAMMAR is a GBNF file, a package (a file, a folder or a repository on the Hub), or the
    name of a grammar that 'grammar list' shows.
    """


@grammar.command()
@grammar_argument
@click.option("--strict", is_flag=True, help="Also exit with 1 for repairable problems.")
@json_option
@click.pass_obj
def check(settings: dict[str, Any], /, strict: bool, as_json: bool, **named: Any) -> None:
    """Show everything that is wrong with GRAMMAR.

    Exits with 1 for an error. Repairable problems do not prevent use: left recursion is
    rewritten before a model answers. 'grammar repair' prints a grammar of the same texts
    without these problems, which llama.cpp can read.
    """
    read = read_grammar(settings, **named)
    problems = check_grammar(read)
    refusal = refusal_of(read)
    if as_json:
        print_json(
            {
                "source": read.source,
                "root": read.root,
                "rules": len(read.rules),
                "enforceable": refusal is None,
                "refusal": refusal,
                "problems": [dataclasses.asdict(problem) for problem in problems],
            }
        )
    else:
        _print_problems(read, problems, refusal)
    failing = {"error", "repairable"} if strict else {"error"}
    if refusal is not None or any(problem.severity in failing for problem in problems):
        raise click.exceptions.Exit(1)


def _print_problems(read: Grammar, problems: list[Problem], refusal: str | None) -> None:
    for problem in problems[:PROBLEMS_SHOWN]:
        place = read.source if problem.line is None else f"{read.source}:{problem.line}"
        print_line(f"{place}: {problem.severity}: {problem.message} [{problem.kind}]")
        print_line(f"    {problem.hint}")
    if len(problems) > PROBLEMS_SHOWN:
        print_line(f"… and {len(problems) - PROBLEMS_SHOWN} more, which --json lists")
    counts = Counter(problem.severity for problem in problems)
    if refusal is not None:
        if not counts["error"]:
            for line in refusal.splitlines():
                print_line(line)
        verdict = "it cannot be enforced"
    elif counts["error"]:
        verdict = "it can be enforced, but 'grammar repair' refuses it"
    elif counts["repairable"]:
        verdict = "it can be enforced; 'grammar repair' rewrites what is repairable"
    else:
        verdict = "it can be enforced"
    said = [_counted(len(read.rules), "rule")]
    for severity, count in counts.items():
        noun = "repairable problem" if severity == "repairable" else severity
        said.append(_counted(count, noun))
    if not problems:
        said.append("no problems")
    print_line(f"{read.source}: {', '.join(said)}: {verdict}")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


@grammar.command()
@grammar_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the grammar here instead of stdout.",
)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.pass_obj
def repair(settings: dict[str, Any], /, output: Path | None, force: bool, **named: Any) -> None:
    """Print GRAMMAR without its repairable problems, in GBNF that llama.cpp reads.

    The repaired grammar describes exactly the same texts. The changes, and whatever
    llama.cpp may still object to, go to stderr.
    """
    if output is not None and output.exists() and not force:
        raise click.UsageError(f"{output} exists; --force replaces it")
    repaired = repair_grammar(read_grammar(settings, **named))
    text = print_grammar(repaired.grammar)
    if output is None:
        print_answer(text)
    else:
        write_text_whole(text, output)
    left = check_grammar(repaired.grammar)
    renamed = [problem.rule for problem in left if problem.kind == "illegal-name"]
    changes = [*repaired.changes]
    if renamed:
        changes.append(f"{', '.join(map(str, renamed))}: name written in other characters")
    say("\n".join(map(one_line, changes)) or "nothing had to be changed")
    warnings = [problem for problem in left if problem.severity == "warning"]
    if warnings:
        say("\n".join(f"warning: {one_line(p.message)}\n    {one_line(p.hint)}" for p in warnings))


@grammar.command()
@grammar_argument
@click.argument("texts", nargs=-1, required=True, metavar="TEXT|@FILE|-...")
@json_option
@click.pass_obj
def test(settings: dict[str, Any], /, texts: tuple[str, ...], as_json: bool, **named: Any) -> None:
    """Say which texts GRAMMAR accepts, and why it refuses the others.

    A line break at the end of a file or of stdin (-) may belong to the text or not.
    Exits with 1 if a text is refused.
    """
    recogniser = Recogniser(read_grammar(settings, **named))
    facts: list[dict[str, Any]] = []
    for argument in texts:
        text, found = _judged(recogniser, argument)
        line = text.count("\n", 0, found.position) + 1
        start = text.rfind("\n", 0, found.position) + 1
        facts.append(
            {
                "text": _printable(argument),
                "accepted": found.accepted,
                "position": found.position,
                "line": line,
                "column": found.position - start + 1,
                "at_end": found.position == len(text),
                "expected": list(found.expected),
            }
        )
        if not as_json:
            print_line(f"{'accepted' if found.accepted else 'refused'}: {_printable(argument)}")
            if not found.accepted:
                _print_place(text[start:].partition("\n")[0], facts[-1])
    if as_json:
        print_json(facts)
    if not all(fact["accepted"] for fact in facts):
        raise click.exceptions.Exit(1)


def _judged(recogniser: Recogniser, argument: str) -> tuple[str, Recognition]:
    """The text that an argument means, and what became of it."""
    if argument != "-" and not argument.startswith("@"):
        return argument, recogniser.explain(argument)
    try:
        text = read_text(argument[1:] or "-", exact=True)
    except click.UsageError as error:
        raise click.BadParameter(error.message) from None
    found = recogniser.explain(text)
    if not found.accepted and text.endswith("\n"):
        text = text[:-1].removesuffix("\r")
        found = recogniser.explain(text)
    return text, found


def _print_place(line: str, fact: dict[str, Any]) -> None:
    """The line of a text where it is refused, with a caret below the place."""
    column = fact["column"] - 1
    first = max(0, column - EXCERPT // 2)
    what = "the text ends too early" if fact["at_end"] else "this cannot stand here"
    print_line(f"  line {fact['line']}, column {fact['column']}: {what}")
    print_line(f"    {_printable(line[first : first + EXCERPT])}")
    print_line(f"    {' ' * (column - first)}^")
    expected = fact["expected"]
    shown = ", ".join(expected[:EXPECTED_SHOWN]) or "nothing; no text fits this grammar"
    more = len(expected) - EXPECTED_SHOWN
    print_line(f"  expected: {shown}{f', and {more} more' if more > 0 else ''}")


def _printable(text: str) -> str:
    """One line of as many characters, none of which moves the cursor or cannot be printed."""
    shown = (" " if char.isspace() else char for char in text)
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in shown)


@grammar.command("list")
@json_option
def list_names(as_json: bool) -> None:
    """List the grammars that come with the library."""
    described = {name: _description(grammar_text(name)) for name in grammar_names()}
    if as_json:
        print_json([{"name": name, "description": text} for name, text in described.items()])
        return
    width = max(map(len, described))
    for name, text in described.items():
        print_line(f"{name:<{width}}  {text}")


def _description(text: str) -> str:
    """The first words of the comment at the top of a grammar."""
    comment = takewhile(lambda line: line.startswith("#"), text.splitlines())
    words = " ".join(line.lstrip("# ") for line in comment)
    return re.split(r"[.:;](?:\s|$)", words, maxsplit=1)[0]


@grammar.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the grammar called NAME, with its comments."""
    print_answer(grammar_text(name))


@grammar.command("from-schema")
@click.argument("schema", metavar="SCHEMA|@FILE", callback=text_or_file)
@click.option(
    "--whitespace",
    type=click.Choice(("single", "compact", "any")),
    default="single",
    show_default=True,
    help="single: what json.dumps writes; compact: none; any: line breaks and indentation too.",
)
@click.option(
    "--allow-unenforced",
    is_flag=True,
    help="Leave out the keywords that no grammar can enforce, and name them on stderr.",
)
def from_schema(schema: str, whitespace: Whitespace, allow_unenforced: bool) -> None:
    """Print the grammar of the JSON texts that follow a JSON schema."""
    made = schema_to_grammar(schema, allow_unenforced=allow_unenforced, whitespace=whitespace)
    print_answer(print_grammar(made))
    left_out = unenforced_keywords(schema) if allow_unenforced else ()
    if left_out:
        say("\n".join(f"not enforced: {one_line(keyword)}" for keyword in left_out))
