"""What a converted base does otherwise than Transformers, and bases that change meanwhile."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hivellm_lite import Expert, LoadError, PackageError
from hivellm_lite.adapters import AdapterOptions, prepare_adapter
from hivellm_lite.bases import find_base
from hivellm_lite.bases.parts import base_parts
from hivellm_lite.package import open_package

from ..support.devices import tolerance
from ..support.packages import manifest_v2
from ..support.paths import FIXTURES

MODELS = FIXTURES / "models"


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def windowed(tmp_path):
    """A base with a sliding window that llama.cpp does not apply."""
    folder = tmp_path / "windowed"
    shutil.copytree(MODELS / "tiny-qwen3", folder)
    change_config(
        folder,
        use_sliding_window=True,
        sliding_window=16,
        max_window_layers=0,
        layer_types=None,
    )
    return folder


@pytest.fixture
def package(tmp_path):
    """A folder with an adapter for it."""
    folder = tmp_path / "expert"
    shutil.copytree(FIXTURES / "adapters" / "tiny-qwen3" / "plain", folder)
    manifest = manifest_v2(base_models=[{"name": "windowed"}])
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


class TestNotes:
    def test_are_kept_with_the_converted_base(self, package, windowed, cache):
        opened = open_package(package, cache=cache)
        first = find_base(opened, given=windowed, cache=cache)
        again = find_base(opened, given=windowed, cache=cache)
        by_name = find_base(opened, given=None, cache=cache)
        assert first.converted
        assert not again.converted
        assert "window of 16 tokens is not applied" in first.notes[0]
        assert first.notes == again.notes == by_name.notes

    def test_are_shown_by_every_command_that_uses_the_base(self, package, windowed, tool, home):
        for _again in range(2):
            code, out, _ = tool("convert", package, "--base", windowed)
            assert code == 0
            assert "note     the sliding attention window of 16" in out
            _, out, _ = tool("convert", package, "--base", windowed, "--json")
            assert "window of 16" in json.loads(out)["base_notes"][0]
        _, out, err = tool("run", package, "Hi", "--base", windowed, "--max-tokens", 2)
        assert err.count("window of 16 tokens") == 1
        assert "window" not in out
        _, out, _ = tool("inspect", package)
        assert "base note     the sliding attention window" in out
        _, out, _ = tool("inspect", package, "--json")
        assert "window of 16" in json.loads(out)["base_notes"][0]

    def test_of_a_base_inside_the_package_are_shown(self, package, windowed, tool, home):
        shutil.copytree(windowed, package / "base")
        assert tool("convert", package)[0] == 0
        assert "base note" in tool("inspect", package)[1]

    def test_are_none_where_nothing_differs(self, package, tool, home):
        base = MODELS / "tiny-qwen3"
        _, _, err = tool("run", package, "Hi", "--base", base, "--max-tokens", 2)
        assert "note" not in err

    def test_stand_at_the_expert(self, package, windowed, home):
        with Expert.load(package, base=windowed, n_ctx=256) as expert:
            assert expert.notes == expert.base.notes != ()


class TestInputsThatChange:
    def changing(self, path: Path, when: str, data: bytes | None = None):
        """A progress report that changes ``path`` at the first ``when``."""
        done = []

        def report(label: str, _done: int, _total: int) -> None:
            if label == when and not done:
                done.append(path)
                path.write_bytes(path.read_bytes() + b" " if data is None else data)

        return report

    @pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja"])
    def test_of_a_base_leave_no_entry(self, name, package, windowed, cache):
        opened = open_package(package, cache=cache)
        change = self.changing(windowed / name, "Converting the base", b"{}")
        with pytest.raises(LoadError, match=r"was changed while it was converted\nTry again"):
            find_base(opened, given=windowed, cache=cache, progress=change)
        assert [*cache.entries("bases")] == []

    def test_of_a_base_count_where_they_come_back(self, package, windowed, cache):
        opened = open_package(package, cache=cache)
        before = (windowed / "config.json").read_bytes()
        change = self.changing(windowed / "config.json", "Converting the base")
        with pytest.raises(LoadError, match="was changed while"):
            find_base(opened, given=windowed, cache=cache, progress=change)
        (windowed / "config.json").write_bytes(before)
        found = find_base(opened, given=windowed, cache=cache)
        assert found.converted
        assert found.notes

    def test_of_a_split_leave_no_entry(self, tiny_base, cache, tmp_path):
        base = tmp_path / "base.gguf"
        shutil.copy(tiny_base, base)
        with pytest.raises(LoadError, match="was changed while"):
            base_parts(base, cache, self.changing(base, "Splitting the base"))
        assert [*cache.entries("splits")] == []

    @pytest.mark.parametrize("changed", ["base", "package"])
    def test_of_an_adapter_leave_no_entry(self, changed, cache, tmp_path):
        folder = tmp_path / "dora"
        shutil.copytree(FIXTURES / "adapters" / "tiny-llama" / "dora", folder)
        manifest = manifest_v2(base_models=[{"name": "x"}])
        (folder / "manifest.json").write_text(json.dumps(manifest))
        package = open_package(folder, cache=cache)
        base = tmp_path / "base.gguf"
        shutil.copy(
            find_base(package, given=MODELS / "tiny-llama", cache=cache, quantization="f32").path,
            base,
        )
        path = base if changed == "base" else folder / "adapter_config.json"
        with pytest.raises((LoadError, PackageError), match="was changed while"):
            prepare_adapter(
                package,
                base,
                cache,
                AdapterOptions(mode="exact"),
                progress=self.changing(path, "Merging the variant"),
            )
        assert [*cache.entries("adapters")] == []

    def test_of_an_archive_do_not_matter_once_it_is_unpacked(self, tiny_base, cache, tiny_package):
        path = tiny_package()
        package = open_package(path, cache=cache)
        path.write_bytes(b"other")
        assert prepare_adapter(package, tiny_base, cache).converted


class TestLongRope:
    @pytest.fixture
    def long(self, tmp_path):
        """A base whose long factors differ much from the short ones, from 256 positions on."""
        folder = tmp_path / "windowed"
        shutil.copytree(MODELS / "tiny-phi3", folder)
        rope = {
            "rope_type": "longrope",
            "rope_theta": 1e4,
            "short_factor": [1.0] * 8,
            "long_factor": [float(4 + i) for i in range(8)],
            "original_max_position_embeddings": 256,
        }
        change_config(
            folder,
            rope_parameters=rope,
            max_position_embeddings=2048,
            sliding_window=None,
            original_max_position_embeddings=256,
        )
        return folder

    @pytest.fixture
    def phi(self, tmp_path):
        folder = tmp_path / "phi"
        shutil.copytree(FIXTURES / "adapters" / "tiny-phi3" / "plain", folder)
        manifest = manifest_v2(base_models=[{"name": "windowed"}])
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    def scores(self, expert):
        return [score.logprob for score in expert.score("How many?", "SELECT 1 FROM users")]

    def test_a_context_beyond_the_original_one_is_noted(self, phi, long, home):
        with Expert.load(phi, base=long, n_ctx=256) as expert:
            assert expert.notes == ()
            short = self.scores(expert)
        with Expert.load(phi, base=long, n_ctx=512) as expert:
            assert "n_ctx=512 is more than the 256 positions" in expert.notes[0]
            assert "exact with n_ctx=256" in expert.notes[0]
            assert self.scores(expert) != pytest.approx(short, abs=1e-3)

    def test_answers_do_not_depend_on_how_many_are_asked_together(self, phi, long, home):
        options = {"max_tokens": 4, "grammar": "off"}
        with Expert.load(phi, base=long, n_ctx=1024, max_streams=4) as expert:
            alone = self.scores(expert)
            expert.generate_batch([f"Question {n}?" for n in range(4)], **options)
            assert expert.session.scheduler.kv.context.n_ctx > 256
            assert self.scores(expert) == pytest.approx(alone, abs=tolerance(1e-3))

    def test_a_state_of_other_factors_is_refused(self, phi, long, home, tmp_path):
        with Expert.load(phi, base=long, n_ctx=256) as expert:
            expert.generate("How many orders are there? " * 4, max_tokens=2)
            expert.save_state(tmp_path / "state")
        with (
            Expert.load(phi, base=long, n_ctx=512) as expert,
            pytest.raises(LoadError, match="long_rope"),
        ):
            expert.load_state(tmp_path / "state")


class TestYarn:
    def test_betas_reach_llama_cpp(self, package, tmp_path, home):
        rope = {
            "rope_type": "yarn",
            "rope_theta": 1e4,
            "factor": 8.0,
            "original_max_position_embeddings": 64,
        }
        found = {}
        for name, betas in (
            ("plain", {}),
            ("default", {"beta_fast": 32.0, "beta_slow": 1.0}),
            ("others", {"beta_fast": 4.0, "beta_slow": 0.1}),
        ):
            folder = tmp_path / name
            shutil.copytree(MODELS / "tiny-qwen3", folder)
            change_config(folder, rope_parameters={**rope, **betas}, max_position_embeddings=512)
            with Expert.load(package, base=folder, n_ctx=256) as expert:
                found[name] = [s.logprob for s in expert.score("How many?", "SELECT 1 FROM t")]
        assert found["plain"] == pytest.approx(found["default"], abs=1e-4)
        assert found["others"] != pytest.approx(found["default"], abs=1e-3)
