"""Read a SQLite database file."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar, cast

import pyarrow as pa
import pyarrow.parquet as pq

from limnos.errors import LimnosError, UnknownName
from limnos.model.contract import Column, Contract, RuleSpec
from limnos.model.extract import Extract
from limnos.model.names import TableName, literal, quoted
from limnos.model.position import Position
from limnos.model.project import Capability, Option, SourceConfig
from limnos.model.run import Finding
from limnos.ports import Engine
from limnos.sources.fingerprint import file_identity
from limnos.sources.sqlite.columns import Carrier, carrier, column_type, decodable, native, raw, register
from limnos.sources.sqlite.refusals import refusals, unreachable

_BATCH_ROWS = 50_000
_BATCH_BYTES = 32 * 1024 * 1024
_COLUMNS_AT_ONCE = 1_000  # of the 2,000 result columns that SQLite allows
_ARGUMENTS_AT_ONCE = 100  # of a function, as SQLite allows


class SqliteReading:
    """Read a SQLite database in one read transaction."""

    def __init__(self, connection: sqlite3.Connection, config: SourceConfig, position: Position, scratch: str) -> None:
        self._connection = connection
        self._config = config
        self._position = position
        self._scratch = scratch
        self._tables = {name: (kind, sql or "") for name, kind, sql in self._rows(_TABLES)}

    def tables(self) -> tuple[str, ...]:
        """Name every table and view, in alphabetical order."""
        return tuple(self._tables)

    def describe(self, table: str, target: TableName) -> Contract:
        """Say what the schema promises of a table; a type that SQLite does not know is `string`."""
        self._known(table)
        columns = self._columns(table)
        key = tuple(name for _, name in sorted((place, name) for name, _, _, place in columns if place))
        rules = [RuleSpec("primary_key", key)] if key else []
        rules += [RuleSpec("not_null", (name,)) for name, _, required, _ in columns if required]
        rules += [RuleSpec("unique", names) for names in dict.fromkeys(self._unique(table))]
        rules += self._foreign_keys(table, target.namespace)
        promised = (Column(name, column_type(declared), required=bool(required)) for name, declared, required, _ in columns)
        return Contract(target, tuple(promised), key, tuple(rules))

    def position(self, table: str) -> Position:
        """Give the identity of the database's files, as they were no later than the rows; it is the same for every table."""
        self._known(table)
        return self._position

    def read(self, table: str, contract: Contract) -> Extract:
        """Stream a table; a column whose values are not all of its type's storage class is carried as text.

        `origins` works while the reading is open.
        """
        self._known(table)
        expected = self._expected(table, contract)
        rows, odd, broken = self._count(table, expected)
        carriers = [carrier(name, wanted, odd=name in odd) for name, wanted in expected.items()]
        schema = pa.schema([pa.field(way.name, way.type) for way in carriers])
        rowid = self._rowid(table)
        good = " AND ".join(decodable(name) for name in broken) or "TRUE"
        ordered = f"FROM {quoted(table)} WHERE {good}" + (f" ORDER BY {rowid}" if rowid else "")
        rejects, rejected = self._rejects(table, broken, good) if broken else ("", 0)
        return Extract(
            schema,
            rows - rejected,
            self._position,
            batches=self._batches(f"SELECT {', '.join(way.select for way in carriers)} {ordered}", carriers, schema),
            rejects=rejects,
            rejected=rejected,
            origins=self._origins(table, rowid, good) if rowid else None,
        )

    def _known(self, table: str) -> None:
        if table not in self._tables:
            raise UnknownName.among("table", table, self._tables, hint=f"limnos doctor {self._config.name}")

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        with refusals(self._config):
            return [tuple(_text(value) for value in row) for row in self._connection.execute(sql)]

    def _columns(self, table: str) -> list[tuple[str, str, int, int]]:
        found = self._rows(f'SELECT name, type, "notnull", pk FROM pragma_table_xinfo({literal(table)}) WHERE hidden <> 1 ORDER BY cid')
        return [(name, declared, required, place) for name, declared, required, place in found]

    def _unique(self, table: str) -> Iterator[tuple[str, ...]]:
        indexes = f"SELECT name FROM pragma_index_list({literal(table)}) WHERE \"unique\" AND NOT partial AND origin <> 'pk' ORDER BY name"
        for (index,) in self._rows(indexes):
            names = [name for (name,) in self._rows(f"SELECT name FROM pragma_index_xinfo({literal(index)}) WHERE key ORDER BY seqno")]
            if all(names):  # an expression has no name
                yield tuple(names)

    def _foreign_keys(self, table: str, namespace: str) -> Iterator[RuleSpec]:
        keys: dict[int, list[tuple[str, str, str | None]]] = {}
        for identity, parent, child, column in self._rows(
            f'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list({literal(table)}) ORDER BY id DESC, seq'
        ):
            keys.setdefault(identity, []).append((parent, child, column))
        for pairs in keys.values():
            parent = next((name for name in self._tables if name.lower() == pairs[0][0].lower()), None)
            if parent is None:
                continue
            known = self._columns(parent)
            spelled = {name.lower(): name for name, *_ in known}
            primary = [name for _, name in sorted((place, name) for name, _, _, place in known if place)]
            named = [spelled.get(column.lower()) for _, _, column in pairs if column] or primary
            if len(named) == len(pairs) and all(named):
                arguments = {"references": f"{namespace}.{parent}", "columns": named}
                own = {name.lower(): name for name, *_ in self._columns(table)}
                yield RuleSpec("foreign_key", tuple(own[child.lower()] for _, child, _ in pairs), arguments)

    def _expected(self, table: str, contract: Contract) -> dict[str, str]:
        """Map each column to the storage class that its type asks for; empty where only text will do."""
        promised = {column.name: column.type for column in contract.columns}
        return {name: native(promised.get(name, column_type(declared))) for name, declared, _, _ in self._columns(table)}

    def _count(self, table: str, expected: Mapping[str, str]) -> tuple[int, set[str], list[str]]:
        """Count the rows; name the columns with a value of another storage class, and those with text that is not UTF-8."""
        rows, odd, broken = 0, set[str](), list[str]()
        for names in _split(list(expected), _COLUMNS_AT_ONCE):
            counts = ["count(*)"]
            for column, wanted in ((quoted(name), expected[name]) for name in names):
                counts.append(f"sum(typeof({column}) <> {literal(wanted)} AND {column} IS NOT NULL)" if wanted else "0")
            texts = [name for name in names if expected[name] in ("", "text")]
            checks = [f"count(limnos_decoded({', '.join(map(quoted, some))}))" for some in _split(texts, _ARGUMENTS_AT_ONCE)]
            found = self._counted([*counts, *checks], table)
            if found is None:
                broken += [name for name in texts if self._counted([f"count(limnos_decoded({quoted(name)}))"], table) is None]
                (found,) = self._rows(f"SELECT {', '.join(counts)} FROM {quoted(table)}")
            rows = found[0]
            odd |= {name for name, count in zip(names, found[1:], strict=False) if count}
        return rows, odd, broken

    def _counted(self, counts: Sequence[str], table: str) -> tuple[Any, ...] | None:
        """Give one row of counts, or nothing if there is text that is not UTF-8."""
        with refusals(self._config):
            try:
                return tuple(self._connection.execute(f"SELECT {', '.join(counts)} FROM {quoted(table)}").fetchone())
            except sqlite3.OperationalError as error:
                if "user-defined function" in str(error):
                    return None
                raise

    def _rowid(self, table: str) -> str:
        """Name the row number of a table without a key; empty if there is none to be had."""
        kind, sql = self._tables[table]
        columns = self._columns(table)
        if kind != "table" or sql.upper().startswith("CREATE VIRTUAL") or any(place for *_, place in columns):
            return ""
        taken = {name.lower() for name, *_ in columns}
        return next((alias for alias in ("rowid", "_rowid_", "oid") if alias not in taken), "")

    def _origins(self, table: str, rowid: str, good: str) -> Callable[[Sequence[int]], Sequence[str]]:
        def origins(ordinals: Sequence[int]) -> Sequence[str]:
            wanted = ",".join(str(int(ordinal)) for ordinal in ordinals) or "-1"
            numbered = f"SELECT row_number() OVER (ORDER BY {rowid}) - 1 AS ordinal, {rowid} AS id FROM {quoted(table)} WHERE {good}"
            found = dict(self._rows(f"SELECT ordinal, id FROM ({numbered}) WHERE ordinal IN ({wanted})"))
            return [f"{table} rowid {found[ordinal]}" for ordinal in ordinals]

        return origins

    def _rejects(self, table: str, broken: Sequence[str], good: str) -> tuple[str, int]:
        """Put aside the rows with text that is no text; their bytes are kept, tabs between the columns."""
        rowid = self._rowid(table)
        named = (
            [rowid] if rowid else [quoted(name) for _, name in sorted((place, name) for name, _, _, place in self._columns(table) if place)]
        )
        path = Path(self._scratch) / f"{hashlib.sha256(table.encode()).hexdigest()}.parquet"
        count = 0
        with refusals(self._config), pq.ParquetWriter(path, _REJECTS) as writer:
            cursor = self._connection.execute(f"SELECT {', '.join([*named, '*'])} FROM {quoted(table)} WHERE NOT ({good})")
            while rows := cursor.fetchmany(1_000):
                places = [", ".join(_shown(value) for value in row[: len(named)]) for row in rows]
                origins = [f"{table} {'rowid' if rowid else 'key'} {place}" if place else table for place in places]
                raws = [b"\t".join(raw(value) for value in row[len(named) :]) for row in rows]
                reasons = [f"text that is not UTF-8, in {' or '.join(broken)}"] * len(rows)
                writer.write_table(pa.table({"origin": origins, "raw": raws, "reason": reasons}, schema=_REJECTS))
                count += len(rows)
        return f"SELECT origin, raw, reason FROM read_parquet({literal(str(path))})", count

    def _batches(self, select: str, carriers: Sequence[Carrier], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with refusals(self._config):
            cursor = self._connection.execute(select)
            size = 1_000
            while rows := cursor.fetchmany(size):
                columns = zip(carriers, zip(*rows, strict=True), strict=True)
                batch = pa.record_batch([way.array(values) for way, values in columns], schema=schema)
                del rows
                size = max(1, min(_BATCH_ROWS, batch.num_rows * _BATCH_BYTES // max(1, batch.nbytes)))
                yield batch


class SqliteSource:
    """Read one SQLite database file, opened read-only."""

    kind: ClassVar[str] = "sqlite"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.FINGERPRINT, Capability.KEYS})
    options: ClassVar[tuple[Option, ...]] = (
        Option("path", required=True, description="the database file, relative to the project"),
        Option("lock_timeout_s", "number", default=5, description="how long to wait for a writer that holds the database"),
    )

    def __init__(self, config: SourceConfig, engine: Engine) -> None:
        self._config = config
        self._path = config.root / str(config.options.get("path", ""))
        self._lock_timeout_s = float(str(config.options.get("lock_timeout_s", 5)))
        self.known = config.known

    @contextmanager
    def open(self) -> Generator[SqliteReading]:
        """Open the file and begin a read transaction, which ends with the context."""
        # The fingerprint comes first: a change between it and the transaction makes the next run read again, never miss it.
        position = self._fingerprint()
        address = f"{self._path.resolve().as_uri()}?mode=ro"
        with refusals(self._config):
            connection = sqlite3.connect(address, uri=True, timeout=self._lock_timeout_s, isolation_level=None, check_same_thread=False)
        with closing(connection), tempfile.TemporaryDirectory(prefix="limnos-") as scratch:
            with refusals(self._config):
                connection.text_factory = bytes
                connection.execute("BEGIN")
                register(connection)
            yield SqliteReading(connection, self._config, position, scratch)

    def findings(self) -> Iterable[Finding]:
        """Open the database and name what it holds."""
        try:
            with self.open() as reading:
                return [Finding(f"source {self._config.name}", ok=True, detail=f"{len(reading.tables())} tables in {self._path}")]
        except LimnosError as error:
            return [Finding(f"source {self._config.name}", ok=False, detail=f"{error.what}: {error.seen}", hint=error.hint)]

    def _fingerprint(self) -> Position:
        known = (
            next((cast("Mapping[str, Any]", position.value) for position in self.known.values() if position.kind == self.kind), None) or {}
        )
        found: dict[str, object] = {}
        for suffix in ("", "-wal", "-journal"):
            path = Path(f"{self._path}{suffix}")
            try:
                if not suffix or (path.exists() and path.stat().st_size):
                    found[suffix or "main"] = file_identity(path, known.get(suffix or "main"))
            except FileNotFoundError as error:
                if not suffix:
                    raise unreachable(self._config, "no such file") from error
            except OSError as error:
                raise unreachable(self._config, error.strerror or str(error)) from error
        return Position(self.kind, found)


_TABLES = (
    r"SELECT name, type, sql FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name"
)


_REJECTED: list[tuple[str, pa.DataType]] = [("origin", pa.string()), ("raw", pa.binary()), ("reason", pa.string())]
_REJECTS = pa.schema(_REJECTED)


def _split(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (names[start : start + size] for start in range(0, len(names), size))


def _text(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _shown(value: object) -> str:
    return raw(value).decode("utf-8", "backslashreplace")
