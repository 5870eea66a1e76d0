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
