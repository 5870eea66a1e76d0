"""``hivellm-lite chat``: talk to experts, turn by turn."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from ..errors import ExpertError
from ..inference.results import InferenceResult
from ..manager import ExpertManager
from ..manifest.records import Manifest
from ..prompts.tags import system_message
from ..residency.base_alone import base_manifest
from ..residency.names import AUTO, BASE
from ..terminal_text import json_text, one_line
from .input_text import UnreadableLine, read_line
from .options import (
    grammar_options,
    load_arguments,
    model_options,
    progress_bar,
    sampling_options,
    text_or_file,
)
from .output import print_answer, say, say_error, say_line, show
from .packages import load_experts, named_packages, open_packages, packages_argument

__all__ = ["chat"]

OFF = "off"


@click.command()
@packages_argument
@click.option(
    "--expert", metavar="NAME", help="Who answers first: a name, auto or base [default: the first]."
)
@click.option(
    "--schema",
    metavar="TEXT|@FILE",
    callback=text_or_file,
    help="Tables, fields or labels for the answers to use.",
)
@click.option(
    "--system", metavar="TEXT|@FILE", callback=text_or_file, help="Your own system message."
)
@sampling_options
@grammar_options
@model_options
@click.pass_obj
def chat(
    settings: dict[str, Any],
    /,
    packages: tuple[str, ...],
    expert: str | None,
    schema: str | None,
    system: str | None,
    stop: tuple[str, ...],
    **options: Any,
) -> None:
    """Talk to the experts in PACKAGE..., which see the whole conversation.

    Each line is a question. A line that begins with "/" is a command; /help lists
    the commands. Ctrl-C stops an answer; Ctrl-C twice in a row, or Ctrl-D, ends the
    chat. Without a terminal, every line of stdin is answered, and the exit code is 1
    if one of them failed. Answers go to stdout, everything else to stderr.

    \b
    For example:
      hivellm-lite chat sql.expert graph=cypher.expert --schema @schema.sql --expert auto
    """  # noqa: D301 - click looks for the control character
    if schema is not None and system is not None:
        raise click.UsageError("--system replaces --schema; give only one of them")
    if sys.stdin is None:
        raise click.UsageError("standard input is closed")
    named = named_packages(packages)
    arguments = load_arguments(settings, options)
    opened = open_packages(
        settings, named, verify=arguments["verify"], offline=arguments["offline"]
    )
    manifests = {name: package.manifest for name, package in opened.items()}
    with ExpertManager(**arguments) as manager:
        talk = _Chat(manager, manifests, {**options, "stop": stop or None})
        talk.schema, talk.system = schema, system
        talk.choose(expert or next(iter(named)))
        with progress_bar() as progress:
            load_experts(manager, opened, progress)
        talk.run()
    if talk.failed and not sys.stdin.isatty():
        raise click.exceptions.Exit(1)


class _Chat:
    """A conversation: who answers, what was said, and the commands."""

    def __init__(
        self, manager: ExpertManager, manifests: Mapping[str, Manifest], options: Mapping[str, Any]
    ) -> None:
        self._manager = manager
        self._manifests = manifests
        self._options = options
        self._history: list[dict[str, str]] = []
        self._last: InferenceResult | None = None
        self._expert = AUTO
        self._interrupted = False
        self.failed = 0
        self.schema: str | None = None
        self.system: str | None = None

    # --- the loop --------------------------------------------------------------------

    def run(self) -> None:
        """Answer line by line until the input ends or the user leaves."""
        number = 0
        by_hand = sys.stdin.isatty()
        if by_hand:
            with contextlib.suppress(ImportError):  # Windows has none
                import readline  # noqa: F401 - importing it gives `input` a history
            say("Ask a question, or /help for the commands.")
        while True:
            try:
                line = _read_line(f"{one_line(self._expert)}> " if by_hand else None)
                number += 1
            except UnreadableLine as error:
                number += 1
                self.failed += 1
                say_error(f"line {number}: {error}")
                continue
            except KeyboardInterrupt:
                say("")
                if self._interrupted:
                    return
                self._interrupted = True
                say("Ctrl-C again, Ctrl-D or /quit leaves.")
                continue
            if line is None:
                return
            self._interrupted = False
            if line.startswith("/"):
                if not self._command(line):
                    return
            elif line.strip():
                self._answer(line)

    def _answer(self, question: str) -> None:
        try:
            self._last = result = self._ask(question)
        except (ExpertError, ValueError) as error:
            self.failed += 1
            say_error(str(error))
            if self._history:
                say("/reset forgets what was said so far.")
            return
        if result.finish_reason == "cancelled":
            say("(stopped)")
        elif result.finish_reason == "length":
            say(f"(cut after {result.completion_tokens} tokens)")
        self._history += [
            {"role": "user", "content": question},
            {"role": "assistant", "content": result.text},
        ]

    def _ask(self, question: str) -> InferenceResult:
        """Stream the answer to stdout. Ctrl-C stops the answer and keeps its beginning."""
        name = self._routed(question)
        system = self._system_message(name)
        messages = [{"role": "system", "content": system}] if system else []
        messages += [*self._history, {"role": "user", "content": question}]
        ended_line = False
        with self._manager.generate_stream(name, messages=messages, **self._options) as stream:
            try:
                for piece in stream:
                    print_answer(piece)
                    ended_line = piece.endswith("\n")
            except KeyboardInterrupt:
                self._interrupted = True
            finally:
                if not ended_line:
                    print_answer("\n")
        assert stream.result is not None  # noqa: S101 - a stream that began has a result
        return stream.result

    def _routed(self, question: str) -> str:
        if self._expert != AUTO:
            return self._expert
        route = self._manager.route(question)
        say_line(f"({route.expert or BASE}: {route.reason})")
        return route.expert or BASE

    def _system_message(self, name: str) -> str | None:
        if self.system is not None:
            return self.system
        if name == BASE:
            return system_message(base_manifest(next(iter(self._manifests.values()))), self.schema)
        return system_message(self._manifests[name], self.schema)

    # --- commands --------------------------------------------------------------------

    def _command(self, line: str) -> bool:
        """Carry out a command. False: leave the chat."""
        word, _, argument = line[1:].strip().partition(" ")
        if word in ("quit", "exit"):
            return False
        commands: dict[str, Callable[[str], None]] = {
            "help": self._help,
            "expert": self._expert_command,
            "experts": self._experts,
            "history": self._show_history,
            "reset": self._reset,
            "schema": self._set_schema,
            "system": self._set_system,
            "stats": self._stats,
            "save": self._save,
        }
        if word not in commands:
            say(f"There is no command /{word}; /help lists them.")
            return True
        try:
            commands[word](argument.strip())
        except click.UsageError as error:
            say_error(error.format_message())
            self.failed += 1
        return True

    def choose(self, name: str) -> None:
        """Let this expert answer from now on. Raises UsageError for an unknown name."""
        if name not in (*self._manifests, AUTO, BASE):
            known = ", ".join(self._manifests)
            raise click.UsageError(f"no expert is named {name!r}; there are {known}, auto and base")
        self._expert = name

    def _help(self, _: str) -> None:
        say(
            "/expert NAME        ask this expert; auto: the one that fits; base: the base model\n"
            "/experts            who there is\n"
            "/schema TEXT|@FILE  the schema that answers shall use; off: none; alone: show it\n"
            "/system TEXT|@FILE  a system message instead of the expert's; off; alone: show it\n"
            "/history            what was said\n"
            "/reset              forget what was said\n"
            "/stats              tokens, speed and memory\n"
            "/save FILE          write what was said to a new file, as JSON\n"
            "/quit               leave, as Ctrl-D does"
        )

    def _expert_command(self, name: str) -> None:
        if name:
            self.choose(name)
        say(f"{self._expert} answers.")

    def _experts(self, _: str) -> None:
        for one in self._manager.list_loaded_experts():
            say_line(
                f"{one.name}: {one.expert}@{one.version} on {one.base}, {one.mode}, "
                f"{one.memory / 1e6:.1f} MB, asked {one.uses} times"
            )

    def _show_history(self, _: str) -> None:
        for message in self._history:
            show(f"{message['role']}: {message['content']}")
        if not self._history:
            say("Nothing was said yet.")

    def _reset(self, _: str) -> None:
        self._history.clear()
        say("Forgotten.")

    def _set_schema(self, argument: str) -> None:
        self.schema = _changed(argument, self.schema, "schema")
        if argument not in ("", OFF):
            self.system = None

    def _set_system(self, argument: str) -> None:
        self.system = _changed(argument, self.system, "system message")
        if argument not in ("", OFF):
            self.schema = None

    def _stats(self, _: str) -> None:
        if (last := self._last) is not None:
            say_line(
                f"last answer: {last.expert}, {last.prompt_tokens} prompt tokens "
                f"({last.cached_prompt_tokens} cached), first token after "
                f"{last.time_to_first_token:.2f} s, {last.completion_tokens} tokens at "
                f"{last.tokens_per_second:.1f}/s"
            )
        stats = self._manager.stats()
        say_line(f"memory: {stats['memory'] / 1e6:.0f} MB, {stats['experts']['resident']} experts")
        for base in stats["bases"]:
            done = base["requests"]
            say_line(
                f"{Path(base['model']).name}: {done['requests']} requests, "
                f"{done['generated_tokens']} tokens, {done['swaps']} swaps, "
                f"{done['cached_prompt_tokens']} of {done['prompt_tokens']} prompt tokens cached"
            )

    def _save(self, name: str) -> None:
        if not name:
            raise click.UsageError("/save needs the name of a file")
        system = self._system_message(self._expert) if self._expert != AUTO else self.system
        said = [{"role": "system", "content": system}] if system else []
        text = json_text({"messages": said + self._history}, indent=2)
        try:
            with Path(name).expanduser().open("x", encoding="utf-8") as file:
                file.write(text + "\n")
        except (OSError, ValueError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise click.UsageError(f"{name}: {reason}") from None
        say(f"{len(self._history)} messages are in {name}.")


def _changed(argument: str, now: str | None, what: str) -> str | None:
    """The value after ``/schema ARGUMENT`` or ``/system ARGUMENT``, told to the user."""
    if not argument:
        show(f"There is no {what}." if now is None else now)
        return now
    if argument == OFF:
        say(f"No {what}.")
        return None
    option = click.Option([f"--{what.split()[0]}"])
    value = text_or_file(click.get_current_context(), option, argument)
    say(f"The {what} has {len(value or '')} characters.")
    return value


def _read_line(prompt: str | None) -> str | None:
    """The next line without its end, or None at the end of the input."""
    if prompt is not None and sys.stdout.isatty():
        try:
            return input(prompt)
        except EOFError:
            say("")
            return None
        except UnicodeDecodeError as error:
            raise UnreadableLine(f"not {error.encoding} text") from None
    if prompt is not None:
        say(prompt, nl=False)
    return read_line()
