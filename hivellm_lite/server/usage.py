"""What answers cost, and why they ended, as OpenAI's API tells."""

from __future__ import annotations

from collections.abc import Sequence

from ..inference.results import InferenceResult

__all__ = ["usage"]


def usage(results: Sequence[InferenceResult], *, n: int = 1) -> dict[str, object]:
    """The tokens of all answers. ``n``: answers to each prompt, whose tokens count once."""
    prompts = results[::n]
    prompt_tokens = sum(one.prompt_tokens for one in prompts)
    completion_tokens = sum(one.completion_tokens for one in results)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {
            "cached_tokens": sum(one.cached_prompt_tokens for one in prompts)
        },
        "completion_tokens_details": {
            "reasoning_tokens": sum(one.thinking_tokens for one in results)
        },
    }
