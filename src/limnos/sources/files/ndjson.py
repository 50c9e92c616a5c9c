"""NDJSON: one JSON object a line, each value with its exact text.

The engine's own JSON functions read numbers as doubles (`0.10` comes out as `0.1`), so the lines are read here.

Source: RFC 8259 and the NDJSON convention: blank lines mean nothing. `NaN` and `Infinity` are let through as text, since common writers
emit them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import pyarrow as pa

from limnos.errors import MalformedFile, SchemaDrift
from limnos.model.names import literal, quoted
from limnos.ports import Session
from limnos.sources.files.broken_csv import RECORD_BYTES, blocks
from limnos.sources.files.contents import Contents, Spool, rejects_spool
from limnos.sources.files.dialect import Dialect
from limnos.sources.files.inventory import File, chunks

Members = list[tuple[str, object]]


class _Number(str):
    """Keep a number as it is written."""

    __slots__ = ()


_DECODER = json.JSONDecoder(object_pairs_hook=list, parse_float=_Number, parse_int=_Number, parse_constant=_Number)


def contents(files: Sequence[File], dialect: Dialect, session: Session, temporary: Path) -> Contents:
    """Look through the files of a table.

    Raises:
        MalformedFile: If no line of any file is a JSON object, or a compressed stream is damaged.
        SchemaDrift: If two keys differ by upper and lower case only.
    """
    store = _Store(temporary)
    for file in files:
        for origin, raw in _lines(file, dialect, session):
            store.add(origin, raw)
    store.close()
    names = list(store.keys)
    if not names:
        raise MalformedFile(
            "No line is a JSON object with a key",
            subject=dialect.path,
            seen=f"{store.rejects.rows} other lines in {len(files)} files",
            expected='lines such as {"id": 1}',
            hint="limnos explain files",
        )
    columns = ", ".join(f"c{number} AS {quoted(name)}" for number, name in enumerate(names))
    paths = ", ".join(literal(str(spool.path)) for spool in store.spools)
    return Contents(
        schema=pa.schema([(name, pa.string()) for name in names]),
        scan=f"SELECT {columns} FROM read_parquet([{paths}], union_by_name = true)",
        rows=sum(spool.rows for spool in store.spools),
        origins=lambda ordinals: _origins(store.spools, session, ordinals),
        rejects=f"SELECT origin, raw, reason FROM {store.rejects.relation}" if store.rejects.rows else "",
        rejected=store.rejects.rows,
        kinds={name: frozenset(_KINDS[kind] for kind in kinds) for name, kinds in store.kinds.items()},
    )


class _Store:
    """Collect rows; a new key starts a new spool, which has a column more."""

    def __init__(self, temporary: Path) -> None:
        self._temporary = temporary
        self.keys: dict[str, int] = {}
        self.kinds: dict[str, set[type]] = {}
        self.spools: list[Spool] = []
        self.rejects = rejects_spool(temporary / "rejects.parquet")

    def add(self, origin: str, raw: bytes) -> None:
        row, reason = members(raw)
        if reason:
            self.rejects.add((origin, raw, reason), len(raw))
            return
        new = [name for name, _ in row if name not in self.keys]
        if new or not self.spools:
            self._grow(new, origin)
        values: list[object] = [None] * len(self.keys)
        for name, value in row:
            if value is not None:
                kind = type(value)
                values[self.keys[name]] = value if kind is not bool else "true" if value else "false"
                self.kinds[name].add(kind)
        self.spools[-1].add((*values, origin), len(raw))

    def _grow(self, new: Sequence[str], origin: str) -> None:
        folded = {name.casefold(): name for name in self.keys}
        for name in new:
            if (other := folded.setdefault(name.casefold(), name)) != name:
                raise SchemaDrift(
                    f"Keys {other} and {name} differ by upper and lower case only",
                    subject=origin,
                    seen=name,
                    expected=other,
                    hint="write one key one way, then `limnos run`",
                )
            self.keys[name] = len(self.keys)
            self.kinds[name] = set()
        if self.spools:
            self.spools[-1].close()
        self.spools.append(Spool.of_text(self._temporary / f"{len(self.spools)}.parquet", len(self.keys)))

    def close(self) -> None:
        for spool in (*self.spools[-1:], self.rejects):
            spool.close()


def _lines(file: File, dialect: Dialect, session: Session) -> Iterator[tuple[str, bytes]]:
    number = 1
    for block, whole in blocks(chunks(file, session, dialect.compression_of(file.path))):
        for raw in block.splitlines(keepends=True) if whole else (block,):
            text = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
            if text.strip():
                yield f"{file.name}:{number}", text
            number += raw[-1:] in b"\r\n"


def members(raw: bytes) -> tuple[Members, str]:
    """Read one line as an object: its members in order, or why it is none.

    Numbers keep their digits, arrays and objects their text.

    Examples:
        >>> members(b'{"a": 0.10, "b": [1,  2.50], "c": "x"}')
        ([('a', '0.10'), ('b', _Nested('[1,  2.50]')), ('c', 'x')], '')
        >>> members(b'[1]')
        ([], 'not a JSON object')
    """
    if len(raw) > RECORD_BYTES:
        return [], f"line longer than {RECORD_BYTES} bytes"
    try:
        text = raw.decode().strip(" \t\r\n")
        if not text.startswith("{"):
            return [], "not a JSON object"
        found = cast("Members", _DECODER.decode(text))
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        return [], f"not UTF-8: byte 0x{raw[error.start]:02x} at byte {error.start + 1} of the line"
    except UnicodeEncodeError:
        return [], "half of a surrogate pair"
    except json.JSONDecodeError as error:
        return [], f"not JSON: {error.msg} at character {error.pos + 1}"
    except RecursionError:
        return [], "nested too deep"
    names = [name for name, _ in found]
    if len(set(names)) != len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        return [], f"key {twice} occurs twice"
    if list in {type(value) for _, value in found}:
        return list(_with_text(text, found)), ""
    return found, ""


class _Nested(str):
    """Keep an array or object as it is written."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"_Nested({str(self)!r})"


_KINDS: Mapping[type, str] = {str: "string", _Number: "number", bool: "boolean", _Nested: "nested"}


def _with_text(text: str, found: Members) -> Iterable[tuple[str, object]]:
    """Walk an object that is known to be valid and give its arrays and objects as text."""
    at = 1
    for name, value in found:
        _, at = _DECODER.raw_decode(text, text.index('"', at))
        at = _skip(text, text.index(":", at) + 1)
        _, end = _DECODER.raw_decode(text, at)
        yield name, _Nested(text[at:end]) if isinstance(value, list) else value
        at = end


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def _origins(spools: Sequence[Spool], session: Session, ordinals: Sequence[int]) -> Sequence[str]:
    found: dict[int, str] = {}
    start = 0
    for spool in spools:
        here = sorted({ordinal - start for ordinal in ordinals if start <= ordinal < start + spool.rows})
        if here:
            found |= {start + row: origin for row, origin in spool.origins(session, here).items()}
        start += spool.rows
    return [found[ordinal] for ordinal in ordinals]
