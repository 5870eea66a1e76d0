"""An expert in memory, as the rest of the library holds it; users hold an `Expert`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from ..errors import InferenceError
from ..inference.decoding import Request
from ..inference.opening import open_session
from ..inference.session import Session
from ..manifest.records import Manifest
from ..package.grammar import package_grammar
from ..prompts.template_files import package_template
from ..requests.argument_types import check_types, refuse_unknown
from ..requests.batches import build_each
from ..requests.builder import RequestBuilder
from ..requests.effects import Effect
from ..requests.grammars import GrammarChooser
from ..requests.options import BatchPrompt, GenerationOptions, RequestOptions
from .loaded_parts import LoadedParts

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..engine import Applied

__all__ = ["LoadedExpert"]


class LoadedExpert:
    """A package on a session: makes requests, and gives the session back when closed."""

    def __init__(self, parts: LoadedParts) -> None:
        package, session = parts.package, parts.session
        self.package = package
        self.manifest: Manifest = package.manifest
        self.base = parts.base
        self.prepared = parts.prepared
        self.times = parts.times
        self.cache = parts.cache
        self.find_weights = parts.find_weights
        self.soft_prompt = parts.soft_prompt
        self.notes = parts.notes
        self._prefix: tuple[int, ...] = ()
        if (rows := parts.soft_prompt) is not None:
            from ..engine.virtual_tokens import virtual_tokens  # loads numpy

            self._prefix = tuple(virtual_tokens(rows.digest, rows.embeddings))
        self._session: Session | None = session
        self._adapter = parts.adapter
        grammars = GrammarChooser(package.manifest, session, lambda: package_grammar(package))
        self.builder = RequestBuilder(
            package.manifest, session, grammars, lambda: package_template(package)
        )
        self.builder.prepare()

    @property
    def closed(self) -> bool:
        return self._session is None

    @property
    def session(self) -> Session:
        """The model and context that this expert runs on. Raises InferenceError once closed."""
        if self._session is None:
            raise InferenceError(f"the expert {self.manifest.identity} was closed; load it again")
        return self._session

    @property
    def memory(self) -> int:
        """Bytes beside the base: an adapter, or a variant's own tensors, and a soft prompt."""
        rows = self.soft_prompt if self.prepared.soft_prompt is None else None
        return self.prepared.size + (rows.embeddings.nbytes if rows is not None else 0)

    def request(
        self,
        prompt: str | None = None,
        *,
        effect: Effect | None = None,
        adapter_scale: float = 1.0,
        **options: Unpack[RequestOptions],
    ) -> Request:
        """The request for these arguments, which the session computes.

        ``effect`` is another one on the same session, for a blend; ``adapter_scale`` multiplies
        the scales of all its adapters.
        """
        session = self.session
        refuse_unknown(options, BatchPrompt.__annotations__, caller="generate")
        check_types({**options, "prompt": prompt, "adapter_scale": adapter_scale})
        own = self.effect(adapter_scale)
        effect = own if effect is None else effect.scaled(adapter_scale)
        with session.in_use():
            return self.builder.build(prompt, effect, **options)

    def requests(
        self,
        prompts: Iterable[str | BatchPrompt],
        *,
        effect: Effect | None = None,
        **options: Unpack[GenerationOptions],
    ) -> list[Request | Exception]:
        """The requests of a batch; an exception for each prompt that cannot be asked."""
        return build_each(partial(self.request, effect=effect), prompts, options)

    def applied(self, scale: float = 1.0) -> Applied:
        """The adapter and its scale as the session applies them.

        Nothing for scale 0, the base alone, for a variant, which is merged, and for a soft prompt.
        Raises ValueError for another scale of a variant or soft prompt, and for one that is no
        finite number.
        """
        if not math.isfinite(scale):
            raise ValueError(f"adapter_scale={scale}: must be a finite number")
        if self._adapter is None:
            if scale != 1.0 and self.prepared.is_variant:
                raise ValueError(
                    f"adapter_scale={scale}: a variant is merged and has no scale; "
                    "load the expert with adapter_mode='lora'"
                )
            if scale not in (0.0, 1.0):
                raise ValueError(
                    f"adapter_scale={scale}: a soft prompt has no scale; 0 is the base alone"
                )
            return ()
        return ((self._adapter, float(scale)),) if scale else ()

    def effect(self, scale: float = 1.0) -> Effect:
        """What this expert adds to the base: `applied`, and the soft prompt unless ``scale`` is 0.

        Raises what `applied` raises.
        """
        return Effect(self.applied(scale), self._prefix if scale else ())

    def open_base(self) -> Session:
        """A session of the base model alone, with this expert's options; `release` it."""
        session = self.session
        return open_session(
            self.base.files, session.model.device, session.options, digest=self.cache.fingerprint
        )

    def close(self) -> None:
        """Free the adapter, and the base model if nobody else uses it."""
        if self._session is not None:
            session, self._session = self._session, None
            if self._adapter is not None:
                session.forget_adapter(self._adapter)
            session.release()
