"""What a caller may ask beside the prompt: the keyword arguments of all asking methods."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from ..json_schema import JSONSchema
    from .grammars import GrammarOption

__all__ = ["BatchPrompt", "GenerationOptions", "PromptOptions", "RequestOptions"]


class PromptOptions(TypedDict, total=False):
    """What the model is told beside the prompt."""

    schema: str | None
    """Tables, fields or labels that the answer shall use. The text goes into the system message
    that this kind of expert was trained with. Default: no schema."""
    system: str | None
    """A system message that replaces the expert's. Default: the expert's."""
    messages: Sequence[Mapping[str, object]] | None
    """A conversation instead of the prompt: dicts with ``role`` and ``content``, and with
    ``tool_calls``, ``tool_call_id`` or ``reasoning_content`` where the chat template knows them.
    They are used as they are; the system message of ``schema`` or ``system`` is put before them.
    Default: none."""
    template: str | os.PathLike[str] | None
    """Prompt template: ``"chatml"`` or ``"hivellm-tags"``; ``"raw"`` uses the prompt as it is, the
    names of control tokens in it included; a ``Path`` is a chat template's Jinja file. Default: the
    template that the manifest names, or the chat template of the package or the base."""
    tools: Sequence[Mapping[str, object]] | None
    """Functions that the model may call, as OpenAI's API writes them: ``{"type": "function",
    "function": {"name": …, "description": …, "parameters": …}}``. A chat template that has no
    place for them gets a system message in the form of Hermes. The answer is text: its calls are
    not read, and nothing is called. Default: none."""
    tool_form: Literal["template", "hermes"]
    """``"template"``: tools and calls are written as the chat template does. ``"hermes"``: always
    in the form of Hermes, in which each call is JSON between ``<tool_call>`` and
    ``</tool_call>``. Default: ``"template"``."""
    documents: Sequence[Mapping[str, object]] | None
    """Texts that the answer may quote: dicts with ``title`` and ``text``. InferenceError if the
    prompt template has no place for them. Default: none."""
    chat_template_kwargs: Mapping[str, object] | None
    """More variables for a chat template, such as ``{"reasoning_effort": "low"}``: texts, numbers,
    True, False and None. Those that a template does not read have no effect;
    ``enable_thinking`` replaces ``thinking``. Default: none."""


class RequestOptions(PromptOptions, total=False):
    """Everything that one answer depends on, except the adapter's scale.

    Sampling values and ``max_tokens`` that are not given come from the manifest; the defaults
    below apply where the manifest gives none.
    """

    temperature: float | None
    """From 0 to 100. 0 takes the most probable token, so the other sampling values have no effect.
    Default: 0."""
    top_k: int | None
    """Draw from this many of the most probable tokens; 0 switches the step off. Default: 0."""
    top_p: float | None
    """Draw from the most probable tokens that together have this probability; above 0, and 1
    switches the step off. Default: 1."""
    min_p: float | None
    """Drop tokens whose probability is below this share of the most probable token's; 0 switches
    the step off. Default: 0."""
    repetition_penalty: float | None
    """Above 1 makes the last 64 tokens, prompt included, less probable; 1 switches the step off.
    Default: 1."""
    frequency_penalty: float | None
    """From -2 to 2, subtracted from a token's logit for each time that the last 64 tokens, prompt
    included, have it; 0 switches the step off. Default: 0."""
    presence_penalty: float | None
    """From -2 to 2, subtracted once from the logits of all tokens among the last 64; 0 switches the
    step off. Default: 0."""
    logit_bias: Mapping[int, float] | None
    """Token ids, and what is added to their logits, from -100 (never) to 100 (always). A grammar
    comes after it. Default: none."""
    logprobs: int | None
    """Report the probability of each token of the answer, and this many of the most probable tokens
    at its place, from 0 to 20. Default: nothing is reported."""
    seed: int | None
    """Seed of the draws, from 0 to 2³²−1. Default: a random one, which the result tells."""
    max_tokens: int | None
    """Longest answer in tokens, at least 1. Default: 512."""
    stop: str | Sequence[str] | None
    """Texts that end the answer, taken literally. They replace the manifest's stop sequences.
    Default: the manifest's."""
    thinking: bool
    """Let a thinking model think first; the result has the thought. Default: False."""
    grammar: GrammarOption
    """``"auto"``: the package's grammar where the manifest asks for it, or free text with a
    warning if the grammar cannot be repaired. ``"strict"``: the package's grammar, or
    GrammarError. ``"off"``: free text. Any other value is a grammar: the name of one that comes
    with this library, a path, or a `Grammar`. Default: ``"auto"``."""
    json_schema: JSONSchema | None
    """A JSON schema that the answer shall follow; replaces ``grammar``. Default: none."""
    allow_unenforced: bool
    """Accept a JSON schema with keywords that a grammar cannot enforce. Default: False."""
    timeout: float | None
    """Seconds, more than 0. When they are over, the answer so far is returned with
    ``finish_reason="timeout"``. Default: no limit."""


class GenerationOptions(RequestOptions, total=False):
    """The keyword arguments of all methods that generate."""

    adapter_scale: float
    """Multiplies the adapter's effect; 0 is the base model alone. In a blend it multiplies every
    weight. A variant is merged, so only 1 is possible. Default: 1."""


class BatchPrompt(GenerationOptions, total=False):
    """One prompt of a batch with options of its own, which win over the common ones."""

    prompt: str | None
    """The prompt; ``messages`` can stand in its place."""
