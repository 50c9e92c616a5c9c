"""Read a MySQL or MariaDB database as a source."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property, partial
from typing import ClassVar

import pyarrow as pa

from limnos.errors import LimnosError, UnknownName, Unsupported
from limnos.model.changes import Changes, Window
from limnos.model.chunk import Chunk, Chunks
from limnos.model.contract import Column, Contract
from limnos.model.digest import Comparable, Question
from limnos.model.extract import Extract
from limnos.model.names import TableName, quoted
from limnos.model.position import Position
from limnos.model.project import Capability, Mode, Option, SourceConfig
from limnos.model.run import Finding
from limnos.ports import Engine
from limnos.sources.mysql import binlog, catalog, chunks, cursor, digest, health, native
from limnos.sources.mysql.address import Address, Connection, ask, is_mariadb
from limnos.sources.mysql.binlog import ChangeStream
from limnos.sources.mysql.columns import SourceColumn
from limnos.sources.mysql.lanes import Lanes, Result, Stream, Tally
from limnos.sources.mysql.parts import Parts, parts
from limnos.sources.mysql.refusals import changed
from limnos.sources.mysql.snapshot import take
from limnos.sources.protect import Pace

_CLOCK_SKEW_S = 5


class MysqlReading:
    """Read one database in read-only transactions that see the same rows; the catalog is asked over a connection of its own."""

    place = ""

    def __init__(self, connection: Connection, lanes: Lanes, address: Address, config: SourceConfig) -> None:
        self.address = address
        self._connection = connection
        self._lanes = lanes
        self._config = config
        self._tables = catalog.tables(connection, address.database)
        # The catalog is of now, not of the snapshot: what was described once is what is read, or the server refuses it.
        self._columns: dict[str, tuple[SourceColumn, ...]] = {}
        wanted = {table.name for table in config.tables} or set(self._tables)
        self._sums = {name: self._sum(name) for name, table in self._tables.items() if table.unshielded and name in wanted}

    def tables(self) -> tuple[str, ...]:
        """Name every table and view of the database, in the order of their bytes."""
        return tuple(self._tables)

    def describe(self, table: str, target: TableName) -> Contract:
        """Say what the catalog promises of a table."""
        found = self._known(table)
        columns = self.columns(table)
        with self.address.refusals(table):
            key, rules = catalog.rules(self._connection, self.address.database, table, columns, target.namespace)
        promised = tuple(Column(column.name, column.type, required=column.required, description=column.description) for column in columns)
        return Contract(target, promised, key, tuple(rules), description=found.description)

    def columns(self, table: str) -> tuple[SourceColumn, ...]:
        """Describe the columns of a table as its raw rows have them."""
        self._known(table)
        if table not in self._columns:
            with self.address.refusals(table):
                self._columns[table] = catalog.columns(self._connection, self.address.database, table)
        return self._columns[table]

    def position(self, table: str) -> Position:
        """Refuse: nothing at the server tells cheaply and surely that no row changed."""
        self._known(table)
        raise Unsupported(
            "A table of MySQL or MariaDB has no fingerprint",
            subject=f"{self._config.name}.{table}",
            seen=self._config.type,
            expected="a source that shows the versions of its rows",
            hint="nothing to do: it is read in every run; `mode: incremental` or `mode: cdc` reads less",
        )

    def binlog_position(self) -> Mapping[str, object] | None:
        """Say where the binlog stood at this reading's point in time: `file`, `pos`, `gtid`; None if there is none, or nobody can tell."""
        return self._lanes.log

    def read(self, table: str, contract: Contract) -> Extract:
        """Stream a table; counting costs one scan more in the server, but where it tells what each of several SELECTs found."""
        return self._extract(table, "", None)

    def read_since(self, table: str, contract: Contract, window: Window) -> Extract:
        """Stream the rows in the window; an index on the cursor spares the server two scans of three."""
        self._known(table)
        with self.address.refusals(table):
            chosen = cursor.choose(self._lanes.ask, self.columns(table), self._sql(table), window, f"{self._config.name}.{table}")
        return self._extract(table, chosen.where, chosen.position)

    def cut(self, table: str) -> Position:
        """Give the place of this reading's snapshot in the binary log."""
        self._known(table)
        return self._stream.cut(table)

    def changes(self, since: Mapping[str, Position]) -> Iterator[Changes]:
        """Hand over what the binary log says of these tables, up to this reading's snapshot."""
        return self._stream.changes(since)

    def unfollowable(self, table: str) -> LimnosError | None:
        """Say why the binary log does not tell all that happens to a table; None if it does."""
        self._known(table)
        with self.address.refusals(table):
            return binlog.unfollowable(self.address, self._connection, table)

    @cached_property
    def _stream(self) -> ChangeStream:
        return ChangeStream(self.address, self._connection, self._lanes.ask, self._lanes.log)

    def comparable(self, table: str) -> Comparable:
        """Say in which form each column is written for a comparison."""
        return digest.comparable(self.columns(table))

    def digest(self, table: str, question: Question) -> Iterator[pa.RecordBatch]:
        """Answer a question with batches of its schema; the server adds up and hashes."""
        select = digest.select(self._sql(table), self.columns(table), question)
        with self.address.refusals(table):
            yield from digest.batches(self._lanes.ask(select), question)

    def findings(self, name: str) -> Iterator[Finding]:
        """Say which server answers, whether its clock agrees with ours, and which tables may be read and how surely."""
        with self.address.refusals():
            yield from self._findings(name)

    def _findings(self, name: str) -> Iterator[Finding]:
        ((version, now, read_only),) = ask(self._connection, "SELECT version(), unix_timestamp(now(6)), @@global.read_only")
        product = "MariaDB" if is_mariadb(self._connection) else "MySQL"
        detail = f"{product} {version} at {self.address.shown}, {len(self._tables)} tables, opened read-only"
        yield Finding(name, ok=True, detail=detail + (", a read-only server" if read_only in {1, "1", "ON"} else ""))
        yield Finding(name, ok=True, detail=native.compiled().shown)
        skew_s = abs(float(now) - time.time())
        if skew_s > _CLOCK_SKEW_S:
            yield Finding(name, ok=False, detail=f"its clock differs by {skew_s:.0f} s from ours", hint="synchronise both clocks (NTP)")
        wanted = {table.name for table in self._config.tables} or set(self._tables)
        for absent in sorted(wanted - set(self._tables)):
            hint = f"correct its name in limnos.yml, or GRANT SELECT ON {self._sql(absent)} to the user of this source"
            yield Finding(f"{name}, table {absent}", ok=False, detail=f"not in {self.address.database}, or hidden", hint=hint)
        for table in sorted(self._sums):
            detail = f"engine {self._tables[table].engine} has no snapshots: read as it is, refused if it changes meanwhile"
            yield Finding(f"{name}, table {table}", ok=True, detail=detail)
        if any(table.mode is Mode.CDC for table in self._config.tables):
            yield from binlog.findings(self.address, self._connection, name, self._config.known)
        for followed in (table.name for table in self._config.tables if table.mode is Mode.CDC and table.name in self._tables):
            error = self.unfollowable(followed)
            if error is not None:
                yield Finding(f"{name}, table {followed}", ok=False, detail=f"{error.what}: {error.seen}", hint=error.hint)

    def _extract(self, table: str, where: str, position: Position | None) -> Extract:
        found = self._known(table)
        columns = self.columns(table)
        if found.unshielded and table not in self._sums:
            self._sums[table] = self._sum(table)
        source = f"{self._sql(table)} {where}".rstrip()
        schema = pa.schema([pa.field(column.name, column.announced) for column in columns])
        select = f"SELECT {', '.join(column.carrier for column in columns)} FROM {source}"
        with self.address.refusals(table):
            divided = self._divided(table) if not where else None
            if divided is not None:
                return self._in_chunks(table, divided, select, schema)
            whole = Parts() if where or not found.engine else parts(self._connection, self._lanes.ask, self.address.database, table)
            # MySQL has deprecated it. A server that is to be spared has pauses of which the rows set the length.
            tally = Tally() if whole.bounds and is_mariadb(self._connection) and not self._lanes.pace.sparing else None
            rows = 0 if tally else sum(self._counted(source, whole.ranges if self._lanes.pace.sparing else whole.halves))
        self._lanes.pace.expect(rows)
        result = Result([f"{select}{part}" for part in whole.ranges], schema, columns, tally)
        return Extract(schema, rows, position, batches=self._batches(table, result), counted=(lambda: tally.rows) if tally else None)

    def _divided(self, table: str) -> chunks.Division | None:
        """Divide a table into chunks where the log will tell which of them changed."""
        if not any(one.name == table and one.mode is Mode.CDC for one in self._config.tables):
            return None
        return chunks.divide(self._connection, self._lanes.ask, self.address.database, table)

    def _in_chunks(self, table: str, divided: chunks.Division, select: str, schema: pa.Schema) -> Extract:
        columns, relation = self.columns(table), self._sql(table)
        cut = self.cut(table)
        said = json.dumps(cut.value, sort_keys=True)
        counts = self._counted(relation, [divided.range(start) for start in divided.starts])
        found = {divided.name(start): start for start in divided.starts}
        now = {name: Chunk(name, rows, said) for name, rows in zip(found, counts, strict=True) if rows}
        rows = sum(chunk.rows for chunk in now.values())
        self._lanes.pace.expect(rows)

        def selects(chosen: Sequence[Chunk]) -> Result:
            return Result([one for chunk in chosen for one in divided.selects(select, found[chunk.name])], schema, columns)

        def read(chosen: Sequence[Chunk]) -> Generator[Iterator[pa.RecordBatch]]:
            for chunk in chosen:
                yield self._batches(table, selects([chunk]))

        basis = json.dumps([cut.value["server"], relation, divided.column, select])
        parted = Chunks(basis, tuple(now.values()), partial(chunks.untouched, self._stream, table, divided, now), read)
        everything = selects(parted.all)
        return Extract(schema, rows, cut, batches=self._batches(table, everything), chunks=parted if len(now) > 1 else None)

    def _counted(self, source: str, ranges: Sequence[str]) -> Iterator[int]:
        """Count the rows of ranges; one after the other and with pauses, where the server is to be spared."""
        counts = [f"SELECT count(*) FROM {source}{part}" for part in ranges]
        at_once = 1 if self._lanes.pace.sparing else 2
        for some in [counts[at : at + at_once] for at in range(0, len(counts), at_once)]:
            for (rows,) in self._lanes.ask(*some):
                yield int(rows)
                self._lanes.pace.scanned(int(rows))

    def _batches(self, table: str, result: Result) -> Iterator[pa.RecordBatch]:
        yield from Stream(self._lanes, self.address, table, result)
        if table in self._sums and self._sums[table] != (now := self._sum(table)):
            raise changed(self._config.name, table, f"checksum {now} after {self._sums[table]}: its engine has no snapshots")

    def _sum(self, table: str) -> object:
        with self.address.refusals(table):
            return ask(self._connection, f"CHECKSUM TABLE {self._sql(table)} EXTENDED")[0][1]

    def _known(self, table: str) -> catalog.Table:
        if table not in self._tables:
            raise UnknownName.among("table", table, self._tables, hint=f"limnos doctor {self._config.name}")
        return self._tables[table]

    def _sql(self, table: str) -> str:
        return f"{quoted(self.address.database)}.{quoted(table)}"


class MysqlSource:
    """Read one database of a MySQL server, never writing to it."""

    kind: ClassVar[str] = "mysql"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.KEYS, Capability.INCREMENTAL, Capability.CHANGES, Capability.DIGEST}
    )
    options: ClassVar[tuple[Option, ...]] = (
        Option("url", required=True, secret=True, description="mysql://user:password@host:port/database"),
    )

    def __init__(self, config: SourceConfig, engine: Engine) -> None:
        self._config = config

    @contextmanager
    def open(self) -> Generator[MysqlReading]:
        """Connect, and begin read-only transactions that see the database as it is now."""
        choice = health.choose(self._config)
        address = choice.address
        probe = health.Probe(address)
        with closing(address.connect()) as connection, closing(probe), closing(Pace(self._config.protect, probe)) as pace:
            lanes = Lanes(address, take(address, max(1, self._config.protect.connections)), pace)
            with closing(lanes):
                with address.refusals():
                    reading = MysqlReading(connection, lanes, address, self._config)
                    reading.place = choice.note
                yield reading

    def prepare(self) -> None:
        """Check that the server keeps its binary log in full rows and gives it to this user; nothing is changed there."""
        binlog.prepare(Address(self._config))

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        """Do nothing: the server keeps its log by age, for whoever reads it."""

    def findings(self) -> Iterable[Finding]:
        """Examine reach, clock, and each table."""
        name = f"source {self._config.name}"
        try:
            with self.open() as reading:
                return [*health.findings(self._config, name), *reading.findings(name)]
        except LimnosError as error:
            return [Finding(name, ok=False, detail=f"{error.what}: {error.seen}", hint=error.hint)]


class MariadbSource(MysqlSource):
    """Read one database of a MariaDB server, never writing to it."""

    kind: ClassVar[str] = "mariadb"
