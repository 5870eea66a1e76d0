"""What a stress run works on: tiny experts, the answers they give alone, and what was counted."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hivellm_lite.converters.base import convert_base

from hivellm_lite import ExpertManager

from ..support.packages import adapter_files, manifest_bytes, manifest_v2, write_package
from ..support.paths import FIXTURES
from ..support.soft_prompts import listed_package, peft_package

ADAPTERS = {"a": "plain", "b": "rslora", "c": "plain", "d": "dora"}
"""Names of experts and the fixture's adapters; the DoRA is a variant, with a model of its own.
There are two more: ``e`` is a soft prompt, and ``f`` a LoRA with one.
"""

WORDS = ("one", "two", "three four five six seven eight nine ten", "Hello", "a", "Count users")
N_TOKENS = 12
LONG = 300
"""Tokens of an answer that nobody waits for."""

GREEDY = {"temperature": 0.0, "max_tokens": N_TOKENS, "stop": [], "grammar": "off"}


@dataclass
class World:
    """``answers``: what each expert says to each word alone. ``beats``: when each worker last
    finished something, on `time.monotonic`'s clock.
    """

    manager: ExpertManager
    packages: dict[str, Path]
    base: Path
    answers: dict[tuple[str, str], str]
    until: float
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    beats: dict[str, float] = field(default_factory=dict)
    kept: list[object] = field(default_factory=list)

    @property
    def running(self) -> bool:
        return time.monotonic() < self.until and not self.wrong

    def beat(self, what: str) -> None:
        self.beats[threading.current_thread().name] = time.monotonic()
        self.counts[what] += 1

    def check(self, name: str, word: str, text: str) -> None:
        if text != self.answers[name, word]:
            self.wrong.append(f"{name} said {text!r} to {word!r}, not {self.answers[name, word]!r}")

    def pick(self, draw: random.Random) -> tuple[str, str]:
        return draw.choice(list(self.packages)), draw.choice(WORDS)


OWN_BYTES = 8_000_000
"""Memory for two or three contexts of single experts' own, which five would like to have."""


def make_world(folder: Path, seconds: float, *, as_on_a_device: bool) -> World:
    """``as_on_a_device``: experts get contexts of their own, and decodes overlap with other work,
    as where swaps are dear.
    """
    if as_on_a_device:
        os.environ["HIVELLM_OVERLAP"] = "1"
    base = folder / "tiny-llama.gguf"
    convert_base(FIXTURES / "models" / "tiny-llama", base, quant="f32")
    packages = {}
    for name, adapter in ADAPTERS.items():
        files = adapter_files("tiny-llama", adapter)
        files["manifest.json"] = manifest_bytes(manifest_v2(name=name))
        packages[name] = write_package(folder / f"{name}.expert", files)
    packages["e"] = peft_package(folder / "e.expert", "tiny-llama/prompt-tuning")
    packages["f"] = listed_package(folder / "f.expert")
    manager = ExpertManager(
        base=base,
        cache_dir=folder / "cache",
        n_ctx=512,
        n_threads=1,
        kv_type="f32",  # so that the order of a sum decides nothing
        max_loaded_experts=3,
        own_context_bytes=OWN_BYTES if as_on_a_device else 0,
    )
    for name, path in packages.items():
        mode = "exact" if ADAPTERS.get(name) == "dora" else "lora"
        manager.load_expert(name, path, adapter_mode=mode)
    answers = {
        (name, word): manager.generate(name, word, **GREEDY).text
        for name in packages
        for word in WORDS
    }
    return World(manager, packages, base, answers, time.monotonic() + seconds)
