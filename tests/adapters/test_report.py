"""The report of a conversion is the same record after it has been written to a file."""

from __future__ import annotations

import json

import pytest

from hivellm_lite.adapters import (
    AdapterLoss,
    Divergence,
    LoraAdapterReport,
    LowRankAdapterReport,
    SoftPromptReport,
    VariantAdapterReport,
)
from hivellm_lite.adapters.loss import NOTHING_LOST
from hivellm_lite.adapters.report import report_from

LOSS = AdapterLoss(
    weights=0.01,
    worst=0.02,
    worst_tensor="blk.0.attn_q.weight",
    divergence=Divergence(served=1e-4, without=1e-2, positions=200, texts="built-in texts"),
)

REPORTS = {
    "a GGUF LoRA (rank 4, 8, 7 tensors, exact)": LoraAdapterReport(
        methods=("LoRA",),
        why="it is exactly low rank",
        bytes=1_000,
        loss=NOTHING_LOST,
        tensors=14,
        ranks=(4, 8),
        scales=(2.0,),
        dropped=("lm_head",),
    ),
    "a soft prompt (5 virtual tokens, exact)": SoftPromptReport(
        methods=("P-tuning",),
        why="its rows stand before the prompt",
        bytes=1_000,
        loss=NOTHING_LOST,
        virtual_tokens=5,
    ),
    "a low-rank GGUF LoRA (8 extra ranks, from float weights of x)": LowRankAdapterReport(
        methods=("DoRA",),
        why="it was asked for",
        bytes=2_000,
        loss=LOSS,
        extra_rank=8,
        error=0.001,
        delta_error=0.1,
        source="float weights of x",
    ),
    "a variant (7 tensors merged from Q8_0 weights of x, stored at f16 and f32)": (
        VariantAdapterReport(
            methods=("IA³", "trained biases"),
            why="adapter_mode='exact'",
            bytes=3_000,
            loss=LOSS,
            files=("attn_q.gguf",),
            merged=7,
            quantization="f16 and f32",
            source="Q8_0 weights of x",
            n_tensors=30,
            delta_error=0.1,
        )
    ),
}


@pytest.mark.parametrize("words", REPORTS)
def test_a_report_comes_back_from_json_as_it_was(words):
    report = REPORTS[words]
    facts = json.loads(json.dumps(report.as_dict()))
    assert facts["form"] == report.form
    assert report_from(facts) == report
    assert str(report) == words
