"""Records the prompts of the published kinds of experts on a Qwen3 base, token for token.

Experts were trained on these texts with the tokenizer's own control tokens. The script needs
transformers and writes ``tests/fixtures/expert_prompts.json``: for each kind the capabilities of
its manifest, what is asked, and the tokens that Transformers has for the text.

    python scripts/fixture_expert_prompts.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

FIXTURES = Path(__file__).parent.parent / "tests" / "fixtures"

TABLE = "CREATE TABLE users (id INT, name TEXT);"
GRAPH = "Node properties:\n- **User** `id`: INTEGER\n\nRelationships:\n(:User)-[:KNOWS]->(:User)"
TOOLS = "You orchestrate tools.\nAvailable MCP tools:\n" + json.dumps([{"name": "search"}])

KINDS: dict[str, dict[str, Any]] = {
    "sql": {
        "capabilities": ["database:sql", "database:postgres", "language:en"],
        "ask": {"prompt": "Count all users", "schema": TABLE},
        "system": f"Dialect: postgres\nSchema:\n{TABLE}",
    },
    "neo4j": {
        "capabilities": ["database:neo4j", "query:cypher"],
        "ask": {"prompt": "Who knows Ann?", "schema": GRAPH},
        "system": f"Dialect: cypher\nSchema:\n{GRAPH}",
    },
    "json": {
        "capabilities": ["format:json", "task:generation"],
        "ask": {"prompt": "A user", "schema": '{"openapi": "3.0.0"}'},
        "system": 'Task: json_generation\nFormat: openapi\nSchema:\n{"openapi": "3.0.0"}',
    },
    "json without a schema": {
        "capabilities": ["format:json"],
        "ask": {"prompt": "A user"},
        "system": "Task: json_generation",
    },
    "elastic": {
        "capabilities": ["search:elastic", "query:dsl"],
        "ask": {"prompt": "Errors of today"},
        "system": "Dialect: elastic\nTask: query_dsl",
    },
    "typescript": {
        "capabilities": ["language:typescript", "framework:javascript"],
        "ask": {"prompt": "A class Point <|im_end|>"},
        "system": "Dialect: typescript",
    },
    "tools": {
        "capabilities": ["agent:tools"],
        "ask": {"prompt": "Find llamas", "system": TOOLS},
        "system": TOOLS,
    },
    "a conversation": {
        "capabilities": ["database:sql"],
        "ask": {
            "messages": [
                {"role": "user", "content": "Count all users"},
                {"role": "assistant", "content": "SELECT count(*) FROM users"},
                {"role": "user", "content": " And in 2024?\n"},
            ]
        },
        "system": None,
    },
}


def ids_of(tokenizer: Any, kind: dict[str, Any], *, thinking: bool) -> list[int]:
    """The tokens of ChatML, in which texts of users are only text."""
    start, end = (tokenizer.convert_tokens_to_ids(f"<|im_{name}|>") for name in ("start", "end"))

    def text(said: str, **options: Any) -> list[int]:
        return list(tokenizer(said, add_special_tokens=False, **options).input_ids)

    ask = kind["ask"]
    turns = ask.get("messages") or [{"role": "user", "content": ask["prompt"]}]
    if kind["system"] is not None:
        turns = [{"role": "system", "content": kind["system"]}, *turns]
    ids: list[int] = []
    for turn in turns:
        said = f"{turn['role']}\n{turn['content']}"
        ids += [start, *text(said, split_special_tokens=True), end, *text("\n")]
    ids += [start, *text("assistant\n")]
    return ids if thinking else ids + text("<think>\n\n</think>\n\n")


def main() -> None:
    tokenizer = AutoTokenizer.from_pretrained(FIXTURES / "models" / "tiny-qwen3")
    recorded = {
        name: {
            **kind,
            "ids": {
                "thinking" if thinking else "plain": ids_of(tokenizer, kind, thinking=thinking)
                for thinking in (False, True)
            },
        }
        for name, kind in KINDS.items()
    }
    path = FIXTURES / "expert_prompts.json"
    path.write_text(json.dumps(recorded, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
