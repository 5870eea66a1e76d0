"""Constraints between experts: names and ranges, refusals, load order."""

from __future__ import annotations

import itertools
import random

import pytest

from hivellm_lite.errors import InferenceError, LoadError
from hivellm_lite.manifest.compatibility import (
    MAX_ENTRIES,
    MAX_REASONS_SHOWN,
    check_loadable,
    check_together,
    dependants,
    sort_by_load_order,
    unreadable,
)
from hivellm_lite.manifest.records import BaseModel, Constraints, Manifest
from hivellm_lite.manifest.requirements import MAX_LENGTH


def expert(
    name: str, version: str = "1.0.0", *, requires=(), incompatible=(), most=None, order=None
) -> Manifest:
    return Manifest(
        name=name,
        version=version,
        schema_version="2.0",
        base=BaseModel("base"),
        raw={},
        constraints=Constraints(most, order, tuple(incompatible), tuple(requires)),
    )


def allows(entry: str, version: str) -> bool:
    """Whether an expert that requires ``entry`` may be loaded beside ``json`` of a version."""
    try:
        check_loadable(expert("new", requires=[entry]), [expert("json", version)])
    except LoadError:
        return False
    return True


def refusal(new: Manifest, *loaded: Manifest) -> list[str]:
    with pytest.raises(LoadError) as caught:
        check_loadable(new, loaded)
    return str(caught.value).splitlines()


class TestRanges:
    @pytest.mark.parametrize(
        ("written", "inside", "outside"),
        [
            ("", "0.0.1 1.0.0-rc.1 99.0.0", ""),
            ("@*", "0.0.1 99.0.0", ""),
            ("@", "0.0.1", ""),
            ("@1.2.3", "1.2.3 1.2.3+build.7 v1.2.3", "1.2.2 1.2.4 1.2.3-rc.1 2.2.3"),
            ("@=1.2.3", "1.2.3", "1.2.4"),
            ("@==1.2.3", "1.2.3", "1.2.4"),
            ("@v1.2.3", "1.2.3", "1.2.4"),
            ("@1.2", "1.2.0 1.2.9 1.2", "1.1.9 1.3.0 1.3.0-rc.1 1.2.0-rc.1"),
            ("@1.2.x", "1.2.0 1.2.9", "1.3.0"),
            ("@1.*", "1.0.0 1.9.9", "0.9.9 2.0.0 2.0.0-rc.1"),
            ("@>=1.0.0", "1.0.0 1.10.0 2.0.0", "0.9.9 1.0.0-rc.1"),
            ("@>1.2.3", "1.2.4 1.10.0", "1.2.3 1.2.3-rc.1"),
            ("@>1.2", "1.3.0 2.0.0", "1.2.9 1.2.0"),
            ("@<=0.9.0", "0.9.0 0.1.0 0.9.0-rc.1", "0.9.1 1.0.0"),
            ("@<=0.9", "0.9.5", "0.10.0"),
            ("@<2.0.0", "1.9.9 0.0.1", "2.0.0 2.0.0-beta 2.1.0"),
            ("@<2.0.0-rc.2", "1.9.9 2.0.0-rc.1 2.0.0-beta", "2.0.0-rc.2 2.0.0"),
            ("@^1.2.3", "1.2.3 1.9.0", "1.2.2 2.0.0 2.0.0-rc.1"),
            ("@^1.2", "1.2.0 1.9.0", "1.1.0 2.0.0"),
            ("@^0.3.1", "0.3.1 0.3.9", "0.3.0 0.4.0"),
            ("@^0.0.3", "0.0.3", "0.0.4"),
            ("@^0.0", "0.0.9", "0.1.0"),
            ("@^0", "0.9.0", "1.0.0"),
            ("@~1.2.3", "1.2.3 1.2.9", "1.2.2 1.3.0"),
            ("@~1.2", "1.2.0 1.2.9", "1.3.0"),
            ("@~1", "1.0.0 1.9.9", "2.0.0"),
            ("@>=1.0,<2", "1.0.0 1.9.9", "0.9.0 2.0.0"),
            ("@>=1.0 <2", "1.0.0 1.9.9", "0.9.0 2.0.0"),
            ("@ >= 1.0 , < 2 ", "1.0.0 1.9.9", "0.9.0 2.0.0"),
            ("@>=1.0<2", "1.0.0 1.9.9", "0.9.0 2.0.0"),
            ("@>=2,<1", "", "0.5.0 1.5.0 2.5.0"),
            ("<=0.9.0", "0.9.0", "1.0.0"),
            (" >= 1.0", "1.0.0", "0.9.0"),
            ("@>=999999999", "999999999.0.0", "999999998.9.9"),
        ],
    )
    def test_a_range_says_which_versions(self, written, inside, outside):
        assert unreadable(expert("new", requires=[f"json{written}"])) == ()
        assert [v for v in inside.split() if not allows(f"json{written}", v)] == []
        assert [v for v in outside.split() if allows(f"json{written}", v)] == []

    def test_pre_releases_are_ordered_as_semver_org_orders_them(self):
        order = ["alpha", "alpha.1", "alpha.beta", "beta", "beta.2", "beta.11", "rc.1"]
        versions = [f"1.0.0-{labels}" for labels in order] + ["1.0.0"]
        for lower, higher in itertools.combinations(versions, 2):
            assert allows(f"json@>{lower}", higher)
            assert allows(f"json@<={higher}", lower)
            assert not allows(f"json@>={higher}", lower)

    def test_the_case_of_a_name_does_not_count(self):
        assert allows("JSON@1", "1.0.0")


class TestRequirements:
    def test_a_required_expert_that_is_not_loaded_is_named(self):
        assert refusal(expert("tools", requires=["json@>=0.4"]), expert("sql")) == [
            'cannot load tools@1.0.0: it requires "json@>=0.4" (constraints.requires),'
            " which is not loaded: load it first"
        ]

    def test_a_required_expert_of_another_version_is_named_with_it(self):
        loaded = [expert("json", "0.3.0"), expert("json", "0.2.0")]
        assert refusal(expert("tools", requires=["json@>=0.4"]), *loaded) == [
            'cannot load tools@1.0.0: it requires "json@>=0.4" (constraints.requires),'
            " not met by the loaded json@0.3.0, json@0.2.0: load such a version first"
        ]

    def test_one_of_two_loaded_versions_is_enough(self):
        loaded = [expert("json", "0.3.0"), expert("json", "0.4.0")]
        check_loadable(expert("tools", requires=["json@>=0.4"]), loaded)

    def test_an_expert_that_requires_itself_can_be_loaded(self):
        check_loadable(expert("tools", requires=["tools"]), [])


class TestIncompatibility:
    def test_that_the_new_expert_declares(self):
        new = expert("english", incompatible=["legacy<=0.9.0", "slang@*"])
        check_loadable(new, [expert("legacy", "0.9.1"), expert("sql")])
        assert refusal(new, expert("legacy", "0.9.0")) == [
            'cannot load english@1.0.0: it is incompatible with "legacy<=0.9.0"'
            " (constraints.incompatible_with), and legacy@0.9.0 is loaded: unload that first"
        ]

    def test_that_a_loaded_expert_declares(self):
        loaded = expert("legacy", incompatible=["english@>=2"])
        check_loadable(expert("english", "1.9.0"), [loaded])
        assert refusal(expert("english", "2.0.0"), loaded) == [
            'cannot load english@2.0.0: legacy@1.0.0 is loaded and incompatible with "english@>=2"'
            " (its constraints.incompatible_with): unload it first"
        ]


class TestMaxChain:
    def test_of_an_expert_counts_all_that_answer_together(self):
        two = [expert("tools", most=2), expert("a")]
        check_together(two)
        with pytest.raises(InferenceError) as caught:
            check_together([*two, expert("b")])
        assert str(caught.value) == (
            "cannot use tools@1.0.0, a@1.0.0, b@1.0.0 together: constraints.max_chain of "
            "tools@1.0.0 is 2, and these are 3 experts"
        )

    def test_does_not_limit_what_is_loaded(self):
        check_loadable(expert("new", most=1), [expert(f"e{n}", most=1) for n in range(30)])

    @pytest.mark.parametrize("most", [0, None])
    def test_of_nothing_or_zero_is_no_limit(self, most):
        check_together([expert(f"e{n}", most=most) for n in range(30)])


def test_all_reasons_are_given_at_once():
    new = expert("new", requires=["a", "b@2"], incompatible=["c"])
    lines = refusal(new, expert("b"), expert("c", incompatible=["new"]))
    assert lines[0] == "cannot load new@1.0.0: 4 constraints forbid it"
    assert [line.split(" (")[0] for line in lines[1:]] == [
        '  it requires "a"',
        '  it requires "b@2"',
        '  it is incompatible with "c"',
        '  c@1.0.0 is loaded and incompatible with "new"',
    ]


def test_many_reasons_are_counted_and_not_all_shown():
    lines = refusal(expert("new", requires=[f"e{n}" for n in range(100)]))
    assert lines[0] == "cannot load new@1.0.0: 100 constraints forbid it"
    assert len(lines) == MAX_REASONS_SHOWN + 2
    assert lines[-1] == f"  and {100 - MAX_REASONS_SHOWN} more"


class TestWhatCannotBeRead:
    @pytest.mark.parametrize(
        "entry",
        [
            "",
            " ",
            "json@>=1.o",
            "json@latest",
            "json@1.2.3.4",
            "json@>=",
            "json@1.0 - 2.0",
            "json@>=1 || <3",
            "json@-1",
            "json@1_000",
            "json@@1",
            "json 1.2.3",
            "@scope/json",
            ">=1.0",
            "json@1234567890",
            "json@١.٠",
            "json@" + ">=1 " * (MAX_LENGTH // 4),
        ],
    )
    def test_refuses_nothing_and_is_listed(self, entry):
        manifest = expert("new", requires=[entry], incompatible=["fine", entry])
        check_loadable(manifest, [expert("json", "0.0.1")])
        notes = unreadable(manifest)
        assert [note.partition(":")[0] for note in notes] == [
            "$.constraints.requires[0]",
            "$.constraints.incompatible_with[1]",
        ]
        assert all(note.isprintable() and len(note) < 250 for note in notes)

    def test_a_version_that_is_none_meets_requirements_and_hits_no_incompatibility(self):
        odd = expert("json", "latest")
        check_loadable(expert("new", requires=["json@>=2"], incompatible=["json@<2"]), [odd])
        assert unreadable(odd) == (
            '$.version: "latest" is no semantic version such as 1.2.0;'
            " ranges that other experts ask for count as met",
        )

    def test_a_version_that_is_none_still_has_a_name(self):
        assert (
            "incompatible"
            in refusal(expert("new", incompatible=["json"]), expert("json", "latest"))[0]
        )
        assert "not loaded" in refusal(expert("new", requires=["xml"]), expert("json", "latest"))[0]

    def test_entries_beyond_the_bound_are_passed_over(self):
        most = ["json"] * MAX_ENTRIES
        json = [expert("json")]
        check_loadable(expert("new", requires=[*most, "xml"]), json)
        assert unreadable(expert("new", incompatible=[*most, "xml"])) == (
            f"$.constraints.incompatible_with: only {MAX_ENTRIES} of {MAX_ENTRIES + 1} are read",
        )
        with pytest.raises(LoadError, match="xml"):
            check_loadable(expert("new", requires=[*most[1:], "xml"]), json)

    def test_nothing_is_noted_of_sound_constraints(self):
        assert unreadable(expert("new", "1.0", requires=["a", "b@^1"], incompatible=["c<2"])) == ()


class TestDependants:
    JSON = expert("json", "0.4.0")
    TOOLS = expert("tools", requires=["json@>=0.4", "sql"])

    def test_are_the_experts_that_require_what_leaves(self):
        remaining = [self.TOOLS, expert("sql"), expert("docs", requires=["sql"])]
        assert dependants(self.JSON, remaining) == (self.TOOLS,)

    def test_are_none_where_another_version_will_do(self):
        assert dependants(self.JSON, [self.TOOLS, expert("json", "0.5.0")]) == ()
        assert dependants(self.JSON, [self.TOOLS, expert("json", "0.3.0")]) == (self.TOOLS,)

    def test_are_none_where_the_requirement_was_not_met_by_it(self):
        assert dependants(expert("json", "0.3.0"), [self.TOOLS]) == ()


class TestLoadOrder:
    @staticmethod
    def names(*manifests: Manifest) -> list[str]:
        results = {
            tuple(m.identity for m in sort_by_load_order(order))
            for order in itertools.permutations(manifests)
        }
        assert len(results) == 1
        return [identity.partition("@")[0] for identity in results.pop()]

    def test_the_lower_goes_first_and_none_goes_last(self):
        manifests = expert("a"), expert("b", order=7), expert("c", order=0), expert("d", order=5)
        assert self.names(*manifests) == ["c", "d", "b", "a"]

    def test_equal_ones_go_by_name_and_version(self):
        assert self.names(expert("b", order=1), expert("a", order=1), expert("c")) == list("abc")
        both = [expert("a", "2.0.0"), expert("a", "1.0.0")]
        assert [m.version for m in sort_by_load_order(both)] == ["1.0.0", "2.0.0"]

    def test_what_is_required_goes_first_even_if_its_order_is_higher(self):
        tools = expert("tools", order=1, requires=["json@>=0.4"])
        json = expert("json", "0.4.0", order=9, requires=["text"])
        assert self.names(tools, json, expert("text"), expert("sql", order=5)) == [
            "sql",
            "text",
            "json",
            "tools",
        ]

    def test_what_is_required_in_another_version_does_not_matter(self):
        tools = expert("tools", order=1, requires=["json@>=0.4"])
        assert self.names(tools, expert("json", "0.3.0", order=9)) == ["tools", "json"]

    def test_a_circle_goes_by_order_and_nothing_is_lost(self):
        circle = expert("a", order=2, requires=["b"]), expert("b", order=1, requires=["a"])
        behind = expert("c", order=3, requires=["a"])
        assert self.names(*circle, behind, expert("d", order=9)) == ["d", "b", "a", "c"]

    def test_an_expert_that_requires_itself_waits_for_nothing(self):
        alone = expert("alone", order=1, requires=["alone"])
        assert self.names(alone, expert("b", order=2)) == ["alone", "b"]

    def test_a_sorted_list_can_be_loaded_in_that_order(self):
        chance = random.Random(5)
        for _ in range(50):
            manifests = [
                expert(
                    f"e{n}",
                    order=chance.randint(0, 3),
                    requires=[f"e{m}" for m in range(n) if chance.random() < 0.2],
                )
                for n in range(12)
            ]
            chance.shuffle(manifests)
            loaded: list[Manifest] = []
            for manifest in sort_by_load_order(manifests):
                check_loadable(manifest, loaded)
                loaded.append(manifest)

    def test_a_long_chain_of_requirements_is_sorted(self):
        chain = [expert(f"e{n}", requires=[f"e{n + 1}"]) for n in range(3000)]
        assert sort_by_load_order(chain)[0].name == "e2999"
