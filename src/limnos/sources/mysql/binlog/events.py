"""The events of a binary log, read from bytes.

Source: MySQL 8.0 source code documentation, "Replication Protocol" and "Binlog Event"; MariaDB Knowledge Base, "Replication Protocol".
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """Name the events that matter; every other one may be passed over or stops the stream, as its flag says."""

    QUERY = 2
    STOP = 3
    ROTATE = 4
    INTVAR = 5
    APPEND_BLOCK = 9
    DELETE_FILE = 11
    RAND = 13
    USER_VAR = 14
    FORMAT_DESCRIPTION = 15
    XID = 16
    BEGIN_LOAD_QUERY = 17
    EXECUTE_LOAD_QUERY = 18
    TABLE_MAP = 19
    WRITE_ROWS_V1 = 23
    UPDATE_ROWS_V1 = 24
    DELETE_ROWS_V1 = 25
    HEARTBEAT = 27
    WRITE_ROWS = 30
    UPDATE_ROWS = 31
    DELETE_ROWS = 32
    GTID = 33
    ANONYMOUS_GTID = 34
    PREVIOUS_GTIDS = 35
    XA_PREPARE = 38
    HEARTBEAT_V2 = 41
    ANNOTATE_ROWS = 160
    CHECKPOINT = 161
    MARIADB_GTID = 162
    GTID_LIST = 163
    QUERY_COMPRESSED = 165
    WRITE_ROWS_COMPRESSED_V1 = 166
    UPDATE_ROWS_COMPRESSED_V1 = 167
    DELETE_ROWS_COMPRESSED_V1 = 168
    WRITE_ROWS_COMPRESSED = 169
    UPDATE_ROWS_COMPRESSED = 170
    DELETE_ROWS_COMPRESSED = 171


SILENT = frozenset(
    {
        Kind.STOP,
        Kind.INTVAR,
        Kind.APPEND_BLOCK,
        Kind.DELETE_FILE,
        Kind.RAND,
        Kind.USER_VAR,
        Kind.FORMAT_DESCRIPTION,
        Kind.XID,
        Kind.BEGIN_LOAD_QUERY,
        Kind.HEARTBEAT,
        Kind.PREVIOUS_GTIDS,
        Kind.HEARTBEAT_V2,
        Kind.ANNOTATE_ROWS,
        Kind.CHECKPOINT,
        Kind.GTID_LIST,
    }
)
"""Events that change no row by themselves: a statement's context comes before the statement, which tells."""

WRITE, UPDATE, DELETE = 0, 1, 2
ROWS: dict[int, tuple[int, bool, bool]] = {
    Kind.WRITE_ROWS_V1: (WRITE, False, False),
    Kind.UPDATE_ROWS_V1: (UPDATE, False, False),
    Kind.DELETE_ROWS_V1: (DELETE, False, False),
    Kind.WRITE_ROWS: (WRITE, True, False),
    Kind.UPDATE_ROWS: (UPDATE, True, False),
    Kind.DELETE_ROWS: (DELETE, True, False),
    Kind.WRITE_ROWS_COMPRESSED_V1: (WRITE, False, True),
    Kind.UPDATE_ROWS_COMPRESSED_V1: (UPDATE, False, True),
    Kind.DELETE_ROWS_COMPRESSED_V1: (DELETE, False, True),
    Kind.WRITE_ROWS_COMPRESSED: (WRITE, True, True),
    Kind.UPDATE_ROWS_COMPRESSED: (UPDATE, True, True),
    Kind.DELETE_ROWS_COMPRESSED: (DELETE, True, True),
}
"""Row events by kind: what they do, whether they have an extra header (version 2), whether their rows are compressed."""

IGNORABLE = 0x80
PREPARES_XA, COMPLETES_XA = 0x40, 0x80
"""Flags of a group of MariaDB."""
_U8, _U16, _U32, _U64 = struct.Struct("<B"), struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")
_QUERY = struct.Struct("<IIBHH")


class Event(NamedTuple):
    """Hold one event: `end` is where it ends in its file, 0 for one that stands in no file; `at_s` in seconds since 1970.

    Events, table maps and rows are named tuples, not dataclasses: there are millions, and a frozen one takes three times as long to make.
    """

    kind: int
    at_s: int
    server: int
    end: int
    flags: int
    body: bytes


class Gtid(NamedTuple):
    """Begin a group of MariaDB: its place in the order of its domain, and whether it belongs to an XA transaction."""

    domain: int
    server: int
    number: int
    flags: int


@dataclass(frozen=True, slots=True)
class Statement:
    """Hold the text of a statement and the database it ran in."""

    database: str
    text: str


class TableMap(NamedTuple):
    """Say how the rows of a table lie in the events that follow: wire type and metadata of each column."""

    database: str
    table: str
    types: bytes
    metadata: bytes


class Rows(NamedTuple):
    """Hold the rows of one event, still encoded; `present` has a bit for each column of the image, `after` of the second image."""

    action: int
    table_id: int
    present: bytes
    after: bytes
    payload: bytes


def lenenc(body: bytes, at: int) -> tuple[int, int]:
    r"""Read a length-encoded integer; gives it and where the next byte is.

    Examples:
        >>> lenenc(b"\xfc\x00\x01", 0)
        (256, 3)
    """
    first = body[at]
    if first < 0xFB:
        return first, at + 1
    width = {0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    return int.from_bytes(body[at + 1 : at + 1 + width], "little"), at + 1 + width


def rotation(body: bytes) -> str:
    """Name the file that follows."""
    return body[8:].decode()


def mariadb_gtid(body: bytes, server: int) -> Gtid:
    """Read the event that begins a group of MariaDB."""
    (number,) = _U64.unpack_from(body)
    (domain,) = _U32.unpack_from(body, 8)
    return Gtid(domain, server, number, body[12])


def commit_us(body: bytes) -> int:
    """Read when a group of MySQL 8 was committed, in microseconds since 1970; 0 where the event does not say."""
    if len(body) < 49:
        return 0
    return int.from_bytes(body[42:49], "little") & ((1 << 55) - 1)


def statement(body: bytes, *, load: bool = False, compressed: bool = False) -> Statement:
    """Read a query event, or that of a LOAD DATA statement."""
    _, _, database_length, _, variables_length = _QUERY.unpack_from(body)
    at = _QUERY.size + (13 if load else 0) + variables_length
    database = body[at : at + database_length]
    text = body[at + database_length + 1 :]
    return Statement(database.decode("utf-8", "replace"), (inflated(text) if compressed else text).decode("utf-8", "replace"))


def table_map(body: bytes) -> tuple[int, TableMap]:
    """Read a table map; gives the number by which row events name it."""
    table_id = int.from_bytes(body[:6], "little")
    at = 9 + body[8]
    database = body[9:at].decode()
    length, at = body[at + 1], at + 2
    table = body[at : at + length].decode()
    count, at = lenenc(body, at + length + 1)
    types = body[at : at + count]
    size, at = lenenc(body, at + count)
    return table_id, TableMap(database, table, types, body[at : at + size])


def rows(kind: int, body: bytes) -> Rows:
    """Read a row event as far as its rows."""
    action, extended, compressed = ROWS[kind]
    at = 8
    if extended:
        at += _U16.unpack_from(body, 8)[0]
    columns, at = lenenc(body, at)
    width = (columns + 7) // 8
    present = body[at : at + width]
    at += width
    after = present
    if action == UPDATE:
        after = body[at : at + width]
        at += width
    payload = body[at:]
    return Rows(action, int.from_bytes(body[:6], "little"), present, after, inflated(payload) if compressed else payload)


def inflated(packed: bytes) -> bytes:
    """Unpack what MariaDB's log_bin_compress packed: one byte with the width of the length, the length, a zlib stream.

    Raises:
        ValueError: If it is not of that form.

    Source: MariaDB Knowledge Base, "Compressing Events to Reduce Size of the Binary Log".
    """
    width = packed[0] & 0x07
    if packed[0] & 0x70 or not packed[0] & 0x80:
        raise ValueError("unknown compression")
    size = int.from_bytes(packed[1 : 1 + width], "big")
    plain = zlib.decompress(packed[1 + width :], bufsize=max(size, 1))
    if len(plain) != size:
        raise ValueError("wrong length")
    return plain
