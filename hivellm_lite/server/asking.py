"""The fields that every endpoint for answers has: who is asked, and with which options."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import GrammarError
from ..gbnf.library import grammar_names
from ..gbnf.syntax import Grammar
from ..manifest.records import Manifest
from ..prompts.tags import RAW, TEMPLATES
from ..requests.builder import DEFAULT_MAX_TOKENS
from ..requests.options import BatchPrompt, GenerationOptions
from ..residency.choice import ExpertName
from ..residency.names import AUTO, RESERVED
from .errors import invalid
from .experts import MAX_SCALE, read_model
from .fields import Fields
from .service import Service

__all__ = [
    "MAX_CHOICES",
    "Asked",
    "read_asked",
    "read_format",
    "read_options",
    "read_scale",
    "with_seeds",
]

MAX_CHOICES = 128
"""The most answers to one prompt; OpenAI's limit."""

TINY = 1e-6
"""A probability that any most probable token has."""

MAX_STOPS = 4
"""The most stop texts; OpenAI's limit."""

_GRAMMAR_MODES = ("auto", "strict", "off")


@dataclass(frozen=True)
class Asked:
    """Who answers. ``model`` is its name in the response; ``manifest`` is None for the base, and
    that of the first expert of a blend.
    """

    name: ExpertName
    model: str
    manifest: Manifest | None


def read_asked(body: Fields, service: Service, question: str) -> Asked:
    """Who answers; ``auto`` is decided here, by the question.

    Raises APIError for an unknown name, and InferenceError where ``auto`` finds nobody.
    """
    body.required("model")
    text = body.text("model") or ""
    name = read_model(text, service.names())
    if name == AUTO:
        text = name = service.manager.name_for(question)
    if name in RESERVED:
        return Asked(name, text, None)
    lead = name if isinstance(name, str) else next(iter(name))
    return Asked(name, text, service.manager.manifest(lead))


def read_options(body: Fields, service: Service, asked: Asked) -> GenerationOptions:
    """The sampling values, limits and grammar of an answer, without the prompt.

    Raises APIError for values of wrong types, and GrammarError for a grammar's text that is none.
    """
    stop = body.texts("stop", at_most=MAX_STOPS)
    if not stop and body.value("stop") != []:  # an empty text stops nothing
        stop = None
    options: GenerationOptions = {
        "temperature": body.number("temperature"),
        "top_p": _top_p(body),
        "min_p": body.number("min_p"),
        "top_k": body.whole("top_k", 0, 1 << 31),
        "repetition_penalty": body.number("repetition_penalty"),
        "frequency_penalty": body.number("frequency_penalty"),
        "presence_penalty": body.number("presence_penalty"),
        "logit_bias": _logit_bias(body),
        "max_tokens": _max_tokens(body, service, asked.manifest),
        "seed": _seed(body),
        "stop": stop,
        "schema": body.text("schema"),
        "template": body.choice("template", [*TEMPLATES, RAW]),
        "thinking": body.flag("thinking") or False,
        "allow_unenforced": body.flag("allow_unenforced") or False,
    }
    scale = read_scale(body)
    if scale is not None:
        options["adapter_scale"] = scale
    grammar = body.text("grammar")
    if grammar is not None:
        options["grammar"] = _grammar(grammar)
    return options


def read_scale(body: Fields) -> float | None:
    """What multiplies the effect of the adapter."""
    scale = body.number("adapter_scale")
    if scale is not None and abs(scale) > MAX_SCALE:
        limits = f"{-MAX_SCALE:g} to {MAX_SCALE:g}"
        raise invalid("adapter_scale", f"Invalid 'adapter_scale': it is not from {limits}.")
    return scale


def with_seeds(asks: list[BatchPrompt]) -> list[BatchPrompt]:
    """The answers with seeds that follow one another, from the first one's or a random one."""
    first = asks[0].get("seed")
    if first is None:
        first = secrets.randbits(32)
    return [
        BatchPrompt(**{**ask, "seed": (first + index) % (1 << 32)})
        for index, ask in enumerate(asks)
    ]


def _max_tokens(body: Fields, service: Service, manifest: Manifest | None) -> int | None:
    """The length that is asked for, or the expert's, but not more than the server allows."""
    names = ("max_completion_tokens", "max_output_tokens", "max_tokens")
    named = (body.whole(name, 1, 1 << 31) for name in names)
    given = next((one for one in named if one is not None), None)
    most = service.options.max_tokens
    if most is None:
        return given
    if given is None and manifest is not None:
        given = manifest.decoding.max_tokens
    return min(given or DEFAULT_MAX_TOKENS, most)


def _top_p(body: Fields) -> float | None:
    """0 is the most probable token alone, as in OpenAI's API."""
    top_p = body.number("top_p")
    return TINY if top_p == 0 else top_p


def _seed(body: Fields) -> int | None:
    """Any 64-bit integer, signed or not, folded to 32 bits; those below 2³² stay as they are."""
    seed = body.whole("seed", -(1 << 63), (1 << 64) - 1)
    if seed is None:
        return None
    seed %= 1 << 64
    return (seed ^ (seed >> 32)) % (1 << 32)


def _logit_bias(body: Fields) -> dict[int, float] | None:
    given = body.nested("logit_bias")
    if given is None:
        return None
    bias = {}
    for name in given.all():
        if not (name.isascii() and name.isdecimal() and len(name) < 10):
            message = f"Invalid 'logit_bias': {name!r:.40} is not the number of a token."
            raise invalid("logit_bias", message)
        value = given.number(name)
        if value is not None:
            bias[int(name)] = value
    return bias


def read_format(form: Fields | None, *, nested: bool) -> Mapping[str, object] | bool | None:
    """The JSON schema that a response's format asks for; None is text.

    ``nested``: the schema stands in one more object, as in chat completions, not beside the
    ``type``, as in responses.
    """
    if form is None:
        return None
    form.required("type")
    kind = form.choice("type", ["text", "json_object", "json_schema"])
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    wanted = form
    if nested:
        form.required("json_schema")
        inner = form.nested("json_schema")
        assert inner is not None  # it is required  # noqa: S101
        wanted = inner
    schema = wanted.value("schema")
    if schema is None:
        return {"type": "object"}
    if isinstance(schema, bool):
        return schema
    found = wanted.nested("schema")
    assert found is not None  # checked above  # noqa: S101
    return found.all()


def _grammar(text: str) -> str | Grammar:
    """A mode, the name of a grammar of the library, or GBNF text; never a path of this machine."""
    if text in _GRAMMAR_MODES or text in grammar_names():
        return text
    if "::=" not in text:
        listed = ", ".join((*_GRAMMAR_MODES, *grammar_names()))
        raise invalid("grammar", f"Invalid 'grammar': it is neither GBNF text nor one of {listed}.")
    try:
        return _parsed(text)
    except GrammarError as error:
        raise invalid("grammar", str(error), code="invalid_grammar") from None


@functools.lru_cache(maxsize=32)
def _parsed(text: str) -> Grammar:
    """The same object for the same text, so experts need not compile the grammar again."""
    return Grammar.parse(text, source="the request's grammar")
