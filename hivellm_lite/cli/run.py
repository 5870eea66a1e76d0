"""``hivellm-lite run``: ask an expert a question."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import click

from .options import (
    adapter_options,
    base_options,
    json_option,
    no_verify_option,
    package_argument,
    print_json,
    progress_bar,
    text_or_file,
)

__all__ = ["run"]


@click.command()
@package_argument
@click.argument("prompt")
@click.option(
    "--schema",
    metavar="TEXT|@FILE",
    callback=text_or_file,
    help="Tables, fields or labels that the answer shall use; @FILE reads a file, @- stdin.",
)
@click.option(
    "--system",
    metavar="TEXT|@FILE",
    callback=text_or_file,
    help="A system message of your own instead of the expert's.",
)
@base_options
@adapter_options
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, metal…")
@click.option("--max-tokens", type=int, help="Longest answer [default: the manifest's, or 512].")
@click.option("--temperature", type=float, help="0 takes the most probable token.")
@click.option("--top-k", type=int, help="Draw from the K most probable tokens; 0 is off.")
@click.option("--top-p", type=float, help="Draw from the tokens that make up this share; 1 is off.")
@click.option("--min-p", type=float, help="Drop tokens below this share of the best one; 0 is off.")
@click.option("--repetition-penalty", type=float, help="Above 1 discourages repetition; 1 is off.")
@click.option("--seed", type=int, help="Makes the draws repeatable [default: random].")
@click.option(
    "--stop",
    multiple=True,
    metavar="TEXT",
    help="End the answer here, instead of the manifest's stop sequences; may be repeated.",
)
@click.option("--thinking", is_flag=True, help="Let a thinking model think first.")
@click.option("--template", help="Prompt template: chatml or hivellm-tags.")
@click.option("--n-ctx", type=int, default=2048, show_default=True, help="Context in tokens.")
@click.option("--n-threads", type=int, help="[default: the physical cores]")
@click.option("--kv-type", default="f16", show_default=True, help="KV cache: f32, f16, bf16, q8_0.")
@no_verify_option
@json_option
@click.option("--stats", is_flag=True, help="Print speed and token counts to stderr.")
@click.pass_obj
def run(
    settings: dict[str, Any],
    /,
    package: str,
    prompt: str,
    base: str | None,
    quantization: str,
    offline: bool,
    device: str,
    n_ctx: int,
    n_threads: int | None,
    kv_type: str,
    no_verify: bool,
    adapter_mode: str,
    extra_rank: int | None,
    variant_type: str | None,
    force: bool,
    float_weights: str | None,
    as_json: bool,
    stats: bool,
    stop: tuple[str, ...],
    **options: Any,
) -> None:
    """Ask the expert in PACKAGE a question and print its answer.

    The answer goes to stdout and nothing else does. PROMPT "-" reads stdin.

    \b
    For example:
      hivellm-lite run sql.expert "How many users are there?" \\
          --schema @schema.sql --base SmolLM2-135M-Instruct.Q4_1.gguf
    """  # noqa: D301 - click looks for the control character
    from ..expert import Expert

    prompt = sys.stdin.read() if prompt == "-" else prompt
    with progress_bar() as progress:
        expert = Expert.load(
            package,
            base=base,
            device=device,
            cache_dir=settings["cache_dir"],
            n_ctx=n_ctx,
            n_threads=n_threads,
            kv_type=kv_type,
            quantization=quantization,
            adapter_mode=adapter_mode,
            extra_rank=extra_rank,
            variant_type=variant_type,
            force=force,
            float_weights=float_weights,
            verify=not no_verify,
            offline=offline,
            progress=progress,
        )
    with expert, expert.generate_stream(prompt, stop=stop or None, **options) as stream:
        ended_line = True
        for piece in stream:
            if not as_json:
                click.echo(piece, nl=False)
                sys.stdout.flush()
                ended_line = piece.endswith("\n")
        result = stream.result
    assert result is not None  # noqa: S101 - an exhausted stream has a result
    if as_json:
        print_json(dataclasses.asdict(result))
    elif not ended_line:
        click.echo()
    if result.finish_reason == "length":
        click.echo(
            f"The answer was cut after {result.completion_tokens} tokens; "
            "--max-tokens and --n-ctx allow more.",
            err=True,
        )
    if stats:
        times = expert.load_times
        click.echo(
            f"{result.expert} on {expert.base.path.name}: loaded in {times.total:.2f} s, "
            f"{result.prompt_tokens} prompt tokens at {result.prompt_tokens_per_second:.0f}/s, "
            f"first token after {result.time_to_first_token:.2f} s, "
            f"{result.completion_tokens} tokens at {result.tokens_per_second:.1f}/s",
            err=True,
        )
