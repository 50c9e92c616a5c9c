"""Read a PostgreSQL database: one snapshot for all tables, rows as Arrow."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import cached_property, partial
from typing import Any, ClassVar

import psycopg
import pyarrow as pa

from limnos.errors import LimnosError, UnknownName, Unsupported
from limnos.model.changes import Changes, Window
from limnos.model.chunk import Chunk, Chunks
from limnos.model.contract import Column, Contract
from limnos.model.digest import Comparable, Question
from limnos.model.extract import Extract
from limnos.model.names import TableName, literal, quoted
from limnos.model.position import Position
from limnos.model.project import Capability, Option, SourceConfig
from limnos.model.run import Finding
from limnos.ports import Ahead, Engine
from limnos.sources.postgres import catalog, cursor, digest, form, health, native, transfer
from limnos.sources.postgres.ahead import PostgresAhead
from limnos.sources.postgres.columns import Carrier
from limnos.sources.postgres.decode import decode
from limnos.sources.postgres.parallel import Parallel
from limnos.sources.postgres.refusals import Address, changed
from limnos.sources.postgres.stream import ChangeStream, slot
from limnos.sources.postgres.wire import Wire
from limnos.sources.protect import Pace

_CLOCK_SKEW_S = 5
_KINDS = {"v": "a view", "f": "a foreign table"}
# How values are written as text is a setting of the server; here it is ours, so that the same value is always the same text.
_SETTINGS = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "jit": "off",
    "standard_conforming_strings": "on",
    "idle_in_transaction_session_timeout": "0",
}


class PostgresReading:
    """Read one schema in one read-only transaction; each stream is a connection of its own that shares its snapshot."""

    place = ""

    def __init__(self, connection: psycopg.Connection[Any], address: Address, config: SourceConfig, pace: Pace) -> None:
        self._connection = connection
        self._address = address
        self._config = config
        self._schema = str(config.options.get("schema") or "public")
        ((self._snapshot,),) = catalog.ask(connection, "SELECT pg_export_snapshot()")
        catalog.ask(connection, f"SAVEPOINT {catalog.SAVEPOINT}")
        self._tables = catalog.tables(connection, self._schema)
        self._positions: dict[str, Position] = {}
        self._divisions: dict[str, tuple[transfer.Division, Mapping[int, Chunk]]] = {}
        self._pace = pace

    def tables(self) -> tuple[str, ...]:
        """Name every table, view and foreign table of the schema, in alphabetical order; partitions are part of their table."""
        return tuple(self._tables)

    def describe(self, table: str, target: TableName) -> Contract:
        """Say what the catalog promises of a table."""
        found = self._known(table)
        with self._address.refusals(table):
            columns = catalog.columns(self._connection, found)
            key, rules = catalog.rules(self._connection, found, columns, target.namespace)
        promised = tuple(
            Column(
                column.name,
                column.type,
                required=column.required,
                description=column.description,
                origin=f"{found.oid}.{column.number}",
            )
            for column in columns
        )
        return Contract(target, promised, key, tuple(rules), description=found.description)

    def position(self, table: str) -> Position:
        """Sum up the versions of all visible rows, in the server; costs one scan there and sends one row.

        Raises:
            Unsupported: If it is a view or a foreign table, whose rows show no version.
        """
        found = self._known(table)
        if table in self._positions:
            return self._positions[table]
        if not found.versioned:
            raise Unsupported(
                f"{_KINDS.get(found.kind, 'this kind of table').capitalize()} of PostgreSQL has no fingerprint",
                subject=f"{self._config.name}.{table}",
                seen=_KINDS.get(found.kind, "a table that is not on a heap"),
                expected="a table or a materialized view",
                hint="nothing to do: it is read in every run",
            )
        with self._address.refusals(table):
            chunks = self._counted(found)
            self._unchanged(found)
            value = form.found(self._connection, found, self._address)
        rows, total = sum(chunk.rows for chunk in chunks), sum(int(chunk.content) for chunk in chunks)
        return self._positions.setdefault(table, Position(PostgresSource.kind, {**value, "rows": rows, "versions": str(total)}))

    def _counted(self, table: catalog.Table) -> Iterable[Chunk]:
        """Count the rows of each chunk, and sum up their versions; a chunk without rows is none."""
        division = self._division(table)
        versions = table.version if self._connection.info.server_version >= catalog.TID_HASHES else catalog.OLD_VERSION
        asked = [
            f"SELECT {start}::int8, count(*), sum({versions})::text FROM {self._sql(table.name)} WHERE {where}"
            for start, where in division.ranges().items()
        ]
        chunks = {start: Chunk(division.name(start), rows, total) for start, rows, total in self._scanned(asked) if rows}
        self._divisions[table.name] = division, chunks
        return chunks.values()

    def _scanned(self, selects: Sequence[str]) -> Iterable[tuple[Any, ...]]:
        """Give the one row of each SELECT, paced by the rows that it counts as its second value.

        The server runs one of several on one core: several connections share them, as its own workers would, each taking the next.
        """
        lanes = min(self._config.protect.connections, len(selects))
        # Of a list, several threads may take the next one.
        unasked = iter(selects)

        def paced(connection: psycopg.Connection[Any]) -> Iterator[tuple[Any, ...]]:
            with self._pace.lane():
                for select in unasked:
                    (row,) = catalog.ask(connection, select)
                    if not self._config.protect.max_snapshot_age_s:
                        self._pace.scanned(row[1])
                    yield row

        def share(_: int) -> list[tuple[Any, ...]]:
            with self._another() as connection:
                return list(paced(connection))

        if lanes == 1:
            return list(paced(self._connection))

        with ThreadPoolExecutor(lanes) as pool:
            return sorted(row for rows in pool.map(share, range(lanes)) for row in rows)

    def read(self, table: str, contract: Contract) -> Extract:
        """Stream a table over connections of its own, which open with the first batch and must find this reading still open."""
        found = self._known(table)
        position = self.position(table) if found.versioned else None
        with self._address.refusals(table):
            rows = position.value["rows"] if position else self._ask(f"SELECT count(*) FROM {self._sql(table)}")[0][0]
            return self._extract(found, contract, int(str(rows)), position)

    def read_since(self, table: str, contract: Contract, window: Window) -> Extract:
        """Stream the rows in a window; finding it costs one scan in the server, or what its indexes spare of that."""
        found = self._known(table)
        with self._address.refusals(table):
            columns = {column.name: column for column in catalog.columns(self._connection, found)}
            if window.cursor not in columns:
                raise UnknownName.among("column", window.cursor, columns, hint="correct `cursor` in limnos.yml")
            where = f"{self._config.name}.{table}"
            chosen = cursor.choose(self._ask, columns[window.cursor], self._sql(table), window, where)
            if not chosen.where and len(self._division(found).starts) > 1:
                # All rows of a large table: their versions tell which chunks of it are as they were.
                self.position(table)
            return self._extract(found, contract, chosen.rows, chosen.position, chosen.where)

    def _extract(self, table: catalog.Table, contract: Contract, rows: int, position: Position | None, where: str = "") -> Extract:
        self._pace.expect(rows)
        carriers = catalog.carriers(self._connection, table, contract)
        self._unchanged(table)
        sending = form.Sending(table, self._sql(table.name), carriers)
        select = sending.select()
        schema = pa.schema([pa.field(carrier.name, carrier.announced) for carrier in carriers])
        division, counted = self._divisions.get(table.name, (transfer.Division(), {}))
        if where or not position or len(division.starts) == 0:
            plain = f"{select} WHERE {where}" if where else select
            return Extract(schema, rows, position, batches=self._batches(table.name, (plain,), carriers))
        parts = {counted[start].name: division.selects(select, start) for start in counted}

        def read(chosen: Sequence[Chunk]) -> Generator[Iterator[pa.RecordBatch]]:
            return self._parts(table.name, [parts[chunk.name] for chunk in chosen], carriers)

        basis = sending.basis(self._connection, self._address)
        content = frozenset(counted.values())
        chunks = Chunks(basis, tuple(counted.values()), content.intersection, read)
        everything = tuple(one for selects in parts.values() for one in selects)
        return Extract(
            schema,
            rows,
            position,
            batches=self._batches(table.name, everything, carriers),
            chunks=chunks if len(parts) > 1 or self._config.protect.max_snapshot_age_s else None,
        )

    def ahead(self, table: str, contract: Contract) -> Ahead | None:
        """Prepare to read the chunks of a table under short snapshots; None if it has none."""
        found = self._known(table)
        with self._address.refusals(table):
            division = self._division(found)
            if not division.starts:
                return None
            sending = form.Sending(found, self._sql(table), catalog.carriers(self._connection, found, contract))
            basis = sending.basis(self._connection, self._address)
            settings = tuple(_settings(self._config, "SET"))
        return PostgresAhead(self._address, self._config, settings, sending, division, basis)

    def _division(self, table: catalog.Table) -> transfer.Division:
        ahead = self._config.protect.max_snapshot_age_s
        return transfer.divide(self._connection, table, transfer.AHEAD_BLOCKS if ahead else transfer.CHUNK_BLOCKS)

    def cut(self, table: str) -> Position:
        """Say where the change stream stands at this reading's snapshot."""
        return self._stream.cut(table)

    def unfollowable(self, table: str) -> LimnosError | None:
        """Say why the log does not tell what happens to a table; None if it does."""
        self._known(table)
        with self._address.refusals(table):
            return slot.unsound(self._config, slot.facts(self._connection, self._config, [table])[table])

    def changes(self, since: Mapping[str, Position]) -> Iterator[Changes]:
        """Hand over what happened to these tables between their positions and this reading's snapshot."""
        return self._stream.changes(since)

    @cached_property
    def _stream(self) -> ChangeStream:
        with self._address.refusals():
            return ChangeStream(self._connection, self._address, self._config, tuple(_settings(self._config)))

    def comparable(self, table: str) -> Comparable:
        """Say in which form each column is written for a comparison."""
        with self._address.refusals(table):
            return digest.comparable(self._connection, catalog.columns(self._connection, self._known(table)))

    def digest(self, table: str, question: Question) -> Iterator[pa.RecordBatch]:
        """Answer a question with batches of its schema; the server adds up and hashes."""
        found = self._known(table)
        with self._address.refusals(table):
            yield from digest.answer(self._connection, self._sql(table), catalog.columns(self._connection, found), question)

    def findings(self, name: str) -> Iterator[Finding]:
        """Say which server answers, whether its clock agrees with ours, and which tables may be read."""
        with self._address.refusals():
            yield from self._findings(name)

    def _findings(self, name: str) -> Iterator[Finding]:
        ((version, server_time),) = catalog.ask(
            self._connection, "SELECT current_setting('server_version'), extract(epoch FROM clock_timestamp())::float8"
        )
        yield Finding(name, ok=True, detail=f"PostgreSQL {version} at {self._address.shown}, {len(self._tables)} tables, opened read-only")
        yield Finding(name, ok=True, detail=native.compiled().shown)
        skew_s = abs(server_time - time.time())
        if skew_s > _CLOCK_SKEW_S:
            yield Finding(name, ok=False, detail=f"its clock differs by {skew_s:.0f} s from ours", hint="synchronise both clocks (NTP)")
        yield from slot.findings(self._connection, self._config, name)
        wanted = {table.name for table in self._config.tables} or set(self._tables)
        for absent in sorted(wanted - set(self._tables)):
            yield Finding(
                f"{name}, table {absent}", ok=False, detail=f"not in schema {self._schema}", hint="correct its name in limnos.yml"
            )
        asked = [table.oid for table in self._tables.values() if table.name in wanted]
        for table, readable, filtered in catalog.ask(self._connection, catalog.RIGHTS, asked):
            if not readable:
                grant = f"GRANT SELECT ON {self._sql(table)} TO {quoted(self._connection.info.user)}"
                yield Finding(f"{name}, table {table}", ok=False, detail="may not be read", hint=grant)
            elif filtered:
                yield Finding(f"{name}, table {table}", ok=True, detail="row-level security hides the rows that this user may not see")

    def _known(self, table: str) -> catalog.Table:
        if table not in self._tables:
            raise UnknownName.among("table", table, self._tables, hint=f"limnos doctor {self._config.name}")
        return self._tables[table]

    def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        return catalog.ask(self._connection, sql)

    def _sql(self, table: str) -> str:
        return f"{quoted(self._schema)}.{quoted(table)}"

    def _unchanged(self, table: catalog.Table) -> None:
        """Refuse what TRUNCATE and rewriting ALTERs leave to older snapshots: an empty table, with no error."""
        ((rewritten,),) = catalog.ask(self._connection, catalog.REWRITTEN, table.oid, table.oid)
        if rewritten:
            raise changed(self._config.name, table.name, "another file than at the beginning of the reading")

    def _batches(self, table: str, selects: Sequence[str], carriers: Sequence[Carrier]) -> Iterator[pa.RecordBatch]:
        with closing(self._parts(table, [selects], carriers)) as parts:
            for part in parts:
                yield from part

    def _parts(self, table: str, parts: Sequence[Sequence[str]], carriers: Sequence[Carrier]) -> Generator[Iterator[pa.RecordBatch]]:
        library = native.compiled().library
        lanes = Parallel(partial(self._lane, library), parts, lambda rows: decode(rows, carriers, library), self._pace)
        with closing(lanes.parts()) as found:
            for part in found:
                yield self._told(table, part)

    def _told(self, table: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with self._address.refusals(table):
            yield from batches

    @contextmanager
    def _lane(self, library: ctypes.CDLL | None) -> Generator[Wire]:
        with self._another() as connection:
            catalog.ask(connection, f"SET LOCAL statement_timeout = {round(self._pace.limit_s * 1000)}")
            with closing(Wire(connection, library)) as wire:
                yield wire

    @contextmanager
    def _another(self) -> Generator[psycopg.Connection[Any]]:
        """Open one more connection that sees what this reading sees."""
        with closing(psycopg.connect(self._address.conninfo, autocommit=True, prepare_threshold=None)) as connection:
            catalog.ask(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            catalog.ask(connection, f"SET TRANSACTION SNAPSHOT {literal(self._snapshot)}")
            for statement in _settings(self._config):
                catalog.ask(connection, statement)
            yield connection


class PostgresSource:
    """Read one schema of a PostgreSQL database, never writing to it."""

    kind: ClassVar[str] = "postgres"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.FINGERPRINT, Capability.KEYS, Capability.INCREMENTAL, Capability.CHANGES, Capability.DIGEST}
    )
    options: ClassVar[tuple[Option, ...]] = (
        Option("url", required=True, secret=True, description="postgresql://user:password@host:port/database"),
        Option("schema", default="public", description="the schema whose tables are read"),
        Option("statement_timeout", description="the older place of `protect: {statement_timeout: 5m}`, which wins"),
        Option("slot", description="the replication slot of the tables of mode `cdc`; without it, limnos_ and the source's name"),
        Option("publication", description="the publication of the tables of mode `cdc`; without it, named as the slot"),
    )

    def __init__(self, config: SourceConfig, engine: Engine) -> None:
        self._config = config

    @contextmanager
    def open(self) -> Generator[PostgresReading]:
        """Connect, and begin a read-only transaction that sees the database as it is now."""
        choice = health.choose(self._config)
        address = choice.address
        with address.refusals():
            connection = psycopg.connect(address.conninfo, prepare_threshold=None)
        with closing(connection), closing(health.Probe(address)) as probe, closing(Pace(self._config.protect, probe)) as pace:
            with address.refusals():
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                connection.read_only = True
                for statement in _settings(self._config):
                    catalog.ask(connection, statement)
                reading = PostgresReading(connection, address, self._config, pace)
                reading.place = choice.note
            yield reading

    def prepare(self) -> None:
        """Make sure of publication and replication slot for the tables of mode `cdc`."""
        slot.prepare(self._config)

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        """Let the server forget its log up to what was published."""
        slot.acknowledge(self._config, positions)

    def findings(self) -> Iterable[Finding]:
        """Examine reach, clock, and the right to read each table."""
        name = f"source {self._config.name}"
        try:
            with self.open() as reading:
                return [*health.findings(self._config, name), *reading.findings(name)]
        except LimnosError as error:
            return [Finding(name, ok=False, detail=f"{error.what}: {error.seen}", hint=error.hint)]


def _settings(config: SourceConfig, verb: str = "SET LOCAL") -> Iterator[str]:
    limits = {"statement_timeout": config.protect.statement_timeout_s, "lock_timeout": config.protect.lock_timeout_s}
    workers = {"max_parallel_workers_per_gather": str(config.protect.connections - 1)}
    values: Mapping[str, str] = {**_SETTINGS, **workers, **{name: str(round(limit_s * 1000)) for name, limit_s in limits.items()}}
    return (f"{verb} {name} = {literal(value)}" for name, value in values.items())
