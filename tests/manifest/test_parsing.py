"""Manifests of both schemas: what real files look like."""

from __future__ import annotations

import pytest

from hivellm_lite.manifest import (
    BaseModel,
    Constraints,
    Decoding,
    Routing,
    SoftPrompt,
)

from ..support.manifests import decoding, only_problem, parse, v2_adapter
from ..support.packages import manifest_v1, manifest_v2

DIGEST = "ab" * 32


class TestSchemas:
    def test_a_published_2_0_manifest_is_read(self) -> None:
        manifest = parse(manifest_v2())
        assert manifest.schema_version == "2.0"
        assert manifest.identity == "expert-tiny@0.3.0"
        assert manifest.description == "Consultas curtas e válidas"
        assert manifest.license == "cc-by-4.0"
        assert manifest.base.short_name == "tiny-base"
        assert manifest.base.sha256 is None
        assert manifest.base.prompt_template == "qwen3"
        assert manifest.base.rope_scaling["factor"] == 8.0
        (adapter,) = manifest.adapters
        assert (adapter.type, adapter.r, adapter.alpha) == ("dora", 4, 8.0)
        assert adapter.target_modules == ("q_proj", "v_proj")
        assert (adapter.path, adapter.sha256, adapter.size_bytes) == (None, None, None)
        assert manifest.capabilities == ("database:sql", "language:en")
        assert manifest.routing == Routing(("sql", "table"), ("what is",), None, 0.8)
        assert manifest.constraints == Constraints(10, 6, (), ())
        assert manifest.decoding == Decoding(
            stop_sequences=(";", "\n\n"), temperature=0.7, top_p=0.8, top_k=20, min_p=0.0
        )
        assert manifest.integrity is None
        assert manifest.notes == ()
        assert manifest.raw == manifest_v2()

    def test_a_1_0_manifest_has_its_adapters_at_the_root(self) -> None:
        manifest = parse(manifest_v1())
        assert manifest.schema_version == "1.0"
        assert manifest.base.name == "org/tiny-base"
        assert manifest.base.rope_scaling == "yarn-128k"
        assert manifest.adapters[0].path == "weights/tiny/adapter"

    @pytest.mark.parametrize("version", ["1.0", "1.1", "", 1, 2.0, "3.0", None])
    def test_every_version_but_2_0_means_1_0(self, version: object) -> None:
        assert parse(manifest_v1(schema_version=version)).schema_version == "1.0"

    def test_absent_and_null_options_have_defaults(self) -> None:
        least = {"name": "x", "version": "1", "base_model": {"name": "b"}}
        optional = ["routing", "constraints", "training", "integrity", "license", "adapters"]
        optional += ["capabilities", "author", "soft_prompts", "description", "schema_version"]
        bare, nulls = parse(least), parse({**least, **dict.fromkeys(optional)})
        assert bare.routing == nulls.routing == Routing()
        assert bare.constraints == nulls.constraints == Constraints()
        assert bare.decoding == nulls.decoding == Decoding()
        assert bare.base == nulls.base == BaseModel("b")
        assert bare.adapters == nulls.adapters == ()
        assert nulls.integrity is None

    def test_unknown_keys_and_comments_are_kept_but_change_nothing(self) -> None:
        manifest = parse(manifest_v2(_comment=5, perf={"x": 1}))
        assert manifest.raw["perf"] == {"x": 1}
        assert manifest.base == parse(manifest_v2()).base

    @pytest.mark.parametrize("name", ["m", "org/m", "F:/a/m", "F:\\a\\m", "/a/b/m/", "a\\m\\"])
    def test_the_last_component_names_the_base(self, name: str) -> None:
        assert BaseModel(name).short_name == "m"

    def test_the_author_may_be_an_object(self) -> None:
        assert parse(manifest_v2(author={"name": "A", "email": "a@b.c"})).author == "A <a@b.c>"
        assert parse(manifest_v2(author={"name": "A"})).author == "A"
        assert parse(manifest_v2(author={"email": "a@b.c"})).author == "a@b.c"
        assert parse(manifest_v2(author={})).author is None
        assert parse(manifest_v2(author="A")).author == "A"

    def test_soft_prompts_are_listed(self) -> None:
        listed = [{"name": "intro", "path": "soft/intro.pt", "tokens": 8}]
        assert parse(manifest_v2(soft_prompts=listed)).soft_prompts == (
            SoftPrompt("intro", "soft/intro.pt"),
        )


class TestDigests:
    @pytest.mark.parametrize("text", [DIGEST, DIGEST.upper(), f"sha256:{DIGEST}", f" {DIGEST}\n"])
    def test_a_digest_may_have_a_prefix_and_any_case(self, text: str) -> None:
        assert parse(v2_adapter(sha256=text)).adapters[0].sha256 == DIGEST

    @pytest.mark.parametrize("nothing", ["", 0, None])
    def test_zero_empty_and_null_mean_not_given(self, nothing: object) -> None:
        manifest = parse(v2_adapter(sha256=nothing, size_bytes=nothing, r=nothing or None))
        adapter = manifest.adapters[0]
        assert (adapter.sha256, adapter.size_bytes, manifest.notes) == (None, None, ())

    def test_a_placeholder_is_passed_over_with_a_note(self) -> None:
        manifest = parse(manifest_v1())
        assert manifest.base.sha256 is None
        (note,) = manifest.notes
        assert note.startswith("$.base_model.sha256, line 6, column 15")
        assert '"some_hash" is not a SHA-256' in note

    def test_a_size_is_read(self) -> None:
        assert parse(v2_adapter(size_bytes=123.0)).adapters[0].size_bytes == 123

    def test_a_rank_of_zero_means_none(self) -> None:
        assert parse(v2_adapter(type="ia3", r=0)).adapters[0].r is None

    def test_integrity_is_read(self) -> None:
        integrity = parse(
            manifest_v2(
                integrity={
                    "created_at": "2025-01-01",
                    "publisher": "p",
                    "pubkey": "ed25519:00",
                    "signature_algorithm": "Ed25519",
                    "signature": "hex:11",
                    "files": {"a b": f"sha256:{DIGEST.upper()}", "later": "", "never": None},
                }
            )
        ).integrity
        assert integrity is not None
        assert integrity.files == {"a b": DIGEST}
        assert (integrity.publisher, integrity.signature) == ("p", "hex:11")

    def test_a_wrong_digest_of_a_file_is_an_error(self) -> None:
        problem = only_problem(manifest_v2(integrity={"files": {"a b": "12"}}))
        assert '$.integrity.files["a b"], line ' in problem
        assert "expected a SHA-256" in problem


class TestDecoding:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            *(("temperature", 0), ("temperature", 2.5), ("top_p", 1), ("top_p", 0.01)),
            *(("top_k", 0), ("top_k", 40.0), ("min_p", 0), ("min_p", 1)),
            *(("repetition_penalty", 1.1), ("max_tokens", 1)),
        ],
    )
    def test_values_in_range_are_taken(self, field: str, value: float) -> None:
        assert getattr(parse(decoding(**{field: value})).decoding, field) == value

    @pytest.mark.parametrize(
        ("field", "value", "expected"),
        [
            ("temperature", -0.1, "0 or more"),
            ("temperature", "hot", "a number"),
            ("top_p", 0, "above 0 and at most 1"),
            ("top_p", 1.1, "above 0 and at most 1"),
            ("top_k", -1, "0 or more"),
            ("top_k", 2.5, "a whole number"),
            ("min_p", 1.5, "from 0 to 1"),
            ("repetition_penalty", 0, "above 0"),
            ("max_tokens", 0, "1 or more"),
            ("use_grammar", "yes", "true or false"),
            ("stop_sequences", 5, "a list of strings"),
            ("grammar_type", [], "a string"),
        ],
    )
    def test_values_out_of_range_say_the_range(
        self, field: str, value: object, expected: str
    ) -> None:
        problem = only_problem(decoding(**{field: value}))
        assert f"$.training.decoding.{field}, line" in problem
        assert expected in problem

    def test_an_empty_stop_sequence_would_stop_everything_and_is_passed_over(self) -> None:
        manifest = parse(decoding(stop_sequences=["", ";"]))
        assert manifest.decoding.stop_sequences == (";",)
        assert "empty stop sequence" in manifest.notes[0]
