"""The tokens of a model in memory: their bytes, their kinds, and how a text becomes tokens."""

from __future__ import annotations

import ctypes
import weakref
from itertools import repeat
from typing import Any

from ..errors import InferenceError
from ..lazy import lazy
from ..tokenization.byte_level import from_byte_level
from ..tokenization.rules import TextRules
from ..tokenization.tokenizer import Tokenizer
from .native import llama

__all__ = ["Vocabulary"]

_NAMED = (
    llama.LLAMA_TOKEN_ATTR_CONTROL
    | llama.LLAMA_TOKEN_ATTR_USER_DEFINED
    | llama.LLAMA_TOKEN_ATTR_UNKNOWN
)
"""Tokens that llama.cpp finds in a text by their names."""

_PIECE_BYTES = 256
"""Longer than nearly every token; a buffer for a longer one is made when it is met."""


class Vocabulary:
    """Everything here raises InferenceError once the model was closed. Thread-safe."""

    def __init__(
        self, pointer: Any, model_freed: weakref.finalize[Any, Any], rules: TextRules
    ) -> None:
        """``pointer`` is llama.cpp's, which is valid as long as ``model_freed`` is alive. The
        vocabulary does not keep the model itself in memory.
        """
        self._native = pointer
        self._model_freed = model_freed
        self._rules = rules
        self.n_tokens: int = llama.llama_vocab_n_tokens(pointer)

    @property
    def pointer(self) -> Any:
        """llama.cpp's pointer; the caller keeps the model alive while using it."""
        if not self._model_freed.alive:
            raise InferenceError("this model was closed")
        return self._native

    @lazy
    def _attributes(self) -> list[int]:
        """``llama_token_attr`` of every token."""
        # Called once for each token: without converting arguments and without giving up Python's
        # lock, this takes half the time.
        attribute: Any = ctypes.PyDLL(llama._lib._name).llama_vocab_get_attr
        vocab = ctypes.c_void_p(self.pointer)
        return list(map(attribute, repeat(vocab), range(self.n_tokens)))

    @lazy
    def tokenizer(self) -> Tokenizer:
        """Splits texts, and merges the parts with llama.cpp."""
        named, added = dict[str, int](), dict[str, int]()
        for token, attribute in enumerate(self._attributes):
            if attribute & _NAMED and (text := self._token_text(token)):
                named.setdefault(text, token)
                if attribute & llama.LLAMA_TOKEN_ATTR_USER_DEFINED:
                    added.setdefault(text, token)
        return Tokenizer(
            self._rules,
            added=added,
            named=named,
            words=self._words,
            joints=self._joints,
            merge=self.merge,
        )

    def _words(self) -> dict[str, int]:
        normal = llama.LLAMA_TOKEN_ATTR_NORMAL
        return {
            self._token_text(token): token
            for token, attribute in enumerate(self._attributes)
            if attribute & normal
        }

    def _joints(self) -> frozenset[str]:
        texts = (self._token_text(token) for token in range(self.n_tokens))
        return frozenset(
            text[place : place + 2] for text in texts for place in range(len(text) - 1)
        )

    def _token_text(self, token: int) -> str:
        """The vocabulary's entry, unchanged."""
        text: bytes = llama.llama_vocab_get_text(self.pointer, token)
        return text.decode("utf-8", "surrogateescape")

    def merge(self, data: bytes) -> list[int]:
        """What llama.cpp makes of a text in which no control tokens are looked for."""
        tokens = (llama.llama_token * (len(data) + 8))()
        n = llama.llama_tokenize(self.pointer, data, len(data), tokens, len(tokens), False, False)
        if n < 0:
            raise InferenceError(f"llama.cpp cannot tokenize a text of {len(data)} bytes")
        return list(tokens[:n])

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token; may be part of a character. Control tokens are empty
        unless ``special`` is set. InferenceError for one that the vocabulary does not have.
        """
        if not 0 <= token < self.n_tokens:  # an exception of C++ would end the process
            raise InferenceError(f"token {token} is beyond the vocabulary of {self.n_tokens}")
        size = _PIECE_BYTES
        while True:
            # one for each call: other threads ask at the same time
            buffer = (ctypes.c_char * size)()
            n = llama.llama_token_to_piece(self.pointer, token, buffer, size, 0, special)
            if n >= 0:
                return self._decoded(token, buffer.raw[:n])
            size = -n

    def _decoded(self, token: int, data: bytes) -> bytes:
        if self._rules.splits and self._attributes[token] & llama.LLAMA_TOKEN_ATTR_NORMAL:
            return from_byte_level(data)
        return data

    def is_end(self, token: int) -> bool:
        """Whether the token ends an answer (end of text, of turn …)."""
        return bool(llama.llama_vocab_is_eog(self.pointer, token))

    @lazy
    def pieces(self) -> tuple[bytes, ...]:
        """The bytes of every token, empty for control tokens. Takes 0.3 s for 150,000 tokens."""
        to_piece, vocab, string_at = llama.llama_token_to_piece, self.pointer, ctypes.string_at
        size = _PIECE_BYTES
        buffer = (ctypes.c_char * size)()
        found = []
        for token in range(self.n_tokens):
            n = to_piece(vocab, token, buffer, size, 0, False)
            found.append(
                self._decoded(token, string_at(buffer, n)) if n >= 0 else self.piece(token)
            )
        return tuple(found)

    @lazy
    def end_tokens(self) -> list[int]:
        """All tokens that end an answer; llama.cpp makes each a control token."""
        return [
            token for token, piece in enumerate(self.pieces) if not piece and self.is_end(token)
        ]

    @property
    def begin_token(self) -> int | None:
        """The token that must come first, for models that want one."""
        if not llama.llama_vocab_get_add_bos(self.pointer):
            return None
        token = int(llama.llama_vocab_bos(self.pointer))
        return token if token >= 0 else None
