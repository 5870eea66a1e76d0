"""``hivellm-lite convert``: make the GGUF files of a package ahead of its first use."""

from __future__ import annotations

import time
from typing import Any, cast

import click

from ..cache.store import Cache
from ..loading.files import prepare_files
from ..loading.options import LoadOptions, LoadSettings
from ..storage.whole_files import copy_whole
from .options import (
    adapter_options,
    base_options,
    checking_options,
    json_option,
    package_argument,
    progress_bar,
)
from .output import print_json, print_line

__all__ = ["convert"]


@click.command()
@package_argument
@base_options
@adapter_options
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Also copy the converted adapter here (not for a variant).",
)
@checking_options
@json_option
@click.pass_obj
def convert(
    settings: dict[str, Any],
    /,
    package: str,
    output: str | None,
    no_verify: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Convert the adapter in PACKAGE, and its base if the base is a Hugging Face folder.

    The results are stored in the cache, where 'run' finds them.
    """
    started = time.perf_counter()
    cache = Cache(settings["cache_dir"])
    with progress_bar() as progress:
        options |= {"verify": not no_verify, "progress": progress}
        options["signatures"] = settings.get("signatures")
        wanted = LoadSettings.of(cast("LoadOptions", options), caller="convert")
        files = cache.heal(lambda: prepare_files(package, wanted, cache))
    base, adapter = files.base, files.adapter
    made = adapter.lora or adapter.soft_prompt
    if output is not None:
        if made is None:
            raise click.UsageError(
                "--output copies one file; this adapter became a variant, which is several files"
            )
        copy_whole(made, output)
    place = output or str(made or adapter.entry.path)
    soft_prompt = files.soft_prompt
    facts: dict[str, Any] = {
        "expert": files.package.manifest.identity,
        "base": str(base.path),
        "base_converted": base.converted,
        "base_origin": base.origin,
        "base_revision": base.revision,
        "base_notes": list(base.notes),
        "base_sha256_matches": base.has_digest(files.package.manifest.base.sha256),
        "adapter": place,
        "adapter_form": adapter.form,
        "adapter_notes": list(adapter.report.notes),
        "adapter_converted": adapter.converted,
        "adapter_bytes": adapter.size,
        "soft_prompt": str(soft_prompt.path) if soft_prompt.path else None,
        "soft_prompt_notes": list(soft_prompt.notes),
        "seconds": round(time.perf_counter() - started, 3),
        "loss": adapter.loss.as_dict(),
        "report": adapter.report.as_dict(),
    }
    if as_json:
        print_json(facts)
        return
    done = "converted" if adapter.converted else "already converted"
    print_line(f"{facts['expert']}: {done} to {adapter.report}")
    print_line(f"  because  {adapter.report.why}")
    print_line(f"  loses    {adapter.loss}")
    print_line(f"  adapter  {place} ({adapter.size / 1e6:.1f} MB)")
    if soft_prompt.path not in (None, adapter.soft_prompt):
        print_line(f"  prompt   {soft_prompt.path}")
    print_line(f"  base     {facts['base']}{' (converted)' if base.converted else ''}")
    for note in (*base.notes, *soft_prompt.notes):
        print_line(f"  note     {note}")
    print_line(f"  took     {facts['seconds']:.2f} s")
