from __future__ import annotations

from pathlib import Path

import pytest
from hivellm_lite.converters.json_file import MAX_DEPTH, parse_json, read_json

from hivellm_lite.errors import ConversionError


@pytest.mark.parametrize("text", [b"5", b'"x"', b"[]", b'{"a": [1, {"b": null}]}'])
def test_ordinary_json_is_parsed(text: bytes) -> None:
    assert parse_json(text) is not None


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("depth", [MAX_DEPTH, 400, 200_000])
def test_deep_nesting_is_a_value_error(opening: bytes, closing: bytes, depth: int) -> None:
    with pytest.raises(ValueError, match="nested deeper"):
        parse_json(opening * depth + b"1" + closing * depth)


def test_nesting_just_below_the_limit_is_parsed() -> None:
    depth = MAX_DEPTH - 1
    assert parse_json(b"[" * depth + b"]" * depth) is not None


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "cannot read"),
        (b"{", "cannot read"),
        (b"\xff", "cannot read"),
        (b"[" * 100_000, "cannot read .*nested deeper"),
        (b"[1]", "not a JSON object"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b'{"a": "' + b"x" * 100 + b'"}', "larger than 50 bytes"),
    ],
)
def test_a_file_that_holds_no_object_is_refused(content: bytes, rule: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ConversionError, match=rule):
        read_json(path, max_bytes=50 if len(content) < 1000 else 10**6)


def test_a_few_bytes_for_many_objects_are_refused_before_they_are_parsed() -> None:
    with pytest.raises(ValueError, match="MB of memory"):
        parse_json(b"[" + b"[]," * 1_000_000 + b"[]]", max_memory=50 << 20)
