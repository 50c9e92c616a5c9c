"""Follow tables through the events of a log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa

from limnos.model.changes import ENVELOPE, Changes, Operation
from limnos.sources.mysql.binlog import events, place
from limnos.sources.mysql.binlog.batch import Batch, changed_columns
from limnos.sources.mysql.binlog.events import DELETE, ROWS, WRITE, Event, Kind, TableMap
from limnos.sources.mysql.binlog.layout import UnknownLayout, cells
from limnos.sources.mysql.binlog.shape import Cascade, Shape
from limnos.sources.mysql.binlog.statements import effect

_BATCH_BYTES, _HELD_BYTES = 4 * 1024 * 1024, 32 * 1024 * 1024
_GROUP_STARTS = frozenset({Kind.MARIADB_GTID, Kind.GTID, Kind.ANONYMOUS_GTID})
# Plain numbers, for looking a member of an enumeration up takes longer than all else that is done for an event.
_ROTATE, _TABLE_MAP = int(Kind.ROTATE), int(Kind.TABLE_MAP)
STATEMENTS = frozenset({Kind.QUERY, Kind.QUERY_COMPRESSED, Kind.EXECUTE_LOAD_QUERY})


@dataclass(slots=True)
class Followed:
    """Follow one table through the log. `since` is its place, or `gtid` where the places of another server say nothing."""

    name: str
    shape: Shape
    since: int | None
    gtid: Mapping[int, int]
    batch: Batch | None = None
    layout: TableMap | None = None
    reload: str = ""
    told: bool = False
    whole_prefixes: dict[int, bytes] = field(default_factory=dict[int, bytes])
    """What stands between table id and rows in an event of each kind, where its images are whole: the same in almost all of them."""

    def whole(self, present: bytes) -> bool:
        """Tell whether a row image has all columns."""
        every = (1 << len(self.shape.columns)) - 1
        return int.from_bytes(present, "little") & every == every


@dataclass(slots=True)
class Follower:
    """Go once through a part of the log, beginning in the file that begins at `here`."""

    tables: dict[str, Followed]
    database: str
    cascades: Mapping[tuple[str, str], tuple[Cascade, ...]]
    sequence: int
    here: int
    _base: int = field(init=False)
    _maps: dict[int, Followed | None] = field(default_factory=dict[int, Followed | None])
    _parents: dict[int, tuple[TableMap, tuple[Cascade, ...]]] = field(default_factory=dict[int, tuple[TableMap, tuple[Cascade, ...]]])
    _known: dict[bytes, tuple[int, TableMap]] = field(default_factory=dict[bytes, tuple[int, TableMap]])
    _settled: set[bytes] = field(default_factory=set[bytes])
    _group: Event | None = None
    _committed_us: int = 0
    _held: int = 0
    _touched: set[str] = field(default_factory=set[str])
    _xa: bool = False
    _prepared: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def __post_init__(self) -> None:
        self._base = self.here

    def follow(self, log: Iterator[Event], target: int) -> Iterator[Changes]:
        """Read events up to the target."""
        for event in log:
            kind, _, _, end, _, body = event
            if kind == _ROTATE:
                self.here = self._base = place.at(events.rotation(event.body), 0)
                # A server that was started again numbers its tables anew.
                self._maps.clear()
                self._parents.clear()
                self._settled.clear()
                continue
            if end:
                # Places are sent as 32 bits; a file that ends with a huge transaction may be longer.
                self._base += (self._base + end < self.here) << 32
                self.here = self._base + end
            if self.here > target:
                return
            if kind in ROWS:
                if self._rows(event):
                    yield from self._full()
            elif kind == _TABLE_MAP:
                if body not in self._settled:
                    self._map(body)
            elif kind in _GROUP_STARTS:
                self._begin(event)
            else:
                yield from self._other(event)

    def _other(self, event: Event) -> Iterator[Changes]:
        if event.kind in STATEMENTS:
            yield from self._statement(event)
        elif event.kind == Kind.XA_PREPARE:
            if event.body[0]:
                self._xa_committed(self._touched)
        elif not event.flags & events.IGNORABLE:
            self.lost(f"its log holds an event of kind {event.kind}, which is not known here")

    def lost(self, why: str) -> None:
        """Have every table read anew."""
        for table in self.tables.values():
            self._reload(table, why)

    def rest(self) -> Iterator[Changes]:
        """Give what is still held."""
        for table in self.tables.values():
            yield from self._flush(table)

    def _reload(self, table: Followed, why: str) -> None:
        table.reload = table.reload or why
        table.batch = None

    def _flush(self, table: Followed) -> Iterator[Changes]:
        if table.batch is not None and table.batch.size and not table.reload:
            try:
                yield table.batch.changes()
            except UnknownLayout as unknown:
                self._reload(table, f"its rows in the log are not of the form that the catalog describes: {unknown.args[0]}")
        if table.reload and not table.told:
            table.told = True
            yield Changes(table.name, reload=table.reload)

    def _full(self) -> Iterator[Changes]:
        every = self._held >= _HELD_BYTES
        for table in self.tables.values():
            if table.batch is not None and (every or table.batch.size >= _BATCH_BYTES):
                yield from self._flush(table)
        self._held = sum(table.batch.size for table in self.tables.values() if table.batch is not None)

    def _begin(self, event: Event) -> None:
        self._touched.clear()
        self._xa = False
        if event.kind == Kind.MARIADB_GTID:
            self._group = event
            self._xa = bool(event.body[12] & events.PREPARES_XA)
        else:
            self._committed_us = events.commit_us(event.body)

    def _wanted(self, table: Followed) -> bool:
        """Tell whether the table's position leaves the group that ends here or later still to be told."""
        if table.reload:
            return False
        if table.since is not None:
            return self.here > table.since
        if self._group is None:
            return True
        group = events.mariadb_gtid(self._group.body, self._group.server)
        return group.number > table.gtid.get(group.domain, 0)

    def _map(self, body: bytes) -> None:
        if body not in self._known:
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[body] = events.table_map(body)
        table_id, found = self._known[body]
        if table_id in self._maps:
            self._settled.clear()
        if links := self.cascades.get((found.database, found.table)):
            self._parents[table_id] = found, links
        table = self.tables.get(found.table) if found.database == self.database else None
        self._maps[table_id] = None
        if table is None or not self._wanted(table):
            return
        if table.layout is None:
            self._lay_out(table, found)
        elif table.layout != found:
            self._reload(table, "its rows lie otherwise in a later part of the log")
            return
        self._maps[table_id] = table
        if table.since is not None:
            # What is wanted from a place on is so to the end; the same map again says nothing new.
            self._settled.add(body)

    def _lay_out(self, table: Followed, found: TableMap) -> None:
        try:
            laid = cells(found)
        except UnknownLayout as unknown:
            self._reload(table, f"its rows in the log are not of a form that is known here: {unknown.args[0]}")
            return
        if not table.shape.fits(laid):
            self._reload(table, "its rows in the log have other columns than the table has now")
            return
        table.layout = found
        table.batch = Batch(table.name, laid, table.shape.columns, table.shape.identity)

    def _rows(self, event: Event) -> bool:
        """Take the rows of an event; tells whether so much is held that some should be handed on."""
        kind, at_s, _, _, _, body = event
        table_id = int.from_bytes(body[:6], "little")
        action, _, compressed = ROWS[kind]
        if table_id in self._parents and action != WRITE:
            self._cascade(*self._parents[table_id], event)
        table = self._maps.get(table_id)
        if table is None or (batch := table.batch) is None:
            return False
        self._touched.add(table.name)
        if self._xa:
            return False
        prefix = table.whole_prefixes.get(kind)
        if prefix and body.startswith(prefix, 8):
            payload = body[8 + len(prefix) :]
        else:
            found = events.rows(kind, body)
            payload = found.payload
            if not (table.whole(found.present) and table.whole(found.after)):
                self._reload(table, "the log holds only parts of its rows; SET GLOBAL binlog_row_image = FULL")
                return False
            if not compressed:
                table.whole_prefixes[kind] = body[8 : len(body) - len(payload)]
        batch.add(action, self._committed_us or at_s * 1_000_000, self.sequence, payload)
        self.sequence += len(payload)
        self._held += len(payload)
        return self._held >= _HELD_BYTES or batch.size >= _BATCH_BYTES

    def _cascade(self, parent: TableMap, links: tuple[Cascade, ...], event: Event) -> None:
        deletes = ROWS[event.kind][0] == DELETE
        changed: set[int] = set()
        for link in links:
            table = self.tables[link.table]
            if not (link.deletes if deletes else link.updates) or not self._wanted(table):
                continue
            if not deletes and not changed:
                changed = changed_columns(cells(parent), events.rows(event.kind, event.body))
            if deletes or link.column in changed:
                self._reload(table, "rows of a table that it refers to went or got another key, and a cascade is not in the log")

    def _statement(self, event: Event) -> Iterator[Changes]:
        said = statement_of(event)
        verb, _, rest = said.text.lstrip().partition(" ")
        if verb == "XA":
            self._xa_statement(rest)
            return
        wanted = {name: table for name, table in self.tables.items() if self._wanted(table)}
        if verb == "ROLLBACK":
            for name in self._touched & set(wanted):
                self._reload(wanted[name], "a transaction was rolled back in part, and the log does not say which rows stayed")
            return
        found = effect(said, self.database, wanted)
        for name in found.reshaped:
            self._reload(wanted[name], f"{found.verb} changed it by a statement that the log holds without rows")
        if found.truncated:
            yield from self._truncate(wanted[found.truncated], event)

    def _truncate(self, table: Followed, event: Event) -> Iterator[Changes]:
        yield from self._flush(table)
        schema = pa.schema([*ENVELOPE, *table.shape.schema])
        values = (self.sequence, Operation.TRUNCATE.value, datetime.fromtimestamp(event.at_s, UTC), None)
        columns = [pa.array([value], kind.type) for value, kind in zip(values, ENVELOPE, strict=True)]
        nothing = [pa.nulls(1, kind.type) for kind in table.shape.schema]
        self.sequence += 1
        yield Changes(table.name, pa.RecordBatch.from_arrays([*columns, *nothing], schema=schema), table.shape.identity)

    def _xa_statement(self, text: str) -> None:
        """Follow an XA transaction: its rows come when it is prepared, and count when it is committed, which may be much later."""
        verb, _, name = text.strip().partition(" ")
        if verb in {"START", "BEGIN"}:
            self._xa = True
        elif verb == "END":
            self._prepared[name] = set(self._touched)
        elif verb == "COMMIT":
            self._xa_committed(self._prepared.pop(name, set(self.tables)))
        elif verb == "ROLLBACK":
            self._prepared.pop(name, None)

    def _xa_committed(self, tables: set[str]) -> None:
        for name in tables:
            self._reload(self.tables[name], "an XA transaction was committed whose rows stand elsewhere in the log")


def statement_of(event: Event) -> events.Statement:
    """Read the statement that one of `STATEMENTS` holds."""
    load, compressed = event.kind == Kind.EXECUTE_LOAD_QUERY, event.kind == Kind.QUERY_COMPRESSED
    return events.statement(event.body, load=load, compressed=compressed)
