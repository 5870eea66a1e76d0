"""Manifests of both schemas: what real files look like, and every way to get them wrong."""

from __future__ import annotations

from typing import Any

import pytest

from hivellm_lite.errors import ManifestError
from hivellm_lite.manifest import (
    MAX_PROBLEMS_SHOWN,
    BaseModel,
    Constraints,
    Decoding,
    Manifest,
    Routing,
    SoftPrompt,
    parse_manifest,
)

from .packages import manifest_bytes, manifest_v1, manifest_v2

DIGEST = "ab" * 32


def parse(manifest: dict[str, Any]) -> Manifest:
    return parse_manifest(manifest_bytes(manifest))


def problems(manifest: dict[str, Any]) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        parse(manifest)
    return str(caught.value).splitlines()


def only_problem(manifest: dict[str, Any]) -> str:
    first, problem = problems(manifest)
    assert first == "manifest.json: 1 problem"
    return problem


def v2_base(**fields: Any) -> dict[str, Any]:
    return manifest_v2(base_models=[{**manifest_v2()["base_models"][0], **fields}])


def v2_adapter(**fields: Any) -> dict[str, Any]:
    return v2_base(adapters=[fields])


def decoding(**fields: Any) -> dict[str, Any]:
    return manifest_v2(training={"decoding": fields})


class TestSchemas:
    def test_a_published_2_0_manifest_is_read(self) -> None:
        manifest = parse(manifest_v2())
        assert manifest.schema_version == "2.0"
        assert manifest.identity == "expert-tiny 0.3.0"
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


class TestProblems:
    def test_all_problems_are_told_at_once(self) -> None:
        manifest = v2_adapter(r="twelve", alpha=-1)
        del manifest["version"]
        lines = problems({**manifest, "routing": {"priority": "high"}, "verson": "1"})
        assert lines[0] == "manifest.json: 4 problems"
        assert lines[1] == (
            "  $.version, line 1, column 1: missing, expected a string. "
            'Did you misspell it as "verson" (line 54, column 13)?'
        )
        assert lines[2].startswith("  $.base_models[0].adapters[0].r, line 19, column 16: ")
        assert 'found "twelve", expected a whole number, 0 or more' in lines[2]
        assert "$.base_models[0].adapters[0].alpha" in lines[3]
        assert "$.routing.priority" in lines[4]

    def test_the_number_of_problems_shown_is_limited(self) -> None:
        lines = problems(manifest_v2(capabilities=[1] * 100))
        assert lines[0] == "manifest.json: 100 problems"
        assert len(lines) == MAX_PROBLEMS_SHOWN + 2
        assert lines[-1] == "  and 80 more"

    def test_a_syntax_error_names_the_source(self) -> None:
        with pytest.raises(ManifestError, match=r"^here/m\.json: line 1, column 2: "):
            parse_manifest(b"{", source="here/m.json")

    def test_a_missing_name_is_a_problem(self) -> None:
        assert "$.name, line 1, column 1: missing" in only_problem(manifest_v2(name=None))

    @pytest.mark.parametrize(
        "name",
        ["", " x", "a\nb", "\x1b[2J", "a\u202eb", "a/b", "a\\b", "..", "n" * 129, "\u200bzero"],
    )
    def test_a_name_must_be_fit_to_print_and_to_look_up(self, name: str) -> None:
        problem = only_problem(manifest_v2(name=name))
        assert "1 to 128 printable characters" in problem
        assert problem.isprintable()

    def test_a_long_name_with_spaces_and_accents_is_fit(self) -> None:
        name = "Expert für SQL " + "é" * 113
        assert parse(manifest_v2(name=name)).name == name

    def test_both_kinds_of_base_are_too_many(self) -> None:
        problem = only_problem(manifest_v2(base_model={"name": "x"}))
        assert 'found beside "base_model"' in problem

    def test_a_1_0_manifest_without_a_base(self) -> None:
        assert "$.base_model, line 1, column 1: missing" in only_problem(
            manifest_v1(base_model=None)
        )

    def test_a_2_0_manifest_without_a_base(self) -> None:
        assert "$.base_models, line 1, column 1: missing" in only_problem(
            manifest_v2(base_models=None)
        )

    def test_a_2_0_base_in_a_1_0_manifest_gets_a_hint(self) -> None:
        problem = only_problem(manifest_v2(schema_version=2.0))
        assert 'needs "schema_version": "2.0" (a string)' in problem

    def test_a_1_0_base_in_a_2_0_manifest_gets_a_hint(self) -> None:
        problem = only_problem(manifest_v1(schema_version="2.0"))
        assert 'Schema 2.0 has "base_models"' in problem

    def test_a_base_given_as_a_string_gets_a_hint(self) -> None:
        problem = only_problem(manifest_v1(base_model="tiny"))
        assert 'found "tiny", expected an object: {"name": "tiny"}' in problem

    def test_bases_given_as_an_object_get_a_hint(self) -> None:
        assert "a list of one object" in only_problem(manifest_v2(base_models={"name": "x"}))

    def test_a_package_holds_one_base(self) -> None:
        base = manifest_v2()["base_models"][0]
        problem = only_problem(manifest_v2(base_models=[base, base]))
        assert "found 2 entries, expected exactly 1" in problem
        assert "found 0 entries" in only_problem(manifest_v2(base_models=[]))

    @pytest.mark.parametrize("bases", ["tiny", ["tiny"]])
    def test_bases_that_are_no_objects_are_refused(self, bases: object) -> None:
        assert "object" in only_problem(manifest_v2(base_models=bases))

    @pytest.mark.parametrize("name", ["", "/", "a\nb", "\\ "])
    def test_a_base_needs_a_name(self, name: str) -> None:
        assert "the name of a model" in only_problem(v2_base(name=name))

    def test_a_base_without_a_name_is_a_problem(self) -> None:
        assert "$.base_models[0].name, line 9, column 15: missing" in only_problem(
            v2_base(name=None)
        )

    def test_adapters_must_be_a_list_of_objects(self) -> None:
        assert "a list of objects" in only_problem(v2_base(adapters={"r": 1}))
