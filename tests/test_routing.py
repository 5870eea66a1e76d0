"""Routing: what counts as a match, who wins, what goes to the base, and why."""

from __future__ import annotations

import random

import pytest

from hivellm_lite.manifest import Manifest, Routing
from hivellm_lite.manifest.records import BaseModel
from hivellm_lite.routing import GENERIC_PHRASES, MAX_PHRASE_TOKENS, Route, Router


def expert(keywords=(), excludes=(), *, priority: float = 1.0, capabilities=()) -> Manifest:
    return Manifest(
        name="some-expert",
        version="1.0.0",
        schema_version="2.0",
        base=BaseModel("base"),
        raw={},
        capabilities=tuple(capabilities),
        routing=Routing(tuple(keywords), tuple(excludes), None, priority),
    )


SQL = expert(
    ["sql", "table", "show", "find", "find all", "group by", "users", "orders"],
    ["what is", "explain", "why"],
    priority=0.8,
    capabilities=["database:sql", "query:sql", "database:postgresql", "language:en"],
)
CYPHER = expert(
    ["cypher", "graph", "node", "shortest path", "find"],
    ["what is"],
    priority=0.9,
    capabilities=["database:neo4j", "query:cypher", "language:en"],
)
ROUTER = Router({"sql": SQL, "cypher": CYPHER})


def matched(prompt: str, *keywords: str) -> tuple[str, ...]:
    """Which of an expert's keywords the prompt has."""
    return Router({"it": expert(keywords)}).route(prompt).scores[0].keywords


def summary(route: Route) -> list[tuple[str, float]]:
    return [(score.name, score.score) for score in route.scores]


class TestScore:
    def test_keywords_times_priority_and_half_a_point_for_each_capability_value(self):
        route = ROUTER.route("Write SQL for PostgreSQL that shows a table of users")
        assert route.expert == "sql"
        assert summary(route) == [("sql", 3.4), ("cypher", 0)]
        assert route.scores[0].keywords == ("sql", "table", "users")
        assert route.scores[0].capabilities == ("sql", "postgresql")
        assert route.scores[0].priority == 0.8

    def test_an_exclude_keyword_takes_two_points_which_the_priority_multiplies(self):
        router = Router({"it": expert(["users", "table", "sql"], ["chart"], priority=0.5)})
        score = router.route("A chart of users from a SQL table").scores[0]
        assert score.exclude_keywords == ("chart",)
        assert score.score == (3 - 2) * 0.5
        assert router.route("A chart of users").scores[0].score == (1 - 2) * 0.5

    def test_a_capability_alone_is_enough(self):
        router = Router({"it": expert(capabilities=["language:php", "code-generation"])})
        assert router.route("A PHP function").expert == "it"
        assert router.route("code-generation").expert is None

    @pytest.mark.parametrize("capability", ["language:en", "Language:pt-BR", "language: es_419"])
    def test_the_language_of_the_users_is_no_subject(self, capability):
        value = capability.partition(":")[2].strip()
        router = Router({"it": expert(capabilities=[capability])})
        assert router.route(f"Lista los usuarios {value} la tabla").expert is None

    def test_what_is_listed_or_said_twice_counts_once(self):
        router = Router({"it": expert(["SQL", "sql", " sql "], capabilities=["a:x", "b:x"])})
        score = router.route("sql x sql x").scores[0]
        assert (score.score, score.keywords, score.capabilities) == (1.5, ("SQL",), ("x",))

    def test_every_expert_is_scored_best_first(self):
        experts = {"bad": expert(["a"], ["b"]), "none": expert(["z"]), "good": expert(["a"])}
        assert summary(Router(experts).route("a b")) == [("good", 1), ("none", 0), ("bad", -1)]


class TestWords:
    @pytest.mark.parametrize(
        ("keyword", "prompt"),
        [
            ("sql", "some SQL, please"),
            ("sql", "(sql)"),
            ("sql", "sql"),
            ("group by", "count them, GROUP\n  BY region"),
            ("c++", "a C++ class"),
            ("c++", "in C++20"),
            ("c#", "port it to C#."),
            (".net", "a .NET service"),
            ("node.js", "a Node.js server"),
            ("select *", "SELECT * FROM t"),
            ("sql", "SQL+Python"),
            ("en-US", "in en-us spelling"),
            ("straße", "die STRASSE"),
            ("café", "le CAFE\u0301 noir"),
            ("sql", "ＳＱＬを書いて"),
            ("what's", "What’s it"),
            # scripts without spaces, and Korean particles
            ("数据库", "请查询数据库中的用户"),
            ("テーブル", "SQLのテーブルを作る"),
            ("sql", "SQLのテーブルを作る"),
            ("사용자", "모든 사용자를 찾아줘"),
            ("ฐานข้อมูล", "ค้นหาในฐานข้อมูลนี้"),
            # scripts with spaces and vowel signs
            ("हिन्दी", "यह हिन्दी है"),
            ("таблица", "Одна ТАБЛИЦА пользователей"),
        ],
    )
    def test_keywords_that_are_in_the_prompt(self, keyword, prompt):
        assert matched(prompt, keyword) == (keyword,)

    @pytest.mark.parametrize(
        ("keyword", "prompt"),
        [
            ("how to", "Show total sales"),
            ("table", "a stable sort of tables"),
            ("user", "the user_id column"),
            ("group by", "group them by region"),
            ("group by", "group, by region"),
            ("group by", "by group"),
            ("c", "a C++ class in c#"),
            ("c++", "a C class"),
            ("हिन्", "यह हिन्दी है"),
            ("таблица", "таблицами"),
            ("数据库", "请查询数据"),
            ("find all", "find"),
            ("", "anything"),
            (" \n", "anything else"),
        ],
    )
    def test_keywords_that_are_not(self, keyword, prompt):
        assert matched(prompt, keyword) == ()

    def test_a_keyword_and_a_longer_one_both_count(self):
        keywords = ("find", "find all", "all the", "find all users")
        assert matched("find all all the users", *keywords) == keywords[:3]

    def test_a_keyword_of_too_many_words_never_matches(self):
        words = " ".join(f"w{number}" for number in range(MAX_PHRASE_TOKENS))
        assert matched(f"{words} more", words) == (words,)
        assert matched(f"{words} more", f"{words} more") == ()

    def test_matches_agree_with_a_search_at_every_word(self):
        chance = random.Random(3)
        letters = ["a", "b", "c", "+", "数"]
        for _ in range(300):
            keywords = {tuple(chance.choices(letters, k=chance.randint(1, 4))) for _ in range(8)}
            prompt = chance.choices(letters, k=chance.randint(0, 12))
            expected = {
                " ".join(keyword)
                for keyword in keywords
                for start in range(len(prompt))
                if tuple(prompt[start : start + len(keyword)]) == keyword
            }
            found = matched(" ".join(prompt), *(" ".join(keyword) for keyword in keywords))
            assert set(found) == expected
            assert len(found) == len(expected)


class TestWinner:
    def test_the_highest_score_wins(self):
        assert ROUTER.route("find the shortest path between users").expert == "cypher"
        assert ROUTER.route("find all users and orders").expert == "sql"

    def test_nothing_above_zero_goes_to_the_base(self):
        for prompt in ["", "Tell me a joke", "Sing!", "\ud800"]:
            route = ROUTER.route(prompt)
            assert route.expert is None
            assert route.reason == "no expert scores above zero"
        router = Router({"it": expert(["users"], ["chart"])})
        assert router.route("a chart of users").expert is None

    def test_a_priority_of_zero_leaves_only_the_capabilities(self):
        router = Router({"it": expert(["users"], priority=0, capabilities=["usecase:crm"])})
        assert router.route("users").expert is None
        assert router.route("crm users").scores[0].score == 0.5

    def test_equal_scores_go_to_the_higher_priority(self):
        low = expert(["a", "b", "c"], priority=0.1)
        high = expert(["a"], priority=0.3)
        for experts in ({"a": low, "b": high}, {"b": high, "a": low}):
            assert summary(Router(experts).route("a b c")) == [("b", 0.3), ("a", 0.3)]

    def test_equal_scores_and_priorities_go_to_the_first_name(self):
        for names in ("ab", "ba"):
            router = Router({name: expert(["x"]) for name in names})
            assert router.route("x").expert == "a"

    def test_without_experts_everything_goes_to_the_base(self):
        assert Router({}).route("List users") == Route(None, (), "there is no expert to choose")


class TestGenericQuestions:
    @pytest.mark.parametrize("phrase", GENERIC_PHRASES)
    def test_go_to_the_base_whatever_the_scores(self, phrase):
        route = Router({"it": expert(["sql", "table", "users"])}).route(
            f"{phrase.capitalize()} SQL table users"
        )
        assert route.expert is None
        assert route.scores[0].score == 3
        assert route.reason == f'a general question ("{phrase}") goes to the base model'

    def test_the_phrase_counts_anywhere_in_the_prompt(self):
        assert ROUTER.route("Hello! Can you explain SQL?").expert is None

    def test_the_phrase_is_words_not_letters(self):
        assert ROUTER.route("Show total orders").expert == "sql"

    @pytest.mark.parametrize("keyword", ["explain", "explain analyze", "and explain"])
    def test_go_to_an_expert_that_asks_for_them(self, keyword):
        router = Router({"sql": expert(["sql", "plan"]), "tutor": expert([keyword])})
        route = router.route("Run and explain analyze of a SQL plan")
        assert route.expert == "tutor"
        assert [score.name for score in route.scores] == ["sql", "tutor"]

    def test_an_exclude_keyword_asks_for_nothing(self):
        router = Router({"sql": expert(["sql", "plan", "run"], ["explain"])})
        assert router.route("Run, explain SQL plan").scores[0].score == 1
        assert router.route("Run, explain SQL plan").expert is None


class TestReason:
    def test_a_route_says_what_the_winner_scored_for(self):
        assert ROUTER.route("show users in SQL").reason == (
            'sql scores 2.9 = 3 for keywords "show", "users", "sql" × priority 0.8'
            ' + 0.5 for capabilities "sql"'
        )

    def test_every_score_explains_itself(self):
        experts = {
            "both": expert(["a"], ["b"], priority=0.5),
            "excluded": expert(["z"], ["b"]),
            "capable": expert(capabilities=["x:a"], priority=0.5),
            "none": expert(["z"]),
        }
        scores = Router(experts).route("a b").scores
        assert {score.name: score.explanation for score in scores} == {
            "both": '-0.5 = (1 for keywords "a" -2 for exclude keywords "b") × priority 0.5',
            "excluded": '-2 = -2 for exclude keywords "b"',
            "capable": '0.5 = 0.5 for capabilities "a"',
            "none": "0 = nothing of it is in the prompt",
        }

    def test_many_and_strange_matches_are_shortened(self):
        words = [f"w{number}" for number in range(12)]
        assert (
            Router({"it": expert(words)})
            .route(" ".join(words))
            .reason.endswith('"w6", "w7" and 4 more')
        )
        escape = "\x1b[31m"
        assert "\x1b" not in Router({"it": expert([escape])}).route(escape).reason


def test_a_router_keeps_nothing_of_a_prompt():
    first = ROUTER.route("find all users")
    assert ROUTER.route("shortest path").expert == "cypher"
    assert ROUTER.route("find all users") == first


def test_a_long_prompt_of_the_words_that_begin_most_keywords_is_routed():
    keywords = [" ".join(["a"] * n + ["b"]) for n in range(1, MAX_PHRASE_TOKENS)]
    router = Router({"it": expert(keywords)})
    assert router.route("a " * 20_000).expert is None
    assert len(router.route("a " * 20_000 + "b").scores[0].keywords) == len(keywords)
