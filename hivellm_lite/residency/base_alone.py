"""The base model of experts, asked without any adapter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import GrammarError
from ..inference.decoding import Request
from ..inference.session import Session
from ..manifest.records import Manifest
from ..requests.argument_types import check_types, refuse_unknown
from ..requests.batches import build_each
from ..requests.builder import RequestBuilder
from ..requests.effects import Effect
from ..requests.grammars import GrammarChooser
from ..requests.options import BatchPrompt, GenerationOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..gbnf import Grammar

__all__ = ["BaseAlone", "base_manifest"]


class BaseAlone:
    """Makes requests of the base on ``session``; keeps its grammars and prompt formats."""

    def __init__(self, expert: Manifest, session: Session) -> None:
        """``expert``: the manifest of an expert on this base."""
        manifest = base_manifest(expert)
        grammars = GrammarChooser(manifest, session, _no_grammar)
        self.session = session
        self._builder = RequestBuilder(manifest, session, grammars)

    def request(self, prompt: str | None = None, **options: Unpack[GenerationOptions]) -> Request:
        """The request for these arguments; there is no adapter for ``adapter_scale`` to scale."""
        refuse_unknown(options, BatchPrompt.__annotations__, caller="generate")
        check_types({**options, "prompt": prompt})
        own: Any = {name: value for name, value in options.items() if name != "adapter_scale"}
        with self.session.in_use():
            return self._builder.build(prompt, Effect(), **own)

    def requests(
        self, prompts: Iterable[str | BatchPrompt], **options: Unpack[GenerationOptions]
    ) -> list[Request | Exception]:
        """The requests of a batch; an exception for each prompt that cannot be asked."""
        return build_each(self.request, prompts, options)


def base_manifest(manifest: Manifest) -> Manifest:
    """A manifest for asking an expert's base model alone, with no defaults of the expert's."""
    return Manifest(
        name=manifest.base.short_name,
        version="base",
        schema_version=manifest.schema_version,
        base=manifest.base,
        raw={},
    )


def _no_grammar() -> Grammar:
    raise GrammarError("the base model alone brings no grammar\nName one with grammar=….")
