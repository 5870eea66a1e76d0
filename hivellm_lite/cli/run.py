"""``hivellm-lite run``: ask an expert a question."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import click

from ..adapters.loss import WORTH_A_WARNING
from ..loading.options import LoadOptions
from ..loading.parts import load_expert
from .input_text import prompt_text
from .options import (
    grammar_options,
    json_option,
    load_arguments,
    model_options,
    package_argument,
    progress_bar,
    sampling_options,
    text_or_file,
)
from .output import print_answer, print_json, say, say_line

__all__ = ["run"]


@click.command()
@package_argument
@click.argument("prompt")
@click.option(
    "--schema",
    metavar="TEXT|@FILE",
    callback=text_or_file,
    help="Tables, fields or labels for the answer to use; @FILE reads a file, @- stdin.",
)
@click.option(
    "--system",
    metavar="TEXT|@FILE",
    callback=text_or_file,
    help="Your own system message instead of the expert's.",
)
@grammar_options
@click.option(
    "--timeout",
    type=float,
    metavar="SECONDS",
    help="Stop after this time and print the answer up to there.",
)
@sampling_options
@model_options
@json_option
@click.option("--stats", is_flag=True, help="Print speed and token counts to stderr.")
@click.pass_obj
def run(
    settings: dict[str, Any],
    /,
    package: str,
    prompt: str,
    as_json: bool,
    stats: bool,
    stop: tuple[str, ...],
    **options: Any,
) -> None:
    """Ask the expert in PACKAGE a question and print its answer.

    Only the answer goes to stdout. PROMPT "-" reads stdin.

    \b
    For example:
      hivellm-lite run sql.expert "How many users are there?" \\
          --schema @schema.sql --base SmolLM2-135M-Instruct.Q4_1.gguf
    """  # noqa: D301 - click looks for the control character
    prompt = prompt_text(prompt)
    with progress_bar() as progress:
        loading = {**load_arguments(settings, options), "progress": progress}
        loaded = load_expert(package, cast(LoadOptions, loading))
    from ..expert import Expert  # what answers need was imported while the model was read

    expert = Expert(loaded)
    for note in expert.notes:
        say_line(f"note: {note}")
    if expert.prepared.loss.share > WORTH_A_WARNING:
        say(f"note: this form of the adapter loses {expert.prepared.loss}")
    ended_line = True
    with expert, expert.generate_stream(prompt, stop=stop or None, **options) as stream:
        try:
            for piece in stream:
                if not as_json:
                    print_answer(piece)
                    ended_line = piece.endswith("\n")
        finally:
            if not ended_line:
                print_answer("\n")
        result = stream.result
    assert result is not None  # noqa: S101 - an exhausted stream has a result
    if as_json:
        print_json(dataclasses.asdict(result))
    if result.finish_reason == "length":
        say(
            f"The answer was cut after {result.completion_tokens} tokens; "
            "--max-tokens and --n-ctx allow more."
        )
    elif result.finish_reason == "timeout":
        say(f"The answer was cut after {options['timeout']:g} s; --timeout allows more.")
    if stats:
        times = expert.load_times
        say_line(
            f"{result.expert} on {expert.base.path.name}: loaded in {times.total:.2f} s, "
            f"{result.prompt_tokens} prompt tokens at {result.prompt_tokens_per_second:.0f}/s, "
            f"first token after {result.time_to_first_token:.2f} s, "
            f"{result.completion_tokens} tokens at {result.tokens_per_second:.1f}/s"
            f"{f', {result.forced_tokens} of them forced' if result.forced_tokens else ''}"
        )
