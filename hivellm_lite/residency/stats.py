"""What `ExpertManager.stats` tells."""

from __future__ import annotations

from typing import TypedDict

__all__ = [
    "BaseStats",
    "ExpertCounts",
    "KVCacheCounts",
    "ManagerStats",
    "OwnContextStats",
    "RequestCounts",
    "ResidencyStats",
]


class ExpertCounts(TypedDict):
    """Experts of a manager, and what happened to them."""

    registered: int
    """Experts that have a name now."""
    limit: int
    """Experts that may be in memory at once: ``max_loaded_experts``, or all."""
    resident: int
    """Experts that are in memory now."""
    loads: int
    """First loadings."""
    reloads: int
    """Loadings after an eviction."""
    evictions: int
    """Experts that were taken out of memory because of a limit."""
    hits: int
    """Uses of an expert that was in memory."""
    load_seconds: float
    """Seconds that loadings and reloadings took together."""
    routed: int
    """Prompts that were asked as ``"auto"``."""


class RequestCounts(TypedDict):
    """Requests to one base model."""

    requests: int
    finished: int
    failed: int
    cancelled: int
    prompt_tokens: int
    """Tokens of all prompts, those from the KV cache included."""
    cached_prompt_tokens: int
    """Prompt tokens that were found in the KV cache."""
    generated_tokens: int
    forced_tokens: int
    """Generated tokens that a grammar forced."""
    steps: int
    """Calls to llama.cpp."""
    rows: int
    """Sequences in these calls, added up."""
    swaps: int
    """Times that another adapter was applied."""
    preempted: int
    """Requests that gave their place in the KV cache to others and continued later."""
    wasted: int
    """Sequences in calls whose answers had ended by a stop sequence meanwhile."""
    overlapped: int
    """Calls that were begun while the call of another context was computed."""
    active: int
    """Requests that are computed now."""
    queued: int
    """Requests that wait now."""


class KVCacheCounts(TypedDict):
    """The KV cache of one base model."""

    restored: int
    """Prefixes that came back from host memory."""
    copied: int
    """Prefixes that were copied between sequences."""
    parked: int
    """Prefixes that were put into host memory."""
    dropped: int
    """Parked prefixes that were given up for lack of memory."""
    parked_bytes: int
    """Bytes of host memory that parked prefixes take now."""


class OwnContextStats(TypedDict):
    """A context that one expert has for itself."""

    expert: str
    """Name and version of the expert; of a blend, of all of them."""
    streams: int
    positions_per_stream: int
    memory_bytes: int
    """Bytes of its KV cache and of its buffers, which are an estimate."""
    steps: int
    """Calls to llama.cpp."""
    active: int
    """Requests that are computed now."""


class ResidencyStats(TypedDict):
    """Which experts have contexts of their own, and why."""

    limit_bytes: int
    """Bytes that own contexts may take together; 0 where swaps are cheap."""
    made: int
    given_up: int
    """Own contexts that were given up for those of other experts."""
    overlaps: bool
    """Whether the device computes while the next step is prepared."""
    swap_seconds: float
    """What a change of adapters in the shared context adds to the steps after it."""
    step_seconds: float
    explanation: str
    """The same in a sentence."""


class BaseStats(TypedDict):
    """One base model in memory, with the context that its experts share, and own ones of some."""

    model: str
    """Path of its file, or of the first of several."""
    weights_bytes: int
    memory_bytes: int
    """Bytes of the KV cache and of parked prefixes, without the weights."""
    users: int
    """Experts and requests that keep the model in memory."""
    streams: int
    """Sequences that the context can hold now."""
    positions_per_stream: int
    """Tokens that one sequence can have."""
    requests: RequestCounts
    kv_cache: KVCacheCounts
    own_contexts: list[OwnContextStats]
    residency: ResidencyStats


class ManagerStats(TypedDict):
    """Counters since the manager was made."""

    experts: ExpertCounts
    memory: int
    """Bytes of all models, contexts, parked prefixes and adapters, each counted once."""
    bases: list[BaseStats]
