"""What loading would find wrong with a package, found before others get it."""

from __future__ import annotations

from pathlib import Path

from ..adapters.conversion import read_package_adapter
from ..adapters.soft_prompt_conversion import own_soft_prompt
from ..bases.at_hand import base_at_hand
from ..bases.conversion import QUANTIZATIONS, convert_folder, gguf_of
from ..cache.store import Cache
from ..chat_templates import ChatTemplate
from ..converters.gguf.check import check_model
from ..converters.gguf.header import read_gguf_header
from ..converters.soft_prompts import convert_soft_prompt, read_soft_prompt
from ..errors import ManifestError
from ..gbnf.matcher import compile_grammar
from ..manifest.compatibility import unreadable
from ..package.grammar import package_grammar
from ..package.opening import Package
from ..package.soft_prompts import SoftPromptFiles
from ..prompts.tags import TEMPLATES
from ..prompts.template_files import package_template

__all__ = ["check_on_base", "check_parts"]


def check_parts(package: Package) -> tuple[str, ...]:
    """Check everything of an opened package that needs no base; what is odd, but allowed.

    Raises ConversionError for an adapter or a soft prompt that cannot be used, GrammarError for a
    grammar that cannot be enforced, InferenceError for a chat template that is none, and
    ManifestError for constraints that nobody can read.
    """
    manifest = package.manifest
    notes = [*manifest.notes, *package.notes]
    if problems := unreadable(manifest):
        raise ManifestError("\n  ".join([f"{package.source}: cannot be read:", *problems]))
    if (own := own_soft_prompt(package)) is not None:
        read_soft_prompt(own.weights, own.config)
    else:
        notes += read_package_adapter(package).notes
    for listed in package.soft_prompts:
        read_soft_prompt(listed.weights, listed.config)
    notes += _check_grammar(package)
    template = package_template(package)
    if template is not None:
        for source in filter(None, (template.source, template.tool_use)):
            ChatTemplate(source, tokens=template.tokens, name=template.name)
    named = manifest.base.prompt_template
    if named and named not in TEMPLATES:
        notes.append(
            f"prompt_template {named!r:.80} is not known and counts as absent; known are "
            f"{', '.join(TEMPLATES)}"
        )
    return tuple(notes)


def _check_grammar(package: Package) -> list[str]:
    decoding = package.manifest.decoding
    if package.grammar is not None or decoding.use_grammar:
        compile_grammar(package_grammar(package))
    named = decoding.grammar_file
    if named and (package.grammar is None or package.grammar.name != Path(named).name):
        return [f"grammar_file {named!r:.80} is not in the folder"]
    return []


def check_on_base(package: Package, cache: Cache, scratch: Cache) -> tuple[str, ...]:
    """Compare the adapter's shapes with its base: that in the package, or one at hand.

    A base in the package is converted into ``scratch``, as loading would do it. Nothing is
    downloaded. Raises ConversionError where the adapter does not fit, or the base is no base.
    """
    if package.base_folder is not None:
        entry, _ = convert_folder(package.base_folder, scratch, QUANTIZATIONS[0])
        base: Path | None = gguf_of(entry)
        where = "the base in the package"
    else:
        base = base_at_hand(package, given=None, cache=cache)
        where = str(base)
    name = package.manifest.base.short_name
    if base is None:
        return (f"the base {name} is not on this machine: the adapter's shapes were not compared",)
    if base.is_dir():
        return (f"{base} is not converted: the adapter's shapes were not compared",)
    check_model([base])
    header = read_gguf_header(base)
    own = own_soft_prompt(package)
    if own is None:
        read_package_adapter(package, header, values="skip")
    for prompt in _soft_prompts(package, own):
        rows = read_soft_prompt(prompt.weights, prompt.config)
        convert_soft_prompt(rows, header, prompt.weights)
    return (f"the adapter fits {where}",)


def _soft_prompts(package: Package, own: SoftPromptFiles | None) -> tuple[SoftPromptFiles, ...]:
    if own is None or own in package.soft_prompts:
        return package.soft_prompts
    return (own, *package.soft_prompts)
