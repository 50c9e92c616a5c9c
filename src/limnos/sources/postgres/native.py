"""Let compiled code find rows in what arrived and turn them into Arrow, as the portable decoder does."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from limnos.ports.compiled import Compiled, load
from limnos.sources.postgres.cells import Array, Kind, Rows
from limnos.sources.postgres.columns import Carrier
from limnos.sources.postgres.refusals import garbled

SOURCE = Path(__file__).with_name("rows.c")
_SMALLEST_BYTES = 5
_BLOCK, _SLACK = 64, 48
_WORDS = ("bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric", "date", "time", "timestamp", "uuid", "text")
# In the order of `enum kind` in rows.c.
_KINDS: Mapping[str, int] = {
    **{word: number for number, word in enumerate(_WORDS, 1)},
    "timestamptz": _WORDS.index("timestamp") + 1,
    **dict.fromkeys(("varchar", "bpchar", "bytea"), _WORDS.index("text") + 1),
}
_BOOL, _BYTES = _KINDS["bool"], _KINDS["text"]
_VALUE_BYTES = (8, 0, 4, 4, 8, 8, 4, 8, 16, 4, 8, 8, 16)


class _Column(ctypes.Structure):
    """`column` in rows.c."""

    _fields_ = (
        ("kind", ctypes.c_int32),
        ("precision", ctypes.c_int32),
        ("scale", ctypes.c_int32),
        ("odd", ctypes.c_int32),
        ("nulls", ctypes.c_int64),
        ("bytes", ctypes.c_int64),
        ("validity", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("offsets", ctypes.c_void_p),
        ("data", ctypes.c_void_p),
    )


def compiled(source: Path | None = None) -> Compiled:
    """Load what was compiled from this file, or from rows.c."""
    found = load(source or SOURCE)
    if found.library:
        place, number = ctypes.c_void_p, ctypes.c_int64
        found.library.limnos_receive.argtypes = (ctypes.c_int32, place, number, number)
        found.library.limnos_receive.restype = number
        found.library.limnos_messages.argtypes = (place, number, place, number, ctypes.POINTER(number))
        found.library.limnos_messages.restype = number
        found.library.limnos_measure.argtypes = (place, number, place, place, number, ctypes.POINTER(_Column), ctypes.c_int32)
        found.library.limnos_measure.restype = number
        found.library.limnos_fill.argtypes = (place, number, place, number, ctypes.POINTER(_Column), ctypes.c_int32)
        found.library.limnos_fill.restype = None
    return found


def receive(library: ctypes.CDLL, line: int, into: bytearray, filled: int, most: int) -> int:
    """Fill a buffer from a socket up to `most`, or to the end of the answer; gives how far, which is no further at the end of the line.

    Raises:
        OSError: If the socket says so.
    """
    reached: int = library.limnos_receive(line, np.frombuffer(into, np.uint8).ctypes.data, filled, most)
    if reached < 0:
        raise OSError(-reached, os.strerror(-reached))
    return reached


def messages(library: ctypes.CDLL, received: bytearray, filled: int) -> tuple[NDArray[np.int64], int]:
    """Give the places of the complete messages, and of the first incomplete one.

    Raises:
        psycopg.errors.ProtocolViolation: If a message is shorter than its own length.
    """
    places = np.empty(filled // _SMALLEST_BYTES + 1, np.int64)
    rest = ctypes.c_int64()
    count = library.limnos_messages(np.frombuffer(received, np.uint8).ctypes.data, filled, places.ctypes.data, len(places), rest)
    if count < 0:
        raise garbled()
    return places[:count].copy(), rest.value


def arrays(
    library: ctypes.CDLL, rows: Rows, carriers: Sequence[Carrier], portable: Callable[[NDArray[np.int64], Carrier], Array]
) -> list[Array]:
    """Decode all columns; one with a value that its type does not hold is left to `portable`, with the places of its cells.

    Raises:
        psycopg.errors.ProtocolViolation: If these are no such rows.
    """
    count, width = len(rows.starts), len(carriers)
    columns = (_Column * width)(*(_column(carrier) for carrier in carriers))
    buffer, size, starts = rows.buffer.ctypes.data, len(rows.buffer), rows.starts.ctypes.data
    if library.limnos_measure(buffer, size, starts, rows.ends.ctypes.data, count, columns, width) >= 0:
        raise garbled()
    memory = [_lend(column, count) for column in columns]
    library.limnos_fill(buffer, size, starts, count, columns, width)
    found = [
        None if column.odd else _array(carrier.type, count, column.nulls, lent)
        for column, carrier, lent in zip(columns, carriers, memory, strict=True)
    ]
    if not any(column.odd for column in columns):
        return found
    places = {number: np.empty(count, np.int64) for number, array in enumerate(found) if array is None}
    skipped = (_Column * width)()
    for number, each in places.items():
        skipped[number].values = each.ctypes.data
    library.limnos_fill(buffer, size, starts, count, skipped, width)
    return [portable(places[number], carriers[number]) if array is None else array for number, array in enumerate(found)]


def _column(carrier: Carrier) -> _Column:
    kind = _KINDS[carrier.wire]
    decimal: Kind = carrier.type
    return _Column(kind, decimal.precision, decimal.scale) if carrier.wire == "numeric" else _Column(kind)


def _lend(column: _Column, count: int) -> list[Array]:
    """Give a column the memory it is to fill, as Arrow's buffers in their order."""
    rounded = -(-count // _BLOCK) * _BLOCK
    # Arrow's default pool gives memory back to the system and takes it anew with each batch.
    pool = pa.system_memory_pool()
    lent: list[Array] = [None]
    if column.nulls:
        lent[0] = pa.allocate_buffer(rounded // 8, memory_pool=pool)
        column.validity = lent[0].address
    if column.kind == _BYTES:
        lent += [pa.allocate_buffer(4 * (count + 1), memory_pool=pool), pa.allocate_buffer(column.bytes + _SLACK, memory_pool=pool)]
        column.offsets, column.data = lent[1].address, lent[2].address
    else:
        size = rounded // 8 if column.kind == _BOOL else _VALUE_BYTES[column.kind] * count
        lent.append(pa.allocate_buffer(size, memory_pool=pool))
        column.values = lent[1].address
    return lent


def _array(kind: Kind, count: int, nulls: int, memory: list[Array]) -> Array:
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, _array(kind.storage_type, count, nulls, memory))
    return pa.Array.from_buffers(kind, count, memory, nulls)
