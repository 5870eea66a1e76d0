"""``hivellm-lite init``: write the manifest of an adapter that was just trained."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from ..packaging.schema import manifest_schema
from ..packaging.starting import (
    AdapterFacts,
    Answers,
    adapter_facts,
    read_grammar_file,
    suggested_base,
    suggested_name,
    write_first_manifest,
)
from ..prompts.tags import TEMPLATES
from ..terminal_text import one_line
from ..user_paths import user_path
from .output import print_answer, print_line, say_line

__all__ = ["init"]


def _print_schema(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        print_answer(manifest_schema().decode())
        context.exit()


@click.command()
@click.argument("folder", type=click.Path())
@click.option("--name", help="The expert's name [default: after the folder].")
@click.option("--version", help="Its version [default: 0.1.0].")
@click.option("--base", help="The base model [default: as adapter_config.json names it].")
@click.option("--description", help="What it does, in a sentence.")
@click.option("--author", help="Who made it.")
@click.option("--license", help="Its licence, such as apache-2.0.")
@click.option(
    "--capability",
    "capabilities",
    multiple=True,
    metavar="TEXT",
    help="What it can do, such as database:sql; may be repeated.",
)
@click.option(
    "--keyword",
    "keywords",
    multiple=True,
    metavar="TEXT",
    help="A word of prompts that are for it; may be repeated.",
)
@click.option(
    "--template",
    type=click.Choice(list(TEMPLATES)),
    help="The form of its prompts [default: the chat template of the package or the base].",
)
@click.option(
    "--grammar",
    type=click.Path(),
    metavar="FILE",
    help="The grammar of its answers; it is copied to grammar.gbnf.",
)
@click.option(
    "--requires",
    multiple=True,
    metavar="EXPERT",
    help="An expert that must be there, such as english-basic@>=1.0; may be repeated.",
)
@click.option("--temperature", type=float, help="How answers are sampled unless the user says.")
@click.option("--max-tokens", type=int, help="Most tokens of an answer unless the user says.")
@click.option(
    "--stop", multiple=True, metavar="TEXT", help="A text that ends an answer; may be repeated."
)
@click.option("--force", is_flag=True, help="Replace a manifest that is there.")
@click.option("-y", "--yes", is_flag=True, help="Ask nothing: take the defaults.")
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print the JSON Schema of manifests and end.",
)
def init(
    folder: str,
    grammar: str | None,
    requires: tuple[str, ...],
    force: bool,
    yes: bool,
    **given: Any,
) -> None:
    """Write manifest.json for FOLDER, in which PEFT saved an adapter.

    On a terminal, asks for what no option says. manifest.schema.json is written beside the
    manifest: editors complete and check the manifest with it.
    """
    place = user_path(folder)
    facts = adapter_facts(place)
    rules = read_grammar_file(user_path(grammar)) if grammar is not None else None
    questions = _Questions(given, ask=not yes and _is_terminal())
    answers = _answers(questions, place, facts, requires)
    written = write_first_manifest(place, facts, answers, grammar=rules, force=force)
    if questions.assumed:
        say_line(f"Assumed: {', '.join(questions.assumed)}")
    for path in written:
        print_line(f"{path}")
    target = f"{answers.name}.expert"
    named = f"./{folder}" if folder.startswith("-") else folder  # no option
    print_line(f"Next: hivellm-lite package {shlex.quote(named)} -o {shlex.quote(target)}")


class _Questions:
    """Asks for what no option gave, or takes the default and remembers that."""

    def __init__(self, given: dict[str, Any], *, ask: bool) -> None:
        self._given = given
        self._ask = ask
        self.assumed: list[str] = []

    def text(self, key: str, question: str, default: str | None = None) -> str | None:
        """A line; None if nothing is said."""
        given: str | None = self._given[key]
        if given is not None:
            return given or None
        if not self._ask:
            if default is not None:
                self.assumed.append(f"{key} {default}")
            return default
        shown = f" [{one_line(default)}]" if default else ""
        said = click.prompt(f"{question}{shown}", default="", show_default=False, err=True)
        return said.strip() or default

    def needed(self, key: str, question: str, default: str | None) -> str:
        """A line that must be there."""
        while (value := self.text(key, question, default)) is None:
            if not self._ask or self._given[key] is not None:
                raise click.UsageError(f"no --{key} is given, and the folder does not say it")
        return value

    def several(self, key: str, question: str) -> tuple[str, ...]:
        """A list; on one line, commas separate."""
        given: tuple[str, ...] = self._given[key]
        if given or not self._ask:
            return given
        said = click.prompt(
            f"{question} (commas separate)", default="", show_default=False, err=True
        )
        return tuple(part.strip() for part in said.split(",") if part.strip())

    def choice(self, key: str, question: str, among: list[str]) -> str | None:
        """One of several words, or none."""
        while (value := self.text(key, f"{question} ({', '.join(among)}, or empty)")) is not None:
            if value in among:
                return value
            say_line(f"{value!r} is none of {', '.join(among)}")
        return None

    def given(self, key: str) -> Any:
        """What nobody is asked for."""
        return self._given[key]


def _answers(
    questions: _Questions, folder: Path, facts: AdapterFacts, requires: tuple[str, ...]
) -> Answers:
    base = suggested_base(facts.base) if facts.base else None
    return Answers(
        name=questions.needed("name", "Name of the expert", suggested_name(folder)),
        version=questions.needed("version", "Version", "0.1.0"),
        base=questions.needed("base", "Base model", base),
        description=questions.text("description", "What it does, in a sentence"),
        author=questions.text("author", "Author"),
        license=questions.text("license", "Licence, such as apache-2.0"),
        capabilities=questions.several("capabilities", "Capabilities, such as database:sql"),
        keywords=questions.several("keywords", "Words of prompts that are for it"),
        template=questions.choice("template", "Form of its prompts", list(TEMPLATES)),
        requires=requires,
        temperature=questions.given("temperature"),
        max_tokens=questions.given("max_tokens"),
        stop=questions.given("stop"),
    )


def _is_terminal() -> bool:
    try:
        return sys.stdin.isatty()
    except (AttributeError, ValueError):  # closed
        return False
