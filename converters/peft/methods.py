"""Builds the updates of the base from an adapter's tensors for one module.

Source: the ``tuners/`` of PEFT 0.21, whose parameter names are the roles here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np

from ...errors import ConversionError
from ..safetensors import Float32Array, SafetensorsFile
from .config import AdapterConfig
from .updates import AddedBias, Dora, Hadamard, Kronecker, LowRank, Replaced, Scaled, Update

__all__ = ["Values", "build_updates"]

Values = Literal["keep", "check", "skip"]
"""What happens to an adapter's numbers: they are kept in memory, only read and checked piece by
piece, or not read at all. Updates without numbers have their shapes, and zeros that take no memory.
"""

MAX_FACTOR = 1 << 26
"""Elements of a multiplied-out LoKr factor. Two factors make the whole weight."""

_WEIGHT, _BIAS = ".weight", ".bias"


def build_updates(
    file: SafetensorsFile,
    config: AdapterConfig,
    module: str,
    roles: Mapping[str, str],
    values: Values = "keep",
) -> Iterator[tuple[str, Update, bool]]:
    """The (suffix, update, optional) of each tensor of ``module`` that changes.

    ``roles`` maps roles such as ``lora_A`` to tensor names. Raises ConversionError
    for tensors that do not belong together or cannot be used.
    """
    reader = _Reader(file, config, module, dict(roles), values)
    methods = [
        build
        for prefix, build in _METHODS.items()
        if any(role.startswith(prefix) for role in roles)
    ]
    if len(methods) > 1 or (methods and "weight" in roles):
        names = ", ".join(map(repr, roles.values()))
        raise ConversionError(f"{file.path}: {module} is adapted in several ways at once: {names}")
    for build in methods:
        yield from build(reader)
    for role, suffix in (("weight", _WEIGHT), ("bias", _BIAS)):
        if (name := reader.roles.pop(role, None)) is not None:
            info = file.info(name)
            if 0 in info.shape or not info.shape:
                raise ConversionError(f"{file.path}: {name!r} is empty (shape {list(info.shape)})")
            yield suffix, Replaced(file.path, name, info.shape), False
    if reader.roles:
        role, name = next(iter(reader.roles.items()))
        raise ConversionError(f"{file.path}: {name!r} does not belong to the other tensors")


class _Reader:
    """Reads and checks the tensors of one module, one by one."""

    def __init__(
        self,
        file: SafetensorsFile,
        config: AdapterConfig,
        module: str,
        roles: dict[str, str],
        values: Values,
    ) -> None:
        self.file, self.config, self.module, self.roles = file, config, module, roles
        self._mode = values

    def take(self, role: str, *, beside: str) -> Float32Array:
        """The matrix with this role. If it is missing, the error names its partner, ``beside``."""
        if (name := self.roles.pop(role, None)) is None:
            raise ConversionError(f"{self.file.path}: {beside!r} has no {role} beside it")
        return self._values(name, 2, "a matrix")

    def take_pair(self, first: str, second: str) -> tuple[Float32Array, Float32Array]:
        names = self.roles.get(first, ""), self.roles.get(second, "")
        return self.take(first, beside=names[1]), self.take(second, beside=names[0])

    def take_vector(self, role: str) -> Float32Array | None:
        """The tensor with this role as a vector. Dimensions of size 1 are dropped."""
        if (name := self.roles.pop(role, None)) is None:
            return None
        shape = self.file.info(name).shape
        if math.prod(shape) != max(shape, default=0):
            raise ConversionError(
                f"{self.file.path}: {name!r} has shape {list(shape)}, expected a vector"
            )
        values = self._values(name, None, "a vector")
        return values.reshape(-1) if self._mode == "keep" else _outline((max(shape),))

    def _values(self, name: str, n_dims: int | None, what: str) -> Float32Array:
        shape = self.file.info(name).shape
        if n_dims is not None and len(shape) != n_dims:
            raise ConversionError(
                f"{self.file.path}: {name!r} has shape {list(shape)}, expected {what}\n"
                "Adapters of convolutions are not supported; a flat shape is a shard that "
                "was not gathered."
            )
        if 0 in shape:
            raise ConversionError(f"{self.file.path}: {name!r} is empty (shape {list(shape)})")
        if self._mode == "skip":
            return _outline(shape)
        values = self.file.read_float32(name) if self._mode == "keep" else _outline(shape)
        for block in [values] if self._mode == "keep" else self.file.blocks(name):
            if not np.isfinite(block).all():
                raise ConversionError(f"{self.file.path}: {name!r} contains NaN or infinity")
        return values

    def product(self, a: Float32Array, b: Float32Array) -> Float32Array:
        """``a @ b``, limited in size: two small narrow matrices can have a huge product."""
        shape = (a.shape[0], b.shape[1])
        if self._mode != "keep":
            return _outline(shape)
        if math.prod(shape) > MAX_FACTOR:
            raise self.fail(f"a factor of shape {list(shape)} is larger than any weight needs")
        product: Float32Array = a @ b
        return product

    def check_rank(self, rank: int) -> None:
        if rank != (said := self.config.rank_of(self.module)):
            raise ConversionError(
                f"{self.file.path}: {self.module} has rank {rank}, "
                f"but {self.config.source} says {said}"
            )

    def fail(self, text: str) -> ConversionError:
        return ConversionError(f"{self.file.path}: {self.module}: {text}")


@functools.lru_cache(maxsize=1024)
def _outline(shape: tuple[int, ...]) -> Float32Array:
    """Zeros of ``shape`` that take no memory."""
    return np.broadcast_to(np.float32(0), shape)


def _lora(reader: _Reader) -> Iterator[tuple[str, Update, bool]]:
    is_embedding = any(role.startswith("lora_embedding") for role in reader.roles)
    prefix = "lora_embedding_" if is_embedding else "lora_"
    if not {f"{prefix}A", f"{prefix}B"} & reader.roles.keys():
        name = next(iter(reader.roles.values()))
        raise ConversionError(f"{reader.file.path}: {name!r} has no lora_A and lora_B beside it")
    a, b = reader.take_pair(f"{prefix}A", f"{prefix}B")
    if a.shape[0] != b.shape[1]:
        raise reader.fail(
            f"lora_A {list(a.shape)} has rank {a.shape[0]}, lora_B {list(b.shape)} has {b.shape[1]}"
        )
    reader.check_rank(a.shape[0])
    scale = reader.config.scale_of(reader.module)
    magnitude = reader.take_vector("lora_magnitude_vector")
    if magnitude is None:
        if reader.config.use_dora:
            raise reader.fail(f"{reader.config.source} says use_dora, but it has no magnitude")
        yield _WEIGHT, LowRank(a, b, scale, is_embedding), False
    else:
        if len(magnitude) != b.shape[0]:
            raise reader.fail(
                f"the magnitude has {len(magnitude)} values, lora_B {b.shape[0]} rows"
            )
        yield _WEIGHT, Dora(a, b, scale, is_embedding, magnitude), False
    bias = reader.take_vector("lora_B.bias")
    if bias is not None:
        if len(bias) != b.shape[0]:
            raise reader.fail(f"the bias has {len(bias)} values, lora_B {b.shape[0]} rows")
        yield _BIAS, AddedBias(bias, scale), False


def _ia3(reader: _Reader) -> Iterator[tuple[str, Update, bool]]:
    name = reader.roles["ia3_l"]
    shape = reader.file.info(name).shape
    if len(shape) != 2 or 1 not in shape:
        raise ConversionError(
            f"{reader.file.path}: {name!r} has shape {list(shape)}, expected (out, 1) or (1, in)"
        )
    factors = reader.take_vector("ia3_l")
    assert factors is not None  # noqa: S101 - it was there a moment ago
    axis = 0 if shape[1] == 1 else 1
    yield _WEIGHT, Scaled(factors, axis), False
    if axis == 0:
        yield _BIAS, Scaled(factors, 0), True


def _loha(reader: _Reader) -> Iterator[tuple[str, Update, bool]]:
    w1_a, w1_b = reader.take_pair("hada_w1_a", "hada_w1_b")
    w2_a, w2_b = reader.take_pair("hada_w2_a", "hada_w2_b")
    shapes = [m.shape for m in (w1_a, w1_b, w2_a, w2_b)]
    (n_out, r1), (r2, n_in), *others = shapes
    if r1 != r2 or others != [(n_out, r1), (r1, n_in)]:
        raise reader.fail(f"the four factors do not fit each other: {shapes}")
    reader.check_rank(r1)
    yield (
        _WEIGHT,
        Hadamard(w1_a, w1_b, w2_a, w2_b, reader.config.scale_of(reader.module)),
        False,
    )


def _lokr(reader: _Reader) -> Iterator[tuple[str, Update, bool]]:
    factors = []
    for side in ("lokr_w1", "lokr_w2"):
        if side in reader.roles:
            factors.append(reader.take(side, beside=""))
            continue
        if not {f"{side}_a", f"{side}_b"} & reader.roles.keys():
            raise reader.fail(f"has no {side}")
        a, b = reader.take_pair(f"{side}_a", f"{side}_b")
        if a.shape[1] != b.shape[0]:
            raise reader.fail(f"{side}_a {list(a.shape)} and {side}_b {list(b.shape)} do not fit")
        reader.check_rank(a.shape[1])
        factors.append(reader.product(a, b))
    w1, w2 = factors
    yield _WEIGHT, Kronecker(w1, w2, reader.config.scale_of(reader.module)), False


_METHODS = {"lora_": _lora, "ia3_": _ia3, "hada_": _loha, "lokr_": _lokr}
"""The method of each role, by the beginning of the role's name."""
