"""``hivellm-lite estimate``: what is counted, how often, and against what."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hivellm_lite.converters.gguf.header import read_gguf_header

from hivellm_lite import Expert
from hivellm_lite.cli.estimate import AdapterEstimate, BaseEstimate, OwnContexts, own_contexts
from hivellm_lite.memory_estimate import MemoryEstimate

CONTEXT = ("--n-ctx", 512)


@pytest.fixture
def estimate(tool, tiny_base):
    """Run the command in this process: ``code, facts = estimate(…)``, or text for JSON."""

    def run(*arguments: object, as_json: bool = True):
        code, out, _ = tool("estimate", *arguments, "--base", tiny_base, *["--json"] * as_json)
        return code, json.loads(out) if as_json else out

    return run


def test_parts_are_those_of_the_loaded_expert(estimate, tiny_package, tiny_base):
    package = tiny_package()
    code, facts = estimate(package, *CONTEXT)
    assert code == 0
    (base,) = facts["bases"]
    (adapter,) = base["adapters"]
    with Expert.load(package, base=tiny_base, n_ctx=512, n_threads=1) as expert:
        expert.generate("Hello", max_tokens=400)  # the cache has the size that was needed so far
        assert base["weights"] == expert.session.model.size
        assert base["kv_cache"] == expert.session.memory
        # the file has a header beside the tensors
        assert 0 < expert.memory - adapter["size"] < 8192
        assert adapter["form"] == expert.prepared.form == "lora"
    parts = base["weights"] + base["kv_cache"] + base["compute"] + adapter["size"]
    assert facts["total"] == base["total"] == parts
    assert facts["fits"] is True


def test_experts_on_one_base_share_weights_and_context(estimate, tiny_package):
    one = estimate(tiny_package("one"), *CONTEXT)[1]
    two = estimate(tiny_package("one"), tiny_package("two"), *CONTEXT)[1]
    (base,) = two["bases"]
    assert [adapter["name"] for adapter in base["adapters"]] == ["one", "two"]
    assert two["total"] - one["total"] == base["adapters"][1]["size"]


def test_every_stream_and_wider_types_take_more_cache(estimate, tiny_package):
    package = tiny_package()

    def cache(*arguments: object) -> int:
        return estimate(package, *CONTEXT, *arguments)[1]["bases"][0]["kv_cache"]

    assert cache("--streams", 4) == 4 * cache()
    assert cache("--kv-type", "f32") == 2 * cache()


def test_a_variant_is_assumed_until_the_form_is_known(estimate, tiny_package, tiny_base):
    package = tiny_package("dora", adapter="dora")
    facts = estimate(package, *CONTEXT)[1]
    (adapter,) = facts["bases"][0]["adapters"]
    assert (adapter["form"], adapter["known"]) == ("variant", "estimated, at float16")
    matrices = [
        tensor
        for tensor in read_gguf_header(tiny_base).tensors.values()
        if len(tensor.shape) == 2 and tensor.name.startswith("blk.")
    ]
    assert 0 < adapter["size"] <= sum(2 * math.prod(tensor.shape) for tensor in matrices)
    low_rank = estimate(package, *CONTEXT, "--adapter-mode", "lora")[1]["bases"][0]["adapters"][0]
    assert low_rank["form"] == "low-rank"
    assert low_rank["size"] < adapter["size"]


def test_what_was_converted_before_is_known(estimate, tiny_package, tiny_base):
    package = tiny_package("dora", adapter="dora")
    options = {"adapter_mode": "exact", "variant_type": "f32"}
    with Expert.load(package, base=tiny_base, n_ctx=512, n_threads=1, **options) as expert:
        size = expert.memory
    (adapter,) = estimate(package, *CONTEXT)[1]["bases"][0]["adapters"]
    assert (adapter["size"], adapter["known"]) == (size, "converted before")
    (adapter,) = estimate(package, *CONTEXT, "--adapter-mode", "lora")[1]["bases"][0]["adapters"]
    assert adapter["form"] == "low-rank"


def test_a_variant_has_a_context_of_its_own(estimate, tiny_package):
    lora, dora = tiny_package("lora"), tiny_package("dora", adapter="dora")
    alone = estimate(lora, *CONTEXT)[1]["bases"][0]
    both = estimate(lora, dora, *CONTEXT)[1]["bases"][0]
    assert (alone["contexts"], both["contexts"]) == (1, 2)
    assert both["kv_cache"] == 2 * alone["kv_cache"]
    assert estimate(dora, *CONTEXT)[1]["bases"][0]["contexts"] == 1


def test_what_does_not_fit_ends_with_1(estimate, tiny_package):
    package = tiny_package()
    total = estimate(package, *CONTEXT)[1]["total"]
    assert estimate(package, *CONTEXT, "--limit", f"{total}B")[0] == 0
    code, facts = estimate(package, *CONTEXT, "--limit", f"{total - 1}B")
    assert (code, facts["fits"], facts["available"]) == (1, False, total - 1)
    code, out = estimate(package, *CONTEXT, "--limit", "1kB", as_json=False)
    assert code == 1
    assert "It does not fit" in out


def test_prints_a_line_for_each_part(estimate, tiny_package):
    _, out = estimate(tiny_package("one"), tiny_package("two"), *CONTEXT, as_json=False)
    labels = [line[:9].strip() for line in out.splitlines()]
    assert labels[:5] == ["base", "KV cache", "compute", "adapter", "adapter"]
    assert labels[5:7] == ["total", "free"]
    assert "one: one@0.3.0, lora (estimated)" in out


def test_a_base_is_looked_for_on_this_machine_alone(tool, tiny_package, server):
    code, _, err = tool("estimate", tiny_package(), "--base", "owner/some-base")
    assert code == 1
    assert "offline" in err
    assert server.asked == []


def test_on_a_cpu_no_expert_gets_a_context_of_its_own(estimate, tiny_package):
    facts = estimate(tiny_package("one"), tiny_package("two"), *CONTEXT, "--device", "cpu")[1]
    assert [base["own_contexts"] for base in facts["bases"]] == [None]


def test_own_contexts_fit_into_half_of_what_is_free():
    parts = MemoryEstimate(weights=1000, kv_cache=60, compute=40, adapter=0)
    adapters = [AdapterEstimate(name, name, "lora", 5, "") for name in "abcd"]
    variant = AdapterEstimate("v", "v", "variant", 50, "")
    base = BaseEstimate(Path("base.gguf"), parts, 2, (*adapters, variant))
    assert own_contexts(base, 10_000) == OwnContexts(experts=4, each=100, at_most=3)
    assert own_contexts(base, 500) == OwnContexts(experts=4, each=100, at_most=2)
    assert own_contexts(base, -500).at_most == 0
