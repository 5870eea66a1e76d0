"""Reads and checks the tensors that an adapter's file has for one module."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from ....errors import ConversionError
from ...safetensors import FLOATS, Float32Array, SafetensorsFile
from ..config import AdapterConfig
from ..updates import Update

__all__ = ["BIAS", "WEIGHT", "Change", "Reader", "Shared", "Values", "outline"]

Values = Literal["keep", "check", "skip"]
"""What happens to an adapter's numbers: they are kept in memory, only read and checked piece by
piece, or not read at all. Updates without numbers have their shapes, and zeros that take no memory.
"""

MAX_PRODUCT = 1 << 26
"""Elements of a multiplied-out factor. Two factors of LoKr make the whole weight."""

WEIGHT, BIAS = ".weight", ".bias"


@dataclass(frozen=True)
class Change:
    """The change of a module's weight or bias, named by ``suffix``, and the method's name.

    An ``optional`` change applies only if the base has this tensor.
    """

    suffix: str
    update: Update
    method: str
    optional: bool = False


@dataclass(frozen=True)
class Shared:
    """The ``names`` of the tensors that a file holds once for all modules, by role.

    ``arrays`` keeps what was read, so that all modules have the same array.
    """

    names: Mapping[str, str]
    arrays: dict[str, Float32Array] = field(default_factory=dict)


class Reader:
    """The tensors of ``module``, by the role that their names give them.

    ``trained_as`` is the module's name in the training, which patterns of the config mean.
    ``take`` functions remove what they return from ``roles``, so that the rest belongs nowhere.
    """

    def __init__(
        self,
        file: SafetensorsFile,
        config: AdapterConfig,
        module: str,
        roles: Mapping[str, str],
        shared: Shared,
        values: Values,
        trained_as: str = "",
    ) -> None:
        self.file, self.config, self.module = file, config, module
        self.trained_as = trained_as or module
        self.roles, self._shared = dict(roles), shared
        self._mode = values

    @property
    def keeps(self) -> bool:
        """Whether numbers are kept; without, every array is an outline."""
        return self._mode == "keep"

    def take(self, role: str, *, beside: str = "", n_dims: int = 2) -> Float32Array:
        """The array with this role. If it is missing, the error names its partner, ``beside``."""
        if (name := self.roles.pop(role, None)) is None:
            raise self._missing(role, beside)
        return self._values(name, n_dims)

    def take_pair(self, first: str, second: str) -> tuple[Float32Array, Float32Array]:
        """The matrices with these two roles."""
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
        values = self._values(name, len(shape))
        return values.reshape(-1) if self.keeps else outline((max(shape),))

    def need_vector(self, role: str, *, beside: str = "") -> Float32Array:
        """The tensor with this role as a vector. Raises ConversionError if it is missing."""
        found = self.take_vector(role)
        if found is None:
            raise self._missing(role, beside)
        return found

    def take_integers(self, role: str, *, n_dims: int) -> npt.NDArray[np.int64]:
        """Integers, which some systems save as floats. Zeros if numbers are not read."""
        if (name := self.roles.pop(role, None)) is None:
            raise self._missing(role, "")
        shape = self._shape(name, n_dims)
        if self._mode == "skip":
            return np.broadcast_to(np.int64(0), shape)
        values = self.file.read(name)
        with np.errstate(invalid="ignore"):
            whole = values.astype(np.int64)
        if not (whole == values).all():
            raise ConversionError(f"{self.file.path}: {name!r} holds values that are no integers")
        return whole

    def shared(self, role: str, *, n_dims: int = 2) -> Float32Array | None:
        """The array that all modules share; None if the file has none."""
        if (name := self._shared.names.get(role)) is None:
            return None
        if role not in self._shared.arrays:
            self._shared.arrays[role] = self._values(name, n_dims)
        return self._shared.arrays[role]

    def drop(self, role: str) -> None:
        """Leave out a tensor that repeats a shared one."""
        self.roles.pop(role, None)

    def shape_of(self, role: str) -> tuple[int, ...]:
        """The shape of the tensor with this role, which stays untaken.

        Raises ConversionError if it is missing.
        """
        if role not in self.roles:
            raise self._missing(role, "")
        return self.file.info(self.roles[role]).shape

    def _shape(self, name: str, n_dims: int) -> tuple[int, ...]:
        shape = self.file.info(name).shape
        if len(shape) != n_dims:
            what = "a matrix" if n_dims == 2 else f"{n_dims} dimensions"
            raise ConversionError(
                f"{self.file.path}: {name!r} has shape {list(shape)}, expected {what}\n"
                "Adapters of convolutions are not supported; a flat shape is a shard that "
                "was not gathered."
            )
        if 0 in shape:
            raise ConversionError(f"{self.file.path}: {name!r} is empty (shape {list(shape)})")
        return shape

    def _values(self, name: str, n_dims: int) -> Float32Array:
        shape = self._shape(name, n_dims)
        if self.file.info(name).dtype not in FLOATS:
            return self.file.read_float32(name)  # which says what it is
        if self._mode == "skip":
            return outline(shape)
        values = self.file.read_float32(name) if self.keeps else outline(shape)
        for block in [values] if self.keeps else self.file.blocks(name):
            if not np.isfinite(block).all():
                raise ConversionError(f"{self.file.path}: {name!r} contains NaN or infinity")
        return values

    def product(self, a: Float32Array, b: Float32Array) -> Float32Array:
        """``a @ b``, limited in size: two small narrow matrices can have a huge product."""
        shape = (a.shape[0], b.shape[1])
        if not self.keeps:
            return outline(shape)
        if math.prod(shape) > MAX_PRODUCT:
            raise self.fail(f"a factor of shape {list(shape)} is larger than any weight needs")
        product: Float32Array = a @ b
        return product

    def check_rank(self, rank: int) -> None:
        """Raise ConversionError if the config gives the module another rank."""
        if rank != (said := self.config.rank_of(self.trained_as)):
            raise ConversionError(
                f"{self.file.path}: {self.module} has rank {rank}, "
                f"but {self.config.source} says {said}"
            )

    def check_shape(self, role: str, values: Float32Array, shape: tuple[int, ...]) -> None:
        """Raise ConversionError if ``values`` does not have ``shape``."""
        if values.shape != shape:
            raise self.fail(f"{role} has shape {list(values.shape)}, expected {list(shape)}")

    @property
    def scale(self) -> float:
        """The factor of the product of the matrices, as the config gives it to the module."""
        return self.config.scale_of(self.trained_as)

    def fail(self, text: str) -> ConversionError:
        """An error about this module."""
        return ConversionError(f"{self.file.path}: {self.module}: {text}")

    def _missing(self, role: str, beside: str) -> ConversionError:
        partner = beside or next(iter(self.roles.values()), self.module)
        return ConversionError(f"{self.file.path}: {partner!r} has no {role} beside it")


@functools.lru_cache(maxsize=1024)
def outline(shape: tuple[int, ...]) -> Float32Array:
    """Zeros of ``shape`` that take no memory."""
    return np.broadcast_to(np.float32(0), shape)
