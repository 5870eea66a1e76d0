"""From what a caller asks to a `Request`: prompt, defaults of the manifest, limits."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import ExpertError, InferenceError
from ..inference.decoding import Request
from ..prompts.conversation import (
    TOOL_FORMS,
    Conversation,
    Message,
    ToolForm,
    check_documents,
    check_messages,
    check_tools,
    check_variables,
)
from ..prompts.format import FormattedPrompt, PromptFormat
from ..prompts.formats import PromptFormats
from ..prompts.tags import RAW, system_message
from ..sampling import SamplingParams
from .lengths import check_length

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..inference.session import Session
    from ..json_schema import JSONSchema
    from ..manifest.records import Manifest
    from ..prompts.template_files import TemplateFile
    from .effects import Effect
    from .grammars import GrammarChooser, GrammarOption
    from .options import PromptOptions

__all__ = ["DEFAULT_MAX_TOKENS", "MAX_BIAS", "MAX_LOGPROBS", "RequestBuilder"]

DEFAULT_MAX_TOKENS = 512
"""Length of an answer where neither the caller nor the manifest gives one."""

MAX_LOGPROBS = 20
"""Most probable tokens that are told at each place; OpenAI's limit."""

MAX_BIAS = 100.0
"""The largest change of a logit; OpenAI's limit. Logits are hardly ever more than 50 apart."""


class RequestBuilder:
    """Builds requests for one expert on one session."""

    def __init__(
        self,
        manifest: Manifest,
        session: Session,
        grammars: GrammarChooser,
        read_template: Callable[[], TemplateFile | None] = lambda: None,
    ) -> None:
        """``read_template``: reads the package's chat template."""
        self._manifest = manifest
        self._session = session
        self._grammars = grammars
        self._formats = PromptFormats(manifest, session.model, read_template)

    def prepare(self) -> None:
        """Compile the chat template now; if it cannot be used, the first request says so."""
        with contextlib.suppress(ExpertError):
            self._formats.choose(None).prompt(Conversation((Message.of("user", "x"),)))

    def build(
        self,
        prompt: str | None,
        effect: Effect,
        *,
        schema: str | None = None,
        system: str | None = None,
        messages: Sequence[Mapping[str, object]] | None = None,
        template: str | os.PathLike[str] | None = None,
        tools: Sequence[Mapping[str, object]] | None = None,
        tool_form: ToolForm = "template",
        documents: Sequence[Mapping[str, object]] | None = None,
        chat_template_kwargs: Mapping[str, object] | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float | None = None,
        frequency_penalty: float | None = None,
        presence_penalty: float | None = None,
        logit_bias: Mapping[int, float] | None = None,
        logprobs: int | None = None,
        seed: int | None = None,
        max_tokens: int | None = None,
        stop: str | Sequence[str] | None = None,
        thinking: bool = False,
        grammar: GrammarOption = "auto",
        json_schema: JSONSchema | None = None,
        allow_unenforced: bool = False,
        timeout: float | None = None,
    ) -> Request:
        """See `RequestOptions`.

        Raises ContextLengthError, GrammarError, and ValueError for an argument out of range.
        """
        decoding = self._manifest.decoding
        given = {
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "min_p": min_p,
            "repetition_penalty": repetition_penalty,
            "frequency_penalty": frequency_penalty,
            "presence_penalty": presence_penalty,
        }
        sampling = SamplingParams().override(vars(decoding)).override(given)
        limit = max_tokens if max_tokens is not None else decoding.max_tokens
        limit = DEFAULT_MAX_TOKENS if limit is None else limit
        if limit < 1:
            raise ValueError(f"max_tokens={limit}: must be 1 or more")
        if seed is not None and not 0 <= seed < 1 << 32:
            raise ValueError(f"seed={seed}: must be from 0 to {(1 << 32) - 1}")
        if logprobs is not None and not 0 <= logprobs <= MAX_LOGPROBS:
            raise ValueError(f"logprobs={logprobs}: must be from 0 to {MAX_LOGPROBS}")
        self._check_bias(logit_bias or {})
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout={timeout}: must be more than 0 seconds")
        literal = (stop,) if isinstance(stop, str) else tuple(stop or ())
        form, conversation, formatted = self._format(
            prompt,
            schema=schema,
            system=system,
            messages=messages,
            thinking=thinking,
            template=template,
            tools=tools,
            tool_form=tool_form,
            documents=documents,
            chat_template_kwargs=chat_template_kwargs,
        )
        constraint = self._grammars.choose(
            grammar,
            json_schema,
            allow_unenforced=allow_unenforced,
            thinking=conversation.thinking,
            in_thought=formatted.in_thought,
        )
        # with a grammar it is the grammar that says where the answer ends
        balanced = decoding.stop_sequences if stop is None and constraint is None else ()
        tokens = self._tokenize(formatted)
        if not tokens:
            raise InferenceError(
                "the prompt is empty: the chat template writes nothing\n"
                "Name another template (template=…, --template)."
            )
        check_length(self._session, len(effect.prefix) + len(tokens), n_virtual=len(effect.prefix))
        return Request(
            expert=self._manifest.identity,
            prompt=[*effect.prefix, *tokens],
            applied=effect.applied,
            sampling=sampling,
            seed=secrets.randbits(32) if seed is None else seed,
            max_tokens=limit,
            literal_stops=(*literal, form.stop) if form.stop else literal,
            balanced_stops=balanced,
            constraint=constraint,
            timeout=timeout,
            end_token=form.end_token,
            in_thought=formatted.in_thought,
            logit_bias=dict(logit_bias or {}),
            logprobs=logprobs,
        )

    def prompt_tokens(
        self, prompt: str | None, *, thinking: bool = False, **options: Unpack[PromptOptions]
    ) -> list[int]:
        """The conversation, and the beginning of the answer's turn, as token ids."""
        _, _, formatted = self._format(prompt, thinking=thinking, **options)
        return self._tokenize(formatted)

    def _format(
        self,
        prompt: str | None,
        *,
        thinking: bool,
        schema: str | None = None,
        system: str | None = None,
        messages: Sequence[Mapping[str, object]] | None = None,
        template: str | os.PathLike[str] | None = None,
        tools: Sequence[Mapping[str, object]] | None = None,
        tool_form: ToolForm = "template",
        documents: Sequence[Mapping[str, object]] | None = None,
        chat_template_kwargs: Mapping[str, object] | None = None,
    ) -> tuple[PromptFormat, Conversation, FormattedPrompt]:
        if (prompt is None) == (messages is None):
            raise ValueError("give either a prompt or messages")
        if system is not None and schema is not None:
            raise ValueError("system replaces schema; give only one of them")
        if template == RAW and (system is not None or schema is not None):
            raise ValueError(
                f"template={RAW!r}: the prompt is used as it is; give no schema and no system"
            )
        if tool_form not in TOOL_FORMS:
            raise ValueError(f"tool_form={tool_form!r}: must be one of {', '.join(TOOL_FORMS)}")
        variables, switched = check_variables(chat_template_kwargs)
        conversation = Conversation(
            (Message.of("user", prompt or ""),) if messages is None else check_messages(messages),
            thinking=thinking if switched is None else switched,
            tools=check_tools(tools),
            documents=check_documents(documents),
            tool_form=tool_form,
            variables=variables,
        )
        has_system = conversation.messages[0].role == "system"
        if has_system and (schema is not None or system is not None):
            raise ValueError("messages begin with a system message; give no schema and no system")
        if template != RAW and (messages is None or schema is not None or system is not None):
            said = system if system is not None else system_message(self._manifest, schema)
            conversation = conversation.with_system(said) if said else conversation
        form = self._formats.choose(template)
        return form, conversation, form.prompt(conversation)

    def _check_bias(self, logit_bias: Mapping[int, float]) -> None:
        n_vocab = self._session.model.n_vocab
        for token, bias in logit_bias.items():
            if not 0 <= token < n_vocab:
                raise ValueError(f"logit_bias={token}: the base has tokens 0 to {n_vocab - 1}")
            if not -MAX_BIAS <= bias <= MAX_BIAS:
                raise ValueError(
                    f"logit_bias[{token}]={bias}: must be from {-MAX_BIAS:g} to {MAX_BIAS:g}"
                )

    def _tokenize(self, formatted: FormattedPrompt) -> list[int]:
        model = self._session.model
        begin = [model.begin_token] if formatted.begin and model.begin_token is not None else []
        parts = ((segment.text, segment.control) for segment in formatted.segments)
        return begin + model.tokenize_segments(parts)
