"""Options that several commands share, and their progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from ..adapters.options import MODES, VARIANT_TYPES
from ..converters.file_types import QUANTIZATIONS
from ..progress import Progress
from ..terminal_text import one_line
from .input_text import read_text
from .package_type import PackageType

__all__ = [
    "adapter_options",
    "base_options",
    "checking_options",
    "grammar_options",
    "json_option",
    "load_arguments",
    "model_options",
    "no_verify_option",
    "offline_option",
    "package_argument",
    "progress_bar",
    "sampling_options",
    "text_or_file",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])

package_argument = click.argument("package", type=PackageType())
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
no_verify_option = click.option(
    "--no-verify",
    is_flag=True,
    help="Accept a package that differs from the digest file beside it.",
)
_require_signature_option = click.option(
    "--require-signature",
    is_flag=True,
    expose_value=False,
    callback=lambda ctx, _parameter, value: _note_signatures(ctx, value),
    help="Accept a package only if a key that you trust ('trust add') has signed it.",
)
offline_option = click.option(
    "--offline",
    is_flag=True,
    help="Use only what is on this machine, not the network [default: as HF_HUB_OFFLINE says].",
)


def _note_signatures(ctx: click.Context, required: bool) -> None:
    """Keep the policy where every command that opens packages finds it."""
    if required:
        ctx.obj = {**ctx.obj, "signatures": "require"}


def checking_options(command: _Command) -> _Command:
    """``--no-verify``, and ``--require-signature``, which becomes ``settings["signatures"]``."""
    return no_verify_option(_require_signature_option(command))


def base_options(command: _Command) -> _Command:
    """``--base``, ``--quantization``, ``--pre-tokenizer`` and ``--offline``."""
    command = offline_option(command)
    command = click.option(
        "--pre-tokenizer",
        metavar="NAME",
        help="llama.cpp's name for how a converted base splits text, such as qwen2 "
        "[default: recognised from its tokenizer.json].",
    )(command)
    command = click.option(
        "--quant",
        "--quantization",
        "quantization",
        type=click.Choice(QUANTIZATIONS, case_sensitive=False),
        metavar="TYPE",
        default=QUANTIZATIONS[0],
        show_default=True,
        help="What safetensors are converted to, and which ready-made GGUF is used: "
        f"{', '.join(QUANTIZATIONS)}.",
    )(command)
    return click.option(
        "--base",
        type=click.Path(),
        metavar="PATH|REPO",
        help="The base model: a .gguf file or any part of one, a Hugging Face folder, or "
        "owner/repository[@revision][:file] on the Hub [default: found by its name].",
    )(command)


def adapter_options(command: _Command) -> _Command:
    """``--adapter-mode`` and the options that refine it, and ``--soft-prompt``."""
    for option in (
        click.option(
            "--soft-prompt",
            metavar="NAME",
            help="The manifest's soft prompt of this name; none: no soft prompt "
            "[default: the manifest's first].",
        ),
        click.option(
            "--float-weights",
            type=click.Path(exists=True, file_okay=False),
            metavar="FOLDER",
            help="The base's Hugging Face folder, to measure and merge with where --base is a "
            "quantised .gguf [default: searched for].",
        ),
        click.option(
            "--force",
            is_flag=True,
            help="Store a variant in a smaller type than its change allows.",
        ),
        click.option(
            "--variant-type",
            type=click.Choice(VARIANT_TYPES),
            help="The type that a variant is stored in "
            "[default: for each tensor the smallest type that keeps its change].",
        ),
        click.option(
            "--extra-rank",
            type=int,
            help="Ranks of the low-rank form beyond the adapter's own "
            "[default: as few as possible with almost no loss].",
        ),
        click.option(
            "--adapter-mode",
            type=click.Choice(MODES),
            default=MODES[0],
            show_default=True,
            help="lora: the low-rank form of anything; exact: the adapted tensors merged; "
            "auto: the smaller of the two that loses at most 2 % of the adapter's effect.",
        ),
    ):
        command = option(command)
    return command


def model_options(command: _Command) -> _Command:
    """The options that decide what is loaded and where; `load_arguments` reads them."""
    for option in (
        checking_options,
        click.option(
            "--flash-attention/--no-flash-attention",
            default=None,
            help="[default: off on a CPU, where only short prompts are faster with it]",
        ),
        click.option(
            "--kv-type", default="f16", show_default=True, help="KV cache: f32, f16, bf16, q8_0."
        ),
        click.option("--n-threads", type=int, help="[default: the physical cores]"),
        click.option(
            "--n-ctx", type=int, default=2048, show_default=True, help="Context in tokens."
        ),
        click.option(
            "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, metal…"
        ),
        adapter_options,
        base_options,
    ):
        command = option(command)
    return command


def _name_or_path(
    _ctx: click.Context, parameter: click.Parameter, value: str | None
) -> str | Path | None:
    """An option's value, or with ``@FILE`` that file's path."""
    if value is None or not value.startswith("@"):
        return value
    path = Path(value[1:])
    if not path.is_file():
        raise click.BadParameter(f"there is no file {value[1:]!r:.200}", param=parameter)
    return path


def sampling_options(command: _Command) -> _Command:
    """How an answer is chosen and where it ends."""
    for option in (
        click.option(
            "--template",
            metavar="NAME|@FILE",
            callback=_name_or_path,
            help="Prompt template: chatml, hivellm-tags, raw, or a Jinja file [default: the "
            "manifest's, the package's or the base's].",
        ),
        click.option(
            "--thinking", is_flag=True, help="Let a reasoning model think before it answers."
        ),
        click.option(
            "--stop",
            multiple=True,
            metavar="TEXT",
            help="End an answer here, instead of the manifest's stop sequences; may be repeated.",
        ),
        click.option("--seed", type=int, help="Makes the draws repeatable [default: random]."),
        click.option(
            "--repetition-penalty", type=float, help="Above 1 discourages repetition; 1 is off."
        ),
        click.option(
            "--min-p", type=float, help="Drop tokens below this share of the best one; 0 is off."
        ),
        click.option(
            "--top-p", type=float, help="Draw from the tokens that make up this share; 1 is off."
        ),
        click.option("--top-k", type=int, help="Draw from the K most probable tokens; 0 is off."),
        click.option("--temperature", type=float, help="0 takes the most probable token."),
        click.option(
            "--max-tokens", type=int, help="Longest answer [default: the manifest's, or 512]."
        ),
    ):
        command = option(command)
    return command


def grammar_options(command: _Command) -> _Command:
    """``--grammar``, ``--json-schema`` and ``--allow-unenforced``."""
    for option in (
        click.option(
            "--allow-unenforced",
            is_flag=True,
            help="Accept a schema with keywords that cannot be enforced.",
        ),
        click.option(
            "--json-schema",
            metavar="TEXT|@FILE",
            callback=text_or_file,
            help="Answer in JSON that follows this JSON schema, instead of a grammar.",
        ),
        click.option(
            "--grammar",
            default="auto",
            show_default=True,
            metavar="auto|strict|off|NAME|FILE",
            help="auto: the package's grammar if its manifest asks for it; strict: that grammar "
            "or an error; or a grammar of the library ('grammar list'), or a GBNF file.",
        ),
    ):
        command = option(command)
    return command


def text_or_file(_ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """An option's value, or with ``@FILE`` that file's text (``@-``: standard input)."""
    if value is None or not value.startswith("@"):
        return value
    try:
        return read_text(value[1:])
    except click.UsageError as error:
        raise click.BadParameter(error.message, param=parameter) from None


LABEL = 60
"""Characters of a progress bar's label."""


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on stderr for each label that is reported; nothing without a terminal."""
    bar: Any = None
    done_before = 0

    def report(label: str, done: int, total: int) -> None:
        nonlocal bar, done_before
        label = one_line(label, LABEL)
        if bar is not None and bar.label != label:
            bar.__exit__(None, None, None)
            bar, done_before = None, 0
        if bar is None:
            bar = click.progressbar(
                length=max(1, total),
                label=label,
                file=sys.stderr,
                hidden=sys.stderr is None or not sys.stderr.isatty(),
                show_eta=True,
            )
            bar.__enter__()
        bar.update(done - done_before)
        done_before = done

    try:
        yield report
    finally:
        if bar is not None:
            bar.__exit__(None, None, None)


_MODEL_OPTIONS = (
    *(
        "base",
        "quantization",
        "pre_tokenizer",
        "offline",
        "device",
        "n_ctx",
        "n_threads",
        "kv_type",
    ),
    "flash_attention",
    *("adapter_mode", "extra_rank", "variant_type", "force", "float_weights", "soft_prompt"),
)


def load_arguments(settings: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `Expert.load`, which are moved out of ``options``."""
    arguments = {name: options.pop(name) for name in _MODEL_OPTIONS}
    verify = not options.pop("no_verify")
    signatures = settings.get("signatures")
    return {
        **arguments,
        "verify": verify,
        "signatures": signatures,
        "cache_dir": settings["cache_dir"],
    }
