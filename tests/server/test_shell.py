"""What surrounds the API: probes, names, the page, metrics, the access log, the end."""

from __future__ import annotations

import base64
import hashlib
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import httpx
import pytest

from hivellm_lite.server.application import create_server
from hivellm_lite.server.options import APIKey, ServerOptions

from ..support.waiting import wait_until

KEY = APIKey("ann", "a-long-enough-secret")
QUESTION = {"model": "sql", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}


@pytest.fixture
def ask(manager):
    """``await ask("GET", "/", options=…, log=…)`` of the whole server, without a network."""

    def run(method, path, *, options=None, log=None, **arguments):
        import asyncio

        app = create_server(manager, options or ServerOptions(), log=log)

        async def exchange():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1:8000"
            ) as client:
                answers = [await client.request(method, path, **arguments)]
                answers.append(await client.get("/metrics", headers=arguments.get("headers")))
                return answers

        return asyncio.run(exchange())

    return run


def test_probes_need_no_key(ask):
    options = ServerOptions(keys=(KEY,))
    assert ask("GET", "/health", options=options)[0].json() == {"status": "ok"}
    ready = ask("GET", "/ready", options=options)[0]
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")


def test_the_page_runs_its_own_script_and_no_other(ask):
    page = ask("GET", "/")[0]
    policy = page.headers["content-security-policy"]
    for element in ("script", "style"):
        (inline,) = re.findall(rf"<{element}>(.*?)</{element}>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert "default-src 'self'" in policy
    assert "innerHTML" not in page.text
    assert re.findall(r"https?://", page.text) == []


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("[::1]:8000", 200),
        ("LOCALHOST:1", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ],
)
def test_a_server_on_loopback_answers_under_its_own_names_only(ask, host, status):
    assert ask("GET", "/health", headers={"Host": host})[0].status_code == status


def test_another_name_can_be_allowed(ask):
    options = ServerOptions(allowed_hosts=("models.example",))
    answer = ask("GET", "/health", options=options, headers={"Host": "models.example"})[0]
    assert answer.status_code == 200


def test_a_preflight_is_answered_before_keys_are_checked(ask):
    options = ServerOptions(keys=(KEY,), cors=("https://app.example",))
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    answer = ask("OPTIONS", "/v1/chat/completions", options=options, headers=headers)[0]
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    headers["Origin"] = "https://evil.example"
    answer = ask("OPTIONS", "/v1/chat/completions", options=options, headers=headers)[0]
    assert "access-control-allow-origin" not in answer.headers


def test_other_addresses_need_keys():
    with pytest.raises(ValueError, match="no API key"):
        ServerOptions(host="0.0.0.0")
    assert ServerOptions(host="0.0.0.0", keys=(KEY,)).is_loopback is False
    assert ServerOptions(host="0.0.0.0", insecure=True).is_loopback is False


def test_requests_and_tokens_are_counted_by_expert(ask):
    answer, metrics = ask("POST", "/v1/chat/completions", json=QUESTION)
    assert answer.status_code == 200
    usage = answer.json()["usage"]
    lines = metrics.text.splitlines()
    assert 'hivellm_requests_total{expert="sql",kind="chat",status="200"} 1.0' in lines
    prompt = f'hivellm_prompt_tokens_total{{expert="sql"}} {float(usage["prompt_tokens"])}'
    assert prompt in lines
    for name in ("num_requests_running", "num_requests_waiting", "gpu_cache_usage_perc"):
        assert any(line.startswith(f"vllm:{name} ") for line in lines)
    assert any(line.startswith("vllm:lora_requests_info{max_lora=") for line in lines)


def test_the_log_has_a_line_for_a_request_and_nothing_of_its_text(ask):
    lines: list[str] = []
    options = ServerOptions(keys=(KEY,))
    question = {**QUESTION, "messages": [{"role": "user", "content": "my own secret"}]}
    headers = {"Authorization": f"Bearer {KEY.key}"}
    answer = ask(
        "POST",
        "/v1/chat/completions",
        options=options,
        log=lines.append,
        json=question,
        headers=headers,
    )[0]
    assert answer.status_code == 200
    (line,) = lines
    name = answer.headers["x-request-id"]
    said = rf"\S+ ann POST '/v1/chat/completions' 200 \d+ bytes [\d.]+ s {name}"
    assert re.fullmatch(said, line)


def test_a_path_cannot_write_control_characters_into_the_log(ask):
    lines: list[str] = []
    ask("GET", "/v1/%1b%5b31mred%0aline", log=lines.append)
    assert lines
    assert all(line.isprintable() for line in lines)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
def test_the_command_serves_until_it_is_told_to_stop(experts, tiny_base, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "server.toml"
    config.write_text(
        f'port = {port}\nbase = "{tiny_base}"\nn-ctx = 256\nn-threads = 1\ndrain = 5.0\n'
        f'[packages]\nsql = "{experts("sql")}"\n'
    )
    command = [sys.executable, "-m", "hivellm_lite", "serve", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            greeting = server.stderr.readline()
            assert f"Serving sql at http://127.0.0.1:{port}/v1" in greeting
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=10) as models:
                assert b'"sql"' in models.read()
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=30)
            assert server.returncode == 0
        finally:
            server.kill()


def test_a_port_that_is_taken_is_said_in_a_line(tool, experts, tiny_base):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = tool("serve", experts("sql"), "--base", tiny_base, "--port", str(port))
    assert code == 1
    assert f"Error: cannot listen on 127.0.0.1:{port}" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("short\n", "at least 16 characters"),
        ("# nothing\n", "has no key"),
        ("a b c-long-enough-key-of-one\n", "line 1"),
    ],
)
def test_a_file_of_keys_is_checked_and_no_key_is_shown(tool, tmp_path, text, message):
    keys = tmp_path / "keys"
    keys.write_text(text)
    code, _, err = tool("serve", "x.expert", "--api-key-file", keys)
    assert code == 2
    assert message in err
    assert "short" not in err.replace("shorter", "")


def test_an_unknown_option_in_the_configuration_is_named(tool, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text("prot = 8000\n")
    code, _, err = tool("serve", "x.expert", "--config", config)
    assert code == 2
    assert "'prot'" in err


def test_a_score_of_an_unknown_model_makes_no_metric_of_its_name(ask):
    question = {"model": "no-such-expert", "prompt": "Hello", "completion": "there"}
    answer, metrics = ask("POST", "/v1/score", json=question)
    assert answer.status_code == 404
    assert "no-such-expert" not in metrics.text
    answer, metrics = ask("POST", "/v1/score", json={**question, "model": "sql"})
    assert answer.status_code == 200
    assert 'hivellm_requests_total{expert="sql",kind="score",status="200"} 1.0' in metrics.text


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
def test_experts_are_loaded_at_their_first_use_and_leave_when_idle(experts, tiny_base):
    packages = [str(experts("sql")), str(experts("style", adapter="rslora"))]
    options = ["--base", str(tiny_base), "--n-ctx", "256", "--port", "0", "--ttl", "1", "--quiet"]
    command = [sys.executable, "-m", "hivellm_lite", "serve", *packages, *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            greeting = server.stderr.readline()
            address = re.search(r"http://[\d.:]+", greeting)[0]

            def states() -> dict[str, str]:
                models = httpx.get(f"{address}/v1/models").json()["data"]
                return {one["id"]: one["state"] for one in models if "state" in one}

            assert states()["style"] == "registered"
            question = {**QUESTION, "model": "style"}
            answer = httpx.post(f"{address}/v1/chat/completions", json=question, timeout=60)
            assert answer.status_code == 200
            wait_until(lambda: set(states().values()) == {"evicted"})
        finally:
            server.terminate()
            server.communicate(timeout=30)
    assert server.returncode == 0


def test_a_server_needs_an_expert_or_a_folder(tool, tmp_path):
    code, _, err = tool("serve")
    assert code == 2
    assert "--allow-loading" in err
    code, _, err = tool("serve", "--allow-loading", tmp_path / "missing")
    assert code == 1
    assert "no such folder" in err
