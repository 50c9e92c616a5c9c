"""Read any database that SQLAlchemy has a dialect for; slower than a source of its own, and as exact."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from threading import RLock
from typing import Any, ClassVar

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import exc

from limnos.errors import LimnosError, UnknownName, Unsupported
from limnos.model.changes import Window
from limnos.model.contract import Column, Contract
from limnos.model.extract import Extract
from limnos.model.names import TableName
from limnos.model.position import Position
from limnos.model.project import Capability, Option, SourceConfig
from limnos.model.run import Finding
from limnos.ports import Engine
from limnos.sources.database.catalog import catalog, rules
from limnos.sources.database.columns import Misfit, SourceColumn, identifier
from limnos.sources.database.copy import Copy
from limnos.sources.database.cursor import Cursor
from limnos.sources.database.refusals import Address

# What makes all statements of a transaction see one state; elsewhere the strongest level that the dialect knows.
_ISOLATION = {"postgresql": "REPEATABLE READ", "mysql": "REPEATABLE READ", "mariadb": "REPEATABLE READ", "duckdb": "", "sqlite": ""}
_STRONGEST = ("SNAPSHOT", "SERIALIZABLE", "REPEATABLE READ")
_BEGIN = {
    "sqlite": "BEGIN",
    **dict.fromkeys(("mysql", "mariadb"), "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"),
}


class DatabaseReading:
    """Read one schema in one transaction, over one connection; each table goes through a temporary file, so streams are independent."""

    def __init__(self, connection: sa.Connection, address: Address, config: SourceConfig, scratch: str) -> None:
        self._connection = connection
        self._address = address
        self._config = config
        self._schema = str(config.options.get("schema") or "")
        self._scratch = Path(scratch)
        self._numbers = count()
        self._lock = RLock()
        self._catalog = catalog(connection, self._schema)
        self._tables = self._catalog.tables

    def tables(self) -> tuple[str, ...]:
        """Name every table and view of the schema, in alphabetical order."""
        return self._tables

    def describe(self, table: str, target: TableName) -> Contract:
        """Say what the catalog promises of a table; a type that SQLAlchemy does not know is `string`."""
        self._known(table)
        with self._lock, self._address.refusals(table):
            columns, keys = self._catalog.columns(table), self._catalog.keys(table)
            description = self._catalog.description(table)
        promised = tuple(Column(column.name, column.type, required=column.required, description=column.description) for column in columns)
        return Contract(target, promised, keys.primary, rules(keys, columns, target.namespace), description=description)

    def position(self, table: str) -> Position:
        """Refuse: no statement that every database knows tells cheaply that rows are as they were.

        Raises:
            Unsupported: Always.
        """
        raise Unsupported(
            "A database of any kind has no fingerprint",
            subject=f"{self._config.name}.{table}",
            seen=f"type: {DatabaseSource.kind}",
            expected="a source type of its own, such as postgres",
            hint="nothing to do: it is read in every run",
        )

    def read(self, table: str, contract: Contract) -> Extract:
        """Copy a table to a temporary file, and stream it from there."""
        return self._extract(table, self._columns(table), None)

    def read_since(self, table: str, contract: Contract, window: Window) -> Extract:
        """Copy the rows in the window to a temporary file, and stream them from there."""
        columns = self._columns(table)
        where = f"{self._config.name}.{table}"
        chosen = next((column for column in columns if column.name == window.cursor), None)
        if chosen is None:
            known = (column.name for column in columns)
            raise UnknownName.among("column", window.cursor, known, hint=f"correct `cursor` of {where} in limnos.yml")
        return self._extract(table, columns, Cursor.of(chosen, window, self._connection.dialect, where))

    def sample(self, table: str, rows: int) -> pa.Table:
        """Give some rows, the first that the database finds."""
        columns = self._columns(table)
        return self._copy(table, columns, lambda select: select.limit(rows)).whole()

    def _known(self, table: str) -> None:
        if table not in self._tables:
            raise UnknownName.among("table", table, self._tables, hint=f"limnos doctor {self._config.name}")

    def _columns(self, table: str) -> tuple[SourceColumn, ...]:
        self._known(table)
        with self._lock, self._address.refusals(table):
            return self._catalog.columns(table)

    def _from(self, table: str) -> sa.TableClause:
        dialect = self._connection.dialect
        return sa.table(identifier(table, dialect), schema=identifier(self._schema, dialect) if self._schema else None)

    def _extract(self, table: str, columns: Sequence[SourceColumn], cursor: Cursor | None) -> Extract:
        source = self._from(table)
        with self._lock, self._address.refusals(table):
            position = cursor.position(self._connection, source) if cursor else None
            counted = sa.select(sa.func.count()).select_from(source)
            rows = self._connection.execute(cursor.narrowed(counted) if cursor else counted).scalar_one()
            copy = self._copy(table, columns, cursor.narrowed if cursor else lambda select: select)
        return Extract(copy.schema, rows, position, batches=copy.batches())

    def _copy(self, table: str, columns: Sequence[SourceColumn], narrowed: Callable[[sa.Select[Any]], sa.Select[Any]]) -> Copy:
        dialect = self._connection.dialect
        path = self._scratch / f"{next(self._numbers)}.arrow"
        copy, source = Copy(path, columns), self._from(table)
        blamed: exc.SQLAlchemyError | None = None
        with self._lock, self._address.refusals(table):
            while True:
                selected = sa.select(*(column.sql(dialect, cast=column.name in copy.cast) for column in columns)).select_from(source)
                try:
                    copy.fill(self._connection, narrowed(selected))
                except Misfit as misfit:
                    if not copy.give_way(misfit):
                        raise self._address.error(ValueError("text that is not Unicode"), table) from None
                    blamed = misfit.__cause__ if isinstance(misfit.__cause__, exc.SQLAlchemyError) else blamed
                except exc.SQLAlchemyError as error:
                    # A transaction that is broken already only says so the second time.
                    raise blamed or error from None
                else:
                    return copy


class DatabaseSource:
    """Read one schema of a database, never writing to it."""

    kind: ClassVar[str] = "database"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.KEYS, Capability.INCREMENTAL})
    options: ClassVar[tuple[Option, ...]] = (
        Option("url", required=True, secret=True, description="dialect+driver://user:password@host:port/database, as SQLAlchemy writes it"),
        Option("schema", description="the schema whose tables are read; the user's own if not given"),
        Option("isolation", description="the isolation level to read at; the strongest that the dialect knows if not given"),
    )

    def __init__(self, config: SourceConfig, engine: Engine) -> None:
        self._config = config

    @contextmanager
    def open(self) -> Generator[DatabaseReading]:
        """Connect, and begin a transaction that sees the database as it is now, as far as the database has such."""
        address = Address(self._config)
        with self._connected(address) as connection, tempfile.TemporaryDirectory(prefix="limnos-") as scratch:
            with address.refusals("transaction"):
                if statement := _BEGIN.get(connection.dialect.name):
                    connection.exec_driver_sql(statement)
                reading = DatabaseReading(connection, address, self._config, scratch)
            yield reading

    @contextmanager
    def _connected(self, address: Address) -> Generator[sa.Connection]:
        engine = address.engine()
        with address.refusals():
            connection = engine.connect()
        with closing(connection):
            with address.refusals("isolation"):
                if level := self._isolation(connection):
                    connection = connection.execution_options(isolation_level=level, postgresql_readonly=True)
            yield connection

    def _isolation(self, connection: sa.Connection) -> str:
        """Name the isolation level that is asked for; empty where there is none, or none has to be asked for."""
        if given := str(self._config.options.get("isolation") or ""):
            return given
        if connection.dialect.name in _ISOLATION:
            return _ISOLATION[connection.dialect.name]
        try:
            known = connection.dialect.get_isolation_level_values(connection.connection.dbapi_connection)  # type: ignore[arg-type]
        except NotImplementedError:
            return ""
        return next((level for level in _STRONGEST if level in known), "")

    def findings(self) -> Iterable[Finding]:
        """Examine reach, isolation, and whether the declared tables are there."""
        name = f"source {self._config.name}"
        address: Address | None = None
        try:
            address = Address(self._config)
            with self._connected(address) as connection, address.refusals("isolation"):
                dialect = connection.dialect.name
                level = self._isolation(connection) or ("a snapshot" if dialect in _ISOLATION else "")
            with self.open() as reading:
                tables = reading.tables()
        except LimnosError as error:
            return [Finding(name, ok=False, detail=f"{error.what}: {error.seen}", hint=error.hint)]
        found = [Finding(name, ok=True, detail=f"{dialect} at {address.shown}, {len(tables)} tables, read at {level or 'no isolation'}")]
        if not level:
            found.append(Finding(name, ok=True, detail="tables that are written to while they are read may not belong together"))
        absent = sorted({table.name for table in self._config.tables} - set(tables))
        found += [
            Finding(f"{name}, table {table}", ok=False, detail="not there", hint="correct its name in limnos.yml") for table in absent
        ]
        return found
