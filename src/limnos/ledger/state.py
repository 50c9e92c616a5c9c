"""The state database: one place whose transactions publish a run."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.event import listens_for
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from limnos.errors import ProjectInvalid, StateCorrupt, StorageFailed, WorldError
from limnos.model.event import GENESIS
from limnos.model.secret import Secret

SCHEMA_VERSION = 1
_BUSY_TIMEOUT_MS = 30_000
_WRITE_LOCK_KEY = 0x4C494D57  # "LIMW"

metadata = sa.MetaData()

schema_versions = sa.Table("limnos_schema", metadata, sa.Column("version", sa.Integer, primary_key=True))
events = sa.Table(
    "limnos_events",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.String(80), nullable=False, index=True),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("run_id", sa.String(80), nullable=False, index=True),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
)
head = sa.Table(
    "limnos_head",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
"""One row, the last event: a chain alone does not show that its end was cut off."""
positions = sa.Table(
    "limnos_positions",
    metadata,
    sa.Column("table_name", sa.String(300), primary_key=True),
    sa.Column("position", sa.Text, nullable=False),
    sa.Column("run_id", sa.String(80), nullable=False),
    sa.Column("basis", sa.Text, nullable=False),
    sa.Column("read", sa.BigInteger, nullable=False),
    sa.Column("quarantined", sa.BigInteger, nullable=False),
    sa.Column("score", sa.Float, nullable=True),
    sa.Column("source_rules", sa.Text, nullable=False),
)
dispositions = sa.Table(
    "limnos_dispositions",
    metadata,
    sa.Column("entry_id", sa.String(80), primary_key=True),
    sa.Column("table_name", sa.String(300), nullable=False, index=True),
    sa.Column("fingerprint", sa.String(80), nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("run_id", sa.String(80), nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
)
file_sums = sa.Table(
    "limnos_file_sums",
    metadata,
    sa.Column("table_name", sa.String(300), primary_key=True),
    sa.Column("file", sa.String(600), primary_key=True),
    sa.Column("form", sa.String(64), nullable=False),
    sa.Column("content", sa.String(80), nullable=False),
    sa.Column("sums", sa.LargeBinary, nullable=False),
)
"""What can be computed again from the files at any time: nothing is lost with it."""


@dataclass(frozen=True, slots=True)
class StateTransaction:
    """Carry the connection of one open transaction."""

    connection: Connection


class State:
    """Open the state database, SQLite or PostgreSQL, and lay its tables down on first use.

    Raises:
        ProjectInvalid: If the address cannot be read.
        StateCorrupt: If the database is damaged, or was made by a newer Limnos.
        StorageFailed: If it does not answer, or its directory cannot be written.
    """

    def __init__(self, url: Secret) -> None:
        self._url = url
        parsed = _parsed(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.path = Path(parsed.database) if self.is_sqlite and parsed.database else None
        self.engine = _sqlite_engine(parsed, self.path) if self.is_sqlite else _postgres_engine(parsed)

        # The catalog works on the same engine and knows nothing of this class: its errors become ours at the engine.
        @listens_for(self.engine, "handle_error")
        def _failed(context: sa.engine.ExceptionContext) -> WorldError | None:
            error = context.sqlalchemy_exception
            if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError):
                return self._ours(error)
            return None

        with self._translated():
            self._migrate()

    @property
    def shown(self) -> str:
        """The database's address without its password."""
        return str(self.path) if self.path else make_url(self._url.reveal()).render_as_string(hide_password=True)

    @contextmanager
    def begin(self) -> Generator[StateTransaction]:
        """Open one transaction that writes, alone; leaving it without an error commits, with one rolls back."""
        with self._translated(), self.engine.begin() as connection:
            yield StateTransaction(connection)

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """Open a connection that only reads, at one point in time for the statements of one call."""
        options = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._translated(), self.engine.connect().execution_options(limnos_reads=True, **options) as connection:
            yield connection

    def _migrate(self) -> None:
        with self.engine.begin() as connection:
            metadata.create_all(connection)
            found = connection.execute(sa.select(sa.func.max(schema_versions.c.version))).scalar()
            if found is None:
                connection.execute(schema_versions.insert().values(version=SCHEMA_VERSION))
                connection.execute(head.insert().values(seq=0, hash=GENESIS))
            elif found > SCHEMA_VERSION:
                raise StateCorrupt(
                    "The state database was made by a newer Limnos",
                    subject=self.shown,
                    seen=f"schema version {found}",
                    expected=f"at most {SCHEMA_VERSION}",
                    hint="pip install --upgrade limnos",
                )

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._ours(error) from error

    def _ours(self, error: DBAPIError) -> WorldError:
        seen = self._url.scrub(str(error.orig).strip().splitlines()[0])
        seen = Secret(make_url(self._url.reveal()).password or "").scrub(seen)
        code = getattr(error.orig, "sqlite_errorname", "")
        if code in {"SQLITE_READONLY", "SQLITE_FULL", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_IOERR_WRITE", "SQLITE_READONLY_DIRECTORY"}:
            return StorageFailed(
                "Cannot write the state database",
                subject=self.shown,
                seen=seen,
                expected="a writable file with free space",
                hint="limnos doctor",
            )
        if self.is_sqlite and code != "SQLITE_BUSY":
            return StateCorrupt(
                "The state database is damaged",
                subject=self.shown,
                seen=seen,
                expected="a SQLite database that Limnos made",
                hint="restore the file from a copy; the published tables under the lake directory are not touched",
            )
        return StorageFailed(
            "The state database does not answer", subject=self.shown, seen=seen, expected="a reachable database", hint="limnos doctor"
        )


def _parsed(url: Secret) -> sa.engine.URL:
    try:
        return make_url(url.reveal())
    except (ArgumentError, ValueError):
        # The cause is left out: it quotes the address, password and all.
        raise ProjectInvalid(
            "The address of the state database cannot be read",
            subject="state",
            seen=str(url),
            expected="postgresql://user:password@host:port/database, special characters written as %XX",
            hint="change state: in limnos.yml",
        ) from None


def _postgres_engine(url: sa.engine.URL) -> Engine:
    # No pool: a verb makes a handful of transactions, and a connection that is kept may be gone when it is wanted.
    engine = sa.create_engine(url, poolclass=sa.NullPool)

    # As in SQLite, one transaction writes at a time: two that append to the chain would both follow the same event.
    @listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        if not connection.get_execution_options().get("limnos_reads", False):
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_BUSY_TIMEOUT_MS}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK_KEY})")

    return engine


def _sqlite_engine(url: sa.engine.URL, path: Path | None) -> Engine:
    if path:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageFailed(
                "Cannot make the directory of the state database",
                subject=str(path.parent),
                seen=error.strerror or str(error),
                expected="a writable directory",
                hint="limnos doctor",
            ) from error
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000})

    # The driver's own transaction handling starts a transaction too late for two writers: it is switched off, and each
    # transaction takes the write lock at its start.
    @listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={_BUSY_TIMEOUT_MS}"):
            connection.execute(f"PRAGMA {pragma}")

    @listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        read_only = connection.get_execution_options().get("limnos_reads", False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine
