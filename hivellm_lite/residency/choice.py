"""Who answers: an expert by its name, the one that fits the prompt, a blend, or the base."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..errors import InferenceError
from ..inference.off_loop import wait_off_loop
from ..inference.session import Session
from ..loading.loaded_expert import LoadedExpert
from ..manifest.compatibility import check_together
from ..requests.argument_types import check_types
from ..requests.batches import UNANSWERABLE, Maker, complete_prompts
from ..requests.effects import Effect
from ..routing import Route, Router
from .names import BASE
from .registry import ExpertHold, ExpertRegistry

if TYPE_CHECKING:
    from ..engine import Applied
    from ..inference.decoding import Request
    from ..requests.options import BatchPrompt, GenerationOptions

__all__ = ["Choice", "ExpertChooser", "ExpertName", "Share"]

logger = logging.getLogger("hivellm_lite")

FALLBACKS = (BASE, "error")

ExpertName = str | Mapping[str, float]
"""An expert's name, ``"auto"``, ``"base"``, or the names and weights of a blend."""


@dataclass(frozen=True)
class Choice:
    """Who answers. ``make`` makes the requests, which ``session`` computes while ``hold`` keeps
    the experts in memory.
    """

    make: Maker[Request]
    session: Session
    hold: ExpertHold


@dataclass(frozen=True)
class Share:
    """The prompts of a batch that one of the experts answers, and their places in the batch."""

    name: ExpertName
    places: list[int]
    prompts: list[BatchPrompt]


class ExpertChooser:
    """Chooses among the experts of a registry. Thread-safe."""

    def __init__(self, registry: ExpertRegistry, fallback: str) -> None:
        """``fallback``: what ``"auto"`` does where no expert fits; one of `FALLBACKS`."""
        if fallback not in FALLBACKS:
            raise ValueError(f"fallback={fallback!r}: must be one of {', '.join(FALLBACKS)}")
        self._registry = registry
        self._fallback = fallback
        self._router = (0, Router({}))
        self.n_routed = 0

    def route(self, prompt: str) -> Route:
        """See `ExpertManager.route`."""
        self._registry.check_open()
        version, router = self._router
        if version != self._registry.version:
            version = self._registry.version  # read before the entries: an older one is no harm
            entries = self._registry.entries()
            router = Router({entry.name: entry.manifest for entry in entries})
            self._router = version, router
        return router.route(prompt)

    def name_for(self, prompt: str | None, options: GenerationOptions) -> str:
        """The expert, or `BASE`, that ``"auto"`` stands for; of messages the user's last counts.

        Raises InferenceError where no expert fits and the fallback is an error.
        """
        check_types({**options, "prompt": prompt})
        asked = prompt
        if asked is None:
            said = [m for m in options.get("messages") or () if m.get("role") == "user"]
            asked = str(said[-1].get("content", "")) if said else ""
        route = self.route(asked)
        self.n_routed += 1
        logger.debug("routed to %s: %s", route.expert or "the base", route.reason)
        if route.expert is not None:
            return route.expert
        if self._fallback == "error":
            names = ", ".join(score.name for score in route.scores) or "those you load first"
            raise InferenceError(
                f"no expert fits this prompt: {route.reason}\n"
                f"Name one of {names}, or use fallback='base'."
            )
        return BASE

    def choose(self, name: ExpertName) -> Choice:
        """Bring the experts of ``name``, which is not `AUTO`, into memory and hold them there.

        Raises InferenceError for a name that is not loaded, ValueError for an empty blend.
        """
        return self._base() if name == BASE else self._experts(name)

    @contextlib.asynccontextmanager
    async def resident(self, name: ExpertName) -> AsyncIterator[None]:
        """Load the experts of ``name`` where they are not in memory, and hold them there inside.

        No thread waits for a loading, however many coroutines do. Raises what `choose` raises.
        """
        self._registry.check_open()
        if name == BASE:
            entries = self._registry.entries()[:1]
        else:
            names = (name,) if isinstance(name, str) else name
            entries = [self._registry.entry(one) for one in names]
        hold = self._registry.hold(entries)
        try:
            for entry in entries:
                loading = self._registry.loading(entry)
                if loading is not None:
                    await wait_off_loop(loading)
            yield
        finally:
            hold.drop()

    def share_out(
        self, prompts: Iterable[str | BatchPrompt], options: GenerationOptions
    ) -> tuple[list[Share], dict[int, Exception]]:
        """The prompts of an ``"auto"`` batch by the expert that fits each; also the errors of
        prompts that cannot be routed, by place.
        """
        self._registry.check_open()
        shares: dict[str, Share] = {}
        failed: dict[int, Exception] = {}
        for place, own in enumerate(complete_prompts(prompts, options)):
            try:
                name = self.name_for(own.get("prompt"), own)
            except UNANSWERABLE as error:
                failed[place] = error
                continue
            share = shares.setdefault(name, Share(name, [], []))
            share.places.append(place)
            share.prompts.append(own)
        return list(shares.values()), failed

    def _base(self) -> Choice:
        """The base model of the expert that was used last."""
        self._registry.check_open()
        entries = self._registry.entries()
        if not entries:
            raise InferenceError("no expert is loaded, so there is no base model to ask")
        hold = self._registry.hold(entries[:1])
        try:
            expert = self._registry.bring_back(entries[0])
            base = self._registry.base_alone(entries[0], expert)
            return Choice(base.request, base.session, hold)
        except BaseException:
            hold.release()
            raise

    def _experts(self, name: ExpertName) -> Choice:
        """One expert or a blend; the first one builds the requests."""
        weights = {name: 1.0} if isinstance(name, str) else dict(name)
        if not weights:
            raise ValueError("a blend needs at least one expert")
        entries = [self._registry.entry(one) for one in weights]
        hold = self._registry.hold(entries)
        try:
            experts = {entry.name: self._registry.bring_back(entry) for entry in entries}
            lead = next(iter(experts.values()))
            effect = _blend(experts, weights)
            return Choice(partial(lead.request, effect=effect), lead.session, hold)
        except BaseException:
            hold.release()
            raise


def _blend(experts: Mapping[str, LoadedExpert], weights: Mapping[str, float]) -> Effect:
    """The effect of one expert, or the adapters of several, each at its weight."""
    lead_name, lead = next(iter(experts.items()))
    if len(experts) == 1:
        return lead.effect(weights[lead_name])
    check_together([expert.manifest for expert in experts.values()])
    applied: Applied = ()
    for one, expert in experts.items():
        if expert.prepared.is_variant:
            raise InferenceError(
                f"{one!r} cannot be blended: it is a variant, merged into its base\n"
                "Load it with adapter_mode='lora'."
            )
        if expert.soft_prompt is not None:
            raise InferenceError(
                f"{one!r} cannot be blended: a soft prompt stands before its prompts, and was "
                "trained without the other experts\n"
                "Load it with soft_prompt='none' to blend the adapter alone."
            )
        if expert.session is not lead.session:
            raise InferenceError(
                f"{one!r} is on {expert.base.path.name} and {lead_name!r} on "
                f"{lead.base.path.name}: only experts on one base, loaded with the same "
                "options, can be blended"
            )
        applied += expert.applied(weights[one])
    # the order does not matter to the model, but to what is found in the KV cache
    return Effect(tuple(sorted(applied, key=lambda pair: id(pair[0]))))
