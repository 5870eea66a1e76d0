"""The prompts the experts are trained on: ChatML, and one system message per kind of schema."""

from __future__ import annotations

_SYSTEM = {
    "sql": "Dialect: sql\nSchema:\n{schema}",
    "cypher": "Dialect: cypher\nSchema:\n{schema}",
    "json": "Task: json_generation\nFormat: json_schema\nSchema:\n{schema}",
}

END = "<|im_end|>"


def before_question(expert: str, schema: str) -> str:
    """Everything before the question; the same for all questions about one schema."""
    system = _SYSTEM[expert].replace("{schema}", schema)
    return f"<|im_start|>system\n{system}{END}\n<|im_start|>user\n"


def question_turn(question: str) -> str:
    """The question up to the place where the answer begins."""
    return f"{question}{END}\n<|im_start|>assistant\n"
