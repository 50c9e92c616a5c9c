"""A source whose log is a list in memory: every way of reading, with nothing between the test and the flow."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from limnos import Lake
from limnos.model.changes import ENVELOPE, Changes, Window
from limnos.model.contract import Column, Contract, RuleSpec
from limnos.model.extract import Extract
from limnos.model.names import TableName
from limnos.model.position import Position
from limnos.model.project import Capability, Option
from limnos.model.run import Finding

START = datetime(2024, 1, 1, tzinfo=UTC)
RAW = pa.schema([("id", pa.int64()), ("name", pa.string()), ("amount", pa.string()), ("at", pa.int64())])
Row = tuple[int | None, str | None, str | None, int | None]


@dataclass(frozen=True)
class Entry:
    """One entry of the log: an operation, the row, and which columns were not sent."""

    operation: str
    row: Row
    kept: tuple[str, ...] = ()


@dataclass
class Script:
    """A source of one table `rows`."""

    kind: ClassVar[str] = "scripted"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.KEYS, Capability.INCREMENTAL, Capability.CHANGES})
    options: ClassVar[tuple[Option, ...]] = ()

    keyed: bool = True
    log: list[Entry] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    reload: str = ""
    acknowledged: list[Mapping[str, Position]] = field(default_factory=list)
    prepared: int = 0
    full_reads: int = 0

    def insert(self, *rows: Row) -> None:
        for row in rows:
            self.rows.append(row)
            self.log.append(Entry("insert", row))

    def update(self, old: Row, new: Row, *, kept: tuple[str, ...] = ()) -> None:
        self.rows[self.rows.index(old)] = new
        if (self.keyed and old[0] == new[0]) or kept:
            sent = tuple(None if name in kept else value for name, value in zip(RAW.names, new, strict=True))
            self.log.append(Entry("update", sent, kept))  # type: ignore[arg-type]
        else:
            self.log += [Entry("delete", self._identity(old)), Entry("insert", new)]

    def delete(self, row: Row) -> None:
        self.rows.remove(row)
        self.log.append(Entry("delete", self._identity(row)))

    def truncate(self) -> None:
        self.rows.clear()
        self.log.append(Entry("truncate", (None, None, None, None)))

    def _identity(self, row: Row) -> Row:
        return (row[0], None, None, None) if self.keyed else row

    @contextmanager
    def open(self) -> Generator[ScriptReading]:
        yield ScriptReading(self, len(self.log), tuple(self.rows))

    def findings(self) -> Iterable[Finding]:
        return [Finding("script", ok=True, detail="is there")]

    def prepare(self) -> None:
        self.prepared += 1

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        self.acknowledged.append(positions)


@dataclass
class ScriptReading:
    script: Script
    at: int
    rows: tuple[Row, ...]

    def tables(self) -> tuple[str, ...]:
        return ("rows",)

    def describe(self, table: str, target: TableName) -> Contract:
        kinds = [pa.int64(), pa.string(), pa.decimal128(9, 2), pa.int64()]
        columns = tuple(Column(name, kind) for name, kind in zip(RAW.names, kinds, strict=True))
        rules = (RuleSpec("primary_key", ("id",)),) if self.script.keyed else ()
        return Contract(target, columns, ("id",) if self.script.keyed else (), rules)

    def position(self, table: str) -> Position:
        return Position("script-fingerprint", {"rows": self.at})

    def read(self, table: str, contract: Contract) -> Extract:
        self.script.full_reads += 1
        return self._extract(self.rows, None)

    def _extract(self, rows: Iterable[Row], position: Position | None) -> Extract:
        columns = list(zip(*rows, strict=True)) or [()] * len(RAW)
        batch = pa.RecordBatch.from_arrays([pa.array(c, f.type) for c, f in zip(columns, RAW, strict=True)], schema=RAW)
        return Extract(RAW, batch.num_rows, position, batches=iter([batch] if batch.num_rows else []))

    def read_since(self, table: str, contract: Contract, window: Window) -> Extract:
        place = RAW.names.index(window.cursor)
        known = [row[place] for row in self.rows if row[place] is not None]
        low = int(window.since) - int(window.lookback or 0) if window.since else None
        chosen = [row for row in self.rows if low is None or row[place] is None or int(row[place]) >= low]
        value = {
            "max": str(max(known)) if known else "",
            "low": "" if low is None else str(low),
            "below": len(self.rows) - len(chosen),
        }
        if low is None:
            self.script.full_reads += 1
        return replace(self._extract(chosen, None), position=Position("cursor", value))

    def cut(self, table: str) -> Position:
        return Position("script", {"at": self.at})

    def changes(self, since: Mapping[str, Position]) -> Iterator[Changes]:
        for table, position in since.items():
            if self.script.reload:
                yield Changes(table, reload=self.script.reload)
                continue
            start = int(str(position.value["at"]))
            entries = self.script.log[start : self.at]
            for low in range(0, len(entries), 3):
                yield self._changes(table, entries[low : low + 3], start + low)

    def _changes(self, table: str, entries: list[Entry], first: int) -> Changes:
        envelope = [
            pa.array(range(first, first + len(entries)), pa.int64()),
            pa.array([one.operation for one in entries]),
            pa.array([START + timedelta(seconds=first + at) for at in range(len(entries))], ENVELOPE.field("_at").type),
            pa.array([list(one.kept) or None for one in entries], ENVELOPE.field("_kept").type),
        ]
        columns = [pa.array([one.row[at] for one in entries], kind.type) for at, kind in enumerate(RAW)]
        rows = pa.RecordBatch.from_arrays([*envelope, *columns], schema=pa.schema([*ENVELOPE, *RAW]))
        return Changes(table, rows, ("id",) if self.script.keyed else tuple(RAW.names))


def lake_of(directory: Path, script: Script, *, table: str = "mode: cdc", promises: str = "") -> Lake:
    """Make a lake that reads the script; `table` are the words under the source's table, `promises` those under the lake's."""
    (directory / "limnos.yml").write_text(
        f"version: 1\nproject: s\nsources:\n  s: {{type: scripted, tables: {{rows: {{{table}}}}}}}\ntables:\n  s.rows: {{{promises}}}\n"
    )
    lake = Lake(directory)
    lake.__dict__["_parts"] = replace(lake._parts, source=lambda _: script)
    return lake


def published(lake: Lake, columns: str = "*") -> list[tuple[object, ...]]:
    """Give the published rows, sorted."""
    rows = lake.query(f"SELECT {columns} FROM s.rows").rows()
    return sorted((tuple(row.values()) for row in rows), key=repr)
