"""Gathers what a model card tells of a package, beside its manifest."""

from __future__ import annotations

from ..adapters.description import describe_adapter
from ..bases.names import read_known_bases
from ..cache.store import Cache
from ..errors import GrammarError
from ..gbnf.matcher import compile_grammar
from ..package.grammar import package_grammar
from ..package.opening import Package
from ..prompts.tags import dialect_of
from .fidelity import measured_fidelity
from .model_card import CardFacts, GrammarFacts

__all__ = ["card_facts"]

_DIALECTS_OF_SCHEMAS = ("cypher", "elastic", "json", "postgres", "sql")


def card_facts(package: Package, cache: Cache, *, reference: str) -> CardFacts:
    """The facts about an archive that will be named ``reference``, such as ``owner/sql``.

    The adapter's numbers are read and checked. Raises ConversionError for an adapter that cannot
    be used, and LoadError for a list of bases that cannot be read.
    """
    manifest = package.manifest
    source = read_known_bases(cache.root).of_manifest(manifest.base.name)
    return CardFacts(
        manifest=manifest,
        reference=reference,
        archive=package.source.name,
        digest=package.digest,
        size=package.source.stat().st_size,
        base_repository=source.weights.repository if source and source.weights else None,
        adapter=describe_adapter(package),
        grammar=_grammar(package),
        needs_schema=dialect_of(manifest) in _DIALECTS_OF_SCHEMAS,
        fidelity=measured_fidelity(package, cache),
        signature=_signature(package),
    )


def _grammar(package: Package) -> GrammarFacts | None:
    decoding = package.manifest.decoding
    if not (package.grammar or decoding.grammar_type or decoding.use_grammar):
        return None
    source = decoding.grammar_type or "grammar"
    try:
        grammar = package_grammar(package)
        source = grammar.source.removeprefix(f"{package.source.name}/")
        compile_grammar(grammar)
    except GrammarError as error:
        return GrammarFacts(source, decoding.use_grammar, str(error))
    return GrammarFacts(source, decoding.use_grammar, None)


def _signature(package: Package) -> tuple[str, ...]:
    """Which key signed what. Whether this machine trusts the key is no matter of the card."""
    report = package.signature
    if report.state == "unsigned":
        return ()
    covers = "all files" if "package" in report.kinds else "all files except manifest.json"
    unsure = "" if report.state == "signed" else ", not verified when it was published"
    return (f"{report.key}, over {covers}{unsure}", *report.reservations)
