"""A replica's side of the replication protocol: ask for the log from a position, and read events until it ends."""

from __future__ import annotations

import secrets
import struct
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import pairwise, starmap
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from limnos.sources.mysql.address import Connection, ask
from limnos.sources.mysql.binlog.events import SILENT, Event, Kind
from limnos.sources.mysql.driver import pymysql

Connect: TypeAlias = Callable[[], Connection]
_Octets: TypeAlias = npt.NDArray[np.uint8]
_Places: TypeAlias = npt.NDArray[np.int64]

_BINLOG_DUMP = 0x12
_NON_BLOCKING = 0x01
_ARTIFICIAL = 0x20
_HEADER = struct.Struct("<HBBBIBIIIH")  # packet length (3 bytes) and number, the byte 0 of success, then the header of the event
_PACKET_MOST = 0xFFFFFF
_RECEIVE_BYTES = 1 << 20
_FATAL = 1236
_SILENT = np.isin(np.arange(256), list(SILENT))
_SPECIAL = np.isin(np.arange(256), [Kind.ROTATE, Kind.FORMAT_DESCRIPTION])


class LogGone(Exception):  # a fact of this room, which never leaves it
    """The server has not the log that was asked for; `args[0]` says so in its words."""


class LogDamaged(Exception):  # a fact of this room, which never leaves it
    """An event does not bear its own checksum."""


def dump(connect: Connect, file: str, position: int, gtid: str | None = None) -> Generator[Event]:
    """Read the log from a position to its end, or from where `gtid` (of MariaDB) was passed; events that say nothing are left out.

    Raises:
        LogGone: If the server has no such file or place.
        LogDamaged: If a checksum does not fit.
    """
    with closing(connect()) as connection:
        # Capability 4 of MariaDB says that we know all its events; MySQL takes no notice.
        ask(connection, "SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32', @mariadb_slave_capability = 4")
        if gtid is not None:
            ask(connection, "SET @slave_connect_state = %s, @slave_gtid_strict_mode = 1", gtid)
        server_id = (1 << 31) + secrets.randbelow(1 << 31)  # one of two replicas with the same number would be thrown out
        payload = struct.pack("<BIHI", _BINLOG_DUMP, position, _NON_BLOCKING, server_id) + file.encode()
        # The driver has no public way to send a command of another kind, nor to the bytes of what comes back.
        socket = connection._sock  # type: ignore[attr-defined] # noqa: SLF001 # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
        socket.sendall(struct.pack("<I", len(payload)) + payload)
        yield from _events(socket.recv_into)


def _events(receive: Callable[[memoryview], int]) -> Iterator[Event]:
    tail, crc32, unpack = 0, zlib.crc32, _HEADER.unpack_from
    for packets, starts in _packets(receive):
        at = np.array(starts[:-1], np.int64)
        octets = np.frombuffer(packets, np.uint8)
        if not (octets[at + 4].any() or _SPECIAL[octets[at + 9]].any()):
            yield from _plain(packets, octets, at, np.array(starts[1:], np.int64), tail)
            continue
        for start, end in pairwise(starts):
            if packets[start + 4] != 0:
                _refused(packets[start + 4 : end])
                return
            _, _, _, _, at_s, kind, server, _, place, flags = unpack(packets, start)
            if tail or kind == Kind.ROTATE:
                sound = crc32(packets[start + 5 : end - 4]) == int.from_bytes(packets[end - 4 : end], "little")
                if kind == Kind.ROTATE:
                    # It may come before the description of the file, and so before we know whether events bear a checksum.
                    tail = 4 if sound else 0
                elif not sound and kind != Kind.FORMAT_DESCRIPTION:
                    raise LogDamaged
            if kind == Kind.FORMAT_DESCRIPTION:
                tail = 4 * (packets[end - 5] == 1)
            elif kind not in SILENT:
                yield Event(kind, at_s, server, 0 if flags & _ARTIFICIAL else place, flags, packets[start + 24 : end - tail])


def _plain(packets: bytes, octets: _Octets, at: _Places, ends: _Places, tail: int) -> Iterator[Event]:
    """Take apart many events that all are sound and none of which says anything of the log itself."""
    if tail:
        sums = np.array([zlib.crc32(packets[start:end]) for start, end in zip((at + 5).tolist(), (ends - 4).tolist(), strict=True)])
        if (sums != _words(packets, ends - 4)).any():
            raise LogDamaged
    loud = ~_SILENT[octets[at + 9]]
    at, ends = at[loud], ends[loud] - tail
    flags = octets[at + 22].astype(np.int64) | octets[at + 23].astype(np.int64) << 8
    places = np.where(flags & _ARTIFICIAL, 0, _words(packets, at + 18))
    bodies = [packets[start:end] for start, end in zip((at + 24).tolist(), ends.tolist(), strict=True)]
    numbers = (octets[at + 9], _words(packets, at + 5), _words(packets, at + 10), places, flags)
    yield from starmap(Event, zip(*(each.tolist() for each in numbers), bodies, strict=True))


def _words(packets: bytes, at: _Places) -> npt.NDArray[np.uint32]:
    every: npt.NDArray[np.uint32] = np.ndarray((len(packets) - 3,), "<u4", packets, strides=(1,))
    return every[at]


def _packets(receive: Callable[[memoryview], int]) -> Iterator[tuple[bytes, list[int]]]:
    """Find whole packets in what arrives: gives bytes, and where in them each packet starts and the last one ends."""
    held = bytearray()
    incoming = memoryview(bytearray(_RECEIVE_BYTES))
    while True:
        count = receive(incoming)
        if not count:
            raise pymysql.err.OperationalError(2013, "Lost connection to server while it sent its binary log")
        held += incoming[:count]
        while len(starts := _starts(held)) > 1:
            if starts[1] > _PACKET_MOST and (parts := _parts(held)):
                packet = b"".join([held[:4], *(held[at + 4 : end] for at, end in pairwise(parts))])
                starts = [0, parts[-1]]
                yield packet, [0, len(packet)]
            elif starts[1] > _PACKET_MOST:
                break
            else:
                yield bytes(held[: starts[-1]]), starts
            del held[: starts[-1]]


def _starts(held: bytearray) -> list[int]:
    """Give where each packet starts and the last one ends; one that comes in several parts stands alone."""
    starts, at, size = [0], 0, len(held)
    while at + 4 <= size:
        length = held[at] | held[at + 1] << 8 | held[at + 2] << 16
        if at + 4 + length > size or (length == _PACKET_MOST and at):
            break
        at += 4 + length
        starts.append(at)
        if length == _PACKET_MOST:
            break
    return starts


def _parts(held: bytearray) -> list[int]:
    """Give where each part of the first packet begins and the last one ends; nothing as long as it is not whole."""
    parts = [0]
    while len(held) - parts[-1] >= 4:
        at = parts[-1]
        length = held[at] | held[at + 1] << 8 | held[at + 2] << 16
        parts.append(at + 4 + length)
        if len(held) < parts[-1]:
            return []
        if length < _PACKET_MOST:
            return parts
    return []


def _refused(packet: bytes) -> None:
    if packet[0] == 0xFE:
        return
    (number,) = struct.unpack_from("<H", packet, 1)
    if number == _FATAL:
        raise LogGone(packet[9:].decode("utf-8", "replace"))
    pymysql.err.raise_mysql_exception(packet)
