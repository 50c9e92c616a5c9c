"""Read a PostgreSQL database: one snapshot for all tables, rows as Arrow."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, ClassVar

import psycopg
import pyarrow as pa
from adbc_driver_postgresql import dbapi  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs]

from limnos.errors import LimnosError, ProjectInvalid, UnknownName, Unsupported
from limnos.model.contract import Column, Contract
from limnos.model.extract import Extract
from limnos.model.names import TableName, literal, quoted
from limnos.model.position import Position
from limnos.model.project import Capability, Option, SourceConfig
from limnos.model.run import Finding
from limnos.ports import Engine
from limnos.sources.postgres import catalog
from limnos.sources.postgres.refusals import Address, changed

_CLOCK_SKEW_S = 5
_DURATION = re.compile(r"(\d+)\s*(ms|s|m|h)?")
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_KINDS = {"v": "a view", "f": "a foreign table"}
# How values are written as text is a setting of the server; here it is ours, so that the same value is always the same text.
_SETTINGS = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "standard_conforming_strings": "on",
    "idle_in_transaction_session_timeout": "0",
}


class PostgresReading:
    """Read one schema in one read-only transaction; each stream is a connection of its own that shares its snapshot."""

    def __init__(self, connection: psycopg.Connection[Any], address: Address, config: SourceConfig) -> None:
        self._connection = connection
        self._address = address
        self._config = config
        self._schema = str(config.options.get("schema") or "public")
        ((self._snapshot,),) = catalog.ask(connection, "SELECT pg_export_snapshot()")
        self._tables = catalog.tables(connection, self._schema)
        self._positions: dict[str, Position] = {}

    def tables(self) -> tuple[str, ...]:
        """Name every table, view and foreign table of the schema, in alphabetical order; partitions are part of their table."""
        return tuple(self._tables)

    def describe(self, table: str, target: TableName) -> Contract:
        """Say what the catalog promises of a table."""
        found = self._known(table)
        with self._address.refusals(table):
            columns = catalog.columns(self._connection, found)
            key, rules = catalog.rules(self._connection, found, columns, target.namespace)
        promised = tuple(Column(column.name, column.type, required=column.required, description=column.description) for column in columns)
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
        versions = "hash_record_extended(ROW(tableoid, ctid, xmin), 0)"
        if self._connection.info.server_version < 140000:
            versions = "hashtextextended(concat_ws(' ', tableoid, ctid, xmin), 0)"
        with self._address.refusals(table):
            ((rows, total),) = catalog.ask(self._connection, f"SELECT count(*), coalesce(sum({versions}), 0)::text FROM {self._sql(table)}")
            self._unchanged(found)
            ((shape,),) = catalog.ask(self._connection, catalog.SHAPE, found.oid)
            ((allowed,),) = catalog.ask(self._connection, catalog.SERVER)
            server = list(catalog.ask(self._connection, catalog.IDENTITY)[0]) if allowed else [self._address.shown]
        value = {"server": server, "oid": found.oid, "shape": shape, "rows": rows, "versions": total}
        return self._positions.setdefault(table, Position(PostgresSource.kind, value))

    def read(self, table: str, contract: Contract) -> Extract:
        """Stream a table over a connection of its own, which opens with the first batch and must find this reading still open."""
        found = self._known(table)
        with self._address.refusals(table):
            columns = catalog.columns(self._connection, found)
            counted = [column for column in columns if column.odd]
            counts = ", ".join(["count(*)", *(column.odd for column in counted)])
            ((rows, *odd),) = catalog.ask(self._connection, f"SELECT {counts} FROM {self._sql(table)}")
            self._unchanged(found)
        as_text = {column.name for column, count in zip(counted, odd, strict=True) if count}
        carriers = [column.carrier(odd=column.name in as_text) for column in columns]
        schema = pa.schema([pa.field(column.name, kind) for column, (_, kind) in zip(columns, carriers, strict=True)])
        select = f"SELECT {', '.join(sql for sql, _ in carriers)} FROM {self._sql(table)}"
        position = self.position(table) if found.versioned else None
        return Extract(schema, rows, position, batches=self._batches(table, select, schema))

    def findings(self, name: str) -> Iterator[Finding]:
        """Say which server answers, whether its clock agrees with ours, and which tables may be read."""
        ((version, server_time),) = catalog.ask(
            self._connection, "SELECT current_setting('server_version'), extract(epoch FROM clock_timestamp())::float8"
        )
        yield Finding(name, ok=True, detail=f"PostgreSQL {version} at {self._address.shown}, {len(self._tables)} tables, opened read-only")
        skew_s = abs(server_time - time.time())
        if skew_s > _CLOCK_SKEW_S:
            yield Finding(name, ok=False, detail=f"its clock differs by {skew_s:.0f} s from ours", hint="synchronise both clocks (NTP)")
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

    def _sql(self, table: str) -> str:
        return f"{quoted(self._schema)}.{quoted(table)}"

    def _unchanged(self, table: catalog.Table) -> None:
        """Refuse what TRUNCATE and rewriting ALTERs leave to older snapshots: an empty table, with no error."""
        ((rewritten,),) = catalog.ask(self._connection, catalog.REWRITTEN, table.oid, table.oid)
        if rewritten:
            raise changed(self._config.name, table.name, "another file than at the beginning of the reading")

    def _batches(self, table: str, select: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with (
            self._address.refusals(table),
            closing(dbapi.connect(self._address.conninfo)) as connection,
            closing(connection.cursor()) as cursor,
        ):
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute(f"SET TRANSACTION SNAPSHOT {literal(self._snapshot)}")
            for statement in _settings(self._config):
                cursor.execute(statement)
            cursor.execute(select)
            for batch in cursor.fetch_record_batch():
                yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)


class PostgresSource:
    """Read one schema of a PostgreSQL database, never writing to it."""

    kind: ClassVar[str] = "postgres"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.FINGERPRINT, Capability.KEYS})
    options: ClassVar[tuple[Option, ...]] = (
        Option("url", required=True, secret=True, description="postgresql://user:password@host:port/database"),
        Option("schema", default="public", description="the schema whose tables are read"),
        Option("statement_timeout", default="5m", description="how long one statement may take, such as 30s, 5m, 2h; 0 for no limit"),
    )

    def __init__(self, config: SourceConfig, engine: Engine) -> None:
        self._config = config

    @contextmanager
    def open(self) -> Generator[PostgresReading]:
        """Connect, and begin a read-only transaction that sees the database as it is now."""
        address = Address(self._config)
        with address.refusals():
            connection = psycopg.connect(address.conninfo, prepare_threshold=None)
        with closing(connection):
            with address.refusals():
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                connection.read_only = True
                for statement in _settings(self._config):
                    catalog.ask(connection, statement)
                reading = PostgresReading(connection, address, self._config)
            yield reading

    def findings(self) -> Iterable[Finding]:
        """Examine reach, clock, and the right to read each table."""
        name = f"source {self._config.name}"
        try:
            with self.open() as reading:
                return list(reading.findings(name))
        except LimnosError as error:
            return [Finding(name, ok=False, detail=f"{error.what}: {error.seen}", hint=error.hint)]


def _milliseconds(config: SourceConfig) -> str:
    given = str(config.options.get("statement_timeout") or "5m")
    if not (spelled := _DURATION.fullmatch(given)):
        raise ProjectInvalid(
            f"{given!r} is not a duration",
            subject=f"{config.name}.statement_timeout",
            seen=given,
            expected="a number with a unit: 500ms, 30s, 5m, 2h; 0 for no limit",
            hint="correct `statement_timeout` in limnos.yml",
        )
    return str(int(spelled[1]) * _UNITS_MS[spelled[2] or "ms"])


def _settings(config: SourceConfig) -> Iterator[str]:
    values: Mapping[str, str] = {**_SETTINGS, "statement_timeout": _milliseconds(config)}
    return (f"SET LOCAL {name} = {literal(value)}" for name, value in values.items())
