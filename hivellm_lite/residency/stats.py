"""What `ExpertManager.stats` tells."""

from __future__ import annotations

from typing import TypedDict

__all__ = ["BaseStats", "ExpertCounts", "KVCacheCounts", "ManagerStats", "RequestCounts"]


class ExpertCounts(TypedDict):
    """Experts of a manager, and what happened to them."""

    registered: int
    """Experts that have a name now."""
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


class BaseStats(TypedDict):
    """One base model in memory, with one context."""

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


class ManagerStats(TypedDict):
    """Counters since the manager was made."""

    experts: ExpertCounts
    memory: int
    """Bytes of all models, contexts, parked prefixes and adapters, each counted once."""
    bases: list[BaseStats]
