"""Three ways to ask the same experts: this library, `llama_cpp.Llama` and `llama-server`.

All get the same token ids, the same GGUF files and the same number of threads, and answer
greedily. An answer ends at the end token or after ``max_tokens``.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hivellm_lite import ExpertManager

from .workload import Adapter, Question, Workload

READY_WITHIN = 120.0
"""Seconds that `llama-server` may take to load."""


@dataclass(frozen=True)
class Answer:
    """``seconds`` from the question to the last token."""

    text: str
    seconds: float


@dataclass(frozen=True)
class Answers:
    """Those to several questions, without blanks around them, and the seconds for all."""

    texts: tuple[str, ...]
    seconds: float


class Peer(Protocol):
    """One way of asking."""

    name: str

    def ask(self, question: Question, max_tokens: int) -> Answer:
        """Answer one question."""

    def close(self) -> None:
        """Free everything."""


class Library:
    """This library, all experts in one manager."""

    def __init__(
        self, workload: Workload, packages: dict[str, Path], name: str = "hivellm-lite", **more: Any
    ) -> None:
        """``more``: options of `ExpertManager`."""
        self.name = name
        self.manager = ExpertManager(**{**workload.options, **more})
        for expert, package in packages.items():
            self.manager.load_expert(expert, package)

    def ask(self, question: Question, max_tokens: int) -> Answer:
        started = time.perf_counter()
        result = self.manager.generate(
            question.expert,
            question.prompt,
            schema=question.schema,
            system=question.system,
            **greedy(max_tokens),
        )
        return Answer(result.text, time.perf_counter() - started)

    def ask_together(self, questions: Sequence[Question], max_tokens: int) -> Answers:
        """Ask all at once."""
        started = time.perf_counter()
        results = self.manager.generate_batch(
            questions[0].expert,
            [{"prompt": one.prompt, "schema": one.schema} for one in questions],
            **greedy(max_tokens),
        )
        seconds = time.perf_counter() - started
        texts = [one.text for one in results if not isinstance(one, Exception)]
        return Answers(tuple(text.strip() for text in texts), seconds)

    def close(self) -> None:
        self.manager.close()


def greedy(max_tokens: int) -> Any:
    # a stop sequence that cannot occur: nothing but the end token ends an answer early
    return {
        "temperature": 0.0,
        "max_tokens": max_tokens,
        "stop": ["\x00"],
        "grammar": "off",
        "repetition_penalty": 1.0,
    }


class LlamaObject:
    """One `Llama`. Another expert is another adapter on its context and nothing kept of what was
    computed, or with ``reload`` a new `Llama` with that expert's ``lora_path``.
    """

    def __init__(self, workload: Workload, adapters: Sequence[Adapter], *, reload: bool) -> None:
        self.name = "Llama, made anew" if reload else "Llama, adapter exchanged"
        self._workload = workload
        self._files = {adapter.name: adapter.gguf for adapter in adapters}
        self._reload = reload
        self._selected: str | None = None
        self._loaded: dict[str, Any] = {}
        self._llama: Any = None if reload else new_llama(workload, None)

    def ask(self, question: Question, max_tokens: int) -> Answer:
        started = time.perf_counter()
        if question.expert != self._selected:
            self._select(question.expert)
        found = self._llama.create_completion(
            prompt=list(question.tokens), max_tokens=max_tokens, temperature=0.0
        )
        return Answer(found["choices"][0]["text"], time.perf_counter() - started)

    def seconds_a_token(self, question: Question, n_tokens: int) -> float:
        """Seconds of each token after the first."""
        if question.expert != self._selected:
            self._select(question.expert)
        stream = self._llama.create_completion(
            prompt=list(question.tokens), max_tokens=n_tokens, temperature=0.0, stream=True
        )
        moments = [time.perf_counter() for _ in stream]
        return (moments[-1] - moments[0]) / (len(moments) - 1)

    def _select(self, expert: str) -> None:
        self._selected = expert
        if self._reload:
            if self._llama is not None:
                self._llama.close()
            self._llama = new_llama(self._workload, self._files[expert])
            return
        import llama_cpp

        if expert not in self._loaded:
            self._loaded[expert] = llama_cpp.llama_adapter_lora_init(
                self._llama.model, os.fsencode(self._files[expert])
            )
        array = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(self._loaded[expert])
        llama_cpp.llama_set_adapters_lora(self._llama.ctx, array, 1, (ctypes.c_float * 1)(1.0))
        # what another adapter computed must not be continued
        self._llama.reset()

    def close(self) -> None:
        if self._llama is not None:
            self._llama.close()


def new_llama(workload: Workload, lora: Path | None) -> Any:
    """A `Llama` on the base, with an adapter if one is given."""
    import llama_cpp

    return llama_cpp.Llama(
        str(workload.base),
        n_ctx=workload.n_ctx,
        n_threads=workload.n_threads,
        n_threads_batch=workload.n_threads,
        lora_path=None if lora is None else str(lora),
        verbose=False,
    )


class Server:
    """`llama-server` with all adapters loaded; a request names the one that applies.

    With ``pinned`` every expert has a slot of its own, so that it keeps its prompt.
    """

    def __init__(
        self,
        workload: Workload,
        adapters: Sequence[Adapter],
        *,
        slots: int,
        pinned: bool = False,
        n_ctx: int | None = None,
    ) -> None:
        """``n_ctx``: positions of a slot, if not those of the workload."""
        assert workload.llama_server is not None
        self.name = f"llama-server, {slots} slot{'s' * (slots > 1)}" + ", pinned" * pinned
        self._ids = {adapter.name: index for index, adapter in enumerate(adapters)}
        self._pinned = pinned
        self.port = _free_port()
        self._log = (workload.folder / f"llama-server-{self.port}.log").open("wb")
        threads = str(workload.n_threads)
        command: list[str | Path] = [workload.llama_server, "-m", workload.base]
        command += [
            "-c",
            str((n_ctx or workload.n_ctx) * slots),
            "-np",
            str(slots),
            "-t",
            threads,
            "-tb",
            threads,
        ]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--lora-init-without-apply"]
        command += ["--lora", ",".join(str(adapter.gguf) for adapter in adapters)]
        self.process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)
        try:
            self._await_ready()
        except BaseException:
            self.close()
            raise

    def body(self, question: Question, max_tokens: int) -> dict[str, Any]:
        """What ``/completion`` is asked."""
        chosen = self._ids[question.expert]
        body: dict[str, Any] = {
            "prompt": list(question.tokens),
            "n_predict": max_tokens,
            "temperature": 0.0,
            "cache_prompt": True,
            "lora": [{"id": one, "scale": float(one == chosen)} for one in self._ids.values()],
        }
        if self._pinned:
            body["id_slot"] = chosen
        return body

    def ask(self, question: Question, max_tokens: int) -> Answer:
        body = self.body(question, max_tokens)
        started = time.perf_counter()
        found = self._post("/completion", body)
        return Answer(found["content"], time.perf_counter() - started)

    def seconds_a_token(self, question: Question, n_tokens: int) -> float:
        """Seconds of each token after the first, as the server says."""
        found = self._post("/completion", self.body(question, n_tokens))
        return float(found["timings"]["predicted_per_token_ms"]) / 1e3

    def count_together(self, questions: Sequence[Question], max_tokens: int) -> int:
        """Ask all at once; returns how many tokens came back."""
        bodies = [self.body(one, max_tokens) for one in questions]
        with ThreadPoolExecutor(len(questions)) as pool:
            found = pool.map(lambda body: self._post("/completion", body), bodies)
            return sum(int(one["tokens_predicted"]) for one in found)

    def ask_together(self, questions: Sequence[Question], max_tokens: int) -> Answers:
        """Ask all at once."""
        started = time.perf_counter()
        with ThreadPoolExecutor(len(questions)) as pool:
            answers = list(pool.map(lambda one: self.ask(one, max_tokens), questions))
        seconds = time.perf_counter() - started
        return Answers(tuple(one.text.strip() for one in answers), seconds)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        self._log.close()

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        # one for each request: the server closes those that are idle for some seconds
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.connect()
        # a small body behind its header must not wait for the header's acknowledgement
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        data = response.read()
        connection.close()
        if response.status != 200:
            raise RuntimeError(f"llama-server answered {response.status}: {data[:500]!r}")
        return json.loads(data)

    def _await_ready(self) -> None:
        until = time.monotonic() + READY_WITHIN
        while time.monotonic() < until and self.process.poll() is None:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise RuntimeError(f"llama-server did not start; it wrote {self._log.name}")


def find_llama_server() -> Path | None:
    """The binary on the PATH or beside the running Python."""
    found = shutil.which("llama-server") or shutil.which(
        "llama-server", path=str(Path(sys.executable).parent)
    )
    return Path(found) if found else None


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
