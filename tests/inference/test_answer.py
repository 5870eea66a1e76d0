"""From token bytes to text: whole characters, and thoughts kept apart."""

from __future__ import annotations

import pytest

from hivellm_lite.inference.answer import AnswerText
from hivellm_lite.inference.stops import StopScanner


def read(data: bytes, size: int = 1, **stops) -> AnswerText:
    answer = AnswerText(StopScanner(**stops))
    shown = "".join(answer.push(data[i : i + size]) for i in range(0, len(data), size))
    shown += answer.finish()
    assert shown == answer.text
    return answer


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_characters_are_never_cut(size):
    text = "Grüße, 東京 🎉👩‍👩‍👧"
    answer = AnswerText(StopScanner())
    data = text.encode()
    for start in range(0, len(data), size):
        assert "\ufffd" not in answer.push(data[start : start + size])
    answer.finish()
    assert answer.text == text


def test_invalid_bytes_become_replacement_characters():
    assert read(b"a\xff\xfeb").text == "a\ufffd\ufffdb"
    assert read(b"a\xf0\x9fb").text == "a\ufffdb"
    assert read(b"a\xed\xa0\xbd").text == "a\ufffd\ufffd\ufffd"  # half a surrogate pair


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize("character", ["é", "東", "🎉"])
def test_a_character_that_the_end_cuts_is_left_out(character, size):
    data = character.encode()
    for missing in range(1, len(data)):
        part = data[:-missing]
        assert read(b"cut " + part, size).text == "cut "
        assert read(b"<think>cut " + part, size).thinking == "cut"
        assert read(b"<think>a</think>" + part, size).text == ""
        held = read(b"a held;" + part, size, literal=[";;"])
        assert (held.text, held.stopped_by) == ("a held;", None)
        stopped = read(b"whole;" + part, size, literal=[";"])
        assert (stopped.text, stopped.stopped_by) == ("whole", ";")


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("<think>\nIt is two.\n</think>\n\n2", "It is two.", "2"),
        ("\n<think>a</think>b", "a", "b"),
        ("<think></think>\nb", "", "b"),
        ("<think>never ends", "never ends", ""),
        ("<think>a</thin", "a</thin", ""),
        ("<think>a</think>", "a", ""),
        ("no thought <think>x</think>", "", "no thought <think>x</think>"),
        ("<thi", "", "<thi"),
        ("<thing>", "", "<thing>"),
        ("  plain", "", "  plain"),
        ("", "", ""),
    ],
)
def test_a_thought_at_the_beginning_is_kept_apart(text, thought, answer, size):
    read_text = read(text.encode(), size)
    assert (read_text.thinking, read_text.text) == (thought, answer)


def test_stops_do_not_count_inside_a_thought_nor_right_behind_it():
    answer = read(b"<think>\na;\n\nb\n</think>\n\nSELECT 1; x", balanced=[";", "\n\n"])
    assert (answer.thinking, answer.text) == ("a;\n\nb", "SELECT 1")
    assert answer.stopped_by == ";"
