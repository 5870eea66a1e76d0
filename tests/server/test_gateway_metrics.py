"""What gateways read of the metrics, read with Prometheus' own parser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from hivellm_lite import ExpertManager
from hivellm_lite.server.metrics import Metrics

from .conftest import OPTIONS


@pytest.fixture
def small(tiny_base: Path, experts: Callable[..., Path], tmp_path: Path) -> Iterator[ExpertManager]:
    """Three experts, of which two may be in memory at once."""
    options = {**OPTIONS, "device": "cpu", "cache_dir": tmp_path}
    with ExpertManager(base=tiny_base, max_loaded_experts=2, **options) as manager:
        for name in ("cypher", "sql", "style"):
            manager.register_expert(name, experts(name))
        yield manager


def read(metrics: Metrics) -> dict[str, Sample]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {sample.name: sample for family in families for sample in family.samples}


def test_gateways_are_told_which_experts_are_in_memory_and_which_are_waited_for(small):
    metrics = Metrics(small, lambda: 0)
    labels = read(metrics)["vllm:lora_requests_info"].labels
    assert labels == {
        "max_lora": "2", "running_lora_adapters": "", "waiting_lora_adapters": ""
    }  # fmt: skip
    small.generate("sql", "Hello", max_tokens=1)
    small.generate("cypher", "Hello", max_tokens=1)
    for name in ("style", "sql", "base", "sql:0.5+style:0.5"):
        metrics.request_began("chat", name)
    labels = read(metrics)["vllm:lora_requests_info"].labels
    assert labels == {
        "max_lora": "2",
        "running_lora_adapters": "cypher,sql",
        "waiting_lora_adapters": "style",
    }


def test_gateways_are_told_of_the_queue_and_the_kv_cache(small):
    metrics = Metrics(small, lambda: 0)
    observed = metrics.request_began("chat", "sql")
    result = small.generate("sql", "Hello", max_tokens=1)
    observed.ended([result, result], 200)
    found = read(metrics)
    for name in ("running", "waiting"):
        assert found[f"vllm:num_requests_{name}"].value == 0
    assert found["vllm:kv_cache_usage_perc"].value == found["vllm:gpu_cache_usage_perc"].value == 0
    assert found["vllm:gpu_prefix_cache_queries_total"].value == 2 * result.prompt_tokens
    assert found["vllm:gpu_prefix_cache_hits_total"].value == 2 * result.cached_prompt_tokens
