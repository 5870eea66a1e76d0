"""Which grammar an answer follows: the package's, a named one, a schema's, or none."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import GrammarError
from ..gbnf.library import grammar_names, load_grammar
from ..gbnf.matcher import Automaton, compile_grammar
from ..gbnf.syntax import Grammar
from ..inference.grammar_constraint import GrammarConstraint
from ..inference.session import Session
from ..manifest.records import Manifest
from ..process.state import forget_on_fork

if TYPE_CHECKING:
    from ..json_schema import JSONSchema

__all__ = ["GrammarChooser", "GrammarOption"]

logger = logging.getLogger("hivellm_lite")

GrammarOption: TypeAlias = str | os.PathLike[str] | Grammar
"""``"auto"``, ``"strict"``, ``"off"``, the name of a grammar, a path, or a `Grammar`."""

MODES = ("auto", "strict", "off")

MAX_CACHED = 16
"""Compiled grammars that an expert keeps: callers usually come back with the same few."""


class GrammarChooser:
    """Chooses and compiles the grammars of one expert on one session."""

    def __init__(
        self, manifest: Manifest, session: Session, read_own: Callable[[], Grammar]
    ) -> None:
        """``read_own``: reads the package's grammar, or raises GrammarError."""
        self._manifest = manifest
        self._session = session
        self._read_own = read_own
        self._automata: OrderedDict[Any, tuple[Automaton, Any]] = OrderedDict()
        self._compiling: dict[Any, Any] = {}
        """A lock for each grammar that is just being compiled."""
        forget_on_fork(self)
        self._own: Automaton | None = None
        self._own_error: GrammarError | None = None

    def forget_other_threads(self) -> None:
        """In a forked child nobody else compiles."""
        self._compiling.clear()

    def choose(
        self,
        grammar: GrammarOption,
        json_schema: JSONSchema | None = None,
        *,
        allow_unenforced: bool = False,
        thinking: bool = False,
        in_thought: bool = False,
    ) -> Callable[[], GrammarConstraint] | None:
        """What makes the constraint of one answer; None for free text.

        Raises GrammarError where the grammar is unusable, and ValueError for two at once.
        """
        automaton = self._automaton(grammar, json_schema, allow_unenforced)
        if automaton is None:
            return None
        session = self._session

        def constrain() -> GrammarConstraint:
            start, masks = automaton.start, session.token_masks
            return GrammarConstraint(
                start, masks, session.model, thinking=thinking, in_thought=in_thought
            )

        return constrain

    def _automaton(
        self, grammar: GrammarOption, json_schema: JSONSchema | None, allow_unenforced: bool
    ) -> Automaton | None:
        if json_schema is not None:
            if grammar not in ("auto", "off"):
                raise ValueError("json_schema replaces grammar; give only one of them")
            return self._of_schema(json_schema, allow_unenforced)
        if grammar == "off":
            return None
        if grammar == "strict":
            return self._packages(strict=True)
        if grammar == "auto":
            decoding = self._manifest.decoding
            return self._packages(strict=False) if decoding.use_grammar else None
        return self._given(grammar)

    def _packages(self, *, strict: bool) -> Automaton | None:
        """The package's grammar, or the library's for its ``grammar_type``."""
        with self._alone(None):
            if self._own is None and self._own_error is None:
                try:
                    self._own = compile_grammar(self._read_own())
                except GrammarError as error:
                    self._own_error = error
                    if not strict:
                        logger.warning(
                            "%s is not constrained by its grammar: %s",
                            self._manifest.identity,
                            error,
                        )
        if strict and self._own_error is not None:
            raise self._own_error
        return self._own

    def _given(self, grammar: GrammarOption) -> Automaton:
        if isinstance(grammar, Grammar):
            return self._cached(id(grammar), lambda: compile_grammar(grammar), keep=grammar)
        path = os.fspath(grammar)
        key: Any = path
        if path not in grammar_names():
            # a file may change between two answers; what is no file is said when it is read
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                stat = Path(path).expanduser().stat()
                key = (path, stat.st_size, stat.st_mtime_ns)
        return self._cached(key, lambda: compile_grammar(load_grammar(path)))

    def _of_schema(self, json_schema: JSONSchema, allow_unenforced: bool) -> Automaton:
        from ..json_schema import schema_of, schema_to_grammar  # 50 modules, rarely wanted

        schema = schema_of(json_schema)

        def make() -> Automaton:
            return compile_grammar(schema_to_grammar(schema, allow_unenforced=allow_unenforced))

        try:
            key = ("schema", json.dumps(schema), allow_unenforced)
        except (RecursionError, TypeError, ValueError):
            return make()  # which says what is wrong with it
        return self._cached(key, make)

    @contextlib.contextmanager
    def _alone(self, key: Any) -> Iterator[None]:
        """One thread at a time compiles the grammar of ``key``."""
        with self._compiling.setdefault(key, threading.RLock()):
            try:
                yield
            finally:
                self._compiling.pop(key, None)  # who waits has it already

    def _cached(self, key: Any, make: Callable[[], Automaton], *, keep: object = None) -> Automaton:
        """``keep`` stays alive as long as the key: one that is an object's ``id``."""
        # many tasks may come with one new grammar: one thread compiles it, the others wait
        with self._alone(key):
            found = self._automata.pop(key, None) or (make(), keep)
            self._automata[key] = found
        with contextlib.suppress(KeyError):  # another thread has emptied it
            while len(self._automata) > MAX_CACHED:
                self._automata.popitem(last=False)
        return found[0]
