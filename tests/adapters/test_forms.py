"""What a form loses of its adapter: never more than is allowed, and never hidden."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.checkpoints.opening import open_checkpoint

from hivellm_lite import Expert
from hivellm_lite.adapters.loss import ALLOWED, AdapterLoss, Divergence, loss_of, percent
from hivellm_lite.adapters.texts import BUILT_IN, texts_of
from hivellm_lite.cache import Cache
from hivellm_lite.expert import loaded_of
from hivellm_lite.package import open_package
from hivellm_lite.verification import compare, log_probabilities, verify_conversion

from ..support.made_adapters import METHODS, made_adapter
from ..support.packages import manifest_bytes, manifest_v2, write_package
from ..support.paths import FIXTURES

MODEL = FIXTURES / "models" / "tiny-llama"
OPTIONS = {"n_ctx": 256, "n_threads": 1, "kv_type": "f32", "flash_attention": False}
TYPES = ("q8_0", "q4_1", "q4_0", "f16", "f32")
TOKENS = [1, *range(40, 140)]


def load(package, base=MODEL, **options):
    return Expert.load(package, base=base, **{**OPTIONS, **options})


def weights(*modules):
    with open_checkpoint(MODEL) as tensors:
        names = [
            name.removesuffix(".weight")
            for name in tensors
            if any(name.endswith(f"{module}.weight") for module in modules)
        ]
        return {name: tensors[f"{name}.weight"].read_float32(f"{name}.weight") for name in names}


def package_of(path, method, change=0.01, **more):
    targets = weights("q_proj", "v_proj", "o_proj", "up_proj", "down_proj")
    files = made_adapter(method, targets, change=change)
    files["manifest.json"] = manifest_bytes(manifest_v2(name="made"))
    return write_package(path, {**files, **more})


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """The tiny Llama at every type; only these files are at hand, no float weights."""
    folder = tmp_path_factory.mktemp("bases")
    for name in TYPES:
        convert_base(MODEL, folder / f"{name}.gguf", quant=name)
    return {name: folder / f"{name}.gguf" for name in TYPES}


def rows(expert, session=None):
    return [log_probabilities(session or expert.session, expert.applied(), TOKENS[:1], TOKENS[1:])]


@pytest.mark.parametrize("quantization", TYPES)
@pytest.mark.parametrize("method", METHODS)
def test_no_form_loses_more_of_the_adapter_than_is_allowed(method, quantization, bases, tmp_path):
    package = package_of(tmp_path / "made.expert", method)
    with load(package, bases[quantization]) as expert:
        report, loss = expert.prepared.report, expert.prepared.loss
        assert loss.share <= ALLOWED
        assert loss.weights <= 0.02
        assert loss.worst <= 0.1
        assert loss.divergence is None or loss.divergence.is_allowed
        # what is really served, read back from the files
        served = verify_conversion(expert)
        assert max(tensor.delta**2 for tensor in served.tensors) <= 0.1
        if report.form == "variant":
            assert set(report.quantization.split(" and ")) <= {"f16", "f32"}
        found = rows(expert)
        base = loaded_of(expert).open_base()
        without = [log_probabilities(base, (), TOKENS[:1], TOKENS[1:])]
        base.release()
    with load(package, bases[quantization], adapter_mode="exact", variant_type="f32") as exact:
        meant = rows(exact)
    lost, effect = compare(meant, found).kl_mean, compare(meant, without).kl_mean
    if quantization in ("f16", "f32"):  # nothing rounds what is computed with
        assert lost <= ALLOWED * effect
    else:
        assert lost < effect
    assert not np.array_equal(found[0], without[0])


@pytest.mark.parametrize("method", ["DoRA", "DoRA, drifted", "IA³"])
@pytest.mark.parametrize("quantization", ["f16", "f32"])
def test_on_a_float_base_the_variant_is_no_worse_than_the_low_rank_form(
    method, quantization, bases, tmp_path
):
    package = package_of(tmp_path / "made.expert", method)
    asked = {
        "auto": {},
        "low-rank": {"adapter_mode": "lora", "extra_rank": 0},
        "exact": {"adapter_mode": "exact", "variant_type": "f32"},
    }
    found = {}
    for name, options in asked.items():
        with load(package, bases[quantization], **options) as expert:
            found[name] = rows(expert)
    taken = compare(found["exact"], found["auto"]).kl_mean
    rejected = compare(found["exact"], found["low-rank"]).kl_mean
    assert taken <= rejected * 1.01 + 1e-9


def test_float_weights_beside_a_quantised_base_may_be_stored_at_q8_0(tmp_path):
    package = package_of(tmp_path / "made.expert", "LoKr", change=0.3)
    with load(package, quantization="q8_0") as expert:
        assert "q8_0" in expert.prepared.report.quantization
        assert expert.prepared.loss.share <= ALLOWED


@pytest.mark.parametrize("adapter", ["head", "embedding"])
def test_a_lora_on_a_tied_head_or_embedding_becomes_a_variant(tmp_path, adapter):
    from ..support.packages import adapter_files

    files = adapter_files("tiny-qwen3", adapter)
    files["manifest.json"] = manifest_bytes(manifest_v2())
    package = write_package(tmp_path / "tied.expert", files)
    with load(package, FIXTURES / "models" / "tiny-qwen3", quantization="f32") as expert:
        assert expert.prepared.form == "variant"
        assert "llama.cpp cannot adapt separately" in expert.prepared.report.why


def test_a_form_that_was_asked_for_says_what_it_loses(tmp_path, tool, bases):
    package = package_of(tmp_path / "made.expert", "LoKr", change=0.03)
    given = [package, "--base", bases["q4_1"]]
    forced = ["--adapter-mode", "lora", "--extra-rank", "0"]
    code, out, err = tool("run", *given[:1], "Hello", *given[1:], "--max-tokens", "2", *forced)
    assert code == 0
    assert err.count("note: this form of the adapter loses 100.0 %") == 1
    assert "this form" not in out
    code, _, err = tool("run", *given[:1], "Hello", *given[1:], "--max-tokens", "2")
    assert code == 0
    assert "this form" not in err

    facts = json.loads(tool("convert", *given, *forced, "--json")[1])
    assert facts["loss"]["share"] == pytest.approx(1.0)
    assert facts["loss"]["weights"] == pytest.approx(1.0)
    assert facts["loss"]["divergence"]["served"] == facts["loss"]["divergence"]["without"]
    assert "loses    100.0 % of its effect" in tool("convert", *given, *forced)[1]
    shown = json.loads(tool("inspect", package, "--json")[1])["converted"]
    assert sorted(form["loss"]["share"] > 0.5 for form in shown) == [False, True]
    assert "100.0 % of its effect" in tool("inspect", package)[1]
    proof = tool("verify-conversion", *given, *forced)[1]
    assert "loses       100.0 % of its effect" in proof
    assert json.loads(tool("verify-conversion", *given, *forced, "--json")[1])["loss"]["share"]


def test_an_entry_that_does_not_say_what_it_loses_is_not_shown(tmp_path, tool, bases, home):
    package = package_of(tmp_path / "made.expert", "LoHa")
    load(package, bases["q4_1"]).close()
    (entry,) = home.glob("adapters/*/entry.json")
    info = json.loads(entry.read_text())
    del info["adapter"]["loss"]
    entry.write_text(json.dumps(info))
    assert json.loads(tool("inspect", package, "--json")[1])["converted"] == []


def test_nothing_of_the_measurement_stays_in_the_cache(tmp_path, bases, home):
    for method in ("DoRA", "IA³"):
        load(package_of(tmp_path / f"{method}.expert", method), bases["q8_0"]).close()
    assert not list(home.rglob("measuring"))
    assert not [path for path in (home / "tmp").rglob("*") if path.is_file()]
    for entry in home.glob("adapters/*"):
        assert not (entry / "exact.gguf").exists()


def test_too_little_disk_leaves_the_weights_to_decide(tmp_path, bases, monkeypatch):
    import shutil

    real = shutil.disk_usage
    small = lambda place: real(place)._replace(free=1000)  # noqa: E731
    package = package_of(tmp_path / "made.expert", "DoRA")
    monkeypatch.setattr(shutil, "disk_usage", small)
    with load(package, bases["f32"]) as expert:
        loss = expert.prepared.loss
        assert loss.divergence is None
        assert "of disk are free" in loss.not_measured
        assert loss.share == loss.weights <= 0.02


@pytest.mark.parametrize("name", ["tests/cases.jsonl", "examples/all.json", "tests/one.json"])
def test_the_package_s_own_examples_are_measured_where_it_has_some(tmp_path, name):
    cases = [{"prompt": "How many?", "answer": "42 of them", "schema": "t"}, {"question": "Why?"}]
    data = {
        "tests/cases.jsonl": "\n".join(map(json.dumps, cases)) + "\nnot JSON"[:0],
        "examples/all.json": json.dumps(cases),
        "tests/one.json": json.dumps(cases[0]),
    }[name]
    package = package_of(tmp_path / "made.expert", "DoRA", **{name: data.encode()})
    origin, texts = texts_of(open_package(package, cache=Cache()))
    assert origin == "the package's examples"
    assert texts[0].question == "How many?"
    assert texts[0].answer == "42 of them"
    assert texts[0].schema == "t"
    assert len(texts) == (1 if name == "tests/one.json" else 2)
    with load(package, quantization="f32") as expert:
        assert expert.prepared.loss.divergence.texts == "the package's examples"
        assert 5 < expert.prepared.loss.divergence.positions < 100


@pytest.mark.parametrize(
    "data", [b"[" * 60000, b'{"prompt": 3}', b"\xff\xfe", b'{"prompt": " "}', b"[[[]]]"]
)
def test_files_that_hold_no_example_are_passed_over(tmp_path, data):
    package = package_of(tmp_path / "made.expert", "LoRA", **{"tests/odd.json": data})
    origin, texts = texts_of(open_package(package, cache=Cache()))
    assert (origin, texts) == ("built-in texts", BUILT_IN)


def test_a_loss_in_words():
    found = Divergence(served=0.001, without=0.1, positions=200, texts="built-in texts")
    loss = AdapterLoss(0.0003, 0.001, "blk.0.attn_q.weight", found)
    assert str(loss).startswith("1.0 % of its effect (KL 1.0e-03 where the base without it has")
    assert str(loss).endswith("0.03 % of the squared change of the weights")
    assert loss_of({"form": "low-rank", "loss": loss.as_dict()}) == loss
    noisy = AdapterLoss(0.5, 0.5, None, Divergence(0.1, 0.11, 10, "texts", noise=0.1))
    assert noisy.share == 0.5
    assert "too small to measure" in str(noisy)
    assert str(loss_of({"form": "lora"})) == "nothing"
    assert [percent(x) for x in (0, 1e-7, 0.00034, 0.019, 1.0)] == [
        *("0 %", "1e-05 %", "0.03 %", "1.9 %", "100.0 %")
    ]
    assert math.isclose(Divergence(0.0, 0.0, 1, "").share, 0.0)
