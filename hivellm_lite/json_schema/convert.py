"""Converts a JSON schema to a grammar of JSON texts that satisfy the schema."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from ..errors import GrammarError
from ..gbnf.build import NOTHING, alternation, literal, sequence
from ..gbnf.syntax import Grammar, Node, RuleRef
from .containers.arrays import ArrayWriter
from .containers.extra_keys import ExtraKeys
from .containers.objects import ObjectWriter
from .contradictions import without_contradictions
from .layout import LAYOUTS, Layout, Whitespace
from .numbers.automata import number_automaton
from .numbers.nodes import MAX_BOUND_DIGITS, is_writable, number_node
from .problems import Problems, Unenforced
from .reading.document import SchemaDocument
from .reading.overlaps import Overlaps
from .reading.reader import SchemaReader
from .reading.wrappers import refuse_wrapper
from .rules import RuleBook, name_of
from .schema_source import JSONSchema, schema_of
from .sets.handles import place_of
from .shapes import ANYTHING, Array, Handle, Number, Object, Shape, Shapes, String, Values
from .strings.automata import TooLargeError
from .strings.automaton_rules import automaton_node
from .strings.nodes import string_node
from .values import one_of_texts

__all__ = ["schema_to_grammar", "unenforced_keywords"]

_SHARED: tuple[tuple[Shapes, str], ...] = (
    (ANYTHING, "value"),
    ((Number(),), "number"),
    ((Number(integer=True),), "integer"),
    ((String(),), "string"),
    ((Array(),), "array"),
    ((Object(),), "object"),
)
"""Schemas that a shared rule describes, with the name of that rule."""


def schema_to_grammar(
    schema: JSONSchema,
    *,
    allow_unenforced: bool = False,
    whitespace: Whitespace = "single",
    source: str = "<JSON schema>",
) -> Grammar:
    """Convert a JSON schema to a grammar. Every text of the grammar satisfies the schema.

    Not every valid text is in the grammar: ``docs/json-schema.md`` says which are left out.

    ``schema`` is anything that `schema_of` takes. ``source`` names the grammar in messages.
    ``whitespace`` is one of:

    - ``"single"``: as ``json.dumps`` writes by default, which forces most of an answer's structure
    - ``"compact"``: no white space
    - ``"any"``: line breaks and indentation too

    Raises `GrammarError` for anything but a JSON schema, and for a schema that no value
    satisfies. Raises it also for keywords that a grammar cannot enforce, unless
    ``allow_unenforced``; the message lists these keywords with their JSON pointers. Raises
    ValueError for an unknown ``whitespace``.
    """
    grammar, problems = _convert(schema, whitespace, source)
    if not allow_unenforced:
        problems.raise_any()
    return grammar


def unenforced_keywords(schema: JSONSchema) -> tuple[Unenforced, ...]:
    """The keywords that `schema_to_grammar` ignores with ``allow_unenforced=True``.

    Raises `GrammarError` where that call does.
    """
    return _convert(schema, "single", "<JSON schema>")[1].found


def _convert(schema: JSONSchema, whitespace: Whitespace, source: str) -> tuple[Grammar, Problems]:
    if whitespace not in LAYOUTS:
        raise ValueError(f"whitespace is {whitespace!r}, expected one of {', '.join(LAYOUTS)}")
    document = SchemaDocument(schema_of(schema))
    refuse_wrapper(document.root)
    overlaps: Overlaps = {}
    while True:
        problems = Problems()
        writer = _Writer(document, problems, LAYOUTS[whitespace], overlaps)
        rules = writer.rules()
        # A reading finds overlaps that the next reading must know.
        found = writer.overlaps()
        if found == overlaps:
            break
        overlaps = found
    if rules is None:
        problems.raise_any()
        raise GrammarError(
            "JSON schema: no value that satisfies it can be written\n"
            "Look for 'false', for conditions that contradict each other, and for "
            "required properties that lead back to their own object."
        )
    return Grammar(rules, source=source), problems


class _Writer:
    """Writes one rule for each handle that the root leads to, with a queue instead of recursion."""

    def __init__(
        self, document: SchemaDocument, problems: Problems, layout: Layout, overlaps: Overlaps
    ) -> None:
        self._document = document
        self._problems = problems
        self._reader = SchemaReader(document, problems, overlaps)
        self._rules = RuleBook(layout)
        self._names: dict[Handle, str] = {}
        self._pending: deque[Handle] = deque()
        extra_keys = ExtraKeys(self._reader.shapes, self._rules, problems)
        self._objects = ObjectWriter(self._rules, self._written, extra_keys, problems)
        self._arrays = ArrayWriter(
            self._rules, self._written, self._reader.shapes, self._value, problems
        )

    def rules(self) -> dict[str, Node] | None:
        """All rules; None if no value satisfies the schema."""
        root = self._rules.reserve("root")
        handle = self._document.handle("#")
        if handle == ("#",):
            self._names[handle] = root
            self._pending.append(handle)
        else:
            self._rules.rules[root] = self._written(handle)
        while self._pending:
            handle = self._pending.popleft()
            self._rules.rules[self._names[handle]] = self._body(handle)
        self._rules.shared("ws")  # The layout may refer to this rule; an unused rule is removed.
        return without_contradictions(self._rules.rules, root) or None

    def overlaps(self) -> Overlaps:
        """The alternatives of each ``oneOf`` that one value may satisfy together."""
        return self._reader.overlaps()

    def _written(self, handle: Handle) -> Node:
        if handle in self._names:
            return RuleRef(self._names[handle])
        shapes = self._reader.shapes(handle)
        for known, shared in _SHARED:
            if shapes == known:
                self._names[handle] = self._rules.shared(shared).name
                return RuleRef(self._names[handle])
        self._names[handle] = self._rules.reserve(name_of(place_of(handle)))
        self._pending.append(handle)
        return RuleRef(self._names[handle])

    def _body(self, handle: Handle) -> Node:
        wanted = self._names[handle]
        options = [self._shape(shape, handle, wanted) for shape in self._reader.shapes(handle)]
        return alternation(*options) if options else NOTHING

    def _shape(self, shape: Shape, handle: Handle, wanted: str) -> Node:
        if isinstance(shape, Values):
            return self._values(shape.values, wanted)
        if isinstance(shape, Number):
            return self._number(shape, handle)
        if isinstance(shape, String):
            return string_node(shape, self._rules, self._problems)
        if isinstance(shape, Array):
            return self._arrays.node(shape, wanted)
        return self._objects.node(shape, wanted)

    def _number(self, shape: Number, handle: Handle) -> Node:
        kind = self._rules.shared("integer" if shape.integer else "number")
        if shape in (Number(), Number(integer=True), Number(integer=True, exponent=False)):
            return kind
        if not is_writable(shape):
            reason = f"bounds of over {MAX_BOUND_DIGITS} digits are not supported"
            self._problems.add("minimum, maximum or multipleOf", place_of(handle), reason)
            return kind
        node = number_node(shape)
        if node is not None:
            return node
        try:
            automaton = number_automaton(shape)
            if automaton is not None:
                name = name_of(place_of(handle))
                return automaton_node(automaton, self._rules, name, lambda tree: tree)
        except TooLargeError:
            pass
        keyword = "not" if shape.without else "multipleOf"
        self._problems.add(keyword, place_of(handle), "the step is too large for a grammar")
        return kind

    def _values(self, values: tuple[Any, ...], wanted: str) -> Node:
        """The text of one of the values."""
        plain = [value for value in values if not isinstance(value, (dict, list))]
        nodes = [self._value(value) for value in values if isinstance(value, (dict, list))]
        if plain:
            texts = [json.dumps(value, ensure_ascii=False) for value in plain]
            nodes.insert(0, one_of_texts(texts, self._rules, wanted))
        return alternation(*nodes)

    def _value(self, value: Any) -> Node:
        """The text of a ``const`` or of a value in an ``enum``."""
        layout = self._rules.layout
        if isinstance(value, dict):
            pairs = [
                sequence(
                    literal(json.dumps(key, ensure_ascii=False)), layout.colon, self._value(item)
                )
                for key, item in value.items()
            ]
            return self._listed("{", pairs, "}")
        if isinstance(value, list):
            return self._listed("[", [self._value(item) for item in value], "]")
        return literal(json.dumps(value, ensure_ascii=False))

    def _listed(self, opening: str, items: list[Node], closing: str) -> Node:
        layout = self._rules.layout
        parts: list[Node] = [literal(opening), layout.gap]
        for index, item in enumerate(items):
            parts += [layout.comma, item] if index else [item]
        return sequence(*parts, layout.gap if items else literal(""), literal(closing))
