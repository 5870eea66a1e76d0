"""Metrics for Prometheus: requests and tokens by expert, times, and what the models did.

`gateway_metrics` adds what others route by (``vllm:…``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from ..inference.results import InferenceResult
from ..manager import ExpertManager
from .gateway_metrics import gateway_metrics
from .observing import Observation

__all__ = ["Metrics"]

FIRST_TOKEN = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Bounds in seconds: from a cached prompt on a GPU to a long prompt on a small machine."""

PER_TOKEN = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Bounds in seconds."""

BLEND = "blend"
"""The label of all blends: their number has no bound."""


@dataclass
class _Counts:
    """What requests did, over all experts; ``running`` has the requests of each name now."""

    running: dict[str, int] = field(default_factory=dict)
    prompt_tokens: int = 0
    cached_tokens: int = 0


class Metrics:
    """An `Observer` that counts, and the page ``/metrics``."""

    def __init__(self, manager: ExpertManager, n_busy: Callable[[], int]) -> None:
        """``n_busy`` returns how many answers wait or are computed."""
        self._registry = CollectorRegistry()
        self._counts = _Counts()
        self._registry.register(_Models(manager, n_busy, self._counts))
        self.requests = Counter(
            "hivellm_requests",
            "Requests that have ended",
            ["expert", "kind", "status"],
            registry=self._registry,
        )
        self.prompt_tokens = self._by_expert("hivellm_prompt_tokens", "Tokens of prompts")
        self.cached_tokens = self._by_expert(
            "hivellm_cached_prompt_tokens", "Prompt tokens found in the KV cache"
        )
        self.generated_tokens = self._by_expert("hivellm_generated_tokens", "Generated tokens")
        self.first_token = Histogram(
            "hivellm_time_to_first_token_seconds",
            "Time from the request to its first text",
            ["expert"],
            buckets=FIRST_TOKEN,
            registry=self._registry,
        )
        self.in_queue = Histogram(
            "hivellm_time_in_queue_seconds",
            "Time until the prompt began to be computed",
            ["expert"],
            buckets=FIRST_TOKEN,
            registry=self._registry,
        )
        self.per_token = Histogram(
            "hivellm_time_per_token_seconds",
            "Mean time of a token of an answer after its first text",
            ["expert"],
            buckets=PER_TOKEN,
            registry=self._registry,
        )

    def _by_expert(self, name: str, about: str) -> Counter:
        return Counter(name, about, ["expert"], registry=self._registry)

    def request_began(self, kind: str, model: str) -> Observation:
        """See `Observer`."""
        expert = BLEND if "+" in model or ":" in model else model
        return _Counted(self, kind, expert)

    def began(self, expert: str, change: int) -> None:
        """Count the requests of an expert that run now."""
        running = self._counts.running
        running[expert] = running.get(expert, 0) + change

    def prompts_ended(self, expert: str, n_tokens: int, n_cached: int) -> None:
        """Count the tokens of an expert's prompts, and how many were in a KV cache."""
        self.prompt_tokens.labels(expert).inc(n_tokens)
        self.cached_tokens.labels(expert).inc(n_cached)
        self._counts.prompt_tokens += n_tokens
        self._counts.cached_tokens += n_cached

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    async def page(self, _request: Request) -> Response:
        """``GET /metrics``."""
        return Response(self.text(), media_type=CONTENT_TYPE_LATEST)


class _Counted:
    """One request; see `Observation`."""

    def __init__(self, metrics: Metrics, kind: str, expert: str) -> None:
        self._metrics = metrics
        self._kind, self._expert = kind, expert
        self._began = time.perf_counter()
        self._first: float | None = None
        metrics.began(expert, 1)

    def queued(self) -> None:
        pass

    def first_token(self, so_far: InferenceResult, ago: float = 0.0) -> None:
        self._first = time.perf_counter() - ago
        self._metrics.first_token.labels(self._expert).observe(self._first - self._began)
        self._metrics.in_queue.labels(self._expert).observe(so_far.time_in_queue)

    def token(self, n: int) -> None:
        pass

    def ended(self, results: Sequence[InferenceResult], status: int) -> None:
        metrics, expert = self._metrics, self._expert
        metrics.began(expert, -1)
        metrics.requests.labels(expert, self._kind, str(status)).inc()
        n_tokens = sum(result.completion_tokens for result in results)
        metrics.prompts_ended(
            expert,
            sum(one.prompt_tokens for one in results),
            sum(one.cached_prompt_tokens for one in results),
        )
        metrics.generated_tokens.labels(expert).inc(n_tokens)
        if self._first is not None and n_tokens > len(results):
            seconds = time.perf_counter() - self._first
            metrics.per_token.labels(expert).observe(seconds / (n_tokens - len(results)))


class _Models(Collector):
    """What the manager counts, read when it is asked for."""

    def __init__(self, manager: ExpertManager, n_busy: Callable[[], int], counts: _Counts) -> None:
        self._manager = manager
        self._n_busy = n_busy
        self._counts = counts

    def describe(self) -> list[Metric]:
        return []  # registering must not ask the manager

    def collect(self) -> Iterator[Metric]:
        stats = self._manager.stats()
        experts = stats["experts"]
        yield GaugeMetricFamily("hivellm_answers", "Answers that wait or run", self._n_busy())
        yield GaugeMetricFamily(
            "hivellm_experts_registered", "Experts that have a name", experts["registered"]
        )
        yield GaugeMetricFamily("hivellm_experts_resident", "In memory", experts["resident"])
        yield CounterMetricFamily("hivellm_expert_loads", "First loadings", experts["loads"])
        yield CounterMetricFamily("hivellm_expert_reloads", "After evictions", experts["reloads"])
        evictions = CounterMetricFamily(
            "hivellm_expert_evictions", "Times that an expert left memory", labels=["expert"]
        )
        statuses = self._manager.list_loaded_experts()
        for status in statuses:
            evictions.add_metric([status.name], status.evictions)
        yield evictions
        yield GaugeMetricFamily("hivellm_memory_bytes", "All models and contexts", stats["memory"])
        counts = [base["requests"] for base in stats["bases"]]
        caches = [base["kv_cache"] for base in stats["bases"]]
        swaps = sum(one["swaps"] for one in counts)
        yield CounterMetricFamily("hivellm_adapter_swaps", "Changes of the applied adapter", swaps)
        hits = sum(one["restored"] + one["copied"] for one in caches)
        yield CounterMetricFamily("hivellm_prefix_hits", "Prefixes restored or copied", hits)
        kv_bytes = sum(base["memory_bytes"] for base in stats["bases"])
        yield GaugeMetricFamily("hivellm_kv_cache_bytes", "KV caches and parked prefixes", kv_bytes)
        own = [context for base in stats["bases"] for context in base["own_contexts"]]
        yield GaugeMetricFamily("hivellm_own_contexts", "Contexts of single experts", len(own))
        yield from gateway_metrics(
            stats,
            statuses,
            {name for name, n in self._counts.running.items() if n > 0},
            prompt_tokens=self._counts.prompt_tokens,
            cached_tokens=self._counts.cached_tokens,
        )
