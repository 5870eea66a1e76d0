"""Every way to get a manifest wrong, and what the error says."""

from __future__ import annotations

import pytest

from hivellm_lite.errors import ManifestError
from hivellm_lite.manifest.parsing import MAX_NOTES, MAX_PROBLEMS_SHOWN, parse_manifest

from ..support.manifests import only_problem, parse, problems, v2_adapter, v2_base
from ..support.packages import manifest_v1, manifest_v2


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

    def test_a_list_of_twenty_thousand_is_one_problem(self) -> None:
        problem = only_problem(manifest_v2(routing={"keywords": ["x"] * 20_000}))
        assert "$.routing.keywords" in problem
        assert "found 20000 entries, expected at most 10000" in problem

    def test_more_values_than_are_read_are_one_problem(self) -> None:
        with pytest.raises(ManifestError, match="More than 200000 values"):
            parse_manifest(b'{"capabilities": [' + b"1," * 300_000 + b"1]}")

    def test_a_priority_beyond_all_use_is_a_problem(self) -> None:
        """Sums of scores would be infinite, which is not JSON."""
        problem = only_problem(manifest_v2(routing={"priority": 1e308}))
        assert "expected a number from 0 to a million" in problem

    def test_of_many_oddities_that_are_passed_over_a_few_are_told(self) -> None:
        base = v2_base(adapters=[{"sha256": "x"}] * 5_000)
        notes = parse(base).notes
        assert len(notes) == MAX_NOTES + 1
        assert notes[-1] == "and 4980 more of this kind"

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
