"""What a process may take: an error with numbers, never a signal."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from hivellm_lite import OutOfMemoryError
from hivellm_lite.process.memory_limits import control_groups, require_memory

from ..support.devices import MEMORY

MB = 1 << 20

GENERATES = """
import json, os, resource, sys
from hivellm_lite import Expert, OutOfMemoryError
import hivellm_lite.engine, hivellm_lite.converters.forms.decomposition
package, base, kind, n, *limits = sys.argv[1:]

def answer(megabytes):
    used = int(open("/proc/self/statm").read().split()[0 if kind == "AS" else 5]) * 4096
    limit = used + (megabytes << 20)
    resource.setrlimit(getattr(resource, "RLIMIT_" + kind), (limit, limit))
    try:
        with Expert.load(package, base=base, n_ctx=2048, n_threads=2) as expert:
            prompts = [f"Question number {i}" for i in range(int(n))]
            return str(len(expert.generate_batch(prompts, max_tokens=3, grammar="off")))
    except OutOfMemoryError as error:
        return f"refused: {error}"

for megabytes in map(int, limits):
    reading, writing = os.pipe()
    if not (pid := os.fork()):
        os.write(writing, answer(megabytes).encode())
        sys.exit()
    os.close(writing)
    with open(reading) as said:
        text = said.read()
    status = os.waitpid(pid, 0)[1]
    print(json.dumps([megabytes, os.waitstatus_to_exitcode(status), text]), flush=True)
"""


def group(path, limit, usage, files=0, *, version=2):
    path.mkdir(parents=True, exist_ok=True)
    limit_file, usage_file, prefix = (
        ("memory.max", "memory.current", "")
        if version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
    )
    (path / limit_file).write_text(f"{limit}\n")
    (path / usage_file).write_text(f"{usage}\n")
    stat = f"anon {usage - files}\n{prefix}inactive_file {files // 2}\n"
    (path / "memory.stat").write_text(f"{stat}{prefix}active_file {files - files // 2}\n")


class TestControlGroups:
    def test_of_version_2_limit_all_groups_within(self, tmp_path):
        (tmp_path / "members").write_text("0::/service/worker\n")
        root = tmp_path / "root"
        group(root / "service/worker", "max", 50 * MB)
        group(root / "service", 400 * MB, 300 * MB, files=120 * MB)
        free = [limit.free for limit in control_groups(tmp_path / "members", root)]
        assert free == [220 * MB]

    def test_of_version_1_say_nothing_with_an_enormous_number(self, tmp_path):
        (tmp_path / "members").write_text("3:cpuset:/\n4:memory:/docker/abc\n0::/\n")
        memory = tmp_path / "root" / "memory"
        group(memory, 9223372036854771712, 10**10, version=1)
        group(memory / "docker", 9223372036854771712, 10**10, version=1)
        group(memory / "docker/abc", 512 * MB, 500 * MB, files=100 * MB, version=1)
        (limit,) = control_groups(tmp_path / "members", tmp_path / "root")
        assert limit.free == 112 * MB
        assert "control group /docker/abc" in limit.where

    def test_that_a_container_does_not_see_leave_the_limit_of_its_root(self, tmp_path):
        (tmp_path / "members").write_text("0::/../../host/path\n")
        group(tmp_path / "root", 100 * MB, 90 * MB)
        assert [one.free for one in control_groups(tmp_path / "members", tmp_path / "root")] == [
            10 * MB
        ]

    @pytest.mark.parametrize("text", ["", "nonsense\n", "0::\n", "1:memory:\n", ":::\n"])
    def test_that_are_not_readable_limit_nothing(self, tmp_path, text):
        (tmp_path / "members").write_text(text)
        assert list(control_groups(tmp_path / "members", tmp_path / "root")) == []
        assert list(control_groups(tmp_path / "none", tmp_path / "root")) == []


def test_what_is_too_large_for_the_machine_is_refused_with_numbers():
    require_memory("little", 1000)
    with pytest.raises(OutOfMemoryError, match=r"^much needs 115\d+ MB; \d+ MB .*\nTake less"):
        require_memory("much", 1 << 60, advice="Take less.")


@pytest.mark.cpu(MEMORY)
@pytest.mark.skipif(sys.platform != "linux", reason="limits as on Linux")
@pytest.mark.parametrize("kind", ["AS", "DATA"])
@pytest.mark.parametrize("n_prompts", [1, 16])
def test_a_low_limit_is_an_error_with_numbers_and_never_a_signal(
    tiny_package, tiny_base, kind, n_prompts
):
    package = tiny_package("a")
    refused = answered = 0
    limits = (8, 64, 128, 224, 320, 640)
    done = subprocess.run(
        [sys.executable, "-c", GENERATES]
        + [str(argument) for argument in (package, tiny_base, kind, n_prompts, *limits)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert [megabytes for megabytes, _, _ in outcomes] == list(limits)
    for megabytes, status, said in outcomes:
        assert status == 0, (megabytes, done.stderr[-2000:])
        if said.startswith("refused:"):
            assert re.search(r"needs .*; \d+ MB .*RLIMIT_", said)
            refused += 1
        else:
            assert said == str(n_prompts)
            answered += 1
    assert refused
    assert answered
