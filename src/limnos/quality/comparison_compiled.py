"""Hash texts, and rows as one text each, with compiled code: the same numbers as the SQL of `limnos.model.digest` makes, for less."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from limnos.ports.compiled import Compiled, load

Array: TypeAlias = "pa.Array[Any]"

FUNCTION = "limnos_lookup3"
"""The name that the embedded engine has for `hashes`."""
SOURCE = Path(__file__).with_name("numbers.c")
_WIDE_BYTES = 16


class Kind(IntEnum):
    """Say how a cell is written: a text as it is, without or with its size beside it, or a value."""

    TEXT, FREE, INTEGER, DECIMAL, DAY = range(5)


class _Column(ctypes.Structure):
    """`column` in numbers.c."""

    _fields_ = (
        ("kind", ctypes.c_int32),
        ("scale", ctypes.c_int32),
        ("first", ctypes.c_int64),
        ("valid", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("bytes", ctypes.c_void_p),
    )


def compiled(source: Path | None = None) -> Compiled:
    """Load what was compiled from this file, or from numbers.c."""
    found = load(source or SOURCE)
    if found.library:
        place, number = ctypes.c_void_p, ctypes.c_int64
        found.library.limnos_hash.argtypes = (place, place, number, place)
        found.library.limnos_hash.restype = None
        found.library.limnos_add.argtypes = (ctypes.POINTER(_Column), ctypes.c_int32, number, place, number, place, place)
        found.library.limnos_add.restype = ctypes.c_int32
    return found


@cache
def library() -> ctypes.CDLL | None:
    """Give the compiled code, loaded once."""
    return compiled().library


def hashes(library: ctypes.CDLL, texts: Array) -> Array:
    """Hash texts as `Hash.LOOKUP3`; none of them is null."""
    _, offsets, data = texts.buffers()
    numbers = pa.allocate_buffer(8 * len(texts))
    library.limnos_hash(_address(offsets) + 4 * texts.offset, _address(data), len(texts), numbers.address)
    return pa.Array.from_buffers(pa.int64(), len(texts), [None, numbers])


class Sums:
    """Add up the hashes of rows by bucket; `kinds` says how the cells of each column are written, `buckets` how many there are."""

    def __init__(self, library: ctypes.CDLL, kinds: Sequence[Kind], buckets: int) -> None:
        self._library, self._kinds, self._reach = library, kinds, buckets - 1
        places = 2 * buckets - 1
        self._rows, self._totals = (ctypes.create_string_buffer(each * places) for each in (8, _WIDE_BYTES))

    def add(self, batches: Iterable[pa.RecordBatch]) -> bool:
        """Add rows: their bucket first, then their cells; False, with nothing to be used, where one has a value that only SQL writes."""
        return all(self._add(batch) for batch in batches)

    def _add(self, batch: pa.RecordBatch) -> bool:
        buckets, *cells = batch.columns
        columns = (_Column * len(cells))(*(_column(kind, cell) for kind, cell in zip(self._kinds, cells, strict=True)))
        into = _address(buckets.buffers()[1]) + 8 * buckets.offset
        return not self._library.limnos_add(columns, len(cells), batch.num_rows, into, self._reach, self._rows, self._totals)

    def table(self) -> pa.Table:
        """Give the buckets that have rows, how many, and their sum."""
        places = 2 * self._reach + 1
        types: tuple[pa.DataType, pa.DataType] = (pa.int64(), pa.decimal128(38, 0))
        rows, totals = (
            pa.Array.from_buffers(kind, places, [None, pa.py_buffer(found)])
            for kind, found in zip(types, (self._rows, self._totals), strict=True)
        )
        buckets = pa.array(range(-self._reach, self._reach + 1), pa.int64())
        table = pa.table({"bucket": buckets, "n": rows, "total": totals})
        return table.filter(pc.greater(table["n"], pa.scalar(0, pa.int64())))


def _column(kind: Kind, cell: Array) -> _Column:
    valid, values, *more = cell.buffers()
    scale = cell.type.scale if kind is Kind.DECIMAL else 0
    return _Column(
        kind, scale, cell.offset, _address(valid) if cell.null_count else None, _address(values), _address(more[0]) if more else None
    )


def _address(buffer: pa.Buffer | None) -> int:
    return buffer.address if buffer is not None else 0
