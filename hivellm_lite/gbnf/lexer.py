"""Splits a grammar's text into tokens, and makes error messages that show a place in it.

Lines end with LF, CRLF or CR. A token knows whether it is the first of its line, where rules begin.
Other white space and comments, from ``#`` to the end of the line, only separate tokens.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from ..errors import GrammarError
from ..lazy import lazy
from .build import char_class
from .limits import MAX_BYTES, MAX_NAME, MAX_REPETITIONS
from .syntax import MAX_CODE_POINT, CharClass

__all__ = ["Kind", "Lexer", "Token"]

_EXCERPT = 80  # characters of a line that a message shows

_LINE_END = re.compile(r"\r\n|\r|\n")
_SPACE = re.compile(r"(?:[ \t\r\n]+|#[^\r\n]*)*")
_IMPOSSIBLE = re.compile("[\x00\ud800-\udfff]")
_NAME = re.compile(r"[\w-]+")
_DEFINE = re.compile(r"[ \t\r\n]*::=")
_COUNTS = re.compile(r"\{S(?:([0-9]+)S)?(?:(,)S(?:([0-9]+)S)?)?\}".replace("S", r"[ \t\r\n]*"))
_TOKEN_TERMINAL = re.compile(r"!?<[^<>\r\n]{0,60}>?")
_PLAIN = {'"': re.compile(r'[^\\"]+'), "'": re.compile(r"[^\\']+")}
_LOW_SURROGATE = re.compile(r"\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})")

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_KNOWN_ESCAPES = (
    r"The escapes are \n, \r, \t, \xHH, \uHHHH, \UHHHHHHHH, and \ before punctuation for itself."
)


class Kind(Enum):
    """The kind of a token. Its value is its name in messages."""

    RULE = "a rule"
    NAME = "a rule name"
    LITERAL = "a literal"
    CLASS = "a character class"
    REPEAT = "a repetition"
    OPEN = "'('"
    CLOSE = "')'"
    OR = "'|'"
    SEMICOLON = "';'"
    END = "the end"


_MARKS = {"(": Kind.OPEN, ")": Kind.CLOSE, "|": Kind.OR, ";": Kind.SEMICOLON}
_SHORT_COUNTS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


@dataclass(frozen=True, slots=True)
class Token:
    """One token, after ``place`` characters of the text.

    A ``leading`` token is the first of its line. White space precedes an ``indented`` one.
    ``value`` is the name of a RULE, which includes its ``::=``, and of a NAME, the text that a
    LITERAL means, the `CharClass` of a CLASS, and the (minimum, maximum) of a REPEAT.
    """

    kind: Kind
    place: int
    leading: bool
    indented: bool
    value: str | CharClass | tuple[int, int | None] = ""


class Lexer:
    """The tokens of a text. Iterating yields them; the last is END.

    Bytes are read as UTF-8, and a byte order mark is skipped. The constructor and the iteration
    raise GrammarError for a text that is too large and for characters that are no token.
    """

    def __init__(self, text: str | bytes, source: str) -> None:
        self._source = source
        self._over_lines: int | None = None
        size = len(text)
        if isinstance(text, str) and size <= MAX_BYTES:
            size = len(text.encode(errors="surrogatepass"))
        if size > MAX_BYTES:
            raise GrammarError(
                f"{source}: the grammar has more than {MAX_BYTES:,} bytes, the limit\n"
                "Write what repeats as a rule of its own, or describe less."
            )
        try:
            whole = text if isinstance(text, str) else text.decode()
        except UnicodeDecodeError as error:
            self._text = error.object[: error.start].decode().removeprefix("\ufeff")
            what = f"byte 0x{error.object[error.start]:02X} is not UTF-8"
            raise self.error(len(self._text), what, "Save the grammar as UTF-8.") from error
        self._text = whole.removeprefix("\ufeff")
        if found := _IMPOSSIBLE.search(self._text):
            what = f"U+{ord(found[0]):04X} is not a character of text"
            raise self.error(found.start(), what, r"Write \x00 where NUL is meant.")

    def _note(self, start: int, stop: int) -> None:
        """Remember the first literal or class that contains a line end: few are meant to."""
        if self._over_lines is None and _LINE_END.search(self._text, start, stop):
            self._over_lines = start

    @lazy
    def _line_ends(self) -> list[int]:
        return [found.start() for found in _LINE_END.finditer(self._text)]

    def line(self, place: int) -> int:
        """The line of a place, counted from 1."""
        return 1 + bisect_left(self._line_ends, place)

    def error(self, place: int, what: str, hint: str) -> GrammarError:
        """An error that shows the line of the place, a caret under it, and what to do next."""
        start = max(self._text.rfind(end, 0, place) for end in "\r\n") + 1
        ending = _LINE_END.search(self._text, place)
        stop = ending.start() if ending else len(self._text)
        first = max(start, min(place - _EXCERPT // 2, stop - _EXCERPT))
        last = min(stop, first + _EXCERPT)
        cut = "…" if first > start else ""
        shown = cut + self._text[first:last] + ("…" if last < stop else "")
        caret = " " * (place - first + len(cut)) + "^"
        message = f"{self._source}:{self.line(place)}:{place - start + 1}: {_visible(what)}\n"
        if shown.strip():
            message += f"  {_visible(shown)}\n  {caret}\n"
        if self._over_lines is not None:
            line = self.line(self._over_lines)
            hint = f"A literal or class in line {line} continues on the next line: is it closed?"
        return GrammarError(message + hint)

    def __iter__(self) -> Iterator[Token]:
        place = 0
        while True:
            space = _SPACE.match(self._text, place)
            between = space[0] if space else ""
            leading = place == 0 or "\n" in between or "\r" in between
            indented = between.endswith((" ", "\t"))
            place += len(between)
            kind, value, after = self._scan(place)
            yield Token(kind, place, leading, indented, value)
            if kind is Kind.END:
                return
            place = after

    def _scan(self, place: int) -> tuple[Kind, str | CharClass | tuple[int, int | None], int]:
        """The kind and value of the token at a place, and the place after it."""
        char = self._text[place : place + 1]
        if not char:
            return Kind.END, "", place
        if name := _NAME.match(self._text, place):
            if len(name[0]) > MAX_NAME:
                what = f"a rule name has more than {MAX_NAME} characters, the limit"
                raise self.error(place, what, "Shorten the name.")
            if define := _DEFINE.match(self._text, name.end()):
                return Kind.RULE, name[0], define.end()
            return Kind.NAME, name[0], name.end()
        if char in _PLAIN:
            text, after = self._literal(place)
            return Kind.LITERAL, text, after
        if char == "[":
            characters, after = self._class(place)
            return Kind.CLASS, characters, after
        if char == ".":
            return Kind.CLASS, CharClass((), negated=True), place + 1
        if char in _MARKS:
            return _MARKS[char], "", place + 1
        if char in _SHORT_COUNTS:
            return Kind.REPEAT, _SHORT_COUNTS[char], place + 1
        if char == "{":
            counts, after = self._counts(place)
            return Kind.REPEAT, counts, after
        raise self._stray(place)

    def _stray(self, place: int) -> GrammarError:
        """The error for characters with which no token begins."""
        if terminal := _TOKEN_TERMINAL.match(self._text, place):
            what = f"{terminal[0]} stands for a token of a model, but grammars here describe text"
            hint = "Write text between double quotes, and rule names without angle brackets."
        elif self._text.startswith("::=", place):
            what = "'::=' without a rule name before it"
            hint = "A rule is: name ::= alternatives. Names have letters, digits, '-' and '_'."
        else:
            char = self._text[place]
            shown = repr(char) if char.isprintable() else f"U+{ord(char):04X}"
            what = f"{shown} begins nothing that grammars have"
            hint = "A rule is: name ::= alternatives. Text stands in \"\", a comment after '#'."
        return self.error(place, what, hint)

    def _counts(self, place: int) -> tuple[tuple[int, int | None], int]:
        found = _COUNTS.match(self._text, place)
        if not found or not (found[1] or found[3]):
            hint = "Counts are {m}, {m,}, {m,n} or {,n}; a literal brace stands in quotes."
            raise self.error(place, "'{' begins no number of repetitions", hint)
        digits = [(found[group] or "").lstrip("0") or "0" for group in (1, 3)]
        # The digits are counted first, since Python refuses to read thousands of them.
        if any(len(number) > 9 or int(number) > MAX_REPETITIONS for number in digits):
            what = f"a number of repetitions is above {MAX_REPETITIONS:,}, the limit"
            raise self.error(place, what, "Leave the upper bound out for no limit: {m,}.")
        minimum, maximum = int(digits[0]), int(digits[1])
        if not found[2]:
            return (minimum, minimum), found.end()
        if not found[3]:
            return (minimum, None), found.end()
        if maximum < minimum:
            what = f"at least {minimum} and at most {maximum} repetitions contradict each other"
            raise self.error(place, what, f"Write {{{maximum},{minimum}}} if that was meant.")
        return (minimum, maximum), found.end()

    def _literal(self, start: int) -> tuple[str, int]:
        quote = self._text[start]
        parts = []
        place = start + 1
        while (char := self._text[place : place + 1]) != quote:
            if plain := _PLAIN[quote].match(self._text, place):
                parts.append(plain[0])
                place = plain.end()
            elif char:
                code, place = self._escape(place)
                parts.append(chr(code))
            else:
                what = "the literal that begins here is not closed"
                raise self.error(start, what, f"Put {quote} after its last character.")
        self._note(start, place)
        return "".join(parts), place + 1

    def _class(self, start: int) -> tuple[CharClass, int]:
        place = start + 1
        negated = self._text.startswith("^", place)
        place += negated
        ranges = []
        while not self._text.startswith("]", place):
            first, after = self._class_character(start, place)
            if self._text.startswith("-", after) and not self._text.startswith("]", after + 1):
                last, after = self._class_character(start, after + 1)
                if last < first:
                    what = f"the range {self._text[place:after]} is in reversed order"
                    raise self.error(place, what, "Write the lower character first.")
            elif 0xD800 <= (last := first) <= 0xDFFF:
                raise self._surrogate(place, first)
            ranges.append((first, last))
            place = after
        if not ranges:
            what = f"{self._text[start : place + 1]} is a class without characters"
            hint = r'Write . for any character, "" for no text, \] for a bracket in a class.'
            raise self.error(start, what, hint)
        self._note(start, place)
        return char_class(ranges, negated=negated), place + 1

    def _class_character(self, start: int, place: int) -> tuple[int, int]:
        if place >= len(self._text):
            what = "the character class that begins here is not closed"
            raise self.error(start, what, "Put ] after its last character.")
        if self._text[place] == "\\":
            return self._escape(place, in_class=True)
        return ord(self._text[place]), place + 1

    def _escape(self, place: int, *, in_class: bool = False) -> tuple[int, int]:
        """The code point that an escape means, and the place after the escape."""
        letter = self._text[place + 1 : place + 2]
        if letter in _PUNCTUATION:
            return ord(letter), place + 2
        if letter in _ESCAPES:
            return ord(_ESCAPES[letter]), place + 2
        if letter not in _HEX_DIGITS:
            shown = f"\\{letter}" if letter.isprintable() else "\\ before the end of a line"
            raise self.error(place, f"{shown} is not an escape in grammars", _KNOWN_ESCAPES)
        after = place + 2 + _HEX_DIGITS[letter]
        digits = self._text[place + 2 : after]
        if not re.fullmatch(rf"[0-9A-Fa-f]{{{_HEX_DIGITS[letter]}}}", digits):
            what = f"\\{letter} needs {_HEX_DIGITS[letter]} hexadecimal digits"
            raise self.error(place, what, _KNOWN_ESCAPES)
        code = int(digits, 16)
        if code > MAX_CODE_POINT:
            what = f"\\{letter}{digits} is above U+10FFFF, the last character"
            raise self.error(place, what, r"Write \U0010FFFF for the last character.")
        if in_class or not 0xD800 <= code <= 0xDFFF:
            return code, after
        low = _LOW_SURROGATE.match(self._text, after)
        if code > 0xDBFF or not low:
            raise self._surrogate(place, code)
        return 0x10000 + ((code - 0xD800) << 10) + int(low[1], 16) - 0xDC00, low.end()

    def _surrogate(self, place: int, code: int) -> GrammarError:
        what = f"U+{code:04X} is half of a surrogate pair and no character"
        return self.error(place, what, r"Write the character itself or \UHHHHHHHH.")


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
