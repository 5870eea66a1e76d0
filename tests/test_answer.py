"""From token bytes to text: whole characters, and thoughts kept apart."""

from __future__ import annotations

import pytest

from hivellm_lite.answer import AnswerText
from hivellm_lite.stops import StopScanner


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
    assert read(b"cut \xf0\x9f").text == "cut \ufffd"


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
