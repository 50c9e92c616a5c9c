"""Bytes of a column as the text that they are in its character set."""

from __future__ import annotations

import codecs
import ipaddress
import uuid
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from limnos.sources.mysql.address import Connection, ask
from limnos.sources.mysql.binlog.cells import Decode
from limnos.sources.mysql.binlog.layout import Array, taken

_UTF8 = frozenset({"utf8", "utf8mb3", "utf8mb4", "ascii"})
_WIDE = {"ucs2": "utf-16-be", "utf16": "utf-16-be", "utf16le": "utf-16-le", "utf32": "utf-32-be"}
_ADDRESSES: dict[str, Callable[[bytes], str]] = {
    "uuid": lambda raw: str(uuid.UUID(bytes=raw)),
    "inet4": lambda raw: str(ipaddress.IPv4Address(raw)),
}
_ASKED_AT_ONCE = 500


def decoder(connection: Connection, charset: str) -> Decode:
    """Give what turns the bytes of a character set, or of an address type of MariaDB, into text."""
    if charset in _UTF8:
        return lambda raw: raw.cast(pa.string())
    if charset in _ADDRESSES:
        return lambda raw: _each(raw, _ADDRESSES[charset])
    if charset in _WIDE:
        return lambda raw: _each(raw, lambda value: value.decode(_WIDE[charset]))
    if charset == "inet6":
        return lambda raw: _asked(connection, raw, "CAST(CAST(UNHEX(%s) AS INET6) AS CHAR)")
    ((longest,),) = ask(connection, "SELECT MAXLEN FROM information_schema.CHARACTER_SETS WHERE CHARACTER_SET_NAME = %s", charset)
    if longest > 1:
        return lambda raw: _unless_ascii(
            raw, lambda other: _asked(connection, other, f"CONVERT(CONVERT(UNHEX(%s) USING {charset}) USING utf8mb4)")
        )
    # What the server makes of each of the 256 bytes; an undefined one is a question mark there, and so it is here.
    every = bytes(range(256)).hex()
    ((letters,),) = ask(connection, f"SELECT CONVERT(CONVERT(UNHEX('{every}') USING {charset}) USING utf8mb4)")
    return lambda raw: _unless_ascii(raw, lambda other: _each(other, lambda value: codecs.charmap_decode(value, "strict", letters)[0]))


def _each(raw: pa.BinaryArray, decode: Callable[[bytes], str]) -> Array:
    return pa.array([None if value is None else decode(value) for value in raw.to_pylist()], pa.string())


def _unless_ascii(raw: pa.BinaryArray, decode: Decode) -> Array:
    try:
        texts = raw.cast(pa.string())
    except pa.ArrowInvalid:
        return decode(raw)
    return texts if pc.all(pc.string_is_ascii(texts), min_count=0).as_py() is not False else decode(raw)


def _asked(connection: Connection, raw: pa.BinaryArray, sql: str) -> Array:
    """Let the server write each distinct value."""
    encoded = raw.dictionary_encode()
    values = [value.hex() for value in encoded.dictionary.to_pylist() if value is not None]
    texts: list[str] = []
    for start in range(0, len(values), _ASKED_AT_ONCE):
        some = values[start : start + _ASKED_AT_ONCE]
        texts += ask(connection, "SELECT " + ", ".join([sql] * len(some)), *some)[0]
    return taken(pa.array(texts, pa.string()), encoded.indices.fill_null(0).to_numpy(), raw.is_null().to_numpy(zero_copy_only=False))
