"""The official Node client as it is, against a real server.

``node/client.mjs`` asks everything in one process; each test judges one of its outcomes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from starlette.types import ASGIApp, Receive, Scope, Send

from hivellm_lite.server.app import create_app
from hivellm_lite.server.options import APIKey, ServerOptions
from hivellm_lite.server.service import Service

from ..support.paths import ROOT
from ..support.waiting import wait_until
from .running import serving

SCRIPT = Path(__file__).with_name("node") / "client.mjs"
QUEUE = 4
GREEDY = {"temperature": 0, "max_tokens": 8}
CITIES = ("Rome", "Oslo")


class Filled:
    """An application whose queue a request finds full: ``X-Full: always``, or ``once``, which is
    until the client asks again.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._admission = service.admission
        self.retries: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        full = headers.get(b"x-full")
        retries = int(headers.get(b"x-stainless-retry-count", b"0"))
        if full == b"once":
            self.retries.append(retries)
        if full == b"always" or (full == b"once" and retries == 0):
            with self._admission.place(QUEUE):
                await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)


@pytest.fixture(scope="module")
def filled(manager) -> Filled:
    app = create_app(manager, ServerOptions(keys=(APIKey("ann", "secret"),), queue=QUEUE))
    return Filled(app, app.state.service)


@pytest.fixture(scope="module")
def script() -> Path:
    """``client.mjs`` beside the packages that it needs, which npm installs once."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node or npm is missing: run scripts/install_test_tools.sh")
    folder = ROOT / "build" / "node"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = SCRIPT.with_name("package.json").read_bytes()
    installed = folder / "installed.json"
    with FileLock(folder / ".lock"):
        if not installed.exists() or installed.read_bytes() != wanted:
            (folder / "package.json").write_bytes(wanted)
            install(folder)
            installed.write_bytes(wanted)
        return Path(shutil.copy(SCRIPT, folder))


def install(folder: Path) -> None:
    """Skip where npm cannot."""
    command = [
        *(shutil.which("npm"), "install", "--no-audit", "--no-fund", "--no-package-lock"),
        *("--fetch-retries=1", "--prefix", str(folder)),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=240)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not install the client in 240 seconds")
    except subprocess.CalledProcessError as failed:
        pytest.skip(f"npm cannot install the client: {failed.stderr.strip()[:500]}")


@pytest.fixture(scope="module")
def outcomes(filled, script) -> dict[str, dict[str, Any]]:
    with serving(filled) as address:
        ran = subprocess.run(
            ["node", str(script)],
            env={**os.environ, "HIVELLM_ADDRESS": address},
            capture_output=True, encoding="utf-8", timeout=200,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert ran.stderr == ""
        found: dict[str, dict[str, Any]] = json.loads(ran.stdout)
        return found


@pytest.fixture
def outcome(outcomes) -> Callable[[str], Any]:
    """What a check has seen: ``outcome("chat")``."""

    def tell(check: str) -> Any:
        assert "value" in outcomes[check], outcomes[check].get("error")
        return outcomes[check]["value"]

    return tell


@pytest.fixture(scope="module")
def alone(manager):
    """The answer of the library to what the client asks."""
    return manager.generate("sql", "Hello", **GREEDY)


class TestModels:
    def test_they_are_listed(self, outcome):
        assert set(outcome("models_listed")) == {"sql", "style", "auto", "base"}

    def test_one_is_told(self, outcome):
        told = outcome("model_told")
        assert (told["id"], told["object"]) == ("sql", "model")


class TestChat:
    def test_it_is_answered(self, outcome, alone):
        answer = outcome("chat")
        (choice,) = answer["choices"]
        assert choice["message"]["content"] == alone.text
        assert choice["finish_reason"] == alone.finish_reason
        assert answer["usage"]["prompt_tokens"] == alone.prompt_tokens
        assert answer["usage"]["completion_tokens"] == alone.completion_tokens

    def test_parts_of_a_message_are_joined(self, outcome, alone):
        assert outcome("chat_in_parts") == alone.text

    def test_several_choices_are_numbered(self, outcome, alone):
        assert outcome("chat_of_several_choices") == [[0, alone.text], [1, alone.text]]

    def test_several_at_once_are_answered_alike(self, outcome, alone):
        assert outcome("chats_at_once") == [alone.text] * 3

    def test_our_own_fields_go_beside_the_others(self, outcome):
        assert outcome("grammar") == "yes"


class TestStreams:
    def test_a_stream_is_the_same_text(self, outcome, alone):
        seen = outcome("stream")
        assert seen["text"] == alone.text
        assert seen["roles"] == ["assistant"]
        assert seen["reasons"] == [alone.finish_reason]
        assert seen["usage"]["completion_tokens"] == alone.completion_tokens
        assert set(seen["kinds"]) == {"chat.completion.chunk"}

    def test_wide_characters_arrive_whole(self, outcome):
        seen = outcome("stream_of_wide_characters")
        assert seen["text"] == "é🙂日本"
        assert seen["usage"] is None

    def test_the_clients_own_stream_helper_reads_the_chunks(self, outcome):
        seen = outcome("stream_helper")
        assert seen["final"] == "yes"
        assert "".join(seen["pieces"]) == "yes"

    def test_a_stream_that_the_client_leaves_gives_its_place_back(self, outcome, filled):
        assert outcome("stream_left") == "left"
        wait_until(lambda: filled._admission.n_busy == 0)


class TestSchemas:
    @pytest.mark.parametrize("check", ["zod_parsed", "zod_parsed_from_a_stream"])
    def test_an_answer_is_parsed_by_zod(self, outcome, check):
        parsed = outcome(check)
        assert set(parsed) == {"ok", "level"}
        assert parsed["level"] in ("low", "high")

    def test_a_plain_json_schema_is_followed(self, outcome):
        assert outcome("json_schema") in ({"ok": True}, {"ok": False})


class TestTools:
    @pytest.mark.parametrize("check", ["call", "call_of_a_named_tool"])
    def test_a_demanded_call_is_a_call(self, outcome, check):
        choice = outcome(check)
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["content"] is None
        (call,) = choice["message"]["tool_calls"]
        assert (call["type"], call["function"]["name"]) == ("function", "weather")
        assert json.loads(call["function"]["arguments"])["city"] in CITIES

    def test_several_calls_have_ids_of_their_own(self, outcome):
        calls = outcome("calls_at_once")["message"]["tool_calls"]
        assert len({call["id"] for call in calls}) == len(calls)

    def test_arguments_are_parsed_by_zod(self, outcome):
        assert outcome("call_parsed")["parsed_arguments"]["city"] in CITIES

    def test_a_stream_has_the_same_call(self, outcome):
        first, *rest = outcome("call_streamed")
        expected = outcome("call")["message"]["tool_calls"][0]["function"]
        assert (first["index"], first["type"]) == (0, "function")
        assert first["function"] == {"name": expected["name"], "arguments": ""}
        assert "".join(one["function"]["arguments"] for one in rest) == expected["arguments"]

    def test_the_clients_own_stream_helper_gathers_a_call(self, outcome):
        seen = outcome("call_in_the_stream_helper")
        expected = outcome("call")["message"]["tool_calls"][0]["function"]
        (call,) = seen["message"]["tool_calls"]
        assert call["function"]["arguments"] == expected["arguments"]
        assert call["function"]["parsed_arguments"] == json.loads(expected["arguments"])
        assert seen["finish_reason"] == "tool_calls"
        assert seen["deltas"][-1]["arguments"] == expected["arguments"]
        (done,) = seen["done"]
        assert (done["name"], done["arguments"]) == ("weather", expected["arguments"])

    @pytest.mark.parametrize(
        "check", ["tool_that_the_client_runs", "tool_that_the_client_runs_from_a_stream"]
    )
    def test_the_client_runs_a_tool_and_tells_its_result(self, outcome, check):
        ran = outcome(check)
        assert ran["roles"] == ["user", "assistant", "tool", "assistant"]
        assert ran["sent"] == ["required", "none"]
        assert len(ran["cities"]) == 1
        assert ran["final"] == "sunny"


class TestResponses:
    def test_the_text_is_that_of_a_chat(self, outcome, alone):
        response = outcome("response")
        assert response["output_text"] == alone.text
        assert response["status"] == "incomplete"
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        assert response["usage"]["output_tokens"] == alone.completion_tokens

    def test_events_end_with_the_same_response(self, outcome, alone):
        seen = outcome("response_streamed")
        assert seen["text"] == seen["snapshot"] == alone.text
        assert seen["final"]["output_text"] == alone.text
        assert seen["final"]["status"] == "incomplete"
        assert seen["kinds"][0] == "response.created"
        assert seen["kinds"][-1] == "response.incomplete"

    def test_events_tell_a_thought(self, outcome):
        seen = outcome("response_with_a_thought_streamed")
        thought, message = seen["final"]["output"]
        assert thought["type"] == "reasoning"
        assert thought["content"] == [{"type": "reasoning_text", "text": "Hm."}]
        assert message["content"][0]["text"] == seen["text"] == "yes"
        assert "response.reasoning_text.delta" in seen["kinds"]

    def test_a_call_is_parsed_by_zod(self, outcome):
        response = outcome("response_with_a_call")
        (call,) = response["output"]
        assert (call["type"], call["name"]) == ("function_call", "weather")
        assert call["parsed_arguments"]["city"] in CITIES
        assert response["output_text"] == ""

    def test_events_of_a_call_end_with_the_same_call(self, outcome):
        seen = outcome("response_with_a_call_streamed")
        (expected,) = outcome("response_with_a_call")["output"]
        (call,) = seen["final"]["output"]
        assert seen["arguments"] == call["arguments"] == expected["arguments"]
        assert call["parsed_arguments"] == expected["parsed_arguments"]
        assert "response.function_call_arguments.done" in seen["kinds"]
        assert seen["kinds"][-1] == "response.completed"

    def test_its_items_and_a_result_can_be_sent_again(self, outcome):
        assert outcome("response_to_a_result")["output_text"]

    @pytest.mark.parametrize("check", ["response_in_form", "response_in_form_streamed"])
    def test_a_form_is_parsed_by_zod(self, outcome, check):
        assert outcome(check)["level"] in ("low", "high")

    @pytest.mark.parametrize("check", ["response_after_another", "response_after_another_streamed"])
    def test_an_earlier_response_is_not_kept(self, outcome, check):
        error = outcome(check)
        assert (error["name"], error["status"]) == ("BadRequestError", 400)
        assert error["param"] == "previous_response_id"


class TestProbabilities:
    def test_each_token_has_one(self, outcome, alone):
        told = outcome("logprobs")
        assert told["text"] == alone.text
        data = bytes(byte for token in told["tokens"] for byte in token["bytes"])
        assert data.decode() == alone.text
        for token in told["tokens"]:
            assert token["logprob"] == token["top_logprobs"][0]["logprob"] <= 0
            assert len(token["top_logprobs"]) == 2

    def test_a_stream_and_a_response_have_the_same(self, outcome):
        expected = [token["token"] for token in outcome("logprobs")["tokens"]]
        streamed = outcome("logprobs_from_the_stream_helper")
        assert [token["token"] for token in streamed["tokens"]] == expected
        assert streamed["n_told"] >= len(expected)
        assert [token["token"] for token in outcome("logprobs_of_a_response")] == expected


class TestCompletions:
    def test_text_is_completed(self, outcome):
        choices = outcome("completions")
        assert [choice["index"] for choice in choices] == [0, 1]

    def test_a_stream_is_the_same_text(self, outcome):
        assert outcome("completion_streamed") == outcome("completions")[0]["text"]


class TestErrors:
    @pytest.mark.parametrize("check", ["wrong_model", "wrong_model_streamed"])
    def test_a_wrong_model_is_not_found(self, outcome, check):
        error = outcome(check)
        assert (error["name"], error["status"]) == ("NotFoundError", 404)
        assert error["code"] == "model_not_found"

    def test_a_wrong_key_is_not_authenticated(self, outcome):
        error = outcome("wrong_key")
        assert (error["name"], error["status"]) == ("AuthenticationError", 401)
        assert error["code"] == "invalid_api_key"

    def test_a_wrong_value_is_named(self, outcome):
        error = outcome("wrong_value")
        assert (error["name"], error["status"]) == ("BadRequestError", 400)
        assert error["param"] == "temperature"
        assert "temperature" in error["message"]

    def test_a_full_queue_is_told(self, outcome):
        error = outcome("full")
        assert (error["name"], error["status"]) == ("RateLimitError", 429)
        assert error["code"] == "queue_full"

    def test_a_full_queue_is_asked_again(self, outcome, filled, alone):
        assert outcome("full_once") == alone.text
        assert filled.retries == [0, 1]
