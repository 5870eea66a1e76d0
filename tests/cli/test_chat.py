"""``hivellm-lite chat``: what is asked, what is remembered, commands, Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from hivellm_lite import Expert
from hivellm_lite.prompts.tags import system_message

QUICK = ("--n-ctx", 256, "--n-threads", 1, "--temperature", 0, "--max-tokens", 6)


@pytest.fixture
def chat(tool, tiny_base, monkeypatch):
    """Run the command in this process: ``lines`` are typed, ``arguments`` packages and options."""

    def run(lines, *arguments: object, stdin=None):
        text = "".join(f"{line}\n" for line in lines)
        monkeypatch.setattr("sys.stdin", stdin or io.StringIO(text))
        code, out, err = tool("chat", *arguments, "--base", tiny_base, *QUICK)
        return SimpleNamespace(code=code, out=out, err=err)

    return run


def answers(package, base, questions, system=None):
    """What the library answers to a conversation, each with a line's end."""
    messages = [{"role": "system", "content": system}] if system else []
    texts = []
    with Expert.load(package, base=base, n_ctx=256, n_threads=1) as expert:
        for question in questions:
            messages.append({"role": "user", "content": question})
            text = expert.generate(messages=messages, temperature=0.0, max_tokens=6).text
            messages.append({"role": "assistant", "content": text})
            texts.append(text)
        own = system_message(expert.manifest, None)
    return texts, own


def printed(texts) -> str:
    return "".join(text if text.endswith("\n") else f"{text}\n" for text in texts)


def asked(err: str) -> list[str]:
    """The prompt tokens of every /stats in stderr."""
    return [line.split(", ")[1] for line in err.splitlines() if line.startswith("last answer")]


class TestConversation:
    def test_answers_alone_are_on_stdout_and_know_what_was_said(
        self, chat, tiny_package, tiny_base
    ):
        package = tiny_package()
        texts, own = answers(package, tiny_base, [])
        texts, _ = answers(package, tiny_base, ["one", "two", "three"], own)
        done = chat(["one", "", "two", "/history", "three"], package)
        assert (done.code, done.out) == (0, printed(texts))
        assert "user: one\nassistant: " in done.err

    def test_reset_forgets(self, chat, tiny_package):
        done = chat(["one", "/stats", "one", "/stats", "/reset", "one", "/stats"], tiny_package())
        first, longer, again = asked(done.err)
        assert first.split()[0] != longer.split()[0]
        assert first.split()[0] == again.split()[0]

    def test_system_and_schema_take_each_others_place(self, chat, tiny_package, tiny_base):
        package = tiny_package()
        lines = ["/system be brief", "one", "/reset", "/schema a INT", "one", "/schema", "/system"]
        done = chat(lines, package)
        with Expert.load(package, base=tiny_base, n_ctx=256, n_threads=1) as expert:
            schema = system_message(expert.manifest, "a INT")
        texts = [answers(package, tiny_base, ["one"], s)[0][0] for s in ("be brief", schema)]
        assert done.out == printed(texts)
        assert done.err.splitlines()[-2:] == ["a INT", "There is no system message."]

    def test_begins_with_the_schema_or_the_system_message_given(
        self, chat, tiny_package, tiny_base, tmp_path
    ):
        (tmp_path / "schema").write_text("b INT")
        lines = ["/schema", f"/schema @{tmp_path / 'schema'}", "/schema", "/schema off", "/schema"]
        done = chat(lines, tiny_package(), "--schema", "a INT")
        told = [
            "a INT",
            "The schema has 5 characters.",
            "b INT",
            "No schema.",
            "There is no schema.",
        ]
        assert done.err.splitlines() == told
        assert chat([], tiny_package(), "--schema", "a", "--system", "b").code == 2

    def test_goes_on_after_an_error(self, chat, tiny_package):
        done = chat(["one", "word " * 300, "two"], tiny_package())
        assert done.code == 1
        assert "Error: the prompt has" in done.err
        assert "/reset forgets" in done.err
        assert done.out.count("\n") >= 2

    def test_says_that_an_answer_was_cut(self, chat, tiny_package):
        assert "(cut after 6 tokens)" in chat(["one"], tiny_package()).err


class TestExperts:
    @pytest.fixture
    def packages(self, tiny_package):
        return [
            tiny_package(name, routing={"keywords": [word]}, capabilities=[])
            for name, word in (("cats", "cat"), ("dogs", "dog"))
        ]

    def test_are_chosen_by_name_or_by_the_question(self, chat, packages):
        lines = ["a", "/stats", "/expert dogs", "a", "/stats", "/expert auto"]
        lines += ["the cat", "/stats", "the bird", "/stats", "/expert"]
        done = chat(lines, *packages)
        names = [line.split()[2] for line in done.err.splitlines() if "last answer" in line]
        assert names == ["cats@0.3.0,", "dogs@0.3.0,", "cats@0.3.0,", "tiny-base@base,"]
        assert '(cats: cats scores 1 = 1 for keywords "cat")' in done.err
        assert "(base: no expert scores above zero)" in done.err
        assert done.err.endswith("auto answers.\n")

    def test_are_listed(self, chat, packages):
        err = chat(["one", "/experts"], *packages, "--expert", "dogs").err
        assert "dogs: dogs@0.3.0 on tiny-llama.gguf, lora, " in err
        assert "asked 1 times\ncats: " in err

    def test_that_are_unknown_are_explained(self, chat, packages):
        done = chat(["/expert birds", "/expert"], *packages)
        assert "Error: no expert is named 'birds'; there are cats, dogs, auto and base" in done.err
        assert done.err.endswith("cats answers.\n")
        assert chat([], *packages, "--expert", "birds").code == 2

    def test_are_loaded_behind_those_they_require(self, chat, tiny_package):
        needs = tiny_package("needs", constraints={"requires": ["needed"]})
        done = chat(["one"], needs, tiny_package("needed"))
        assert done.code == 0
        assert chat([], needs).code == 1


class TestCommands:
    def test_are_listed_by_help_and_unknown_ones_explained(self, chat, tiny_package):
        done = chat(["/help", "/nonsense", "/quit", "never asked"], tiny_package())
        assert (done.code, done.out) == (0, "")
        for command in ("expert", "experts", "history", "reset", "schema", "system", "stats"):
            assert f"/{command} " in done.err
        assert done.err.endswith("There is no command /nonsense; /help lists them.\n")

    def test_save_writes_messages_once(self, chat, tiny_package, tmp_path):
        path = tmp_path / "said.json"
        lines = ["/history", "/system s", "one", f"/save {path}", f"/save {path}", "/save"]
        done = chat(lines, tiny_package())
        saved = json.loads(path.read_text())["messages"]
        assert [message["role"] for message in saved] == ["system", "user", "assistant"]
        assert done.out == printed([saved[2]["content"]])
        told = done.err.splitlines()
        assert told[0] == "Nothing was said yet."
        assert f"2 messages are in {path}." in told
        assert f"Error: {path}: File exists" in told
        assert told[-1] == "Error: /save needs the name of a file"

    def test_stats_say_tokens_speed_and_memory(self, chat, tiny_package):
        before, after = (chat([*asked, "/stats"], tiny_package()).err for asked in ([], ["one"]))
        assert before.startswith("memory: ")
        assert "tiny-llama.gguf: 0 requests, 0 tokens, " in before
        assert "last answer: tiny@0.3.0, " in after
        assert "tiny-llama.gguf: 1 requests, 6 tokens, 1 swaps, " in after

    def test_a_file_that_is_not_there_changes_nothing(self, chat, tiny_package, tmp_path):
        done = chat(["/schema a", f"/schema @{tmp_path / 'none'}", "/schema"], tiny_package())
        assert "none: No such file or directory" in done.err
        assert done.err.endswith("\na\n")


class CtrlC(io.StringIO):
    """A stream in whose use Ctrl-C is pressed: at every line read that is ``^C``, and when
    the first text is written.
    """

    pressed = False

    def readline(self, *_: object) -> str:
        line = super().readline()
        if line == "^C\n":
            signal.raise_signal(signal.SIGINT)
        return line

    def write(self, text: str) -> int:
        written = super().write(text)
        if not self.pressed:
            self.pressed = True
            signal.raise_signal(signal.SIGINT)
        return written


class TestInterrupting:
    def test_stops_the_answer_and_not_the_chat(self, chat, tiny_package, monkeypatch):
        monkeypatch.setattr("sys.stdout", stdout := CtrlC())
        done = chat(["one", "/history", "two"], tiny_package(), "--max-tokens", 200)
        assert done.code == 0
        assert "(stopped)" in done.err
        shown, rest = stdout.getvalue().split("\n", 1)
        assert f"assistant: {shown}" in done.err
        assert len(rest) > len(shown)

    def test_twice_in_a_row_leaves(self, chat, tiny_package):
        stdin = CtrlC("^C\n/schema\n^C\n^C\n/system\n")
        done = chat([], tiny_package(), stdin=stdin)
        assert done.code == 0
        assert done.err.count("Ctrl-C again, Ctrl-D or /quit leaves.") == 2
        assert "There is no schema." in done.err
        assert "system message" not in done.err

    def test_after_a_stopped_answer_leaves(self, chat, tiny_package, monkeypatch):
        monkeypatch.setattr("sys.stdout", CtrlC())
        done = chat([], tiny_package(), stdin=CtrlC("one\n^C\n/schema\n"))
        assert done.code == 0
        assert "There is no schema" not in done.err


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("stdout_is_a_terminal", [True, False])
def test_a_terminal_sees_who_will_answer(stdout_is_a_terminal, tiny_package, tiny_base):
    import pty

    ours, theirs = pty.openpty()
    arguments = ["chat", tiny_package(), "--base", tiny_base, *QUICK]
    process = subprocess.Popen(
        [sys.executable, "-m", "hivellm_lite", *map(str, arguments)],
        stdin=theirs,
        stdout=theirs if stdout_is_a_terminal else subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "dumb"},
    )
    os.close(theirs)
    seen = b""
    for wanted, typed in ((b"tiny> ", b"/expert base\n"), (b"base> ", b"\x04")):
        while wanted not in seen:
            seen += os.read(ours, 1000)
        os.write(ours, typed)
    assert process.wait(60) == 0
    os.close(ours)
    if process.stdout is not None:
        assert process.stdout.read() == b""
        process.stdout.close()


class TestPipes:
    @pytest.fixture
    def fed(self, tiny_package, tiny_base):
        """The tool in a process of its own, with these bytes on stdin."""
        package = tiny_package()

        def run(data: bytes, **environment: str):
            given = ["chat", package, "--base", tiny_base, *QUICK]
            return subprocess.run(
                [sys.executable, "-m", "hivellm_lite", *map(str, given)],
                input=data,
                capture_output=True,
                env={**os.environ, **environment},
                timeout=60,
            )

        return run

    def test_a_line_that_is_no_text_is_named_and_the_others_are_answered(self, fed):
        good = fed(b"one\nthree\n")
        done = fed(b"one\nt\xffwo\nthree\n")
        assert (good.returncode, done.returncode) == (0, 1)
        assert done.stdout == good.stdout
        assert b"Error: line 2: not UTF-8 text: byte 0xff at position 1" in done.stderr
        assert b"defect" not in done.stderr

    def test_utf_16_is_refused_as_a_whole(self, fed):
        done = fed("one\ntwo\n".encode("utf-16"))
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"is UTF-16 text; UTF-8 is expected" in done.stderr

    def test_a_mark_of_utf_8_is_no_part_of_the_question(self, fed):
        assert fed(b"\xef\xbb\xbfone\n").stdout == fed(b"one\n").stdout

    def test_another_encoding_is_read_where_it_is_said(self, fed):
        latin = fed("caf\u00e9\n".encode("latin-1"), PYTHONIOENCODING="latin-1:replace")
        utf8 = fed("caf\u00e9\n".encode())
        assert latin.returncode == utf8.returncode == 0
        assert latin.stdout == utf8.stdout.decode().encode("latin-1", "replace")

    def test_what_is_asked_to_be_shown_is_shown_whole(self, fed):
        schema = "x" * 5_000
        assert schema.encode() in fed(f"/schema {schema}\n/schema\n".encode()).stderr

    def test_a_file_that_is_missing_counts_as_failed(self, fed, tmp_path):
        assert fed(f"/schema @{tmp_path / 'none'}\n".encode()).returncode == 1
