"""Training batches in which several questions share one schema.

A row is a tree: the system message once, then each question with its answer as a branch that
sees the schema and itself, but no other branch. Position ids restart at the end of the schema,
so every branch is exactly the prompt the runtime sends. With four questions to a schema this
halves the tokens of a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from training import prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from training.example import Example

_IGNORED = -100


@dataclass(frozen=True)
class Row:
    """Token ids, positions, branch numbers (0 is the schema) and next-token targets."""

    tokens: list[int]
    positions: list[int]
    branches: list[int]
    targets: list[int]


@dataclass(frozen=True)
class Batch:
    """Padded rows; ``mask`` is True where a token (row) may look at another (column)."""

    tokens: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    targets: torch.Tensor


def row(tokenizer: PreTrainedTokenizerBase, expert: str, examples: Sequence[Example]) -> Row:
    """The tree of several questions about the same schema."""

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    shared = encode(prompt.before_question(expert, examples[0].schema))
    tokens, positions = list(shared), list(range(len(shared)))
    branches, targets = [0] * len(shared), [_IGNORED] * len(shared)
    for number, example in enumerate(examples, start=1):
        asked = encode(prompt.question_turn(example.question))
        answer = encode(f"{example.answer}{prompt.END}")
        tokens += asked + answer
        positions += range(len(shared), len(shared) + len(asked) + len(answer))
        branches += [number] * (len(asked) + len(answer))
        targets += [_IGNORED] * (len(asked) - 1) + answer + [_IGNORED]
    return Row(tokens, positions, branches, targets)


def batch(rows: Sequence[Row]) -> Batch:
    """The rows padded to the longest of them."""
    width = max(len(one.tokens) for one in rows)

    def padded(values: list[int], fill: int) -> list[int]:
        return values + [fill] * (width - len(values))

    branches = torch.tensor([padded(one.branches, -1) for one in rows])
    same = branches[:, :, None] == branches[:, None, :]
    to_schema = (branches[:, None, :] == 0) & (branches[:, :, None] >= 0)
    causal = torch.ones(width, width, dtype=torch.bool).tril()
    return Batch(
        tokens=torch.tensor([padded(one.tokens, 0) for one in rows]),
        positions=torch.tensor([padded(one.positions, 0) for one in rows]),
        mask=((same | to_schema) & causal)[:, None],
        targets=torch.tensor([padded(one.targets, _IGNORED) for one in rows]),
    )
