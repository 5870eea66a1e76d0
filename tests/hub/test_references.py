"""References to the Hub: a repository, a revision and a file."""

from __future__ import annotations

import pytest

from hivellm_lite.hub import parse_reference


@pytest.mark.parametrize(
    ("text", "repository", "revision", "file"),
    [
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", None, None),
        ("a/b@v1.0", "a/b", "v1.0", None),
        ("a/b@refs/pr/3", "a/b", "refs/pr/3", None),
        ("a/b:x-Q8_0.gguf", "a/b", None, "x-Q8_0.gguf"),
        ("a/b@main:sub/x.expert", "a/b", "main", "sub/x.expert"),
    ],
)
def test_a_reference_has_a_repository_a_revision_and_a_file(text, repository, revision, file):
    reference = parse_reference(text)
    assert (reference.repository, reference.revision, reference.file) == (
        *(repository, revision, file),
    )
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    [
        *("name", "a/b/c", "/a/b", "./a", "../a", "~/a", "C:/a", "a\\b", "a/b:", "a/b@"),
        *("a/b:../x.gguf", "a/b:/etc/passwd", "a/b@../../x", "a/..b", "a/b:c:d"),
        *("models/x.gguf", "packages/x.expert", "a/model.safetensors", ""),
    ],
)
def test_paths_and_traps_are_no_references(text):
    assert parse_reference(text) is None
