"""Experts with soft prompts: what they compute, keep, count and refuse."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hivellm_lite.converters.base import convert_base

from hivellm_lite import ContextLengthError, Expert, ExpertManager, InferenceError, LoadError
from hivellm_lite.errors import PackageError
from hivellm_lite.expert import loaded_of
from hivellm_lite.verification import log_probabilities, verify_conversion

from .support.packages import manifest_bytes, manifest_v2, write_package
from .support.paths import FIXTURES
from .support.soft_prompts import PLACE, REFERENCE, listed_package, matrix_package, peft_package

MODELS = np.load(FIXTURES / "reference.npz")

PEFT = sorted(
    f"{folder.parent.name}/{folder.name}" for folder in PLACE.glob("tiny-*/*") if folder.is_dir()
)
BESIDE = sorted(name.removesuffix("/rows") for name in REFERENCE if name.endswith("/rows"))

EXACT = {"kv_type": "f32", "flash_attention": False, "n_ctx": 128, "device": "cpu"}
GREEDY = {"template": "raw", "max_tokens": 6, "temperature": 0.0, "stop": ()}


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """F32 GGUFs of the tiny models, each made once."""
    folder = tmp_path_factory.mktemp("bases")

    def base(name: str) -> Path:
        path = folder / f"{name}.gguf"
        if not path.exists():
            convert_base(FIXTURES / "models" / name, path, quant="f32")
        return path

    return base


def largest_error(expert: Expert, model: str, expected: np.ndarray) -> float:
    """Of the log-probabilities at the last places of the first text of the fixtures."""
    ids = [int(token) for token in MODELS[f"{model}/ids/0"]]
    effect = loaded_of(expert).effect()

    def read(context, end):
        return np.stack([context.logits(i) for i in range(end - len(expected) + 1, end + 1)])

    found = expert.session.compute([*effect.prefix, *ids], effect.applied, len(expected), read)
    return float(abs(logs(found) - logs(expected)).max())


def logs(logits: np.ndarray) -> np.ndarray:
    values = logits.astype(np.float64)
    values -= values.max(axis=1, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=1, keepdims=True))


class TestEquality:
    @pytest.mark.parametrize("name", PEFT)
    def test_a_soft_prompt_gives_the_probabilities_of_peft(self, name, tmp_path, bases) -> None:
        model = name.split("/")[0]
        package = peft_package(tmp_path / "x.expert", name)
        with Expert.load(package, base=bases(model), **EXACT) as expert:
            assert expert.prepared.form == "soft-prompt"
            assert largest_error(expert, model, REFERENCE[name]) < 1e-3
            effect = abs(REFERENCE[name] - MODELS[f"{model}/logits/0"][-6:]).max()
            assert effect > 0.1  # so that the test can fail

    @pytest.mark.parametrize(
        ("name", "mode"),
        [(name, "exact") for name in BESIDE]  # the low-rank form of a DoRA is not exact
        + [(name, "lora") for name in BESIDE if name.endswith("plain")],
    )
    def test_a_soft_prompt_beside_an_adapter_gives_its_probabilities(
        self, name, mode, tmp_path, bases
    ) -> None:
        model = name.split("/")[0]
        package = listed_package(tmp_path / "x.expert", name)
        options = {**EXACT, "adapter_mode": mode, "float_weights": FIXTURES / "models" / model}
        if mode == "exact":
            options["variant_type"] = "f32"
        with Expert.load(package, base=bases(model), **options) as expert:
            assert largest_error(expert, model, REFERENCE[f"{name}/rows"]) < 1e-3

    @pytest.mark.parametrize("name", ["view.pth", "state.pt"])
    def test_every_exact_file_of_torch_gives_the_same_rows(self, name, tmp_path, tiny_base) -> None:
        package = listed_package(tmp_path / "x.expert", torch_file=name)
        with Expert.load(package, base=tiny_base, **EXACT) as expert:
            rows = loaded_of(expert).soft_prompt
            assert rows is not None
            assert np.array_equal(rows.embeddings, REFERENCE["rows"])


@pytest.fixture
def prompted(tmp_path: Path, tiny_base: Path) -> Iterator[Expert]:
    """An expert that is a soft prompt of five virtual tokens."""
    package = peft_package(tmp_path / "prompted.expert", "tiny-llama/prompt-tuning")
    with Expert.load(package, base=tiny_base, **EXACT) as expert:
        yield expert


@pytest.fixture
def beside(tmp_path: Path, tiny_base: Path) -> Iterator[Expert]:
    """A LoRA with a soft prompt of seven virtual tokens."""
    package = listed_package(tmp_path / "beside.expert")
    with Expert.load(package, base=tiny_base, **EXACT) as expert:
        yield expert


PROMPTS = [f"select {word} from users where" for word in ("a", "bb", "name", "the age", "it")]


def texts(results: Sequence[object]) -> list[str]:
    return [one.text for one in results]  # type: ignore[attr-defined]


class TestAnswers:
    def test_batches_streams_and_coroutines_give_the_answers_of_single_requests(
        self, beside
    ) -> None:
        alone = [beside.generate(prompt, **GREEDY) for prompt in PROMPTS]
        assert texts(beside.generate_batch(PROMPTS, **GREEDY)) == texts(alone)
        with beside.generate_stream(PROMPTS[0], **GREEDY) as stream:
            assert "".join(stream) == alone[0].text
        assert asyncio.run(beside.agenerate(PROMPTS[1], **GREEDY)).text == alone[1].text

    def test_the_soft_prompt_is_computed_once(self, prompted) -> None:
        first = prompted.generate(PROMPTS[0], **GREEDY)
        again = prompted.generate("quite another prompt of this expert", **GREEDY)
        assert first.cached_prompt_tokens == 0
        assert again.cached_prompt_tokens == 5

    def test_a_cached_prompt_gives_the_same_bits(self, prompted) -> None:
        options = {**GREEDY, "logprobs": 3}
        cold = prompted.generate(PROMPTS[0], **options)
        warm = prompted.generate(PROMPTS[0], **options)
        assert warm.cached_prompt_tokens > 5
        assert warm.logprobs == cold.logprobs

    def test_virtual_tokens_are_counted(self, prompted) -> None:
        n_tokens = len(prompted.tokenize_prompt(PROMPTS[0], template="raw"))
        result = prompted.generate(PROMPTS[0], **GREEDY)
        assert result.prompt_tokens == n_tokens + 5
        assert result.virtual_prompt_tokens == 5

    def test_virtual_tokens_take_room_in_the_context(self, tmp_path, tiny_base) -> None:
        package = peft_package(tmp_path / "x.expert", "tiny-llama/prompt-tuning")
        options = {**EXACT, "n_ctx": 256}
        with Expert.load(package, base=tiny_base, **options) as expert:
            n_ctx = expert.session.n_ctx
            word, n = "a", 1
            while n + 5 < n_ctx:
                word += " a"
                n = len(expert.tokenize_prompt(word, template="raw"))
            with pytest.raises(ContextLengthError, match="5 of them of the soft prompt"):
                expert.generate(word, **GREEDY)
            result = expert.generate(word[:-20], template="raw", max_tokens=400)
            assert result.prompt_tokens + result.completion_tokens <= n_ctx

    def test_scores_are_those_of_the_answer(self, beside) -> None:
        result = beside.generate(PROMPTS[0], logprobs=0, **GREEDY)
        scores = beside.score(PROMPTS[0], result.text, template="raw")
        for score, token in zip(scores, result.logprobs, strict=False):
            assert score.token == token.token
            assert score.logprob == pytest.approx(token.logprob, abs=1e-3)

    def test_penalties_ignore_virtual_tokens(self, prompted) -> None:
        result = prompted.generate(PROMPTS[0], repetition_penalty=1.3, **GREEDY)
        assert result.completion_tokens > 0

    def test_scale_0_is_the_base_alone(self, prompted, beside) -> None:
        assert loaded_of(prompted).effect(0.0).prefix == ()
        one = prompted.generate(PROMPTS[0], adapter_scale=0.0, logprobs=1, **GREEDY)
        other = beside.generate(PROMPTS[0], adapter_scale=0.0, logprobs=1, **GREEDY)
        assert one.logprobs == other.logprobs
        assert one.virtual_prompt_tokens == 0

    def test_a_soft_prompt_has_no_other_scale(self, prompted) -> None:
        with pytest.raises(ValueError, match="a soft prompt has no scale"):
            prompted.generate(PROMPTS[0], adapter_scale=0.5)

    def test_the_scale_of_an_adapter_leaves_the_soft_prompt(self, beside) -> None:
        half = loaded_of(beside).effect(0.5)
        assert half.applied[0][1] == 0.5
        assert len(half.prefix) == 7


class TestSharing:
    def test_experts_on_one_base_never_take_each_other_s_prefixes(
        self, tmp_path, tiny_base
    ) -> None:
        names = ["prompt-tuning", "p-tuning", "cpt"]
        packages = {n: peft_package(tmp_path / f"{n}.expert", f"tiny-llama/{n}") for n in names}
        alone = {}
        for name, package in packages.items():
            with Expert.load(package, base=tiny_base, **EXACT) as expert:
                alone[name] = expert.generate(PROMPTS[0], logprobs=2, **GREEDY).logprobs
        assert len({one[0].logprob for one in alone.values()}) == 3
        with ExpertManager(base=tiny_base, **EXACT) as manager:
            for name, package in packages.items():
                manager.load_expert(name, package)
            for name in [*names, "base", *reversed(names), *names]:
                found = manager.generate(name, PROMPTS[0], logprobs=2, **GREEDY).logprobs
                if name != "base":
                    assert found == alone[name]
            with pytest.raises(InferenceError, match="cannot be blended: a soft prompt"):
                manager.generate({"cpt": 0.5, "p-tuning": 0.5}, PROMPTS[0])

    def test_prefixes_are_parked_and_restored(self, tmp_path, tiny_base) -> None:
        packages = [listed_package(tmp_path / "a.expert"), listed_package(tmp_path / "b.expert")]
        options = {**EXACT, "max_streams": 1}
        with (
            Expert.load(packages[0], base=tiny_base, **options) as one,
            Expert.load(packages[1], base=tiny_base, **options) as other,
        ):
            prompt = "select the names of all users that are older than the others"
            first = one.generate(prompt, logprobs=1, **GREEDY)
            other.generate(prompt, **GREEDY)
            again = one.generate(prompt, logprobs=1, **GREEDY)
            assert one.session.scheduler.kv.counters.restored >= 1
            assert again.cached_prompt_tokens > 7
            assert again.logprobs == first.logprobs

    def test_a_batch_shares_one_soft_prompt(self, tmp_path, tiny_base) -> None:
        rows = np.random.default_rng(0).normal(size=(40, 64)).astype("f4")
        package = matrix_package(tmp_path / "x.expert", rows)
        with Expert.load(package, base=tiny_base, **EXACT) as expert:
            results = expert.generate_batch(PROMPTS, **GREEDY)
        assert [one.cached_prompt_tokens >= 40 for one in results].count(True) == len(PROMPTS) - 1

    def test_a_saved_state_belongs_to_its_soft_prompt(self, tmp_path, tiny_base) -> None:
        file = tmp_path / "state"
        packages = {
            name: listed_package(tmp_path / f"{name}.expert", torch_file=name)
            for name in ("parameter.pt", "half.bin")
        }
        with Expert.load(packages["parameter.pt"], base=tiny_base, **EXACT) as expert:
            first = expert.generate(PROMPTS[0], logprobs=1, **GREEDY)
            n_saved = expert.save_state(file)
            assert n_saved == first.prompt_tokens
        with Expert.load(packages["parameter.pt"], base=tiny_base, **EXACT) as expert:
            assert expert.load_state(file) == n_saved
            again = expert.generate(PROMPTS[0], logprobs=1, **GREEDY)
            assert again.cached_prompt_tokens > 7
            assert again.logprobs == first.logprobs
        options = {**EXACT, "soft_prompt": "none"}
        with (
            Expert.load(packages["parameter.pt"], base=tiny_base, **options) as expert,
            pytest.raises(LoadError, match="soft_prompt"),
        ):
            expert.load_state(file)

    def test_only_a_prompt_with_the_soft_prompt_is_saved(self, prompted, tmp_path) -> None:
        prompted.generate(PROMPTS[0], adapter_scale=0.0, **GREEDY)
        with pytest.raises(InferenceError, match="nothing of"):
            prompted.save_state(tmp_path / "state")

    @pytest.mark.usefixtures("watchdog")
    def test_threads_that_load_ask_and_close_get_the_right_answers(
        self, tmp_path, tiny_base, nothing_is_left
    ) -> None:
        names = ["prompt-tuning", "p-tuning", "cpt"]
        packages = {n: peft_package(tmp_path / f"{n}.expert", f"tiny-llama/{n}") for n in names}
        expected = {}
        for name, package in packages.items():
            with Expert.load(package, base=tiny_base, **EXACT) as expert:
                expected[name] = texts(expert.generate_batch(PROMPTS, **GREEDY))
        wrong: list[str] = []

        def work(name: str) -> None:
            for _ in range(4):
                with Expert.load(packages[name], base=tiny_base, **EXACT) as expert:
                    with expert.generate_stream(PROMPTS[2], template="raw") as stream:
                        next(stream, None)  # and the rest is cancelled
                    if texts(expert.generate_batch(PROMPTS, **GREEDY)) != expected[name]:
                        wrong.append(name)

        threads = [threading.Thread(target=work, args=(name,)) for name in [*names, *names]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


class TestChoice:
    def contents(self) -> dict[str, bytes]:
        parameter = (PLACE / "torch" / "parameter.pt").read_bytes()
        return {"first": parameter, "second": (PLACE / "torch" / "state.pt").read_bytes()}

    def test_the_first_is_used_and_others_have_names(self, tmp_path, tiny_base) -> None:
        package = listed_package(tmp_path / "x.expert", **self.contents())
        with Expert.load(package, base=tiny_base, **EXACT) as expert:
            assert any("'first' is used; others are 'second'" in note for note in expert.notes)
        with Expert.load(package, base=tiny_base, soft_prompt="second", **EXACT) as expert:
            assert expert.notes == ()
            assert loaded_of(expert).soft_prompt is not None

    def test_a_manifest_with_a_soft_prompt_alone_is_an_expert(self, tmp_path, tiny_base) -> None:
        base = {"name": "tiny"}
        listed = [{"path": "intro.pt"}]
        manifest = {**manifest_v2(name="x", base_models=[base]), "soft_prompts": listed}
        content = (PLACE / "torch" / "parameter.pt").read_bytes()
        files = {"manifest.json": manifest_bytes(manifest), "intro.pt": content}
        package = write_package(tmp_path / "x.expert", files)
        with Expert.load(package, base=tiny_base, **EXACT) as expert:
            assert expert.prepared.form == "soft-prompt"
            assert expert.generate(PROMPTS[0], **GREEDY).virtual_prompt_tokens == 7

    def test_what_gemma_2_does_otherwise_is_noted(self, tmp_path, bases) -> None:
        package = peft_package(tmp_path / "x.expert", "tiny-gemma2/prompt-tuning")
        with Expert.load(package, base=bases("tiny-gemma2"), **EXACT) as expert:
            assert any("acts as in Transformers 5" in note for note in expert.notes)

    def test_none_uses_no_soft_prompt(self, tmp_path, tiny_base) -> None:
        package = listed_package(tmp_path / "x.expert")
        with Expert.load(package, base=tiny_base, soft_prompt="none", **EXACT) as expert:
            assert loaded_of(expert).effect().prefix == ()

    def test_an_unknown_name_is_an_error(self, tmp_path, tiny_base) -> None:
        package = listed_package(tmp_path / "x.expert")
        with pytest.raises(PackageError, match=r"no soft prompt 'outro'\nThe package has 'intro'"):
            Expert.load(package, base=tiny_base, soft_prompt="outro", **EXACT)

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (None, "is not in the package"),
            (b"\x80\x02cos\nsystem\n", "is no zip"),
            ((PLACE / "torch" / "module.pt").read_bytes(), "torch.nn.modules"),
        ],
    )
    def test_one_that_cannot_be_read_is_left_out_with_a_note(
        self, content, why, tmp_path, tiny_base
    ) -> None:
        package = listed_package(tmp_path / "x.expert", intro=content)
        with Expert.load(package, base=tiny_base, **EXACT) as expert:
            (note,) = expert.notes
            assert "'intro' is left out" in note
            assert why in note
            assert expert.generate(PROMPTS[0], **GREEDY).virtual_prompt_tokens == 0

    def test_one_for_another_width_is_left_out_with_a_note(self, tmp_path, tiny_base) -> None:
        package = matrix_package(tmp_path / "x.expert", np.ones((3, 32), "f4"))
        with Expert.load(package, base=tiny_base, **EXACT) as expert:
            assert any("trained for another base" in note for note in expert.notes)

    @pytest.mark.parametrize(
        ("name", "why"), [("prefix-tuning", "KV cache"), ("multitask", "name its task")]
    )
    def test_other_prompts_of_peft_are_refused_by_name(
        self, name, why, tmp_path, tiny_base
    ) -> None:
        package = peft_package(tmp_path / "x.expert", f"refused/{name}")
        with pytest.raises(LoadError, match=why):
            Expert.load(package, base=tiny_base)


def test_the_conversion_of_a_soft_prompt_is_verified(prompted) -> None:
    result = verify_conversion(prompted, [PROMPTS[0]], max_tokens=4)
    (rows,) = result.tensors
    assert rows.served == 0.0
    assert result.served is not None
    assert result.served.kl_max < 1e-6


def test_the_verification_beside_an_adapter_has_the_soft_prompt(beside) -> None:
    result = verify_conversion(beside, [PROMPTS[0]], max_tokens=4)
    assert result.served is not None
    assert result.served.kl_max < 1e-6
    prefix = loaded_of(beside).effect().prefix
    tokens = beside.tokenize_prompt(PROMPTS[0], template="raw")
    session, applied = beside.session, beside.applied()
    with_rows = log_probabilities(session, applied, [*prefix, *tokens], [1, 2])
    assert abs(with_rows - log_probabilities(session, applied, tokens, [1, 2])).max() > 0.1
