"""What the tool prints, as terminals, pipes and full disks see it."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hivellm_lite.cli.options import progress_bar
from hivellm_lite.gbnf.library import grammar_text

from ..support.hub_server import Answer
from ..support.packages import (
    adapter_files,
    grammar_package,
    manifest_bytes,
    manifest_v2,
    write_package,
)
from ..support.terminal import shown_on_terminal

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs pseudo-terminals")

TOOL = (sys.executable, "-m", "hivellm_lite")
QUICK = ("--n-ctx", 256, "--n-threads", 1, "--temperature", 0, "--max-tokens", 24)

ATTACK = "\x1b[31mRED\x1b]0;title\x07\x9b2J\u202e\u2066\nsigned        yes"
"""Colours, a window's title, a cleared screen, right-to-left, and a line of its own."""

FORBIDDEN = [text.encode() for text in ("\x1b[31m", "\x1b]0;", "\x07", "\x9b", "\u202e", "\u2066")]


def command(*arguments: object) -> list[str]:
    return [*TOOL, *map(str, arguments)]


def on_terminal(*arguments: object, stdin: bytes = b"") -> bytes:
    """All that the tool sends to a terminal that is its stdin, stdout and stderr."""
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(*arguments), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    os.write(ours, stdin)
    seen = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not data:
            break
        seen += data
    os.close(ours)
    process.wait(60)
    return seen


def harmless(seen: bytes) -> bool:
    return not any(part in seen for part in FORBIDDEN)


def piped(*arguments: object, stdin: bytes = b"", **environment: str):
    return subprocess.run(
        command(*arguments),
        input=stdin,
        capture_output=True,
        env={**os.environ, **environment},
        timeout=120,
    )


@pytest.fixture
def package(tmp_path):
    """A package whose manifest, configuration or other files are given."""

    def write(*, config=None, more=None, folder=False, **manifest):
        files = adapter_files()
        files["manifest.json"] = manifest_bytes(manifest_v2(**manifest))
        if config:
            known = json.loads(files["adapter_config.json"])
            files["adapter_config.json"] = json.dumps({**known, **config}).encode()
        files |= more or {}
        return write_package(tmp_path / ("attack" if folder else "attack.expert"), files)

    return write


@pytest.fixture
def dictating(tmp_path):
    """A package whose grammar leaves one answer."""

    def write(answer: str) -> Path:
        literal = "".join(f"\\U{ord(char):08x}" for char in answer)
        return grammar_package(
            tmp_path / "dictating.expert", f'root ::= "{literal}"', use_grammar=True
        )

    return write


class TestATerminal:
    @pytest.mark.parametrize("field", ["description", "author", "license"])
    def test_gets_no_escape_of_a_manifest(self, package, field):
        seen = shown_on_terminal("inspect", package(**{field: ATTACK}))
        assert harmless(seen)
        assert b"\\x1b[31mRED" in seen

    def test_is_not_told_another_line_by_a_manifest(self, package):
        seen = shown_on_terminal("inspect", package(description=ATTACK)).decode()
        signed = [line for line in seen.splitlines() if line.startswith("signed")]
        assert signed == ["signed        no"]

    def test_gets_none_of_nested_fields_and_of_errors(self, package, tiny_base):
        base = {**manifest_v2()["base_models"][0], "prompt_template": ATTACK, "name": ATTACK}
        capable = package(capabilities=[ATTACK, "a:b"], base_models=[base])
        assert harmless(shown_on_terminal("inspect", capable))
        assert harmless(shown_on_terminal("run", capable, "x"))
        assert harmless(shown_on_terminal("run", capable, "x", "--base", tiny_base))
        unknown = package(config={"peft_type": ATTACK})
        for how in (("inspect",), ("convert",), ("--debug", "convert")):
            given = ("--base", tiny_base) if "convert" in how else ()
            assert harmless(shown_on_terminal(*how, unknown, *given))

    def test_gets_none_of_names_of_files(self, package, tiny_base):
        named = package(folder=True, more={f"base/{ATTACK[:20]}": b"x", "base/config.json": b"{}"})
        assert harmless(shown_on_terminal("inspect", named))
        assert harmless(shown_on_terminal("run", named, "x"))
        odd = named.with_name("\x1b[31mRED\u202e")
        named.rename(odd)
        assert harmless(shown_on_terminal("inspect", odd))
        assert harmless(shown_on_terminal("inspect", f"{odd}-missing"))
        assert harmless(shown_on_terminal("route", "x", odd))
        assert harmless(shown_on_terminal("convert", odd, "--base", tiny_base))
        assert harmless(shown_on_terminal("cache", "list"))
        assert harmless(shown_on_terminal("estimate", odd, "--base", tiny_base))

    def test_gets_an_answer_without_escapes_but_with_its_lines(self, dictating, tiny_base):
        seen = on_terminal("run", dictating("a\n\tb" + ATTACK), "x", "--base", tiny_base, *QUICK)
        assert harmless(seen)
        assert seen.startswith(b"a\r\n\tb\\x1b[31mRED")  # the terminal itself adds the \r

    def test_gets_a_chat_without_escapes(self, dictating, tiny_base):
        asked = b"hello \x16\x1b[31m\n/history\n/quit\n"
        seen = on_terminal("chat", dictating(ATTACK), "--base", tiny_base, *QUICK, stdin=asked)
        assert b"\\x1b[31mRED" in seen
        assert b"\x1b]0;" not in seen
        assert "\u202e".encode() not in seen

    def test_gets_grammars_and_what_they_refuse_without_escapes(self, tmp_path):
        path = tmp_path / "evil.gbnf"
        path.write_text(f'root ::= "a" gone # {ATTACK[:-20]}\n')
        for how in (("check",), ("repair",), ("test",)):
            texts = (ATTACK,) if how == ("test",) else ()
            assert harmless(shown_on_terminal("grammar", *how, path, *texts))
        path.write_text('root ::= "\u202e\x9b" | "b"\n')
        assert harmless(shown_on_terminal("grammar", "repair", path))
        assert harmless(shown_on_terminal("grammar", "test", path, "c\x1b[31m"))

    def test_gets_wrong_usage_without_escapes(self):
        for arguments in (
            (ATTACK,),
            (f"--{ATTACK}",),
            ("run", "p", "x", "--variant-type", ATTACK),
            ("batch", "p", ATTACK),
            ("cache", ATTACK),
        ):
            assert harmless(shown_on_terminal(*arguments))


def test_what_a_hub_says_is_harmless(tool, server):
    body = json.dumps({"error": ATTACK + "x" * 100_000}).encode()
    headers = {"Content-Type": "application/json", "X-Error-Message": "\x9b2J\x1b[31m"}
    server.misbehave("/api/models/", Answer(418, headers=headers, body=body))
    for arguments in (
        ("run", "org/x", "x"),
        ("--debug", "run", "org/x", "x"),
    ):
        code, _, err = tool(*arguments)
        assert code == 1
        assert "418" in err
        assert harmless(err.encode("utf-8", "surrogateescape"))
        assert len(err) < 60_000


def test_what_a_download_is_called_is_harmless_in_a_progress_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with progress_bar() as report:
        report(f"Downloading {ATTACK}{'x' * 1_000}", 0, 10)
        report(f"Downloading {ATTACK}{'x' * 1_000}", 10, 10)
    shown = terminal.getvalue()
    assert "Downloading" in shown
    assert harmless(shown.encode())
    assert max(map(len, shown.splitlines())) < 300


class TestAPipe:
    def test_gets_an_answer_byte_for_byte(self, dictating, tiny_base):
        answer = "a\r\n\tb\x1b[31mRED\x1b[0m\u202e\x9b c"
        given = ("run", dictating(answer), "x", "--base", tiny_base, *QUICK)
        assert piped(*given, "--max-tokens", 80).stdout == f"{answer}\n".encode()
        data = piped(*given, "--max-tokens", 80, "--json").stdout
        assert json.loads(data)["text"] == answer
        assert harmless(data)

    def test_gets_a_grammar_as_it_is(self):
        assert piped("grammar", "show", "json").stdout == grammar_text("json").encode()

    def test_gets_json_with_escapes_and_the_same_value(self, package):
        data = piped("inspect", package(description=ATTACK), "--json").stdout
        assert harmless(data)
        assert json.loads(data)["description"] == ATTACK

    def test_gets_messages_without_escapes(self, package, tiny_base):
        done = piped("convert", package(config={"peft_type": ATTACK}), "--base", tiny_base)
        assert done.returncode == 1
        assert harmless(done.stderr)
        assert b"\\x1b[31mRED" in done.stderr
        assert harmless(piped("inspect", package(description=ATTACK)).stdout)

    def test_gets_batch_results_with_escapes(self, dictating, tiny_base):
        given = ("batch", dictating(ATTACK), "-", "--base", tiny_base, *QUICK, "--max-tokens", 90)
        line = json.dumps({"prompt": "x", "id": ATTACK})
        done = piped(*given, stdin=f'{line}\n{{"{ATTACK[:10]}": 1}}\n'.encode())
        assert done.returncode == 1
        assert harmless(done.stdout)
        assert harmless(done.stderr)
        records = {record["index"]: record for record in map(json.loads, done.stdout.splitlines())}
        assert records[0]["text"] == records[0]["id"] == ATTACK

    def test_of_another_encoding_loses_nothing_but_the_look(self, dictating, tiny_base):
        given = ("run", dictating("caf\u00e9 \U0001f600!"), "x", "--base", tiny_base, *QUICK)
        done = piped(*given, PYTHONIOENCODING="latin-1")
        assert done.returncode == 0
        assert done.stdout == b"caf\xe9 \\U0001f600!\n"
        assert done.stderr.count(b"iso8859-1") + done.stderr.count(b"latin-1") == 1
        done = piped(*given, PYTHONIOENCODING="ascii")
        assert done.stdout == b"caf\\xe9 \\U0001f600!\n"
        data = piped(*given, "--json", PYTHONIOENCODING="ascii").stdout
        assert json.loads(data)["text"] == "caf\u00e9 \U0001f600!"


class TestBounds:
    def test_a_huge_name_makes_no_huge_message(self, tool, package, tiny_base):
        huge = package(config={"peft_type": "x" * 1_000_000})
        code, _, err = tool("convert", huge, "--base", tiny_base)
        assert code == 1
        assert len(err) < 5_000
        described = package(description="x" * 100_000, author="y" * 100_000)
        assert len(tool("inspect", described)[1]) < 20_000

    def test_a_thousand_problems_are_counted(self, tool, package):
        wrong = package(**{f"field{n}": n for n in range(3)}, routing=["x"] * 5000, name=5)
        code, _, err = tool("inspect", wrong)
        assert code == 1
        assert len(err) < 50_000

    def test_a_grammar_of_ten_thousand_mistakes_does_not_flood(self, tool, tmp_path):
        path = tmp_path / "g.gbnf"
        path.write_text('root ::= "a"\n' + "".join(f'unused{n} ::= "a"\n' for n in range(2_000)))
        lines = tool("grammar", "check", path)[1].splitlines()
        assert len(lines) < 250
        assert any("more, which --json lists" in line for line in lines)


COMMANDS = [
    ("--help",),
    ("--version",),
    ("inspect", "PACKAGE"),
    ("inspect", "PACKAGE", "--json"),
    ("run", "PACKAGE", "x", "--base", "BASE", *QUICK),
    ("run", "PACKAGE", "x", "--base", "BASE", *QUICK, "--json"),
    ("chat", "PACKAGE", "--base", "BASE", *QUICK),
    ("batch", "PACKAGE", "-", "--base", "BASE", *QUICK),
    ("grammar", "show", "json"),
    ("cache", "list"),
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda given: " ".join(map(str, given)))
class TestAStdout:
    @pytest.fixture
    def given(self, arguments, tiny_package, tiny_base):
        places = {"PACKAGE": tiny_package(), "BASE": tiny_base}
        return command(*(places.get(str(argument), argument) for argument in arguments))

    def test_whose_reader_has_gone_ends_the_tool_in_silence(self, given):
        reading, writing = os.pipe()
        os.close(reading)
        process = subprocess.Popen(
            given, stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE
        )
        os.close(writing)
        _, err = process.communicate(b'"a"\n"b"\n', timeout=60)
        assert process.returncode == 1
        assert err.replace(b"(cut after 24 tokens)\n", b"") == b""

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
    def test_on_a_full_disk_is_an_ordinary_error(self, given):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                given, input=b'"a"\n"b"\n', stdout=full, stderr=subprocess.PIPE, timeout=60
            )
        assert done.returncode == 1
        assert os.strerror(errno.ENOSPC).encode() in done.stderr
        assert b"defect" not in done.stderr
        assert b"Exception ignored" not in done.stderr

    def test_that_is_closed_is_an_ordinary_error(self, given):
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" >&-', "sh", *given],
            input=b'"a"\n',
            capture_output=True,
            timeout=60,
        )
        assert b"defect" not in done.stderr
        assert b"Traceback" not in done.stderr


def test_a_stderr_that_takes_nothing_changes_nothing(tiny_package, tiny_base):
    given = command("run", tiny_package(), "x", "--base", tiny_base, *QUICK, "--stats")
    wanted = subprocess.run(given, capture_output=True, timeout=60)
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *given], stdout=subprocess.PIPE, timeout=60
    )
    assert (closed.returncode, closed.stdout) == (0, wanted.stdout)
    if Path("/dev/full").exists():
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(given, stdout=subprocess.PIPE, stderr=full, timeout=60)
        assert (done.returncode, done.stdout) == (0, wanted.stdout)


def test_ctrl_c_while_a_command_works_is_told_in_one_line(tmp_path):
    os.mkfifo(tmp_path / "endless.gbnf")
    process = subprocess.Popen(
        command("grammar", "check", tmp_path / "endless.gbnf"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    writing = os.open(tmp_path / "endless.gbnf", os.O_WRONLY)  # returns when the tool reads
    time.sleep(0.05)
    process.send_signal(2)
    out, err = process.communicate(timeout=60)
    os.close(writing)
    assert (process.returncode, out, err.strip()) == (130, b"", b"Interrupted.")


def test_what_any_library_logs_is_harmless(tool, capsys, tiny_package):
    import logging

    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger("another.library").addHandler(handler)

    before = logging.getLogRecordFactory()
    try:
        from hivellm_lite.cli.main import _harmless

        logging.setLogRecordFactory(_harmless(before))
        logging.getLogger("another.library").warning("%s says %s", "the hub", ATTACK)
    finally:
        logging.setLogRecordFactory(before)
        logging.getLogger("another.library").removeHandler(handler)
    assert harmless(capsys.readouterr().err.encode())
    assert tool("inspect", tiny_package())[0] == 0
    assert logging.getLogRecordFactory() is before
