"""GGUF files as lists that a test can change at will, lies included."""

from __future__ import annotations

import copy
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["ARRAY", "STRING", "Document", "TensorEntry", "Value"]

UINT8, INT8, UINT16, INT16, UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, UINT64, INT64, FLOAT64 = (
    range(13)
)
FORMATS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "B",
    10: "Q",
    11: "q",
    12: "d",
}


@dataclass
class Value:
    """A typed value; ``element`` is the type of an array's elements."""

    code: int
    value: Any
    element: int | None = None

    def packed(self) -> bytes:
        if self.code == ARRAY:
            assert self.element is not None
            head = struct.pack("<IQ", self.element, len(self.value))
            if self.element == STRING:
                return head + b"".join(map(_string, self.value))
            if self.element == ARRAY:
                return head + b"".join(item.packed() for item in self.value)
            return head + struct.pack(f"<{len(self.value)}{FORMATS[self.element]}", *self.value)
        if self.code == STRING:
            return _string(self.value)
        return struct.pack("<" + FORMATS[self.code], self.value)


@dataclass
class TensorEntry:
    """A tensor; ``shape`` is in the file's order, the length of a row first."""

    name: bytes
    shape: list[int]
    code: int
    data: bytes
    offset: int | None = None


@dataclass
class Document:
    """Everything that a GGUF file holds."""

    keys: dict[bytes, Value] = field(default_factory=dict)
    tensors: list[TensorEntry] = field(default_factory=list)
    alignment: int = 32
    version: int = 3

    @classmethod
    def read(cls, path: Path) -> Document:
        """From a well-formed file."""
        data, place = path.read_bytes(), 8

        def take(format_: str) -> Any:
            nonlocal place
            (value,) = struct.unpack_from("<" + format_, data, place)
            place += struct.calcsize("<" + format_)
            return value

        def text() -> bytes:
            nonlocal place
            length = take("Q")
            place += length
            return data[place - length : place]

        n_tensors, n_keys = take("Q"), take("Q")
        document = cls()
        for _ in range(n_keys):
            key, code = text(), take("I")
            if code == ARRAY:
                element, length = take("I"), take("Q")
                items = [
                    text() if element == STRING else take(FORMATS[element]) for _ in range(length)
                ]
                document.keys[key] = Value(ARRAY, items, element)
            else:
                document.keys[key] = Value(code, text() if code == STRING else take(FORMATS[code]))
        for _ in range(n_tensors):
            name, n_dims = text(), take("I")
            shape = [take("Q") for _ in range(n_dims)]
            document.tensors.append(TensorEntry(name, shape, take("I"), b"", take("Q")))
        start = -(-place // 32) * 32
        ends = [*(tensor.offset for tensor in document.tensors[1:]), len(data) - start]
        for tensor, end in zip(document.tensors, ends[: len(document.tensors)], strict=True):
            tensor.data = data[start + tensor.offset : start + end]
            tensor.offset = None
        return document

    def clone(self) -> Document:
        """A copy to change; the data of tensors is shared."""
        return copy.deepcopy(self)

    def tensor(self, name: str) -> TensorEntry:
        return next(tensor for tensor in self.tensors if tensor.name == name.encode())

    def header(self) -> bytes:
        """Everything before the data, padded."""
        out = [b"GGUF", struct.pack("<IQQ", self.version, len(self.tensors), len(self.keys))]
        for key, value in self.keys.items():
            out += [_string(key), struct.pack("<I", value.code), value.packed()]
        offset = 0
        for tensor in self.tensors:
            at = offset if tensor.offset is None else tensor.offset
            out += [_string(tensor.name), struct.pack("<I", len(tensor.shape))]
            out += [struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape)]
            out += [struct.pack("<IQ", tensor.code, at)]
            offset += _padded(len(tensor.data), self.alignment)
        head = b"".join(out)
        return head + bytes(_padded(len(head), self.alignment) - len(head))

    def write(self, path: Path) -> Path:
        """Write the file; every tensor's data is padded to the alignment."""
        with path.open("wb") as file:
            file.write(self.header())
            for tensor in self.tensors:
                file.write(tensor.data)
                file.write(bytes(_padded(len(tensor.data), self.alignment) - len(tensor.data)))
        return path


def _padded(n_bytes: int, alignment: int) -> int:
    return -(-n_bytes // alignment) * alignment


def _string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text
