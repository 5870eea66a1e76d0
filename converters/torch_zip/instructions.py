"""The pickle inside a file of ``torch.save``, interpreted instead of executed.

A pickle is a program for a stack machine. Python's own machine imports and calls whatever the
program names, so a pickle of a stranger can do anything. This one knows the instructions that
PyTorch writes for tensors, all of protocol 2, and refuses all others. It imports nothing: the few
names that may occur are compared as text, and calling one makes a record.

Source: ``torch/serialization.py``, ``torch/_utils.py``, ``Lib/pickletools.py``.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["RefusedPickle", "Storage", "StoredTensor", "interpret"]

MAX_INSTRUCTIONS = 20_000
"""A parameter has 50, a dict of 100 tensors 3,000."""

STORAGES: Mapping[str, str] = {
    "torch FloatStorage": "F32",
    "torch HalfStorage": "F16",
    "torch BFloat16Storage": "BF16",
}
"""The types of numbers that are read, by the name that a pickle gives them."""

_CALLED = (
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "collections OrderedDict",
)
_NAMES = frozenset({*STORAGES, *_CALLED})


class RefusedPickle(Exception):
    """The program has something that is not allowed; the text says what."""


@dataclass(frozen=True)
class Storage:
    """A member of the archive that holds ``n_elements`` numbers of a type of safetensors."""

    dtype: str
    key: str
    n_elements: int


@dataclass(frozen=True)
class StoredTensor:
    """A view of a storage, as the program describes it. Nothing of it was compared with a file."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """A name that the program may use, such as ``torch FloatStorage``."""

    text: str


class _Mark:
    """The beginning of a run of values on the stack."""


def interpret(program: bytes) -> object:
    """What the program describes: a `StoredTensor`, or a dict, list, text or number around some.

    Raises RefusedPickle for everything that is not allowed, and for a damaged program.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(program), 1):
            if count > MAX_INSTRUCTIONS:
                raise RefusedPickle(f"it has more than {MAX_INSTRUCTIONS} instructions")
            if opcode.name != "STOP":  # which is the last
                machine.do(opcode.name, argument)
        return machine.pop()
    except RefusedPickle:
        raise
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise RefusedPickle(f"it is damaged ({type(error).__name__})") from None


class _Machine:
    """The stack and the memo of one program."""

    def __init__(self) -> None:
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}

    def pop(self) -> object:
        value = self._stack.pop()
        if isinstance(value, _Mark):
            raise RefusedPickle("it takes a mark for a value")
        return value

    def do(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        if name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in _LITERALS:
            self._stack.append(argument)
        elif (instruction := _INSTRUCTIONS.get(name)) is not None:
            instruction(self, argument)
        else:
            raise RefusedPickle(f"it has the instruction {name}, which no tensor needs")

    def _pop_mark(self) -> list[object]:
        """The values from the last mark on."""
        for place in range(len(self._stack) - 1, -1, -1):
            if isinstance(self._stack[place], _Mark):
                values = self._stack[place + 1 :]
                del self._stack[place:]
                return values
        raise RefusedPickle("it has no mark where one is needed")

    def _pop_last(self, count: int) -> tuple[object, ...]:
        return tuple(reversed([self.pop() for _ in range(count)]))

    # --- instructions ------------------------------------------------------------------

    def mark(self, _: Any) -> None:
        self._stack.append(_Mark())

    def name(self, argument: str) -> None:
        """``argument``: module and name with a space between them."""
        if argument not in _NAMES:
            raise RefusedPickle(f"it names {argument.replace(' ', '.')!r:.100}, which is not run")
        self._stack.append(_Name(argument))

    def remember(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    def recall(self, place: int) -> None:
        self._stack.append(self._memo[place])

    def tuple_from_mark(self, _: Any) -> None:
        self._stack.append(tuple(self._pop_mark()))

    def append(self, _: Any) -> None:
        value = self.pop()
        self._top(list).append(value)

    def append_from_mark(self, _: Any) -> None:
        values = self._pop_mark()
        self._top(list).extend(values)

    def set_item(self, _: Any) -> None:
        self._set(list(self._pop_last(2)))

    def set_items(self, _: Any) -> None:
        self._set(self._pop_mark())

    def _set(self, items: list[object]) -> None:
        """Put keys and values, which follow each other, into the dict below them."""
        if len(items) % 2:
            raise RefusedPickle("it has a key without a value")
        target = self._top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):  # hashing nested tuples can take for ever
                raise RefusedPickle("it has a dict with keys that are no texts")
            target[key] = value

    def _top(self, kind: type) -> Any:
        if type(self._stack[-1]) is not kind:
            raise RefusedPickle(f"it fills something that is no {kind.__name__}")
        return self._stack[-1]

    def storage(self, _: Any) -> None:
        """A persistent id: PyTorch's reference to a storage beside the program."""
        match self.pop():
            case ("storage", _Name(text=kind), str(key), str(), int(n_elements)) if (
                kind in STORAGES and type(n_elements) is int
            ):
                self._stack.append(Storage(STORAGES[kind], key, n_elements))
            case _:
                raise RefusedPickle("it refers to something that is no storage of floats")

    def call(self, _: Any) -> None:
        called, arguments = self._pop_last(2)
        match called, arguments:
            case _Name(text="collections OrderedDict"), ():
                self._stack.append({})
            case _Name(text="torch._utils _rebuild_parameter"), (StoredTensor() as tensor, *_):
                self._stack.append(tensor)
            case (
                _Name(text="torch._utils _rebuild_tensor_v2"),
                (Storage() as storage, int(offset), tuple(shape), tuple(strides), *_),
            ) if all(type(n) is int for n in (offset, *shape, *strides)):
                self._stack.append(StoredTensor(storage, offset, shape, strides))
            case _Name(text=text), _:
                raise RefusedPickle(f"it calls {text.replace(' ', '.')} with other values")
            case _:
                raise RefusedPickle("it calls something that is no name")

    def build(self, _: Any) -> None:
        """The attributes of a dict of PyTorch, such as ``_metadata``, are dropped."""
        state = self.pop()
        if type(state) is not dict:
            raise RefusedPickle("it sets attributes that are no dict")
        self._top(dict)


_LITERALS = frozenset({"BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"})
"""Instructions that push their argument."""

_CONSTANTS: Mapping[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}

_INSTRUCTIONS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda _machine, _version: None,
    "MARK": _Machine.mark,
    "GLOBAL": _Machine.name,
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "TUPLE": _Machine.tuple_from_mark,
    "TUPLE1": lambda machine, _: machine._stack.append(machine._pop_last(1)),
    "TUPLE2": lambda machine, _: machine._stack.append(machine._pop_last(2)),
    "TUPLE3": lambda machine, _: machine._stack.append(machine._pop_last(3)),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.append_from_mark,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "BINPERSID": _Machine.storage,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
}
"""All other instructions that are carried out."""
