"""``hivellm-lite verify-conversion``: measure how exact a conversion is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..expert import Expert
from ..verification import LogitError, Verification
from ..verification import verify_conversion as verify
from .input_text import read_text
from .options import (
    adapter_options,
    base_options,
    checking_options,
    json_option,
    package_argument,
    progress_bar,
    text_or_file,
)
from .output import print_json, print_line

__all__ = ["verify_conversion"]

TENSORS_SHOWN = 5


@click.command("verify-conversion")
@package_argument
@click.option(
    "--prompts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also compare the logits with an exact float32 model, on these prompts, one a line.",
)
@click.option(
    "--schema", metavar="TEXT|@FILE", callback=text_or_file, help="The prompts' schema, as in run."
)
@click.option("--max-tokens", type=int, default=48, show_default=True, help="Of each answer.")
@base_options
@adapter_options
@checking_options
@json_option
@click.pass_obj
def verify_conversion(
    settings: dict[str, Any],
    /,
    package: str,
    prompts: Path | None,
    schema: str | None,
    max_tokens: int,
    no_verify: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare the converted adapter of PACKAGE with its exact meaning in float32.

    Prints the relative error of every adapted tensor. With --prompts, also prints the
    divergence of the served logits from the logits of an exact model, next to the
    divergence that the base's quantisation causes by itself. The result is kept with
    the converted adapter. (Who signed PACKAGE, 'verify' tells.)
    """
    lines = read_text(str(prompts)).splitlines() if prompts else []
    questions = [line for line in lines if line.strip()]
    with progress_bar() as progress:
        expert = Expert.load(
            package,
            cache_dir=settings["cache_dir"],
            verify=not no_verify,
            signatures=settings.get("signatures"),
            progress=progress,
            **options,
        )
        with expert:
            result = verify(
                expert, questions, schema=schema, max_tokens=max_tokens, progress=progress
            )
            form = str(expert.prepared.report)
    if as_json:
        print_json(result.as_dict())
    else:
        _print(result, form)


def _print(result: Verification, form: str) -> None:
    print_line(f"{result.expert}: {form}")
    print_line(f"compared with PEFT's merge of {result.source} in float32")
    print_line("")
    print_line(f"{'tensor':<28} {'served':>9} {'base alone':>11} {'change':>9}")
    worst = sorted(result.tensors, key=lambda tensor: -tensor.delta)
    for tensor in worst[:TENSORS_SHOWN]:
        print_line(
            f"{tensor.name:<28} {tensor.served:9.1e} {tensor.base:11.1e} {tensor.delta:9.1e}"
        )
    if len(worst) > TENSORS_SHOWN:
        print_line(f"… and {len(worst) - TENSORS_SHOWN} more with a smaller error of the change")
    for label, error in (("served", result.served), ("base alone", result.base_only)):
        if error is not None:
            print_line(f"{label:<11} {_divergence(error)}")
    print_line(f"{'loses':<11} {result.loss}")


def _divergence(error: LogitError) -> str:
    return (
        f"KL mean {error.kl_mean:.1e}, largest {error.kl_max:.1e} nats a token, "
        f"same top token at {error.top1:.1%} of {error.positions} places"
    )
