"""``hivellm-lite inspect``: what a package holds and how it would run."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from ..adapters.description import AdapterDescription, describe_adapter
from ..adapters.prepare import earlier_conversions
from ..adapters.report import report_from
from ..bases.at_hand import base_at_hand
from ..bases.conversion import converted_for, notes_of
from ..cache.store import Cache
from ..converters.soft_prompts import read_soft_prompt
from ..errors import ConversionError, ExpertError, GrammarError
from ..gbnf.checks import check_grammar
from ..package.grammar import package_grammar
from ..package.opening import Package, SoftPromptFiles
from ..prompts.example import PromptExample, example_of
from .grammar_argument import refusal_of
from .options import checking_options, json_option, offline_option, package_argument
from .output import print_json, print_line, print_marked
from .packages import open_one
from .signature_lines import signature_facts, signature_lines

__all__ = ["inspect"]

RULES_SHOWN = 5
"""Names of left-recursive rules; 'grammar check' shows all of them."""


@click.command()
@package_argument
@click.option(
    "--base",
    type=click.Path(),
    metavar="PATH|REPO",
    help="The base model, for the example of a prompt [default: found by its name, if it is here].",
)
@offline_option
@checking_options
@json_option
@click.pass_obj
def inspect(
    settings: dict[str, Any],
    package: str,
    base: str | None,
    offline: bool,
    no_verify: bool,
    as_json: bool,
) -> None:
    """Show the manifest, adapter and files of PACKAGE, and an example of its prompts.

    Needs no base model. If the base is on this machine, it says which parts of the
    prompt are control tokens; these are shown in reverse, or between brackets.
    """
    opened = open_one(settings, package, verify=not no_verify, offline=offline)
    facts = {
        **_facts(opened),
        **_prompt_facts(_example(opened, base, Cache(settings["cache_dir"]))),
        "converted": _prepared_facts(opened, settings),
        "base_notes": _base_notes(opened, settings),
    }
    if as_json:
        print_json(facts)
        return
    for label, value in _lines(opened, facts):
        print_line(f"{label:<13} {value}")
    example = facts["prompt_example"]
    if not example["problem"]:
        print_marked(((part["text"], part["control"]) for part in example["parts"]), "  ")


def _facts(package: Package) -> dict[str, Any]:
    manifest = package.manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "schema_version": manifest.schema_version,
        "description": manifest.description,
        "author": manifest.author,
        "license": manifest.license,
        "base": dataclasses.asdict(manifest.base),
        "adapter": _adapter_facts(package),
        "soft_prompts": [_soft_prompt_facts(files) for files in package.soft_prompts],
        "grammar": _grammar_facts(package),
        "capabilities": list(manifest.capabilities),
        "routing": dataclasses.asdict(manifest.routing),
        "constraints": dataclasses.asdict(manifest.constraints),
        "decoding": dataclasses.asdict(manifest.decoding),
        "signature": signature_facts(package.signature),
        "notes": [*manifest.notes, *package.notes],
        "digest": package.digest,
        "files": [{"path": path, "bytes": size} for path, size in package.files],
        "skipped": list(package.skipped),
    }


def _example(package: Package, given: str | None, cache: Cache) -> PromptExample:
    """An example of a prompt. Nobody asked for a base that cannot be read: it counts as missing."""
    try:
        base = base_at_hand(package, given=given, cache=cache)
    except (ExpertError, OSError):
        if given is not None:
            raise
        base = None
    return example_of(package, base)


def _prompt_facts(example: PromptExample) -> dict[str, Any]:
    """Where the form of the prompts is from, and an example of one."""
    parts = [{"text": one.text, "control": one.control} for one in example.segments]
    told = {"control_tokens": example.tokens, "parts": parts, "problem": example.problem}
    return {"template": example.origin, "prompt_example": told}


def _adapter_facts(package: Package) -> dict[str, Any]:
    """Kind, ranks and size of the adapter, or why it cannot be converted."""
    info = package.manifest.adapters[0] if package.manifest.adapters else None
    facts: dict[str, Any] = {"said_type": info.type if info else None}
    try:
        found = dataclasses.asdict(describe_adapter(package))
    except ConversionError as error:
        return {**facts, "runs": False, "problem": str(error)}
    if found["virtual_tokens"] is None:
        del found["virtual_tokens"]
    return {**facts, "runs": True, **found}


def _soft_prompt_facts(files: SoftPromptFiles) -> dict[str, Any]:
    """Name and size of a soft prompt of the manifest, or why it cannot be used."""
    try:
        rows = read_soft_prompt(files.weights, files.config)
    except ConversionError as error:
        return {"name": files.name, "runs": False, "problem": str(error)}
    return {"name": files.name, "runs": True, "virtual_tokens": len(rows), "n_embd": rows.shape[1]}


def _grammar_facts(package: Package) -> dict[str, Any] | None:
    """The package's grammar and whether it can be enforced; None if there is none."""
    decoding = package.manifest.decoding
    if not (package.grammar or decoding.grammar_type or decoding.use_grammar):
        return None
    facts: dict[str, Any] = {
        "type": decoding.grammar_type,
        "use_grammar": decoding.use_grammar,
        "source": None,
        "left_recursive": [],
    }
    try:
        grammar = package_grammar(package)
    except GrammarError as error:
        return {**facts, "refusal": str(error)}
    problems = check_grammar(grammar)
    rules = [problem.rule for problem in problems if problem.kind.endswith("left-recursion")]
    facts |= {"source": grammar.source, "left_recursive": rules}
    return {**facts, "refusal": refusal_of(grammar)}


def _prepared_facts(package: Package, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The reports of earlier conversions, each with the path of its files."""
    found = earlier_conversions(package, Cache(settings["cache_dir"]))
    return [{**entry.info["adapter"], "path": str(entry.path)} for entry, _ in found]


def _base_notes(package: Package, settings: dict[str, Any]) -> list[str]:
    """Where the bases that were converted for this package depart from Transformers."""
    entries = converted_for(package, Cache(settings["cache_dir"]))
    return list(dict.fromkeys(note for entry in entries for note in notes_of(entry)))


def _lines(package: Package, facts: dict[str, Any]) -> list[tuple[str, str]]:
    adapter, decoding, base = facts["adapter"], facts["decoding"], facts["base"]
    more: list[str] = []
    if adapter["runs"]:
        known = {one.name for one in dataclasses.fields(AdapterDescription)}
        text = str(AdapterDescription(**{n: v for n, v in adapter.items() if n in known}))
    else:
        text, *more = f"cannot be run: {adapter['problem']}".splitlines()
    used = {n: v for n, v in decoding.items() if v is not None and v is not False and v != ()}
    size = sum(file["bytes"] for file in facts["files"]) / 1e6
    lines = [
        ("expert", f"{facts['name']} {facts['version']} (schema {facts['schema_version']})"),
        ("description", facts["description"] or ""),
        ("author", facts["author"] or ""),
        ("license", facts["license"] or ""),
        ("base", base["name"]),
        ("template", facts["template"]),
        ("adapter", text),
        *(("", line) for line in more),
        *(("soft prompt", _soft_prompt_line(prompt)) for prompt in facts["soft_prompts"]),
        ("grammar", _grammar_line(facts["grammar"]) if facts["grammar"] else ""),
        ("capabilities", " ".join(facts["capabilities"])),
        ("decoding", " ".join(f"{name}={value!r}" for name, value in used.items())),
        *signature_lines(package.signature),
        ("files", f"{len(facts['files'])}, {size:.1f} MB"),
        ("left packed", " ".join(facts["skipped"])),
        ("digest", facts["digest"]),
    ]
    for report in map(report_from, facts["converted"]):
        size = f"{report.bytes / 1e6:.1f} MB"
        lines.append(("converted", f"to {report}, {size}: {report.why}"))
        lines.append(("  loses", str(report.loss)))
    lines += [("note", note) for note in facts["notes"]]
    lines += [("base note", note) for note in facts["base_notes"]]
    lines.append(("prompt", _example_line(facts["prompt_example"])))
    return [(label, value) for label, value in lines if value]


def _example_line(example: dict[str, Any]) -> str:
    """What is said before the example of a prompt, or in its place."""
    if example["problem"]:
        return f"no example: {example['problem'].splitlines()[0]}"
    if not any(part["control"] for part in example["parts"]):
        return "for example; none of it is a control token that is known here:"
    return f"for example, with control tokens marked ({example['control_tokens']}):"


def _soft_prompt_line(prompt: dict[str, Any]) -> str:
    if not prompt["runs"]:
        return f"{prompt['name']}: cannot be used: {prompt['problem'].splitlines()[0]}"
    return f"{prompt['name']}: {prompt['virtual_tokens']} virtual tokens of {prompt['n_embd']}"


def _grammar_line(grammar: dict[str, Any]) -> str:
    """How a grammar constrains answers, in words."""
    if grammar["refusal"]:
        return f"cannot be enforced, answers are free text: {grammar['refusal'].splitlines()[0]}"
    rules = grammar["left_recursive"]
    named = ", ".join(rules[:RULES_SHOWN]) + ("…" if len(rules) > RULES_SHOWN else "")
    how = f"after its left recursion is rewritten ({named})" if rules else "as it stands"
    asked = "" if grammar["use_grammar"] else "; only if asked for: --grammar strict"
    return f"{grammar['source']}, enforced {how}{asked}"
