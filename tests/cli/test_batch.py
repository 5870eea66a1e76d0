"""``hivellm-lite batch``: results by line, what is skipped, repaired and refused."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from hivellm_lite import Expert
from hivellm_lite.cli import batch_lines, main

QUICK = ("--n-ctx", 256, "--n-threads", 1, "--temperature", 0, "--max-tokens", 6)


def text_of(lines) -> str:
    return "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)


@pytest.fixture
def batch(capsysbinary, tiny_base, tmp_path):
    """Run the command in this process on ``lines``: texts as they are, all else as JSON."""

    def run(package, lines, *arguments: object, base=tiny_base):
        source = tmp_path / "in.jsonl"
        source.write_text(text_of(lines))
        given = ["batch", package, source, "--base", base, *QUICK, *arguments]
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in given])
        captured = capsysbinary.readouterr()
        return SimpleNamespace(
            code=ended.value.code,
            records={r["index"]: r for r in map(json.loads, captured.out.splitlines())},
            err=captured.err.decode(),
        )

    return run


@pytest.fixture
def ask(tiny_base):
    def run(package, **options):
        with Expert.load(package, base=tiny_base, n_ctx=256, n_threads=1) as expert:
            return expert.generate(**{"temperature": 0.0, "max_tokens": 6, **options})

    return run


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestResults:
    def test_are_those_of_the_library_under_the_index_of_their_line(self, batch, tiny_package, ask):
        package = tiny_package()
        lines = [
            '"one"',
            "",
            {"id": "b", "prompt": "two", "max_tokens": 3},
            {"messages": [{"role": "user", "content": "three"}], "id": 3},
        ]
        done = batch(package, lines)
        assert done.code == 0
        assert sorted(done.records) == [0, 2, 3]
        assert done.records[0]["text"] == ask(package, prompt="one").text
        assert done.records[2]["text"] == ask(package, prompt="two", max_tokens=3).text
        assert done.records[3]["text"] == ask(package, messages=lines[3]["messages"]).text
        assert "id" not in done.records[0]
        assert [done.records[index]["id"] for index in (2, 3)] == ["b", 3]
        assert done.err == "3 answered, 0 failed, 0 were done before\n"

    def test_may_tell_of_tools_and_use_a_template_of_the_user(
        self, batch, tiny_package, ask, tmp_path
    ):
        source = tmp_path / "mine.jinja"
        source.write_text("{{ effort }}{{ tools[0].name }}one")
        told = {"tools": [{"name": "now"}], "chat_template_kwargs": {"effort": "low"}}
        package, output = tiny_package(), tmp_path / "out.jsonl"
        arguments = ("--template", f"@{source}", "--output", output)
        assert batch(package, [{"prompt": "one", **told}], *arguments).code == 0
        assert records(output)[0]["text"] == ask(package, prompt="lownowone", template="raw").text
        source.write_text("{{ tools[0].name }}!")
        again = batch(package, [{"prompt": "one", **told}], *arguments)
        assert "1 answered, 0 failed, 0 were done before" in again.err

    def test_take_the_schema_of_the_command_line_where_a_line_has_none(
        self, batch, tiny_package, ask
    ):
        package = tiny_package()
        lines = ['"x"', {"prompt": "x", "schema": "short"}, {"prompt": "x", "system": "s"}]
        done = batch(package, lines, "--schema", "a rather long schema")
        said = ({"schema": "a rather long schema"}, {"schema": "short"}, {"system": "s"})
        for index, options in enumerate(said):
            wanted = ask(package, prompt="x", **options).prompt_tokens
            assert done.records[index]["prompt_tokens"] == wanted

    def test_say_which_expert_answered(self, batch, tiny_package):
        cats = tiny_package("cats", routing={"keywords": ["cat"]}, capabilities=[])
        dogs = tiny_package("dogs", routing={"keywords": ["dog"]}, capabilities=[])
        lines = [
            '"the dog"',
            {"prompt": "x", "expert": "dogs"},
            {"prompt": "the dog", "expert": "auto"},
            {"prompt": "x", "expert": "base"},
            {"prompt": "x", "expert": {"dogs": 0.5, "cats": 0.5}},
        ]
        first = batch(cats, lines, "--expert", dogs)
        names = ["cats@0.3.0", "dogs@0.3.0", "dogs@0.3.0", "tiny-base@base", "dogs@0.3.0"]
        assert [first.records[index]["expert"] for index in range(5)] == names
        auto = batch(cats, lines[:1], "--expert", dogs, "--auto")
        assert auto.records[0]["expert"] == "dogs@0.3.0"


BAD_LINES = {
    "{": "no JSON",
    "7": 'neither a text nor an object such as {"prompt"',
    "[" * 100_000: "nested too deeply",
    '{"prompt": 7}': '"prompt" is a whole number; expected text',
    '{"prompt": "x", "frequency": 1}': 'unknown field "frequency"; known: prompt',
    '{"prompt": "x", "top_k": 1.5}': '"top_k" is a number; expected a whole number',
    '{"prompt": "x", "seed": true}': '"seed" is true or false; expected a whole number',
    '{"prompt": "x", "min_p": NaN}': '"min_p" is out of range',
    '{"prompt": "x", "adapter_scale": 1e999}': '"adapter_scale" is out of range',
    '{"prompt": "x", "stop": ["a", null]}': 'an entry of "stop" is null; expected text',
    '{"prompt": "x", "expert": {"tiny": "1"}}': 'a weight of "expert" is text',
    '{"prompt": "x", "expert": {}}': "a blend needs at least one expert",
    '{"prompt": "x", "expert": "none"}': "no expert named 'none'",
    '{"prompt": "x", "top_p": 7}': "top_p=7: must be above 0",
    '{"max_tokens": 3}': "give either a prompt or messages",
    json.dumps({"prompt": "word " * 300}): "leaves no room for 1 more",
}
"""What is wrong with each."""


class TestBadLines:
    def test_are_told_by_number_and_stop_no_other(self, batch, tiny_package):
        lines = ['"good"', *BAD_LINES, '"good"']
        done = batch(tiny_package(), lines)
        assert done.code == 1
        assert (
            done.err.splitlines()[-1] == f"2 answered, {len(BAD_LINES)} failed, 0 were done before"
        )
        told = {
            int(line[5:].partition(":")[0]): line
            for line in done.err.splitlines()
            if line.startswith("line ")
        }
        assert sorted(told) == list(range(2, len(lines)))
        for index, problem in enumerate(BAD_LINES.values(), start=1):
            assert problem in told[index + 1]
            assert problem in done.records[index]["error"]["message"]
        assert done.records[0]["text"] == done.records[len(lines) - 1]["text"]

    def test_longer_than_the_limit_are_passed_over_whole(self, batch, tiny_package, monkeypatch):
        monkeypatch.setattr(batch_lines, "MAX_LINE_BYTES", 1 << 20)
        done = batch(tiny_package(), [f'"{"x" * (3 << 20)}"', '"good"'])
        assert done.records[0]["error"]["message"] == "longer than 1 MiB"
        assert done.records[1]["text"]
        assert sorted(done.records) == [0, 1]

    def test_half_a_surrogate_pair_comes_back_as_it_was(self, batch, tiny_package):
        done = batch(tiny_package(), ['{"prompt": "\\ud800", "id": "\\ud800"}'])
        assert done.records[0]["id"] == "\ud800"


class TestOutput:
    def test_is_continued_with_what_is_new_or_changed(self, batch, tiny_package, tmp_path):
        package, out = tiny_package(), tmp_path / "out.jsonl"
        batch(package, ['"one"', '"two"'], "-o", out)
        before = out.read_bytes()
        done = batch(package, ['"one"', '"zwei"', '"three"'], "-o", out)
        assert done.err == "2 answered, 0 failed, 1 were done before\n"
        assert out.read_bytes().startswith(before)
        assert sorted(record["index"] for record in records(out)[2:]) == [1, 2]

    def test_is_done_anew_where_options_or_the_package_changed(self, batch, tiny_package, tmp_path):
        out, lines = tmp_path / "out.jsonl", ['"one"']
        package = tiny_package()
        batch(package, lines, "-o", out)
        assert "1 answered" in batch(package, lines, "-o", out, "--stop", "x").err
        assert "1 answered" in batch(package, lines, "-o", out, "--kv-type", "f32").err
        newer = tiny_package(version="0.4.0")
        assert "1 answered" in batch(newer, lines, "-o", out).err
        assert "0 answered" in batch(newer, lines, "-o", out).err

    def test_that_is_complete_needs_no_model(self, batch, tiny_package, tiny_base, tmp_path):
        package, out = tiny_package(), tmp_path / "out.jsonl"
        base = Path(shutil.copy(tiny_base, tmp_path / "base.gguf"))
        batch(package, ['"one"'], "-o", out, base=base)
        base.unlink()
        done = batch(package, ['"one"'], "-o", out, base=base)
        assert (done.code, done.err) == (0, "0 answered, 0 failed, 1 were done before\n")

    def test_loses_a_half_written_last_line_and_no_other(self, batch, tiny_package, tmp_path):
        package, out = tiny_package(), tmp_path / "out.jsonl"
        batch(package, ['"one"', '"two"'], "-o", out)
        whole = records(out)
        out.write_bytes(out.read_bytes()[:-5])
        done = batch(package, ['"one"', '"two"'], "-o", out)
        assert done.err == "1 answered, 0 failed, 1 were done before\n"
        answers = [{r["index"]: r["text"] for r in each} for each in (whole, records(out))]
        assert answers[0] == answers[1]

    def test_tries_again_what_failed(self, batch, tiny_package, tmp_path):
        package, out = tiny_package(), tmp_path / "out.jsonl"
        lines = ['"one"', json.dumps("word " * 300)]
        assert batch(package, lines, "-o", out).code == 1
        done = batch(package, lines, "-o", out)
        assert (done.code, done.err.splitlines()[-1]) == (
            1,
            "0 answered, 1 failed, 1 were done before",
        )

    def test_of_another_kind_is_left_as_it_is(self, batch, tiny_package, tmp_path):
        package, out = tiny_package(), tmp_path / "out.jsonl"
        for text in ('{"index": 0, "input": "x"}\nnotes\n', "[1]\n", '{"text": "a"}\n'):
            out.write_text(text)
            done = batch(package, ['"one"'], "-o", out)
            assert done.code == 2
            assert "is no result of this command" in done.err
            assert out.read_text() == text
        assert batch(package, ['"one"'], "-o", out, "--overwrite").code == 0
        assert [record["index"] for record in records(out)] == [0]

    def test_cannot_be_the_input_or_out_of_reach(self, batch, tiny_package, tmp_path):
        package = tiny_package()
        done = batch(package, ['"one"'], "-o", tmp_path / "in.jsonl", "--overwrite")
        assert done.code == 2
        assert "both the input and the output" in done.err
        assert (tmp_path / "in.jsonl").read_text() == '"one"\n'
        done = batch(package, ['"one"'], "-o", tmp_path / "none" / "out.jsonl")
        assert done.code == 2
        assert "No such file" in done.err


def test_stdin_is_read(capsysbinary, tiny_package, tiny_base, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'"one"\n')))
    with pytest.raises(SystemExit) as ended:
        main(["batch", str(tiny_package()), "-", "--base", str(tiny_base), *map(str, QUICK)])
    assert ended.value.code == 0
    assert json.loads(capsysbinary.readouterr().out)["index"] == 0


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
def test_what_was_interrupted_goes_on(how, batch, tiny_package, tiny_base, tmp_path):
    package, out, source = tiny_package(), tmp_path / "out.jsonl", tmp_path / "in.jsonl"
    lines = [json.dumps(f"number {index}") for index in range(200)]
    source.write_text(text_of(lines))
    given = ["batch", package, source, "--base", tiny_base, *QUICK, "-o", out]
    process = subprocess.Popen(
        [sys.executable, "-m", "hivellm_lite", *map(str, given)], stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not (out.exists() and out.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(getattr(signal, how))
    err = process.communicate(timeout=60)[1].decode()
    if how == "SIGINT":
        assert process.returncode == 130
        assert err.splitlines()[-1] == "Interrupted."
    n_before = len(out.read_bytes().splitlines())
    assert 0 < n_before < len(lines)
    done = batch(package, lines, "-o", out)
    assert done.code == 0
    assert sorted(record["index"] for record in records(out)) == list(range(len(lines)))


class TestCluster:
    def test_needs_ray(self, batch, tiny_package, monkeypatch):
        monkeypatch.setitem(sys.modules, "ray", None)
        done = batch(tiny_package(), ['"one"'], "--ray")
        assert done.code == 2
        assert "Ray is not installed: run pip install 'hivellm-lite[ray]'" in done.err

    def test_has_an_address_and_no_package_after_its_option(self, batch, tiny_package):
        done = batch(tiny_package(), ['"one"'], "--ray", "sql.expert")
        assert done.code == 2
        assert "'sql.expert' is no address of a Ray cluster, which is HOST:PORT" in done.err

    def test_is_asked_for_where_its_options_are_given(self, batch, tiny_package):
        for option in ("--ray-workers", "--ray-cpus"):
            done = batch(tiny_package(), ['"one"'], option, 2)
            assert done.code == 2
            assert "--ray-workers and --ray-cpus need --ray" in done.err


class TestEncodings:
    @pytest.fixture
    def of_bytes(self, capsysbinary, tiny_base, tmp_path, tiny_package):
        package = tiny_package()

        def run(data: bytes):
            source = tmp_path / "in.jsonl"
            source.write_bytes(data)
            given = ["batch", package, source, "--base", tiny_base, *QUICK]
            with pytest.raises(SystemExit) as ended:
                main([str(argument) for argument in given])
            captured = capsysbinary.readouterr()
            records = {r["index"]: r for r in map(json.loads, captured.out.splitlines())}
            return SimpleNamespace(
                code=ended.value.code, records=records, err=captured.err.decode()
            )

        return run

    @pytest.mark.parametrize(
        "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]
    )
    def test_that_are_wider_are_refused_as_a_whole(self, of_bytes, encoding):
        done = of_bytes('"one"\r\n"two"\r\n"drei ß"'.encode(encoding))
        assert (done.code, done.records) == (2, {})
        assert f"is {encoding[:6].upper()} text; UTF-8 is expected" in done.err
        assert "iconv -f" in done.err

    def test_with_a_mark_of_utf_8_are_read(self, of_bytes):
        done = of_bytes(b'\xef\xbb\xbf"one"\n\xef\xbb\xbf"two"\n')
        assert (done.code, sorted(done.records)) == (0, [0, 1])

    def test_that_are_wrong_in_one_line_fail_for_that_line(self, of_bytes):
        done = of_bytes(b'"one"\n"caf\xe9"\n"three"\n')
        assert done.code == 1
        assert "line 2: not UTF-8 text: byte 0xe9 at position 4" in done.err
        assert ["error" in done.records[index] for index in range(3)] == [False, True, False]


class TestIds:
    def test_stay_where_the_line_fails(self, batch, tiny_package):
        lines = [
            {"id": "a", "prompt": 7},
            {"id": 5, "unknown": 1},
            {"id": "c", "prompt": "x", "top_p": 9},
            {"id": {"no": "id"}, "prompt": "x"},
            {"id": None, "prompt": "x"},
            '{"id": 1e999, "prompt": "x"}',
        ]
        done = batch(tiny_package(), lines)
        assert [done.records[index].get("id") for index in range(6)] == ["a", 5, "c", *[None] * 3]
        assert ["error" in done.records[index] for index in range(6)] == [True] * 4 + [False, True]


def test_a_message_of_a_line_is_bounded(batch, tiny_package):
    line = json.dumps({"prompt": "x", "grammar": "g" * 1_000_000})
    done = batch(tiny_package(), [line, {"k" * 500_000: 1}])
    assert done.code == 1
    assert len(done.err) < 5_000
    assert all(len(record["error"]["message"]) < 5_000 for record in done.records.values())


def test_an_error_names_the_options_of_the_command_line(batch, tiny_package):
    line = {"prompt": "x", "json_schema": {"type": "array", "uniqueItems": True}}
    done = batch(tiny_package(), [line])
    assert "--allow-unenforced" in done.err
    assert "allow_unenforced=True" not in done.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
def test_a_device_as_output_is_written_and_not_read(batch, tiny_package):
    done = batch(tiny_package(), ['"one"'], "-o", "/dev/full")
    assert done.code == 1
    assert "cannot write to /dev/full: No space left" in done.err
    assert batch(tiny_package(), ['"one"'], "-o", "/dev/null").code == 0
