"""What people build on OpenAI's API, as it is, with a real expert: ``llm``, LangChain, Pydantic AI.

Each has a class of tests. The expert answers in SQL, so answers are known words, not known texts.
"""

from __future__ import annotations

import asyncio
import functools
import json
import operator
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel

from hivellm_lite import ExpertManager
from hivellm_lite.server.application import create_server
from hivellm_lite.server.options import APIKey, ServerOptions

from ..support.paths import EXPERTS
from .running import serving

pytestmark = pytest.mark.unmeasured  # the time goes into the frameworks

KEY = "a-long-enough-secret"
TABLES = "CREATE TABLE users (id INT, name TEXT)"
QUESTION = "How many users are there?"
THOUGHTFUL = 'root ::= "<think>Hm.</think>yes"'


class Plan(BaseModel):
    """What a query reads."""

    table: Literal["users", "orders"]
    n_columns: Literal[1, 2, 3]


@pytest.fixture(scope="module")
def sql(real_base, example_cache) -> Iterator[ExpertManager]:
    with ExpertManager(base=real_base, cache_dir=example_cache, n_ctx=1024, n_threads=1) as loaded:
        loaded.load_expert("sql", EXPERTS / "sql.expert")
        yield loaded


@pytest.fixture(scope="module")
def alone(sql) -> str:
    """The answer of the library."""
    messages = [{"role": "system", "content": TABLES}, {"role": "user", "content": QUESTION}]
    text = sql.generate("sql", messages=messages, temperature=0).text
    assert text.startswith("SELECT")
    return text


@pytest.fixture(scope="module")
def address(sql) -> Iterator[str]:
    with serving(create_server(sql, ServerOptions(keys=(APIKey("ann", KEY),)))) as found:
        yield f"{found}/v1"


class TestLLM:
    """The command line ``llm``."""

    @pytest.fixture
    def llm(self, address, tmp_path) -> Callable[..., subprocess.CompletedProcess[str]]:
        """Run it with settings of its own, which name the server: ``llm("-m", "expert", …)``."""
        pytest.importorskip("llm")
        server = {"api_base": address, "model_name": "sql", "api_key_name": "hive"}
        models = [
            {"model_id": "expert", "supports_schema": True, **server},
            {"model_id": "whole", "can_stream": False, **server},
            {"model_id": "text", "completion": True, **server},
            {"model_id": "nobody", **server, "model_name": "gpt-4o"},
        ]
        (tmp_path / "extra-openai-models.yaml").write_text(yaml.safe_dump(models))
        (tmp_path / "keys.json").write_text(json.dumps({"hive": KEY}))
        environment = {**os.environ, "LLM_USER_PATH": str(tmp_path), "PYTHONUTF8": "1"}

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "llm", *arguments],
                env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL,
                capture_output=True, encoding="utf-8", timeout=120,
            )  # fmt: skip

        return run

    @pytest.mark.parametrize("model", ["expert", "whole"])
    def test_it_prints_the_answer(self, llm, alone, model):
        ran = llm("-m", model, "-s", TABLES, "-o", "temperature", "0", QUESTION)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.strip() == alone

    def test_it_goes_on_with_a_conversation(self, llm, alone):
        llm("-m", "expert", "-s", TABLES, "-o", "temperature", "0", QUESTION)
        ran = llm("-c", "-o", "temperature", "0", "And their names?")
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.startswith("SELECT")

    def test_it_asks_for_a_schema(self, llm):
        schema = json.dumps(Plan.model_json_schema())
        ran = llm("-m", "expert", "--schema", schema, "-o", "temperature", "0", QUESTION)
        assert ran.returncode == 0, ran.stderr
        assert Plan.model_validate_json(ran.stdout).table == "users"

    def test_it_completes_text(self, llm):
        greedy = ("-o", "max_tokens", "8", "-o", "temperature", "0")
        streamed = llm("-m", "text", *greedy, "Once upon a time")
        whole = llm("-m", "text", *greedy, "--no-stream", "Once upon a time")
        assert (streamed.returncode, whole.returncode) == (0, 0), streamed.stderr + whole.stderr
        assert streamed.stdout == whole.stdout
        assert streamed.stdout.strip()

    def test_it_records_the_tokens(self, llm):
        llm("-m", "expert", "-s", TABLES, QUESTION)
        (logged,) = json.loads(llm("logs", "--json").stdout)
        assert logged["input_tokens"] > 0
        assert logged["output_tokens"] > 0

    def test_it_tells_why_nobody_answers(self, llm):
        ran = llm("-m", "nobody", QUESTION)
        assert ran.returncode == 1
        assert "gpt-4o" in ran.stderr


def gathered(pieces: Iterable[Any]) -> Any:
    """The message of a stream of LangChain."""
    return functools.reduce(operator.add, pieces)


def told(calls: Iterable[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """What calls say, without their ids."""
    return [(call["name"], call["args"]) for call in calls]


class TestLangChain:
    """``ChatOpenAI`` of LangChain."""

    @pytest.fixture
    def build(self, address, monkeypatch) -> Iterator[Callable[..., Any]]:
        """A chat with these options."""
        for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"):
            monkeypatch.delenv(name, raising=False)
        framework = pytest.importorskip("langchain_openai")
        import httpx

        with httpx.Client() as client:
            yield lambda **options: framework.ChatOpenAI(
                model="sql", base_url=address, api_key=KEY, temperature=0, max_retries=0,
                http_client=client, **options,
            )  # fmt: skip

    @pytest.fixture
    def chat(self, build) -> Any:
        return build(stream_usage=True)

    @pytest.fixture
    def chat_of_responses(self, build) -> Any:
        return build(use_responses_api=True)

    @pytest.fixture
    def conversation(self) -> list[tuple[str, str]]:
        return [("system", TABLES), ("human", QUESTION)]

    def test_it_invokes(self, chat, conversation, alone):
        answer = chat.invoke(conversation)
        assert answer.content == alone
        assert answer.usage_metadata["output_tokens"] > 0
        assert answer.response_metadata["finish_reason"] == "stop"

    def test_it_streams(self, chat, conversation, alone):
        pieces = list(chat.stream(conversation))
        assert "".join(piece.content for piece in pieces) == alone
        assert len(pieces) > 3
        whole = gathered(pieces)
        assert whole.usage_metadata["output_tokens"] > 0
        assert whole.response_metadata["finish_reason"] == "stop"

    def test_it_batches(self, chat, conversation, alone):
        assert [answer.content for answer in chat.batch([conversation] * 3)] == [alone] * 3

    def test_it_returns_a_model_of_pydantic(self, chat, conversation):
        plan = chat.with_structured_output(Plan, method="json_schema").invoke(conversation)
        assert isinstance(plan, Plan)
        assert plan.table == "users"

    @pytest.mark.parametrize("choice", ["any", "Plan"])
    def test_it_calls_a_tool(self, chat, conversation, choice):
        answer = chat.bind_tools([Plan], tool_choice=choice).invoke(conversation)
        assert answer.response_metadata["finish_reason"] == "tool_calls"
        assert answer.content == ""
        assert answer.invalid_tool_calls == []
        for call in answer.tool_calls:
            assert call["name"] == "Plan"
            assert Plan.model_validate(call["args"])
        if choice == "Plan":
            assert len(answer.tool_calls) == 1

    @pytest.mark.parametrize("choice", ["any", "Plan"])
    def test_it_streams_the_same_calls(self, chat, conversation, choice):
        asked = chat.bind_tools([Plan], tool_choice=choice)
        streamed = gathered(asked.stream(conversation))
        assert told(streamed.tool_calls) == told(asked.invoke(conversation).tool_calls)
        assert streamed.response_metadata["finish_reason"] == "tool_calls"

    def test_it_tells_the_result_of_a_call(self, chat, conversation):
        from langchain_core.messages import ToolMessage

        asked = chat.bind_tools([Plan], tool_choice="Plan")
        answer = asked.invoke(conversation)
        result = ToolMessage("5 users", tool_call_id=answer.tool_calls[0]["id"])
        final = chat.bind_tools([Plan], tool_choice="none").invoke([*conversation, answer, result])
        assert final.content
        assert final.tool_calls == []

    def test_it_returns_a_model_from_a_call(self, chat, conversation):
        asked = chat.with_structured_output(Plan, method="function_calling")
        assert isinstance(asked.invoke(conversation), Plan)

    def test_it_invokes_responses(self, chat_of_responses, conversation, alone):
        answer = chat_of_responses.invoke(conversation)
        assert answer.text == alone
        assert answer.response_metadata["status"] == "completed"
        assert answer.usage_metadata["output_tokens"] > 0

    def test_it_streams_responses(self, chat_of_responses, conversation, alone):
        pieces = list(chat_of_responses.stream(conversation))
        assert len(pieces) > 3
        streamed = gathered(pieces)
        assert streamed.text == alone
        assert streamed.response_metadata["status"] == "completed"
        assert streamed.usage_metadata["output_tokens"] > 0

    def test_it_calls_a_tool_in_responses(self, chat_of_responses, conversation):
        from langchain_core.messages import ToolMessage

        asked = chat_of_responses.bind_tools([Plan], tool_choice="Plan")
        answer = asked.invoke(conversation)
        (call,) = answer.tool_calls
        assert Plan.model_validate(call["args"])
        assert told(gathered(asked.stream(conversation)).tool_calls) == told([call])
        result = ToolMessage("5 users", tool_call_id=call["id"])
        assert chat_of_responses.invoke([*conversation, answer, result]).text

    def test_it_tells_a_thought_of_a_response(self, chat_of_responses, conversation):
        asked = chat_of_responses.bind(extra_body={"grammar": THOUGHTFUL})
        for answer in (asked.invoke(conversation), gathered(asked.stream(conversation))):
            assert answer.text == "yes"
            kinds = [block["type"] for block in answer.content_blocks]
            assert kinds == ["reasoning", "text"]
            again = chat_of_responses.invoke([*conversation, answer, ("human", QUESTION)])
            assert again.text

    def test_it_returns_a_model_of_pydantic_from_a_response(self, chat_of_responses, conversation):
        asked = chat_of_responses.with_structured_output(Plan, method="json_schema")
        assert isinstance(asked.invoke(conversation), Plan)

    def test_it_sends_our_own_fields(self, chat):
        asked = chat.bind(extra_body={"schema": TABLES, "grammar": 'root ::= "yes"'})
        assert asked.invoke(QUESTION).content == "yes"


class TestPydanticAI:
    """Agents of Pydantic AI."""

    @pytest.fixture
    def ask(self, address) -> Callable[..., Any]:
        """What an agent finds: ``ask(output_type=…)``."""
        agents = pytest.importorskip("pydantic_ai")
        models = pytest.importorskip("pydantic_ai.models.openai")
        providers = pytest.importorskip("pydantic_ai.providers.openai")
        import openai

        kinds = {"chat": models.OpenAIChatModel, "responses": models.OpenAIResponsesModel}

        async def run(stream: bool, api: str, **options: Any) -> Any:
            settings = {"temperature": 0, **options.pop("settings", {})}
            async with openai.AsyncOpenAI(base_url=address, api_key=KEY, max_retries=0) as client:
                provider = providers.OpenAIProvider(openai_client=client)
                agent = agents.Agent(
                    kinds[api]("sql", provider=provider),
                    system_prompt=TABLES, model_settings=settings, **options,
                )  # fmt: skip
                limits = agents.UsageLimits(request_limit=3)
                if not stream:
                    return await agent.run(QUESTION, usage_limits=limits)
                async with agent.run_stream(QUESTION, usage_limits=limits) as told:
                    if isinstance(options.get("output_type", str), type):
                        return [piece async for piece in told.stream_text(delta=True)]
                    return await told.get_output()

        return lambda stream=False, api="chat", **options: asyncio.run(run(stream, api, **options))

    def test_an_agent_answers(self, ask, alone):
        assert ask().output == alone

    def test_an_agent_streams(self, ask, alone):
        assert "".join(ask(stream=True)) == alone

    def test_an_agent_fills_a_model_of_pydantic(self, ask):
        from pydantic_ai import NativeOutput

        plan = ask(output_type=NativeOutput(Plan)).output
        assert isinstance(plan, Plan)
        assert plan.table == "users"

    @pytest.mark.parametrize("api", ["chat", "responses"])
    def test_an_agent_calls_the_tool_of_its_output(self, ask, api):
        from pydantic_ai import ToolOutput

        plan = ask(api=api, output_type=ToolOutput(Plan)).output
        assert isinstance(plan, Plan)
        assert ask(stream=True, api=api, output_type=ToolOutput(Plan)) == plan

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("api", ["chat", "responses"])
    def test_an_agent_calls_a_tool_and_then_ends(self, ask, api, stream):
        """Its first step has the tool alone, and its second one that of its output."""
        from pydantic_ai import Tool, ToolOutput
        from pydantic_ai.capabilities import PrepareOutputTools

        counted = []

        def count(table: Literal["users", "orders"]) -> int:
            """Count the rows of a table."""
            counted.append(table)
            return 5

        async def first(context: Any, definition: Any) -> Any:
            return definition if context.run_step == 1 else None

        async def later(context: Any, definitions: Any) -> Any:
            return definitions if context.run_step > 1 else []

        found = ask(
            stream,
            api,
            tools=[Tool(count, prepare=first)],
            output_type=ToolOutput(Plan),
            capabilities=[PrepareOutputTools(later)],
        )
        assert isinstance(found if stream else found.output, Plan)
        assert counted
        assert set(counted) <= {"users", "orders"}

    @pytest.mark.parametrize("stream", [False, True])
    def test_an_agent_is_answered_in_responses(self, ask, alone, stream):
        found = ask(stream, "responses")
        assert ("".join(found) if stream else found.output) == alone

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("api", ["chat", "responses"])
    def test_an_agent_is_told_no_thought_as_an_answer(self, ask, api, stream):
        found = ask(stream, api, settings={"extra_body": {"grammar": THOUGHTFUL}})
        assert ("".join(found) if stream else found.output) == "yes"

    def test_an_agent_fills_a_model_of_pydantic_in_a_response(self, ask):
        from pydantic_ai import NativeOutput

        assert isinstance(ask(api="responses", output_type=NativeOutput(Plan)).output, Plan)
