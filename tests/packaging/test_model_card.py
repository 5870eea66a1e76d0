"""The model card: what it tells, what it leaves out, and texts that would like to be markup."""

from __future__ import annotations

import re

import yaml
from huggingface_hub import ModelCard as HubCard

from hivellm_lite import Cache
from hivellm_lite.adapters.loss import AdapterLoss, Divergence
from hivellm_lite.adapters.report import LowRankAdapterReport
from hivellm_lite.package import open_package
from hivellm_lite.packaging.card_facts import card_facts
from hivellm_lite.packaging.markdown import code, prose, yaml_text
from hivellm_lite.packaging.model_card import model_card
from hivellm_lite.packaging.readme import readme_with

from ..support.packages import adapter_files, manifest_bytes, manifest_v2, write_package

HOSTILE = "<img src=x onerror=alert(1)> ![x](http://e.vil) **b** | `a` $$x$$ @you www.e.vil\x1b[2J"


def card_of(folder, cache, **manifest):
    """The card of a package with this manifest, as the Hub's client reads it."""
    files = adapter_files()
    files["manifest.json"] = manifest_bytes(manifest_v2(name="expert-sql", **manifest))
    package = open_package(write_package(folder / "sql.expert", files), cache=cache)
    text = readme_with(model_card(card_facts(package, cache, reference="me/sql")))
    return package, HubCard(text)


def test_a_card_tells_what_the_manifest_and_the_files_say(tmp_path, cache):
    base = manifest_v2()["base_models"][0] | {"name": "F:/models/qwen3-0.6b"}
    package, card = card_of(
        tmp_path,
        cache,
        description="First.\n\nSecond\nline.",
        base_models=[base],
        license="GPL-3.0-only",
        limitations=[
            {"pattern": "p", "description": "No CTE.", "example": "Q → A", "workaround": "Ask"},
            "Only English",
            {"other": 1},
        ],
        quality_metrics={"score": 8.9, "_comment": "no", "by": {"kind": {"easy": "16/18"}}},
        constraints={"requires": ["english-basic@>=1.0.0"]},
        training={"decoding": {"use_grammar": True, "grammar_type": "sql"}},
    )
    assert card.data.to_dict() == {
        "base_model": "Qwen/Qwen3-0.6B",
        "base_model_relation": "adapter",
        "library_name": "hivellm-lite",
        "pipeline_tag": "text-generation",
        "license": "gpl-3.0",
        "language": ["en"],
        "tags": ["hivellm", "expert", "lora", "database:sql"],
    }
    text = card.text
    assert "\nFirst.\n\nSecond line.\n" in text
    assert 'hivellm-lite run me/sql --schema @schema.txt "Your question"' in text
    assert "[`Qwen/Qwen3-0.6B`](https://huggingface.co/Qwen/Qwen3-0.6B)" in text
    assert "- **Adapter:** LoRA, rank " in text
    assert re.search(r"- \*\*Grammar:\*\* `.*sql.*`, enforced\n", text)
    assert "- **Requires:** `english-basic@>=1.0.0`" in text
    assert f"- **SHA-256:** `{package.digest}`" in text
    assert "- No CTE. Example: Q → A. Workaround: Ask.\n- Only English\n\n" in text
    assert "- `score`: 8.9\n- `by.kind.easy`: 16/18\n" in text
    assert "has not been measured yet" in text
    assert "hivellm-lite verify-conversion me/sql" in text


def test_texts_of_strangers_are_text(tmp_path, cache):
    package, card = card_of(
        tmp_path,
        cache,
        description=f"{HOSTILE}\n\n- {HOSTILE}\n\n1. one\n\n```\n---\nlicense: mit",
        author=HOSTILE,
        license=None,
        capabilities=[
            "1e3",
            "no",
            "a: b # c",
            "x\n---\ny",
            "`",
            "\ud7ff\ufffe\x85",
            "language:xxxx",
        ],
        limitations=[HOSTILE, {"description": f"- {HOSTILE}"}],
        quality_metrics={HOSTILE: HOSTILE, "n": [1]},
    )
    data = yaml.safe_load(card.content.split("---\n")[1])
    assert data["tags"][3:7] == ["1e3", "no", "a: b # c", "x\\n---\\ny"]
    assert all(isinstance(tag, str) for tag in data["tags"])
    assert "license" not in data
    assert "base_model" not in data
    assert "name a GGUF file" in card.text
    prose_only = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", card.text.replace("\\`", ""))
    assert not re.search(r"(?<!\\)<(?!!-- hivellm-lite|!-- to here)", prose_only)
    assert not re.search(r"(?<!\\)!\[|http://|www\.|(?<!\\)\$|(?<!\\)@", prose_only)
    assert "\x1b" not in card.content
    assert package.manifest.description


def test_escapes():
    assert prose("1. a") == "1\\. a"
    assert prose("- a") == "\\- a"
    assert prose("8.9") == "8.9"
    assert code("a``b") == "``` a``b ```"
    for text in ('"', "\\", "\x00\x7f\x85", "\ufffe", "\U0001f600", "0o17", "null", "a\nb"):
        assert isinstance(yaml.safe_load(yaml_text(text)), str)
    assert yaml.safe_load(yaml_text('a "b" \\ 😀')) == 'a "b" \\ 😀'


def test_what_was_measured_is_told_with_its_base(tmp_path, cache):
    package, _ = card_of(tmp_path, cache)
    loss = AdapterLoss(0.012, 0.05, "blk.0", Divergence(1e-4, 1e-2, 120, "built-in texts"))
    report = LowRankAdapterReport(
        ("DoRA",), "smaller", 1000, loss, 8, 1e-3, 1e-2, "float weights of Tiny"
    )
    info = {"expert": "expert-sql@0.3.0", "adapter": report.as_dict()}
    entry, _ = cache.get_or_build("adapters", "a" * 64, lambda _: info, sources=[package.source])
    found = {"kl_mean": 2e-4, "kl_max": 1e-2, "top1": 0.991, "positions": 240}
    tensors = [{"name": "t", "served": 1e-3, "base": 0.0, "delta": 2e-2}]
    record = {"source": "float weights of Tiny", "tensors": tensors, "served": found}
    entry.record("verification", {**record, "base_only": None})
    body = model_card(card_facts(package, Cache(cache.root), reference="me/sql")).body
    assert "## Measured fidelity" in body
    assert "Converted to a low-rank GGUF LoRA (8 extra ranks, from float weights of Tiny)" in body
    assert "- Loses 1.0 % of its effect (KL 1.0e-04" in body
    assert "at most 2.0e-02 (relative) from PEFT's merge of float weights of Tiny" in body
    assert "same most probable token at 99.1% of 240 places" in body
    assert str(tmp_path) not in body
    assert "not been measured" not in body
