from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limnos.engines.duckdb import DuckEngine
from limnos.errors import SourceRefused, SourceUnreachable
from limnos.model.contract import Column, Contract
from limnos.model.conversion import convert
from limnos.model.extract import Extract
from limnos.model.names import TableName, quoted
from limnos.model.position import Position
from limnos.model.project import SourceConfig
from limnos.sources.fingerprint import file_identity
from limnos.sources.sqlite import SqliteSource

TABLE = TableName("lake", "t")


def _source(file: Path, **options: object) -> SqliteSource:
    return SqliteSource(SourceConfig("lake", "sqlite", file.parent, "lake", {"path": file.name, **options}), DuckEngine())


def _database(file: Path, script: str, *rows: tuple[str, tuple[object, ...]]) -> SqliteSource:
    connection = sqlite3.connect(file)
    connection.executescript(script)
    for sql, values in rows:
        connection.execute(sql, values)
    connection.commit()
    connection.close()
    return _source(file)


def _read(
    source: SqliteSource, table: str = "t", promised: Mapping[str, pa.DataType] | None = None
) -> tuple[Extract, pa.Table, list[tuple[object, ...]]]:
    with source.open() as reading, DuckEngine().session() as session:
        contract = reading.describe(table, TABLE)
        if promised:
            contract = Contract(TABLE, tuple(Column(name, kind) for name, kind in promised.items()))
        extract = reading.read(table, contract)
        rows = pa.Table.from_batches(extract.batches or iter(()), extract.schema)
        rejects = session.run(extract.rejects).to_pylist() if extract.rejects else []
        return extract, rows, [tuple(reject.values()) for reject in rejects]


def _outcome(raw: pa.Table, column: str, kind: pa.DataType) -> list[tuple[object, bool]]:
    conversion = convert(quoted(column), raw.schema.field(column).type, kind)
    with DuckEngine().session() as session:
        found = session.run(f"SELECT {conversion.value} AS v, {conversion.fails} AS f FROM raw", raw=raw).to_pylist()
    return [(row["v"], row["f"]) for row in found]


@settings(deadline=None, max_examples=50)
@given(
    values=st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(), st.binary()), max_size=20)
)
def test_whatever_a_column_holds_arrives_as_it_is_or_as_text_of_it(tmp_path_factory: pytest.TempPathFactory, values: list[object]) -> None:
    file = tmp_path_factory.mktemp("any") / "t.db"
    storable = [value.encode("utf-8", "replace").decode() if isinstance(value, str) else value for value in values]
    source = _database(file, "CREATE TABLE t (v)", *[("INSERT INTO t VALUES (?)", (value,)) for value in storable])
    extract, rows, rejects = _read(source)
    written = {
        int: str,
        float: str,
        str: str,
        bytes: lambda blob: f"X'{blob.hex().upper()}'",
        type(None): lambda _: None,
    }
    assert rows.column("v").to_pylist() == [written[type(value)](value) for value in storable]
    assert (extract.rows, rejects) == (len(values), [])


@settings(deadline=None, max_examples=50)
@given(values=st.lists(st.floats(allow_nan=False)))
def test_reals_arrive_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    file = tmp_path_factory.mktemp("reals") / "t.db"
    source = _database(file, "CREATE TABLE t (v REAL)", *[("INSERT INTO t VALUES (?)", (value,)) for value in values])
    _, rows, _ = _read(source)
    assert rows.schema.types == [pa.float64()]
    assert rows.column("v").to_pylist() == values


MISFITS = [
    ("INTEGER", ["1", "'x'", "2.5"], [(1, False), (None, True), (None, True)]),
    ("REAL", ["1", "'x'", "9e999"], [(1.0, False), (None, True), (math.inf, False)]),
    ("BLOB", ["x'00ff'", "'text'", "5"], [(b"\x00\xff", False), (None, True), (None, True)]),
    ("BOOLEAN", ["1", "0", "2", "'true'"], [(True, False), (False, False), (None, True), (True, False)]),
    ("TEXT", ["'a'", "x'61'"], [("a", False), ("X'61'", False)]),
]


@pytest.mark.parametrize(("declared", "values", "expected"), MISFITS, ids=[declared for declared, *_ in MISFITS])
def test_a_value_that_does_not_fit_its_declared_type_is_held_back_alone(
    tmp_path: Path, declared: str, values: list[str], expected: list[tuple[object, bool]]
) -> None:
    source = _database(
        tmp_path / "t.db", f"CREATE TABLE t (v {declared}); INSERT INTO t VALUES {', '.join(f'({value})' for value in values)}"
    )
    with source.open() as reading:
        kind = reading.describe("t", TABLE).column("v").type
    assert _outcome(_read(source)[1], "v", kind) == expected


def test_a_promised_type_decides_how_a_column_without_one_travels(tmp_path: Path) -> None:
    source = _database(tmp_path / "t.db", "CREATE TABLE t (v); INSERT INTO t VALUES (1), (2)")
    assert _read(source)[1].schema.types == [pa.string()]
    assert _read(source, promised={"v": pa.int64()})[1].schema.types == [pa.int64()]


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le"])
def test_text_that_is_not_utf8_is_rejected_with_its_bytes_and_nothing_else_is(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "t.db"
    source = _database(
        file,
        f"PRAGMA encoding = '{encoding}'; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, w TEXT);"
        " INSERT INTO t VALUES (1, 'é', 'x'), (2, 'aQ\u4141', 'y'), (3, 'a' || char(0) || 'b', 'z')",
    )
    # Half of a surrogate pair, and a byte of Latin-1: SQLite keeps whatever it is given.
    good, bad = {"UTF-8": ("Q\u4141".encode(), b"QQQ\xe9"), "UTF-16le": (b"\x41\x41", b"\x00\xd8")}[encoding]
    assert file.read_bytes().count(good) == 1
    file.write_bytes(file.read_bytes().replace(good, bad))
    extract, rows, rejects = _read(source)
    assert rows.to_pylist() == [{"id": 1, "v": "é", "w": "x"}, {"id": 3, "v": "a\x00b", "w": "z"}]
    assert (extract.rows, extract.rejected, extract.read) == (2, 1, 3)
    ((origin, raw, reason),) = rejects
    assert origin == "t key 2"
    assert reason == "text that is not UTF-8, in v"
    assert raw == (b"2\taQQQ\xe9\ty" if encoding == "UTF-8" else b"2\taQ\xed\xa0\x80\ty")


def test_origins_skip_rejected_rows_and_follow_the_row_number(tmp_path: Path) -> None:
    source = _database(
        tmp_path / "t.db",
        "CREATE TABLE t (v TEXT); INSERT INTO t (rowid, v) VALUES (5, 'a'), (9, 'c')",
        ("INSERT INTO t (rowid, v) VALUES (7, CAST(? AS TEXT))", (b"\xff",)),
    )
    with source.open() as reading:
        extract = reading.read("t", reading.describe("t", TABLE))
        assert extract.origins is not None
        assert extract.origins([1, 0]) == ["t rowid 9", "t rowid 5"]


def test_the_schema_becomes_the_contract(tmp_path: Path) -> None:
    source = _database(
        tmp_path / "t.db",
        """
        CREATE TABLE Parent (a INT, b INT, PRIMARY KEY (b, a));
        CREATE TABLE t (id INTEGER PRIMARY KEY, code VARCHAR(9) NOT NULL UNIQUE, x INT, y INT, made DATETIME, price DECIMAL(12,2),
            big DECIMAL(60,2), free NUMERIC, total INT AS (x + y), FOREIGN KEY (Y, x) REFERENCES parent,
            FOREIGN KEY (x) REFERENCES absent (a));
        CREATE UNIQUE INDEX two ON t (x, y);
        CREATE UNIQUE INDEX lowered ON t (lower(code));
        CREATE UNIQUE INDEX some ON t (y) WHERE x > 0;
        """,
    )
    with source.open() as reading:
        assert reading.tables() == ("Parent", "t")
        contract = reading.describe("t", TABLE)
        assert reading.describe("Parent", TableName("lake", "parent")).key == ("b", "a")
    assert [str(column.type) for column in contract.columns] == [
        "int64", "string", "int64", "int64", "timestamp[us]", "decimal128(12, 2)", "string", "string", "int64",
    ]  # fmt: skip
    assert contract.key == ("id",)
    assert [(rule.kind, rule.columns, dict(rule.arguments)) for rule in contract.rules] == [
        ("primary_key", ("id",), {}),
        ("not_null", ("code",), {}),
        ("unique", ("code",), {}),
        ("unique", ("x", "y"), {}),
        ("foreign_key", ("y", "x"), {"references": "lake.Parent", "columns": ["b", "a"]}),
    ]


def test_a_table_wider_than_a_function_and_a_result_may_be_is_read(tmp_path: Path) -> None:
    names = [f"c{place}" for place in range(1990)]
    source = _database(tmp_path / "t.db", f"CREATE TABLE t ({', '.join(names)}); INSERT INTO t (c0, c1989) VALUES ('a', 'z')")
    extract, rows, _ = _read(source)
    assert (extract.rows, rows.num_columns) == (1, 1990)
    assert (rows.column(0)[0].as_py(), rows.column(1989)[0].as_py()) == ("a", "z")


def test_wide_values_travel_in_small_batches(tmp_path: Path) -> None:
    source = _database(
        tmp_path / "t.db",
        "CREATE TABLE t (v BLOB); WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 1100)"
        " INSERT INTO t SELECT zeroblob(100000) FROM up",
    )
    with source.open() as reading:
        extract = reading.read("t", reading.describe("t", TABLE))
        first, second = list(extract.batches or ())[:2]
    assert first.num_rows == 1000
    assert second.num_rows < 1000
    assert second.nbytes < 40_000_000


BROKEN: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "is not there": (lambda _: None, "no such file"),
    "is a directory": (lambda file: file.mkdir(), "Is a directory"),
    "is something else": (lambda file: file.write_bytes(b"PK\x03\x04" * 500), "file is not a database"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that(tmp_path: Path, case: str) -> None:
    make, seen = BROKEN[case]
    make(tmp_path / "t.db")
    with pytest.raises(SourceUnreachable) as raised, _source(tmp_path / "t.db").open():
        pass
    assert raised.value.seen == seen
    assert raised.value.subject == "t.db"
    assert "limnos doctor lake" in raised.value.hint


def test_a_database_cut_in_half_is_an_error_and_not_half_a_table(tmp_path: Path) -> None:
    file = tmp_path / "t.db"
    source = _database(
        file,
        "CREATE TABLE t (v TEXT); WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 50000)"
        " INSERT INTO t SELECT 'some text of row ' || n FROM up",
    )
    os.truncate(file, file.stat().st_size // 8192 * 4096)
    with pytest.raises(SourceUnreachable, match="malformed"):
        _read(source)


def test_a_writer_that_holds_the_database_is_waited_for_and_then_named(tmp_path: Path) -> None:
    file = tmp_path / "t.db"
    _database(file, "CREATE TABLE t (v)")
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SourceRefused) as raised, _source(file, lock_timeout_s=0.1).open():
        pass
    assert raised.value.seen == "database is locked"
    assert "lock_timeout_s" in raised.value.hint
    writer.execute("COMMIT")
    writer.close()
    assert _read(_source(file))[0].rows == 0


def test_nothing_is_written_next_to_or_into_the_database(tmp_path: Path) -> None:
    file = tmp_path / "t.db"
    source = _database(file, "CREATE TABLE t (v); INSERT INTO t VALUES (1)")
    before = file.read_bytes()
    _read(source)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
    with source.open() as reading, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reading._connection.execute("INSERT INTO t VALUES (2)")


def test_a_known_position_spares_the_hash_only_while_the_file_is_untouched(tmp_path: Path) -> None:
    file = tmp_path / "t.db"
    source = _database(file, "CREATE TABLE t (v); INSERT INTO t VALUES (1)")
    young = file_identity(file)
    assert young["stat"] is None
    seen = file.stat()
    stat = [seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns]
    source.known = {"t": Position("sqlite", {"main": {"sha256": "believed", "stat": stat}})}
    with source.open() as reading:
        assert reading.position("t").value == {"main": {"sha256": "believed", "stat": stat}}
    # The same size and the same modification time: only the change time tells.
    file.write_bytes(file.read_bytes()[:-1] + b"\x02")
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    with source.open() as reading:
        identity = reading.position("t").value["main"]
    assert isinstance(identity, Mapping)
    assert identity["sha256"] == file_identity(file)["sha256"]


def test_an_uncheckpointed_change_changes_the_position(tmp_path: Path) -> None:
    file = tmp_path / "t.db"
    source = _database(file, "PRAGMA journal_mode = WAL; CREATE TABLE t (v); INSERT INTO t VALUES (1)")
    writer = sqlite3.connect(file)
    with source.open() as reading:
        before = reading.position("t").content
    main = file.read_bytes()
    writer.execute("UPDATE t SET v = 2")
    writer.commit()
    assert file.read_bytes() == main
    with source.open() as reading:
        assert reading.position("t").content != before
    writer.close()
