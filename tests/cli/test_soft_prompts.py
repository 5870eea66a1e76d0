"""Soft prompts in the command-line tool."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from hivellm_lite.converters.soft_prompts import load_soft_prompt

from ..support.soft_prompts import REFERENCE, listed_package, peft_package

QUICK = ("--n-ctx", 256, "--n-threads", 1, "--temperature", 0, "--max-tokens", 4)


def test_inspect_shows_a_soft_prompt_that_is_the_adapter(tool, tmp_path):
    package = peft_package(tmp_path / "x.expert", "tiny-llama/p-tuning")
    _, out, _ = tool("inspect", package)
    assert "adapter       P-tuning, 6 virtual tokens\n" in out
    facts = json.loads(tool("inspect", package, "--json")[1])["adapter"]
    assert (facts["runs"], facts["methods"], facts["virtual_tokens"]) == (True, ["P-tuning"], 6)


def test_inspect_shows_the_soft_prompts_of_the_manifest(tool, tmp_path):
    package = listed_package(tmp_path / "x.expert")
    assert "soft prompt   intro: 7 virtual tokens of 64\n" in tool("inspect", package)[1]
    package = listed_package(tmp_path / "y.expert", intro=b"no zip", gone=None)
    _, out, _ = tool("inspect", package)
    assert "soft prompt   intro: cannot be used: " in out
    assert "note          the soft prompt 'gone' is left out" in out


def test_inspect_names_what_cannot_run(tool, tmp_path):
    package = peft_package(tmp_path / "x.expert", "refused/prefix-tuning")
    _, out, _ = tool("inspect", package)
    assert "prefix tuning is not supported\n" in out
    assert "It trains keys and values for every layer" in out
    assert "Train prompt tuning or a LoRA instead." in out


def test_convert_keeps_the_rows_and_copies_them(tool, tmp_path, tiny_base):
    package = peft_package(tmp_path / "x.expert", "tiny-llama/prompt-tuning")
    copied = tmp_path / "rows.safetensors"
    code, out, _ = tool("convert", package, "--base", tiny_base, "-o", copied)
    assert code == 0
    assert "converted to a soft prompt (5 virtual tokens, exact)" in out
    assert load_soft_prompt(copied).embeddings.shape == (5, 64)
    facts = json.loads(tool("convert", package, "--base", tiny_base, "--json")[1])
    assert not facts["adapter_converted"]
    assert facts["adapter_form"] == "soft-prompt"
    assert "converted     to a soft prompt" in tool("inspect", package)[1]


def test_convert_shows_the_soft_prompt_beside_the_adapter(tool, tmp_path, tiny_base):
    package = listed_package(tmp_path / "x.expert")
    facts = json.loads(tool("convert", package, "--base", tiny_base, "--json")[1])
    assert np.array_equal(
        load_soft_prompt(Path(facts["soft_prompt"])).embeddings, REFERENCE["rows"]
    )
    assert "\n  prompt   " in tool("convert", package, "--base", tiny_base)[1]


def test_damage_in_the_cache_is_noticed(tool, tmp_path, tiny_base):
    package = listed_package(tmp_path / "x.expert")
    arguments = ("convert", package, "--base", tiny_base, "--json")
    kept = Path(json.loads(tool(*arguments)[1])["soft_prompt"])
    kept.write_bytes(kept.read_bytes()[:-4])
    again = Path(json.loads(tool(*arguments)[1])["soft_prompt"])
    assert np.array_equal(load_soft_prompt(again).embeddings, REFERENCE["rows"])


def test_a_soft_prompt_is_chosen_by_its_name(tool, tmp_path, tiny_base):
    package = listed_package(tmp_path / "x.expert")
    run = ("run", package, "Hello", "--base", tiny_base, *QUICK, "--json")
    counted = {
        name: json.loads(tool(*run, "--soft-prompt", name)[1])["virtual_prompt_tokens"]
        for name in ("intro", "none")
    }
    assert counted == {"intro": 7, "none": 0}
    code, _, err = tool(*run, "--soft-prompt", "outro")
    assert code == 1
    assert "no soft prompt 'outro'" in err


def test_estimate_counts_the_rows(tool, tmp_path, tiny_base):
    package = peft_package(tmp_path / "x.expert", "tiny-llama/prompt-tuning")
    facts = json.loads(tool("estimate", package, "--base", tiny_base, "--json")[1])
    (adapter,) = facts["bases"][0]["adapters"]
    assert (adapter["form"], adapter["size"]) == ("soft-prompt", 5 * 64 * 4)
    assert facts["bases"][0]["contexts"] == 1


def test_estimate_counts_the_rows_beside_an_adapter(tool, tmp_path, tiny_base):
    sizes = []
    for prompts in ({"intro": b"no zip"}, {}):
        package = listed_package(tmp_path / "x.expert", **prompts)
        facts = json.loads(tool("estimate", package, "--base", tiny_base, "--json")[1])
        sizes.append(facts["bases"][0]["adapters"][0]["size"])
    assert sizes[1] - sizes[0] == 7 * 64 * 4


def test_verify_conversion_compares_the_rows(tool, tmp_path, tiny_base):
    package = peft_package(tmp_path / "x.expert", "tiny-llama/prompt-tuning")
    code, out, _ = tool("verify-conversion", package, "--base", tiny_base)
    assert code == 0
    assert "prompt tuning                  0.0e+00" in out


def test_a_note_is_told_once(tool, tmp_path, tiny_base):
    package = listed_package(tmp_path / "x.expert", intro=b"no zip")
    _, _, err = tool("run", package, "Hello", "--base", tiny_base, *QUICK)
    assert err.count("'intro' is left out") == 1
