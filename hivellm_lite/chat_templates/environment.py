"""Jinja as Transformers runs it, with every operation guarded.

Jinja's sandbox keeps templates from Python's internals. It does not keep them from
``range(100000)`` inside ``range(100000)`` or from a text times a billion, and it knows
nothing of marks. So a template is rewritten before it is compiled. Operations that Jinja
would compile to plain Python (loops, comparisons, slices, ``~``) call a guard. Attributes,
calls, operators and filters pass through the methods that Jinja provides for that. A value
of a kind that is not listed here has no attributes and cannot be called.

Source: ``_compile_jinja_template`` in Transformers' ``utils/chat_template_utils.py``.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import datetime
from types import MethodType
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.tests import TESTS
from jinja2.utils import Cycler, Joiner, Namespace

from . import marked_text as marks
from .budget import ELEMENT, Budget, TemplateLimitError
from .filters import guarded_filters
from .methods import METHODS, Method, text_of, type_of
from .operators import BINARY

__all__ = ["GuardedEnvironment"]

MAX_NODES = 15_000
"""The most parts a template may have; the largest published template has 1,300."""

MAX_DEPTH = 16
"""How deeply loops and macros may be nested; Python allows 20."""

NODE = 8
"""The least units for executing one part of a loop's body."""

_REFUSED = (
    *(nodes.Block, nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport),
    *(nodes.EvalContextModifier, nodes.ScopedEvalContextModifier),
)

_COMPARING = (
    *("in", "eq", "==", "equalto", "ne", "!=", "lt", "<", "lessthan", "le", "<="),
    *("gt", ">", "greaterthan", "ge", ">=", "lower", "upper", "sameas"),
)
_TELLING = (
    *("boolean", "callable", "defined", "divisibleby", "even", "false", "filter", "float"),
    *("integer", "iterable", "mapping", "none", "number", "odd", "sequence", "string"),
    *("test", "true", "undefined"),
)

_ATTRIBUTES: dict[type, frozenset[str]] = {
    LoopContext: frozenset(
        (
            *("index", "index0", "revindex", "revindex0", "first", "last", "length"),
            *("depth", "depth0", "previtem", "nextitem", "cycle", "changed"),
        )
    ),
    Cycler: frozenset(("next", "current", "reset")),
    Macro: frozenset(("name",)),
}


class _Generation(Extension):
    """``{% generation %}…{% endgeneration %}``, which only marks answers for training."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own form

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


class GuardedEnvironment(ImmutableSandboxedEnvironment):
    """See the module's docstring. Thread-safe: `paying` sets the budget of the current thread."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "**", "%"))
    concat = staticmethod(marks.join)

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_Generation, LoopControlExtension],
            optimized=False,  # nothing is computed while a template is compiled
            finalize=self._written,
            cache_size=0,
        )
        self._running = threading.local()
        self.filters = guarded_filters(self.budget)
        self.tests = {name: TESTS[name] for name in _TELLING}
        self.tests |= {name: self._comparing(TESTS[name]) for name in _COMPARING}
        self.globals = {
            "range": safe_range,
            "dict": _new_dict,
            "namespace": _new_namespace,
            "cycler": Cycler,
            "joiner": Joiner,
            "raise_exception": self._raise_exception,
            "strftime_now": _strftime_now,
        }
        self._callable = set(self.globals.values())

    def paying(self, budget: Budget | None) -> None:
        """Let ``budget`` pay for what this thread renders next."""
        self._running.budget = budget

    def budget(self) -> Budget:
        """The budget of the rendering that runs in this thread."""
        budget = getattr(self._running, "budget", None)
        if budget is None:
            raise SecurityError("nothing is computed outside of a rendering")
        assert isinstance(budget, Budget)  # noqa: S101
        return budget

    def guarded(self, source: str) -> nodes.Template:
        """The parsed template, with guards.

        Raises TemplateLimitError and SecurityError for a template that is not allowed.
        """
        tree = self.parse(source)
        pending: list[tuple[nodes.Node, int]] = [(tree, 0)]
        found: list[nodes.Node] = []
        while pending:
            node, depth = pending.pop()
            found.append(node)
            depth += isinstance(node, _REPEATED)
            if len(found) > MAX_NODES:
                raise TemplateLimitError(f"it has over {MAX_NODES} parts")
            if depth > MAX_DEPTH:
                raise TemplateLimitError(f"its loops are nested more than {MAX_DEPTH} deep")
            if isinstance(node, _REFUSED):
                kind = type(node).__name__.lower()
                raise SecurityError(f"line {node.lineno}: '{kind}' is not supported")
            pending += [(child, depth) for child in node.iter_child_nodes()]
        costs = {id(node): _cost(node) for node in found if isinstance(node, _REPEATED)}
        for node in reversed(found):  # inner nodes first
            self._guard(node, costs.get(id(node), 0))
        return tree

    def _guard(self, node: nodes.Node, cost: int) -> None:
        """Insert the guards that ``node`` itself needs."""
        for name, children in list(node.iter_fields()):
            if isinstance(children, list):
                setattr(node, name, [self._replaced(child) for child in children])
            else:
                setattr(node, name, self._replaced(children))
        if isinstance(node, nodes.For):
            if node.recursive and node.test is not None:
                raise SecurityError(f"line {node.lineno}: a recursive loop with a condition")
            node.iter = self._calls("iterated", node.iter, nodes.Const(cost), like=node)
        if isinstance(node, _REPEATED):
            tick = self._calls("tick", nodes.Const(cost), like=node)
            node.body.insert(0, nodes.ExprStmt(tick).set_lineno(node.lineno))
        elif isinstance(node, (nodes.Call, nodes.Filter, nodes.Test)):
            for name in ("dyn_args", "dyn_kwargs"):
                if (many := getattr(node, name)) is not None:
                    setattr(node, name, self._calls("iterated", many, like=node))
        elif isinstance(node, nodes.Pair):  # a key is hashed, which goes through a tuple
            node.key = self._calls("measured", node.key, like=node)
        elif isinstance(node, nodes.Compare):
            node.expr = self._calls("measured", node.expr, like=node)
            for operand in node.ops:
                operand.expr = self._calls("measured", operand.expr, like=node)

    def _replaced(self, node: Any) -> Any:
        """A call in place of an expression that Jinja would compile to plain Python."""
        if isinstance(node, nodes.Concat):
            return self._calls("joined", nodes.List(node.nodes), like=node)
        if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
            part = node.arg
            ends = [end or nodes.Const(None) for end in (part.start, part.stop, part.step)]
            return self._calls("sliced", node.node, *ends, like=node)
        return node

    def _calls(self, name: str, *args: Any, like: nodes.Node) -> nodes.Call:
        call = nodes.Call(nodes.EnvironmentAttribute(name), list(args), [], None, None)
        call.set_lineno(like.lineno, override=True)
        call.set_environment(self)
        return call

    # --- what compiled templates call ------------------------------------------------

    def tick(self, cost: int) -> None:
        """Pay for one execution of the body of a loop or macro."""
        self.budget().spend(cost)

    def iterated(self, value: Any, cost: int = ELEMENT) -> Any:
        """``value``, paid for, as a loop goes through it."""
        if isinstance(value, Undefined):
            return value
        try:
            n = len(value)
        except TypeError:
            return self.budget().relay(value)
        self.budget().spend(cost * (1 + n))
        return value

    def measured(self, value: Any) -> Any:
        """``value``, paid for before it is compared or hashed."""
        self.budget().measure(value)
        return value

    def joined(self, values: list[Any]) -> str:
        """The operator ``~``."""
        budget = self.budget()
        texts = [text_of(budget, value) for value in values]
        budget.spend(sum(map(len, texts)))
        return marks.join(texts)

    def sliced(self, value: Any, start: Any, stop: Any, step: Any) -> Any:
        """``value[start:stop:step]``."""
        if not isinstance(value, (str, list, tuple, range)):
            raise TypeError(f"a slice of {type(value).__name__}")
        whole = isinstance(value, str) and step in (None, 1)
        self.budget().spend((1 if whole else ELEMENT) * (1 + len(value)))
        return value[start:stop:step]

    @pass_context
    def _written(self, _: Context, value: Any) -> str:
        budget = self.budget()
        text = text_of(budget, value)
        budget.spend(16 + len(text))
        return text

    def _raise_exception(self, message: Any) -> None:
        raise TemplateError(str(text_of(self.budget(), message)[:500]))

    # --- Jinja's own places for a guard ----------------------------------------------

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``obj.attribute``: a method or attribute of this name, or else the key of a dict."""
        if isinstance(obj, Undefined):
            return obj[attribute]  # says what is undefined
        kind = type_of(obj)
        if kind is not None and attribute in METHODS[kind]:
            return Method(obj, attribute)
        if isinstance(obj, dict):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return self._attribute(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``obj[argument]``: the key or index, or else a method or attribute of this name."""
        if isinstance(obj, Undefined):
            return obj[argument]
        if isinstance(obj, (str, list, tuple, dict, range)):
            self.budget().measure(argument)
            try:
                return obj[argument]
            except (TypeError, LookupError):
                pass
        kind = type_of(obj)
        if isinstance(argument, str):
            if kind is not None and argument in METHODS[kind]:
                return Method(obj, argument)
            return self._attribute(obj, argument)
        return self.undefined(obj=obj, name=argument)

    def _attribute(self, obj: Any, name: str) -> Any:
        kind = next((one for one in _ATTRIBUTES if isinstance(obj, one)), None)
        known = kind is not None and name in _ATTRIBUTES[kind]
        if known or (isinstance(obj, Namespace) and not name.startswith("_")):
            try:
                return getattr(obj, name)
            except AttributeError:
                pass
        return self.undefined(obj=obj, name=name)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """``obj(…)``, if it is one of our functions, a macro or a known method."""
        kwargs.pop("_block_vars", None)  # Jinja's own, for functions that want a context
        kwargs.pop("_loop_vars", None)
        budget = self.budget()
        budget.spend(ELEMENT)
        if isinstance(obj, Method):
            return obj(budget, *args, **kwargs)
        if isinstance(obj, Undefined):
            return obj(*args, **kwargs)  # says what is undefined
        owner = obj.__self__ if isinstance(obj, MethodType) else None
        if owner is self:
            return obj(*args, **kwargs)
        if isinstance(obj, LoopContext):
            return obj(*(self.iterated(value) for value in args), **kwargs)
        if isinstance(owner, (LoopContext, Cycler)) or obj in (dict, _new_dict, _new_namespace):
            for value in (*args, *kwargs.values()):
                budget.measure(value)
        elif not isinstance(obj, (Macro, Cycler, Joiner)) and obj not in self._callable:
            raise SecurityError(f"a value of the type {type(obj).__name__} cannot be called")
        return context.call(obj, *args, **kwargs)

    def call_binop(self, _: Context, operator: str, left: Any, right: Any) -> Any:
        """``left operator right``."""
        return BINARY[operator](self.budget(), left, right)

    def _comparing(self, test: Any) -> Callable[..., bool]:
        def run(*args: Any) -> bool:
            for value in args:
                self.budget().measure(value)
            return bool(test(*args))

        return run


_REPEATED = (nodes.For, nodes.Macro, nodes.CallBlock)
"""Nodes with a body that may be executed many times."""


def _cost(node: nodes.Node) -> int:
    """Units for one execution of the body: for all its parts, and for the text in it."""
    n_nodes = n_characters = 0
    for inner in node.find_all(nodes.Node):
        n_nodes += 1
        if isinstance(inner, nodes.TemplateData):
            n_characters += len(inner.data)
        elif isinstance(inner, nodes.Const) and isinstance(inner.value, str):
            n_characters += len(inner.value)
    return ELEMENT + NODE * n_nodes + n_characters


# --- functions -----------------------------------------------------------------------


def _new_dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    return dict(*args, **kwargs)


class _Namespace(Namespace):
    """Printed without its contents: printing does not pay for what a namespace holds."""

    def __repr__(self) -> str:
        return "<Namespace>"


def _new_namespace(*args: Any, **kwargs: Any) -> Namespace:
    return _Namespace(*args, **kwargs)


def _strftime_now(form: Any) -> str:
    if not isinstance(form, str) or len(form) > 100 or re.search(r"%[^a-zA-Z%-]", form):
        raise TemplateLimitError("strftime_now() with a format that is not supported")
    return datetime.now().strftime(form)
