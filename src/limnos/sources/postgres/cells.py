"""The values of one column, as places in a buffer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from limnos.sources.postgres.refusals import garbled

Array: TypeAlias = Any  # an array or type of Arrow, of which the stubs do not know enough
Kind: TypeAlias = Any

_LENGTH, _NULL = 4, -1


@dataclass(frozen=True, slots=True)
class Rows:
    """Point at rows in a buffer, from the first value of each to its end; all of it holds only until the next rows are asked for."""

    buffer: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cells:
    """Point at the values of a column: each has `lengths` bytes at `places`; `nulls` is none where every value is there.

    There is one length only where all are known to be the same.

    Taking bytes out of the buffer is what costs, so that is done once: `taken` holds the first bytes of each value, from `offset` on.
    """

    buffer: NDArray[np.uint8]
    places: NDArray[np.int64]
    lengths: NDArray[np.int32]
    nulls: NDArray[np.bool_] | None
    taken: NDArray[np.void]
    offset: int

    @classmethod
    def at(cls, buffer: NDArray[np.uint8], starts: NDArray[np.int64], width: int) -> Cells:
        """Read the lengths, which stand before the values, and up to `width` bytes of these; a null has the length -1."""
        taken = _take(buffer, starts, _LENGTH + width)
        lengths = _field(taken, 0, ">i4")
        nulls = lengths < 0
        if (lengths < _NULL).any():
            raise garbled()
        if not nulls.any():
            return cls(buffer, starts + _LENGTH, lengths, None, taken, _LENGTH)
        return cls(buffer, starts + _LENGTH, np.maximum(lengths, 0), nulls, taken, _LENGTH)

    @classmethod
    def side_by_side(cls, buffer: NDArray[np.uint8], starts: NDArray[np.int64], widths: Sequence[int]) -> tuple[Cells, ...] | None:
        """Read columns of fixed widths at once; none if a value is missing."""
        taken = _take(buffer, starts, sum(widths) + _LENGTH * len(widths))
        found: list[Cells] = []
        at = 0
        for width in widths:
            if not (_view(taken, at, "=i4") == _swapped(width)).all():
                return None
            at += _LENGTH
            found.append(cls(buffer, starts + at, np.full(1, width, np.int32), None, taken, at))
            at += width
        return tuple(found)

    @property
    def ends(self) -> NDArray[np.int64]:
        """Where the next column's values stand."""
        return self.places + self.lengths

    @property
    def validity(self) -> pa.Buffer | None:
        """The nulls as Arrow's bits."""
        return None if self.nulls is None else buffer(np.packbits(~self.nulls, bitorder="little"))

    def values(self, wire: str, offset: int = 0) -> NDArray[Any]:
        """Give values of a fixed width, in the machine's byte order; what stands for a null is anything."""
        return _field(self.taken, self.offset + offset, wire)

    def array(self, values: NDArray[Any], kind: Kind) -> Array:
        """Make Arrow's array of what `values` gave."""
        return pa.array(values, kind, mask=self.nulls)

    def present(self, odd: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Leave the nulls out of a condition; none where it holds nowhere."""
        if not odd.any():
            return None
        if self.nulls is not None:
            odd &= ~self.nulls
        return odd if odd.any() else None

    def slices(self, kind: Kind) -> Array:
        """Copy out values of any width: every second slice of the buffer is a value, the others are what lies between."""
        if len(self.lengths) == 1 < len(self.places):
            return self._even(kind)
        bounds = np.empty(2 * len(self.places), np.int32)
        bounds[0::2] = self.places
        bounds[1::2] = self.ends
        parts: Array = pa.Array.from_buffers(kind, max(len(bounds) - 1, 0), [None, buffer(bounds), buffer(self.buffer)])
        return parts.take(pa.array(np.arange(0, len(bounds), 2), mask=self.nulls))

    def _even(self, kind: Kind) -> Array:
        """Copy out values of the same width."""
        width = int(self.lengths[0])
        values = _view(self.taken, self.offset, f"V{width}").copy()
        bounds = np.arange(0, (len(values) + 1) * width, width, dtype=np.int32)
        return pa.Array.from_buffers(kind, len(values), [None, buffer(bounds), buffer(values)])


def buffer(values: NDArray[Any]) -> pa.Buffer:
    """Lend the memory of an array to Arrow, without a copy."""
    lent: Any = values
    return pa.py_buffer(lent)


def _take(buffer: NDArray[np.uint8], places: NDArray[np.int64], width: int) -> NDArray[np.void]:
    windows: NDArray[np.void] = np.ndarray((len(buffer) - width,), f"V{width}", buffer, strides=(1,))
    return windows[places]


def _view(taken: NDArray[np.void], offset: int, wire: str) -> NDArray[Any]:
    return np.ndarray(taken.shape, wire, taken, offset, (taken.itemsize,))


def _field(taken: NDArray[np.void], offset: int, wire: str) -> NDArray[Any]:
    values = _view(taken, offset, wire)
    return values.astype(values.dtype.newbyteorder("="))


def _swapped(number: int) -> int:
    return int.from_bytes(number.to_bytes(4, "big"), sys.byteorder)
