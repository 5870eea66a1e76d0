"""The control tokens that the files of a tokenizer or of a GGUF model name, without llama.cpp."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..converters.gguf.arrays import read_numbers, read_strings
from ..converters.gguf.header import read_gguf_header
from ..converters.json_file import read_json, read_tokenizer_json
from ..converters.tokenizers.added_tokens import looks_special, read_added_tokens
from ..converters.tokenizers.chat_template import (
    CHAT_TEMPLATE_FILES,
    TOOL_USE,
    find_chat_templates,
)
from ..converters.tokenizers.special_tokens import read_special_tokens, read_tokenizer_options
from ..errors import ConversionError
from ..tokenization.added_tokens import AddedTokens
from ..tokenization.rules import UNNAMED_KEY
from .tags import TEMPLATES
from .template_files import SPECIAL_TOKENS, TEMPLATE_FILE_KEY, TEMPLATE_KEY, token_key

__all__ = ["TOKEN_FILES", "TokenFile", "tokens_in_folder", "tokens_in_gguf"]

TOKEN_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("config.json", *CHAT_TEMPLATE_FILES),
)
"""All files that `tokens_in_folder` reads."""

_CONTROL, _USER_DEFINED = 3, 4
"""Values of ``llama_token_type``."""

MAX_TOKENS = 1 << 24

_ADD_BOS = "tokenizer.ggml.add_bos_token"
_TEXTS, _TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"


class TokenFile:
    """Stands for a model where prompts are only shown; see `PromptTokens`.

    ``control`` are the control tokens by name, and ``added`` the tokens that text becomes by
    itself. ``values`` are the metadata that prompts need, as GGUF names them.
    """

    def __init__(
        self,
        control: Mapping[str, int],
        added: Mapping[str, int],
        values: Mapping[str, str],
        n_vocab: int = MAX_TOKENS,
    ) -> None:
        self.n_vocab = n_vocab
        self._control, self._added = dict(control), dict(added)
        self._tokens = AddedTokens(control)
        self._ids = {**added, **control}
        self._texts = {token: text for text, token in self._ids.items()}
        self._values = values

    @property
    def begin_token(self) -> int | None:
        """The token that comes first, if the files say so."""
        token = self._values.get(token_key("bos"), "")
        begins = self._values.get(_ADD_BOS) == "true" and token.isdecimal()
        return int(token) if begins else None

    def special_token(self, text: str) -> int | None:
        """The control or added token with this name; None if there is none."""
        return self._ids.get(text)

    def named_parts(self, text: str) -> list[tuple[str, bool]]:
        """``text``, split at the names of control tokens."""
        return [
            (part, False) if isinstance(part, str) else (self._texts[part], True)
            for part in self._tokens.split(text)
        ]

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The name of a token that has one."""
        return self._texts.get(token, "").encode("utf-8", "replace") if special else b""

    def is_end(self, token: int) -> bool:
        """Whether the token ends a text."""
        return self._values.get(token_key("eos")) == str(token)

    def metadata(self, key: str) -> str | None:
        """One of the values."""
        return self._values.get(key)

    def with_tags(self) -> TokenFile:
        """The same with the tags of ChatML as control tokens, for a base that nobody has seen."""
        chatml = TEMPLATES["chatml"]
        tags = [tag for tag in (*chatml.begin, *chatml.end) if tag.startswith("<")]
        more = {tag: MAX_TOKENS + place for place, tag in enumerate(tags)}
        return TokenFile({**more, **self._control}, self._added, self._values, self.n_vocab)


def tokens_in_gguf(path: Path) -> TokenFile:
    """The tokens of a GGUF model. Raises ConversionError for a damaged file."""
    header = read_gguf_header(path)
    if not {_TEXTS, _TYPES} <= header.arrays.keys():
        raise ConversionError(f"{path}: there is no vocabulary in this file")
    texts = [text.decode("utf-8", "surrogateescape") for text in read_strings(header, _TEXTS)]
    types = read_numbers(header, _TYPES).tolist()
    named = {
        kind: {text: token for token, (text, one) in enumerate(zip(texts, types)) if one == kind}  # noqa: B905
        for kind in (_CONTROL, _USER_DEFINED)
    }
    values = {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in header.metadata.items()
        if key.startswith("tokenizer.")
    }
    return TokenFile(named[_CONTROL], named[_USER_DEFINED], values, len(texts))


def tokens_in_folder(folder: Path) -> TokenFile | None:
    """The tokens that a tokenizer's files name; None if there are none of these files.

    Raises ConversionError for files that cannot be read.
    """
    path = folder / "tokenizer.json"
    tokenizer = read_tokenizer_json(path) if path.is_file() else {}
    options = read_tokenizer_options(folder)
    if not tokenizer and not options:
        return None
    found, _ = read_added_tokens(folder, tokenizer, options, {}, MAX_TOKENS)
    control = {
        token.text: token_id
        for token_id, token in found.items()
        if token.special or looks_special(token.text)
    }
    added = {t.text: token_id for token_id, t in found.items() if t.text not in control}
    special = read_special_tokens(
        tokenizer,
        options,
        _configured(folder / "config.json"),
        {**added, **control},
        MAX_TOKENS,
        source=path,
        bos_by_default=False,
    )
    values = {token_key(kind): str(token) for kind, token in special.ids.items()}
    values[UNNAMED_KEY] = " ".join(special.unnamed)
    if special.add.get("bos"):
        values[_ADD_BOS] = "true"
    templates = find_chat_templates(folder, options)
    if templates is not None and templates.default is not None:
        values[TEMPLATE_KEY], values[TEMPLATE_FILE_KEY] = templates.default, templates.file
        if TOOL_USE in templates.named:
            values[f"{TEMPLATE_KEY}.{TOOL_USE}"] = templates.named[TOOL_USE]
    return TokenFile(control, added, values)


def _configured(path: Path) -> dict[str, int]:
    """The special tokens in a model's ``config.json``, by kind."""
    config = read_json(path) if path.is_file() else {}
    ids = {kind: config.get(f"{kind}_token_id") for kind in SPECIAL_TOKENS}
    return {kind: one for kind, one in ids.items() if type(one) is int and 0 <= one < MAX_TOKENS}
