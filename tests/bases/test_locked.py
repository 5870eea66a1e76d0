"""Bases at the commit that a lock file names."""

from __future__ import annotations

import dataclasses

import pytest

from hivellm_lite import BaseNotFoundError
from hivellm_lite.bases import find_base
from hivellm_lite.bases.pinning import pinned_base

from .contents import GGUF, MODEL, files_of


def test_a_base_is_pinned_to_the_commit_that_is_here_or_that_the_hub_has(
    on, cache, hub, server, qwen
):
    commit = server.repositories["Qwen/Qwen3-0.6B-GGUF"].commit
    pinned = f"Qwen/Qwen3-0.6B-GGUF@{commit}"
    assert pinned_base("F:/models/Qwen3-0.6B", cache=cache, hub=hub) == pinned
    find_base(on("Qwen3-0.6B"), given=None, cache=cache, hub=hub)
    offline = dataclasses.replace(hub, offline=True)
    assert pinned_base("Qwen3-0.6B", cache=cache, hub=offline) == pinned
    assert pinned_base("Qwen3-1.7B", cache=cache, hub=offline) is None
    assert pinned_base("my-own-base", cache=cache, hub=hub) is None


def test_a_locked_base_is_found_at_its_commit_wherever_the_branch_is(on, cache, hub, server, qwen):
    package = on("Qwen3-0.6B")
    locked = pinned_base("Qwen3-0.6B", cache=cache, hub=hub)
    found = find_base(package, given=None, cache=cache, hub=hub, locked=locked)
    assert found.path.read_bytes() == GGUF
    assert f"Qwen/Qwen3-0.6B-GGUF@{found.revision}" == locked
    server.add("Qwen/Qwen3-0.6B-GGUF", {"Qwen3-0.6B-Q8_0.gguf": GGUF + b"newer"})
    server.asked.clear()
    assert find_base(package, given=None, cache=cache, hub=hub, locked=locked) == found
    assert server.asked == []
    gone = locked[:-1] + ("0" if locked[-1] != "0" else "1")
    with pytest.raises(BaseNotFoundError, match="needs the base Qwen/Qwen3"):
        find_base(package, given=None, cache=cache, hub=hub, locked=gone)


@pytest.mark.parametrize("name", ["me/mine", "Qwen3-0.6B"])
def test_a_locked_repository_that_no_table_knows_brings_no_gguf(on, cache, hub, server, name):
    """A package may name any base: what its lock is made from must not become a user's choice."""
    server.add("me/mine", {**files_of(MODEL), "mine-Q8_0.gguf": GGUF})
    commit = server.repositories["me/mine"].commit
    locked = f"me/mine@{commit}"
    found = find_base(on(name), given=None, cache=cache, hub=hub, locked=locked)
    assert found.converted
    assert server.downloads(".gguf") == []
