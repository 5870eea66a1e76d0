"""Metrics by the names that others route by.

Endpoint pickers of Kubernetes' Gateway API Inference Extension and the router of vLLM's production
stack choose a server by what vLLM exports: how many requests run and wait, how full the KV cache
is, which adapters are in memory. See the model server protocol of the Inference Extension
(https://github.com/kubernetes-sigs/gateway-api-inference-extension, proposal 003).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from ..residency.entries import ExpertStatus
from ..residency.stats import ManagerStats

__all__ = ["gateway_metrics"]

_KV_USAGE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
"""vLLM's name since 0.10, and the one before it, which production stacks still read."""


def gateway_metrics(
    stats: ManagerStats,
    experts: Sequence[ExpertStatus],
    asked: Collection[str],
    *,
    prompt_tokens: float,
    cached_tokens: float,
) -> Iterator[Metric]:
    """The metrics of one moment.

    ``experts``: all experts. ``asked``: the names that have a request now. ``prompt_tokens``,
    ``cached_tokens``: tokens of all prompts so far, and how many of them were in a KV cache.
    """
    running = sum(base["requests"]["active"] for base in stats["bases"])
    waiting = sum(base["requests"]["queued"] for base in stats["bases"])
    streams = sum(
        base["streams"] + sum(own["streams"] for own in base["own_contexts"])
        for base in stats["bases"]
    )
    yield GaugeMetricFamily("vllm:num_requests_running", "Requests computed now", running)
    yield GaugeMetricFamily("vllm:num_requests_waiting", "Requests that wait", waiting)
    usage = running / streams if streams else 0.0
    for name in _KV_USAGE:
        yield GaugeMetricFamily(name, "Share of the KV cache's sequences in use, 0 to 1", usage)
    yield CounterMetricFamily(
        "vllm:gpu_prefix_cache_queries", "Tokens of prompts that were looked up", prompt_tokens
    )
    yield CounterMetricFamily(
        "vllm:gpu_prefix_cache_hits", "Tokens of prompts found in the KV cache", cached_tokens
    )
    yield _adapters(stats["experts"]["limit"], experts, asked)


def _adapters(limit: int, experts: Sequence[ExpertStatus], asked: Collection[str]) -> Metric:
    """Which experts are in memory, and which have requests that wait for their loading."""
    resident = sorted(one.name for one in experts if one.state == "resident")
    loading = sorted(one.name for one in experts if one.state != "resident" and one.name in asked)
    family = GaugeMetricFamily(
        "vllm:lora_requests_info",
        "Experts in memory, and those that requests wait for; the value is the time",
        labels=["max_lora", "running_lora_adapters", "waiting_lora_adapters"],
    )
    family.add_metric([str(limit), ",".join(resident), ",".join(loading)], time.time())
    return family
