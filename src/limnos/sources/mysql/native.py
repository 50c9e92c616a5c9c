"""Let compiled code tell rows apart and turn them into Arrow; `rows.c` says what it does, and `cells` does the same with NumPy."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from limnos.ports.compiled import Compiled, load

Array: TypeAlias = "pa.Array[Any]"


SOURCE = Path(__file__).with_name("rows.c")
TORN = "the cells of a row do not fill its packet"


class Form(IntEnum):
    """Say what a cell is read as."""

    TEXT, INT32, INT64, DECIMAL, DAY, INSTANT = range(6)


class _Column(ctypes.Structure):
    """`column` in rows.c."""

    _fields_ = (
        ("kind", ctypes.c_int32),
        ("scale", ctypes.c_int32),
        ("values", ctypes.c_void_p),
        ("begins", ctypes.c_void_p),
        ("valid", ctypes.c_void_p),
        ("nulls", ctypes.c_int64),
        ("wrong", ctypes.c_int64),
    )


_ITEM: dict[Form, tuple[type[np.generic], int]] = {
    Form.INT32: (np.int32, 1),
    Form.INT64: (np.int64, 1),
    Form.DECIMAL: (np.int64, 2),
    Form.DAY: (np.int32, 1),
    Form.INSTANT: (np.int64, 1),
}


def compiled(source: Path | None = None) -> Compiled:
    """Load what was compiled from this file, or from rows.c."""
    found = load(source or SOURCE)
    if found.library:
        place, number = ctypes.c_void_p, ctypes.c_int64
        found.library.limnos_mysql_walk.argtypes = (place, number, number, place, ctypes.POINTER(number), number)
        found.library.limnos_mysql_walk.restype = number
        found.library.limnos_mysql_rows.argtypes = (place, place, place, number, ctypes.POINTER(_Column), number)
        found.library.limnos_mysql_rows.restype = number
        found.library.limnos_mysql_texts.argtypes = (place, place, place, number, place)
        found.library.limnos_mysql_texts.restype = None
    return found


def form_of(kind: pa.DataType) -> Form:
    """Choose how cells of a column are read; those of most types are taken as text, which Arrow then converts."""
    if pa.types.is_decimal(kind):
        return Form.DECIMAL if kind.precision <= (18 if kind.scale else 20) else Form.TEXT
    if pa.types.is_int32(kind) or pa.types.is_int64(kind):
        return Form.INT32 if pa.types.is_int32(kind) else Form.INT64
    if pa.types.is_date(kind):
        return Form.DAY
    return Form.INSTANT if pa.types.is_timestamp(kind) else Form.TEXT


def walk(library: ctypes.CDLL, data: NDArray[np.uint8], filled: int, at: int, starts: NDArray[np.int64]) -> tuple[int, int]:
    """Note where whole packets start; gives how many were found, and where the first begins that is not whole."""
    count = ctypes.c_int64()
    end = library.limnos_mysql_walk(data.ctypes.data, filled, at, starts.ctypes.data, count, len(starts))
    return count.value, int(end)


def arrays(
    library: ctypes.CDLL, data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64], kinds: Sequence[pa.DataType]
) -> list[tuple[Form, Array]]:
    """Read all columns; one with a cell that is not written as its type has it comes as `Form.TEXT`, in bytes.

    Raises:
        pa.ArrowInvalid: If the cells of a row do not fill its packet.
    """
    forms = [form_of(kind) for kind in kinds]
    read = _read(library, data, starts, ends, forms, kinds)
    if any(array is None for array in read):
        forms = [Form.TEXT if array is None else form for form, array in zip(forms, read, strict=True)]
        read = _read(library, data, starts, ends, forms, kinds)
    return [(form, array) for form, array in zip(forms, read, strict=True) if array is not None]


def _read(
    library: ctypes.CDLL,
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    forms: Sequence[Form],
    kinds: Sequence[pa.DataType],
) -> list[Array | None]:
    rows = len(starts)
    columns = (_Column * len(forms))()
    lent = [_lend(column, form, kind, rows) for column, form, kind in zip(columns, forms, kinds, strict=True)]
    if library.limnos_mysql_rows(data.ctypes.data, starts.ctypes.data, ends.ctypes.data, rows, columns, len(forms)) < rows:
        raise pa.ArrowInvalid(TORN)
    made: list[Array | None] = []
    for column, form, kind, (valid, values, _) in zip(columns, forms, kinds, lent, strict=True):
        memory = [pa.py_buffer(valid) if column.nulls else None, pa.py_buffer(values)]
        if form is Form.TEXT:
            text: Any = np.empty(values[-1], np.uint8)
            library.limnos_mysql_texts(data.ctypes.data, column.begins, column.values, rows, text.ctypes.data)
            made.append(pa.Array.from_buffers(pa.binary(), rows, [*memory, pa.py_buffer(text)], column.nulls))
        else:
            made.append(None if column.wrong else pa.Array.from_buffers(kind, rows, memory, column.nulls))
    return made


def _lend(column: _Column, form: Form, kind: pa.DataType, rows: int) -> tuple[Any, Any, Any]:
    """Give a column the memory it is to fill: which rows have a value, the values or the offsets of texts, and where texts begin."""
    item, width = _ITEM.get(form, (np.int32, 1))
    values = np.zeros(rows + 1, np.int32) if form is Form.TEXT else np.empty(rows * width, item)
    valid, begins = np.zeros((rows + 7) // 8, np.uint8), np.empty(rows if form is Form.TEXT else 0, np.int32)
    column.kind, column.scale = form, getattr(kind, "scale", 0)
    column.values, column.begins, column.valid = values.ctypes.data, begins.ctypes.data, valid.ctypes.data
    return valid, values, begins
