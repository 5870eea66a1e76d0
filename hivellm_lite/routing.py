"""Chooses which of several experts should answer a prompt, by what their manifests say.

::

    router = Router({"sql": sql_manifest, "cypher": cypher_manifest})
    route = router.route("List all users from 2024")
    route.expert      # "sql"; None where the base model should answer
    route.reason      # 'sql scores 1.7 = 2 for keywords "list all", "users" × priority 0.85'

An expert gets one point for each of its keywords in the prompt, and loses two points
for each of its exclude keywords. The sum is multiplied by the expert's priority. Each
value of its capabilities (``sql`` of ``database:sql``) in the prompt adds half a point.
The highest score above zero wins. Among equal scores the higher priority wins, then
the name that comes first.

A prompt with one of `GENERIC_PHRASES` goes to the base, whatever the scores. The
exception is an expert that asks for such questions: an expert with a keyword in the
prompt that contains such a phrase, such as "explain" or "how to deploy".

Keywords are compared by words, without regard to letter case and to Unicode's
compatibility forms. "how to" is in "How  to sum" but not in "Show total"; a plural is
another word. Scripts that are written without spaces have no words to compare. Korean
particles join words, so Korean has none either. A keyword in such a script is found
anywhere. A keyword that a manifest lists twice counts once. A two-letter ``language:``
capability (``language:en``) does not count: it says how users write, not about what, and
"en" is a word in other languages. ``router_hint`` is not read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from .manifest.records import Manifest
from .strict_json.parsing import shown

__all__ = ["GENERIC_PHRASES", "MAX_PHRASE_TOKENS", "ExpertScore", "Route", "Router"]

_KEYWORD_POINTS = 1.0
_EXCLUDE_POINTS = 2.0
_CAPABILITY_POINTS = 0.5

MAX_PHRASE_TOKENS = 32
"""Longer keywords are ignored, so that no manifest makes a word of a prompt costly."""

_MAX_SHOWN = 8
"""How many matches of one kind an explanation lists."""

GENERIC_PHRASES = (
    *("what is", "what are", "what's", "what does", "who is", "who are", "where is", "where are"),
    *("when is", "when are", "how to", "how do", "how does", "why", "explain", "describe"),
    *("meaning of", "definition of", "tell me about"),
)
"""Signs of a question that asks for an explanation, not for an expert's query or document."""

_UNSPACED = (
    "\u0e00-\u109f\u1780-\u17ff"  # Thai, Lao, Tibetan, Burmese, Khmer
    "\u1100-\u11ff\uac00-\ud7ff"  # Korean
    "\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31f0-\u31ff"  # kana, bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
)
"""Scripts in which each character is a token, so that a sequence is found anywhere."""

_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u0900-\u0963\u0966-\u0dff\u200c\u200d"
)
"""Accents and vowel signs, which belong to a word though ``\\w`` does not count them."""

# "c++" and "c#" are words of their own: a prompt about them is not about "c".
_TOKEN = re.compile(rf"[^\W{_UNSPACED}]+(?:[{_MARKS}]+[^\W{_UNSPACED}]*)*(?:\+\+|#)?|\S")

_LANGUAGE_TAG = re.compile(r"[a-z]{2}(?:[-_][a-z0-9]+)*", re.IGNORECASE)

_T = TypeVar("_T")


class ExpertScore(NamedTuple):
    """One expert's score and the matches that it comes from, in the order of the prompt.

    ``name`` is the expert's name in the router. ``keywords`` and ``exclude_keywords`` are
    spelled as in the manifest. ``capabilities`` are the values that matched.
    """

    name: str
    score: float
    priority: float
    keywords: tuple[str, ...] = ()
    exclude_keywords: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()

    @property
    def explanation(self) -> str:
        """The sum in words, without the name: ``0.8 = 1 for keywords "sql" × priority 0.8``."""
        kinds = (
            (_KEYWORD_POINTS, "keywords", self.keywords),
            (-_EXCLUDE_POINTS, "exclude keywords", self.exclude_keywords),
        )
        text = " ".join(_term(*kind) for kind in kinds if kind[2])
        if text and self.priority != 1:
            both = self.keywords and self.exclude_keywords
            text = f"({text})" if both else text
            text += f" × priority {self.priority:g}"
        if self.capabilities:
            text += " + " if text else ""
            text += _term(_CAPABILITY_POINTS, "capabilities", self.capabilities)
        return f"{self.score:g} = {text or 'nothing of it is in the prompt'}"


@dataclass(frozen=True)
class Route:
    """Where a prompt goes.

    ``expert`` is a name, or None for the base model. ``scores`` holds every expert, best
    first, even if ``expert`` is None. ``reason`` explains the choice in words.
    """

    expert: str | None
    scores: tuple[ExpertScore, ...]
    reason: str


class _Node(Generic[_T]):
    """A place in the tree of phrases. ``meanings`` belong to the phrase that ends here."""

    __slots__ = ("children", "meanings")

    def __init__(self) -> None:
        self.children: dict[str, _Node[_T]] = {}
        self.meanings: list[_T] = []


class _Phrases(Generic[_T]):
    """Sequences of tokens; one pass over a text finds all of them, however many there are."""

    def __init__(self) -> None:
        self._root = _Node[_T]()

    def add(self, tokens: Sequence[str], meaning: _T) -> None:
        node = self._root
        for token in tokens:
            node = node.children.setdefault(token, _Node())
        node.meanings.append(meaning)

    def found_in(self, tokens: Sequence[str]) -> Iterator[_T]:
        """The meanings of all phrases in ``tokens``, each once, in the order of the text."""
        found: dict[_Node[_T], None] = {}
        first = self._root.children
        for start, token in enumerate(tokens):
            node = first.get(token)
            end = start + 1
            while node is not None:
                if node.meanings:
                    found[node] = None
                node = node.children.get(tokens[end]) if end < len(tokens) else None
                end += 1
        for node in found:
            yield from node.meanings


class _Mention(NamedTuple):
    """What a phrase means to an expert.

    ``field``: 0 for a keyword, 1 for an exclude keyword, 2 for a capability. ``points``
    are added to the score. ``generic``: whether it is a keyword that contains one of
    `GENERIC_PHRASES`.
    """

    expert: int
    field: int
    points: float
    text: str
    generic: bool


class Router:
    """Routes prompts between experts. ``experts`` maps names to manifests.

    A router is immutable, and threads may share it. Building it reads every keyword once.
    A route is one pass over the prompt: its time grows with the length of the prompt and
    with the number of matches.
    """

    def __init__(self, experts: Mapping[str, Manifest]) -> None:
        self._phrases: _Phrases[_Mention] = _Phrases()
        for index, manifest in enumerate(experts.values()):
            routing = manifest.routing
            for field, points, texts in (
                (0, _KEYWORD_POINTS * routing.priority, routing.keywords),
                (1, -_EXCLUDE_POINTS * routing.priority, routing.exclude_keywords),
                (2, _CAPABILITY_POINTS, _capability_values(manifest.capabilities)),
            ):
                for tokens, text in _by_tokens(texts).items():
                    generic = field == 0 and any(_GENERIC.found_in(tokens))
                    self._phrases.add(tokens, _Mention(index, field, points, text, generic))
        self._unmatched = tuple(
            ExpertScore(name, 0.0, manifest.routing.priority) for name, manifest in experts.items()
        )

    def route(self, prompt: str) -> Route:
        """Choose the expert for ``prompt``, the user's question without schema or template."""
        tokens = _tokens(prompt)
        scores = list(self._unmatched)
        totals = [0.0] * len(scores)
        matches: dict[int, tuple[list[str], list[str], list[str]]] = {}
        welcome = set()
        for expert, field, points, text, generic in self._phrases.found_in(tokens):
            if expert not in matches:
                matches[expert] = ([], [], [])
            matches[expert][field].append(text)
            totals[expert] += points
            if generic:
                welcome.add(scores[expert].name)
        for expert, (keywords, excludes, capabilities) in matches.items():
            blank = scores[expert]
            # Rounded, so that sums that are equal on paper tie: 0.1 + 0.1 + 0.1 and 0.3.
            scores[expert] = ExpertScore(
                blank.name,
                round(totals[expert], 9),
                blank.priority,
                tuple(keywords),
                tuple(excludes),
                tuple(capabilities),
            )
        scores.sort(key=lambda score: (-score.score, -score.priority, score.name))
        question = next(_GENERIC.found_in(tokens), None)
        for best in scores:
            if best.score > 0 and (question is None or best.name in welcome):
                reason = f"{best.name} scores {best.explanation}"
                return Route(best.name, tuple(scores), reason)
        if not scores:
            reason = "there is no expert to choose"
        elif question is not None:
            reason = f"a general question ({shown(question)}) goes to the base model"
        else:
            reason = "no expert scores above zero"
        return Route(None, tuple(scores), reason)


def _by_tokens(texts: Sequence[str]) -> dict[tuple[str, ...], str]:
    """Phrases of a fair length by their tokens; equal phrases keep the first spelling."""
    phrases = {tuple(_tokens(text)): text for text in reversed(texts)}
    return {key: text for key, text in phrases.items() if len(key) <= MAX_PHRASE_TOKENS}


def _capability_values(capabilities: Sequence[str]) -> list[str]:
    values = []
    for capability in capabilities:
        kind, _, value = capability.partition(":")
        if kind.strip().lower() != "language" or not _LANGUAGE_TAG.fullmatch(value.strip()):
            values.append(value)
    return values


def _tokens(text: str) -> list[str]:
    """The words of a text, and every other character that is not white space."""
    if text.isascii():
        folded = text.lower()
    else:
        folded = unicodedata.normalize("NFKC", text).casefold()
        folded = unicodedata.normalize("NFC", folded).replace("’", "'")
    return _TOKEN.findall(folded)


def _term(points: float, kind: str, texts: Sequence[str]) -> str:
    listed = ", ".join(map(shown, texts[:_MAX_SHOWN]))
    more = f" and {len(texts) - _MAX_SHOWN} more" if len(texts) > _MAX_SHOWN else ""
    return f"{points * len(texts):g} for {kind} {listed}{more}"


def _generic_phrases() -> _Phrases[str]:
    phrases: _Phrases[str] = _Phrases()
    for phrase in GENERIC_PHRASES:
        phrases.add(_tokens(phrase), phrase)
    return phrases


_GENERIC = _generic_phrases()
