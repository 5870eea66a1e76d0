"""The same experts, prompts and adapters for all: packages, copies of them, schemas, questions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hivellm_lite import Expert
from hivellm_lite.cache import Cache
from hivellm_lite.hardware import physical_cores
from hivellm_lite.package import open_package

from ..peft_parity import EXPERTS

PACKAGES = {name: EXPERTS / f"{name}.expert" for name in ("sql", "cypher", "json")}
N_CTX = 2048

SCHEMAS = {
    "sql": "CREATE TABLE rivers (id INTEGER PRIMARY KEY, name TEXT, length INTEGER, country TEXT);",
    "cypher": "Node properties:\n- **River**\n  - `name`: STRING\n  - `length`: INTEGER\n"
    "The relationships:\n(:River)-[:FLOWS_INTO]->(:River)",
    "json": '{"type":"object","properties":{"name":{"type":"string"},"length":{"type":"integer"}}}',
}
QUESTIONS = (
    "Which rivers are longer than 300?",
    "How many rivers are there in each country?",
    "List the names of all rivers.",
    "What is the average length of the rivers?",
    "Which river is the longest?",
    "Show the names of the rivers in Norway.",
    "What is the total length of all rivers?",
    "List the five shortest rivers.",
    "How many rivers are shorter than 50?",
    "Which countries have a river?",
    "Show the shortest river of each country.",
    "Which rivers have no country?",
    "List all rivers sorted by name.",
    "How many rivers are there?",
    "Which rivers have a length between 100 and 200?",
    "Show the names and lengths of all rivers in Peru.",
)


@dataclass(frozen=True)
class Question:
    """One prompt, and the token ids that it is for every way of asking.

    ``system`` replaces the expert's own system message.
    """

    expert: str
    prompt: str
    schema: str | None
    tokens: tuple[int, ...]
    system: str | None = None


@dataclass(frozen=True)
class Adapter:
    """One expert: its package and the GGUF adapter that was converted from it."""

    name: str
    package: Path
    gguf: Path


@dataclass(frozen=True)
class Workload:
    """Where everything lies and how it is computed; the same for all ways."""

    base: Path
    cache_dir: Path
    folder: Path
    hugging_face: Path | None
    llama_server: Path | None
    repetitions: int
    n_threads: int = physical_cores()
    n_ctx: int = N_CTX

    @property
    def options(self) -> dict[str, Any]:
        """How an expert is loaded."""
        return {
            "base": self.base,
            "cache_dir": self.cache_dir,
            "n_ctx": self.n_ctx,
            "n_threads": self.n_threads,
        }

    def adapters(self, count: int = len(PACKAGES)) -> list[Adapter]:
        """The example experts, then as many copies of them with other values as are missing."""
        return [
            Adapter(name, package, self._converted(package))
            for name, package in self.packages(count).items()
        ]

    def packages(self, count: int) -> dict[str, Path]:
        """The packages of `adapters` by name, not converted."""
        made = dict(list(PACKAGES.items())[:count])
        kinds = list(PACKAGES)
        for number in range(len(made), count):
            kind = kinds[number % len(kinds)]
            made[f"{kind}-{number}"] = self._scaled_copy(PACKAGES[kind], f"{kind}-{number}", number)
        return made

    def package_of(self, expert: str) -> Path:
        """The package that knows how to write a prompt of this expert."""
        return PACKAGES[expert.split("-")[0]]

    def _converted(self, package: Path) -> Path:
        with Expert.load(package, **self.options) as expert:
            assert expert.prepared.lora is not None
            return expert.prepared.lora

    def _scaled_copy(self, package: Path, name: str, number: int) -> Path:
        """A package whose adapter has all changes a few percent larger."""
        place = self.folder / f"{name}.package"
        if not place.exists():
            opened = open_package(package, cache=Cache(self.cache_dir))
            shutil.copytree(opened.root, place)
            config = json.loads((place / "adapter_config.json").read_text())
            config["lora_alpha"] *= 1 + number / 100
            (place / "adapter_config.json").write_text(json.dumps(config))
            manifest = json.loads((place / "manifest.json").read_text())
            manifest["name"] = name
            (place / "manifest.json").write_text(json.dumps(manifest))
        return place

    def questions(
        self, expert: str, schemas: Sequence[str | None], prompts: Sequence[str] = QUESTIONS
    ) -> list[Question]:
        """Each prompt with the schema at its place; both start over when they are used up."""
        with Expert.load(self.package_of(expert), **self.options) as loaded:
            return [
                Question(
                    expert,
                    prompt,
                    schemas[index % len(schemas)],
                    tuple(loaded.tokenize_prompt(prompt, schema=schemas[index % len(schemas)])),
                )
                for index, prompt in enumerate(prompts)
            ]

    def long_schema(self, kind: str, n_tokens: int, number: int = 0) -> str:
        """A schema with which a prompt has about ``n_tokens``; another one for each number."""
        parts: list[str] = []
        more = _schema_parts(kind, number)
        with Expert.load(PACKAGES[kind], **self.options) as loaded:
            while True:
                schema = "\n".join([*parts, SCHEMAS[kind]])
                if len(loaded.tokenize_prompt("", schema=schema)) >= n_tokens:
                    return schema
                parts.append(next(more))


def _schema_parts(kind: str, number: int) -> Iterator[str]:
    index = number * 1000
    while True:
        index += 1
        if kind == "sql":
            yield (
                f"CREATE TABLE station_{index} (id INTEGER PRIMARY KEY, river_id INTEGER "
                f"REFERENCES rivers(id), opened_{index} TEXT, depth INTEGER, owner TEXT);"
            )
        else:
            yield f"- **Station{index}**\n  - `opened{index}`: DATE\n  - `depth`: INTEGER"
