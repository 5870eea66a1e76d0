"""A worker without Ray, on the machine of the test."""

from __future__ import annotations

import asyncio
import dataclasses
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from hivellm_lite import Cache, Expert, __version__
from hivellm_lite.batch.answering import BatchLine
from hivellm_lite.cache.digests import digest_file
from hivellm_lite.cluster.batch_worker import BatchJob, BatchWorker
from hivellm_lite.errors import LoadError
from hivellm_lite.package.opening import open_package

LOAD = {
    "n_ctx": 256, "n_threads": 1, "verify": True, "signatures": None, "offline": True,
    "cache_dir": None,
}  # fmt: skip


@pytest.fixture
def job(cache: Cache, tiny_package: Callable[..., Path], tiny_base: Path) -> BatchJob:
    path = tiny_package()
    packages = {"tiny": (str(path), open_package(path, cache=cache).digest)}
    return BatchJob(packages, {}, {**LOAD, "base": str(tiny_base)}, batch_size=2, cpus=1)


def line(index: int, expert: str | dict[str, float] = "tiny") -> BatchLine:
    options = {"prompt": f"number {index}", "temperature": 0.0, "max_tokens": 4}
    return BatchLine(index, f"digest-{index}", None, expert, options, None)


def start(job: BatchJob, version: str = __version__) -> str:
    return asyncio.run(BatchWorker().start(version, job))


def test_answers_as_the_library_does(job, tiny_base):
    async def answers() -> list[dict[str, object]]:
        worker = BatchWorker()
        assert await worker.start(__version__, job) == platform.node()
        asked = ("tiny", {"tiny": 1.0}, "base", "nobody", "tiny")
        try:
            return await worker.answer([line(n, expert) for n, expert in enumerate(asked)])
        finally:
            worker._manager.close()  # Ray ends the process

    found = asyncio.run(answers())
    assert [one["index"] for one in found] == list(range(5))
    assert "no expert named 'nobody' is loaded" in found[3]["error"]["message"]
    assert found[2]["expert"] == "tiny-base@base"
    with Expert.load(job.packages["tiny"][0], base=tiny_base, n_ctx=256, n_threads=1) as expert:
        for index in (0, 1, 4):
            wanted = expert.generate(**line(index).options)
            assert (found[index]["text"], found[index]["expert"]) == (wanted.text, wanted.expert)


def test_of_another_version_is_refused(job):
    found = f"^{platform.node()}: hivellm-lite is {__version__} here, and 0.0.1 where the command"
    with pytest.raises(LoadError, match=found):
        start(job, "0.0.1")


def test_with_another_package_is_refused(job):
    ((path, digest),) = job.packages.values()
    other = dataclasses.replace(job, packages={"tiny": (path, "0" * 64)})
    found = f"^{platform.node()}: {path} is another file here .* {digest[:12]}…, and not 000000"
    with pytest.raises(LoadError, match=found):
        start(other)


def test_without_a_package_is_refused(job):
    other = dataclasses.replace(job, packages={"tiny": ("/none/tiny.expert", "0" * 64)})
    with pytest.raises(LoadError, match=f"^{platform.node()}: /none/tiny.expert: no such file"):
        start(other)


def test_with_another_file_is_refused(job, tmp_path):
    template = tmp_path / "mine.jinja"
    template.write_text("{{ prompt }}")
    files = {template: digest_file(template)}
    assert start(dataclasses.replace(job, files=files)) == platform.node()
    template.write_text("{{ prompt }}!")
    with pytest.raises(LoadError, match=r"mine\.jinja is another file here"):
        start(dataclasses.replace(job, files=files))


def test_that_cannot_load_an_expert_says_so_at_its_first_line(job, tmp_path):
    base = tmp_path / "base.gguf"
    base.write_bytes(b"GGUF and nothing else")
    broken = dataclasses.replace(job, load={**job.load, "base": str(base)})

    async def ask() -> None:
        worker = BatchWorker()
        await worker.start(__version__, broken)
        await worker.answer([line(0), line(1)])

    with pytest.raises(LoadError, match=f"^{platform.node()}: {base}"):
        asyncio.run(ask())
