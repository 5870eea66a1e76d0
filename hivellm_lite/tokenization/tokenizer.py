"""Turns a text into tokens; the last step, merging, is llama.cpp's."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Literal

from ..errors import InferenceError
from .added_tokens import AddedTokens
from .byte_level import ALPHABET, to_byte_level
from .character_classes import SPACES
from .expressions import IGNORE_MERGES
from .rules import TextRules
from .splitting import splitter_for

__all__ = ["After", "Tokenizer"]

After = Literal["nothing", "token", "text"]
"""What comes before a text: nothing, a control token, or a text that it continues."""

Merge = Callable[[bytes], list[int]]
"""llama.cpp's tokens of a text without control tokens."""

MAX_REMEMBERED, MAX_REMEMBERED_LENGTH = 1 << 15, 64
"""How many pieces are remembered with their tokens, and how long a remembered piece may be.

A text has few different pieces."""

MAX_WORD = 2000
"""The longest word that ``std::regex`` can match in a thread's smallest stack (512 kB)."""

MAX_UNSPLIT = 20_000
"""Characters of a SentencePiece text that llama.cpp gets at once, if the text can be cut: the
time for text that it spells in bytes grows with the square of the length."""

_LONG_WORD = re.compile(rf"\S{{{MAX_WORD}}}|\s{{{MAX_WORD}}}")


class Tokenizer:
    """The tokenizer of one vocabulary.

    ``added`` are the user-defined tokens, which text may become; ``named`` are these and the
    control tokens. ``words`` maps byte-level spellings to tokens, for vocabularies in which a
    piece that is a token is not merged. ``joints`` are the pairs of neighbouring characters
    inside tokens: nothing is merged across any other pair. ``merge`` is llama.cpp.
    """

    def __init__(
        self,
        rules: TextRules,
        *,
        added: Mapping[str, int],
        named: Mapping[str, int],
        words: Callable[[], Mapping[str, int]],
        joints: Callable[[], frozenset[str]],
        merge: Merge,
    ) -> None:
        self._rules = rules
        self._added = AddedTokens(added)
        self._named = AddedTokens(named)
        self._joints = functools.cache(joints)
        self._merge = merge
        self._remembered: dict[str, list[int]] = {}
        if rules.splits:
            self._split = splitter_for(rules.pre)
            self._words = words() if rules.pre in IGNORE_MERGES else {}
            # llama.cpp would find these in the byte-level spelling of other characters
            self._mistakable = self._added.inside(ALPHABET)

    def special_token(self, text: str) -> int | None:
        """The control or added token with this name; None if there is none."""
        return self._named.id_of(text)

    def named_parts(self, text: str) -> list[tuple[str, bool]]:
        """``text`` in segments for `tokenize_segments`, split at the names of tokens in it.

        Names that text becomes by itself stay text, so that the longest of them is found where
        one begins or ends in a neighbouring text.
        """
        found: list[tuple[str, bool]] = []
        for part in self._named.split(text):
            name = part if isinstance(part, str) else self._named.text_of(part)
            control = not isinstance(part, str) and self._added.id_of(name) is None
            if found and not control and not found[-1][1]:
                name = found.pop()[0] + name
            found.append((name, control))
        return found

    def tokenize(self, text: str, *, special: bool = False, after: After = "nothing") -> list[int]:
        """The tokens of ``text``. With ``special``, names in it become control tokens."""
        return self._parts((self._named if special else self._added).split(text), after)

    def tokenize_segments(self, segments: Iterable[tuple[str, bool]]) -> list[int]:
        """The tokens of segments. Each segment is text, or the name of a control token.

        Neighbouring texts are joined. The name of a token that this vocabulary lacks is text.
        """
        return self._parts(self._split_segments(segments), "nothing")

    def _split_segments(self, segments: Iterable[tuple[str, bool]]) -> Iterator[str | int]:
        pending: list[str] = []
        for text, control in segments:
            token = self.special_token(text) if control else None
            if token is None:
                pending.append(text)
            else:
                yield from self._added.split("".join(pending))
                yield token
                pending = []
        yield from self._added.split("".join(pending))

    def _parts(self, parts: Iterable[str | int], after: After) -> list[int]:
        """The tokens of ``parts``, which are texts and tokens."""
        tokens: list[int] = []
        strips = self._rules.strips
        listed = [*parts]
        for part, following in zip_longest(listed, listed[1:]):
            if isinstance(part, int):
                tokens.append(part)
                after = "token"
                continue
            if tokens and tokens[-1] in strips["right"] and after == "token":
                part = part.lstrip(SPACES)
            if following in strips["left"]:
                part = part.rstrip(SPACES)
            if part:
                tokens += self._text(part, after)
                after = "text"
        return tokens

    def _text(self, text: str, after: After) -> list[int]:
        if self._rules.nfc:
            text = unicodedata.normalize("NFC", text)
        if self._rules.splits:
            return [token for piece in self._split(text) for token in self._piece(piece)]
        if self._rules.recurses and _LONG_WORD.search(text):
            raise InferenceError(
                f"a word or gap of more than {MAX_WORD} characters: llama.cpp cannot split it "
                f"for a vocabulary of the kind {self._rules.pre!r} without overflowing its stack"
            )
        whole = self._space(text, after) + text
        parts = self._unmerged_parts(whole) if self._rules.model == "llama" else [whole]
        return [token for part in parts for token in self._merge(_encoded(part))]

    def _unmerged_parts(self, text: str) -> Iterator[str]:
        """Cut a SentencePiece text only where nothing can be merged across the cut."""
        begin = 0
        while len(text) - begin > MAX_UNSPLIT:
            if begin == 0:
                text = text.replace(" ", "\u2581")  # the spelling inside tokens
            joints = self._joints()
            places = range(begin + MAX_UNSPLIT, len(text))
            place = next((p for p in places if text[p - 1 : p + 1] not in joints), len(text))
            yield text[begin:place]
            begin = place
        yield text[begin:]

    def _space(self, text: str, after: After) -> str:
        prefix = self._rules.space_prefix
        if prefix == "never" or after == "text" or (prefix == "first" and after == "token"):
            return ""
        return "" if prefix != "prepend" and text.startswith((" ", "\u2581")) else " "

    def _piece(self, piece: str) -> list[int]:
        found = self._remembered.get(piece)
        if found is None:
            found = self._merged(to_byte_level(piece))
            if len(piece) <= MAX_REMEMBERED_LENGTH:
                if len(self._remembered) >= MAX_REMEMBERED:
                    self._remembered.clear()
                self._remembered[piece] = found
        return found

    def _merged(self, spelled: str) -> list[int]:
        word = self._words.get(spelled)
        if word is not None:
            return [word]
        for text in self._mistakable:
            if text in spelled:
                raise InferenceError(
                    f"the vocabulary's added token {text!r} cannot be told apart from a part of "
                    "another character in this text\nUse the base without that token."
                )
        return self._merge(spelled.encode())


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
