"""Each value of a database arrives as the database prints it, or fails to convert with that text."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
import services
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from limnos.engines.duckdb import DuckEngine
from limnos.errors import ExtraMissing, LimnosError, ProjectInvalid, SourceUnreachable, UnknownName, Unsupported
from limnos.model.casts import Casts
from limnos.model.changes import Window
from limnos.model.extract import Extract
from limnos.model.names import TableName
from limnos.model.project import SourceConfig, SourceTable
from limnos.model.secret import Secret
from limnos.model.types import type_name
from limnos.sources.database import DatabaseSource

TARGET = TableName("shop", "t")


def source(url: str, **options: object) -> DatabaseSource:
    tables = (SourceTable("absent", TableName("shop", "absent")),) if options.pop("absent", False) else ()
    config = SourceConfig("shop", "database", Path(), "shop", {"url": Secret(url, name="SHOP_URL"), **options}, tables)
    return DatabaseSource(config, DuckEngine())


def executed(url: str, *statements: str) -> str:
    with sa.create_engine(url, poolclass=NullPool).begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    return url


@pytest.fixture
def duck(tmp_path: Path) -> Callable[..., str]:
    return lambda *statements: executed(f"duckdb:///{tmp_path}/shop.duckdb", *statements)


@pytest.fixture
def postgres(postgres_server: services.Postgres) -> Generator[Callable[..., str]]:
    name = f"shop_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield lambda *statements: executed(postgres_server.url(name), *statements)
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def arrived(url: str, table: str = "t", **options: object) -> dict[str, list[tuple[str | None, bool]]]:
    """Read a table, and give by column each value: as text of the lake's type and whether it fits, or as the text that does not."""
    with source(url, **options).open() as reading:
        contract = reading.describe(table, TARGET)
        extract = reading.read(table, contract)
        assert extract.batches is not None
        raw = pa.Table.from_batches(extract.batches, extract.schema)
    assert raw.num_rows == extract.rows
    casts = Casts.of(extract.schema, contract)
    found: dict[str, list[tuple[str | None, bool]]] = {}
    with DuckEngine().session() as session:
        for name, one in casts.columns.items():
            sql = f'SELECT CASE WHEN {one.fails} THEN "{name}"::VARCHAR ELSE ({one.value})::VARCHAR END, NOT {one.fails} FROM raw'
            found[name] = [tuple(row.values()) for row in session.run(sql, raw=raw.select([name])).to_pylist()]
    return found


DUCK_TORTURE = [
    # type, SQL of the value, promised type, text, whether it fits
    ("TINYINT", "-128", "long", "-128", True),
    ("UBIGINT", "18446744073709551615", "decimal(20,0)", "18446744073709551615", True),
    ("BIGINT", "-9223372036854775808", "long", "-9223372036854775808", True),
    ("HUGEINT", "99999999999999999999999999999999999999", "decimal(38,0)", "9" * 38, True),
    ("HUGEINT", "170141183460469231731687303715884105727", "decimal(38,0)", "170141183460469231731687303715884105727", False),
    ("DECIMAL(38,10)", "1234567890123456789012345678.0123456789", "decimal(38,10)", "1234567890123456789012345678.0123456789", True),
    ("DOUBLE", "'nan'", "double", "nan", True),
    ("DOUBLE", "'-inf'", "double", "-inf", True),
    ("REAL", "0.1", "float", "0.1", True),
    ("VARCHAR", "'a''é\U0001f600'", "string", "a'é\U0001f600", True),
    ("BLOB", "'\\x00\\xFF'::BLOB", "binary", "\\x00\\xFF", True),
    ("BOOLEAN", "true", "boolean", "true", True),
    ("DATE", "'0001-01-01'", "date", "0001-01-01", True),
    ("DATE", "'infinity'", "date", "infinity", False),
    ("DATE", "'0044-03-15 (BC)'", "date", "0044-03-15 (BC)", False),
    ("TIME", "'23:59:59.999999'", "time", "23:59:59.999999", True),
    ("TIMESTAMP", "'9999-12-31 23:59:59.999999'", "timestamp", "9999-12-31 23:59:59.999999", True),
    ("TIMESTAMP", "'294247-01-01 00:00:00'", "timestamp", "294247-01-01 00:00:00", False),
    ("TIMESTAMP_NS", "'2024-01-01 00:00:00.123456789'", "timestamp", "2024-01-01 00:00:00.123456789", False),
    ("TIMESTAMPTZ", "'2024-01-01 00:00:00.5+02'", "timestamptz", "2023-12-31 22:00:00.5+00", True),
    ("UUID", "'6fa459ea-ee8a-3ca4-894e-db77e160355e'", "uuid", "6fa459ea-ee8a-3ca4-894e-db77e160355e", True),
    ("INTERVAL", "INTERVAL '1 month 2 days'", "string", "1 month 2 days", True),
    ("BIT", "'10101'", "string", "10101", True),
    ("INTEGER[]", "[1, NULL, 3]", "list<long>", "[1, NULL, 3]", True),
    ("INTEGER[][]", "[[1, 2], [3]]", "string", "[[1, 2], [3]]", True),
    ("STRUCT(a INTEGER, b VARCHAR)", "{'a': 1, 'b': 'x'}", "string", "{'a': 1, 'b': x}", True),
    ("MAP(VARCHAR, INTEGER)", "MAP {'k': 1}", "string", "{k=1}", True),
    ("ENUM('a', 'b')", "'b'", "string", "b", True),
    ("JSON", "'{\"a\": 1e400}'", "string", '{"a": 1e400}', True),
]


@pytest.mark.parametrize(("kind", "sql", "promised", "text", "fits"), DUCK_TORTURE, ids=lambda one: str(one)[:24])
def test_a_value_of_duckdb_arrives_as_printed(duck, kind, sql, promised, text, fits) -> None:
    url = duck(f"CREATE TABLE t (v {kind}, plain INTEGER)", f"INSERT INTO t VALUES ({sql}, 1), (NULL, 2)")
    with source(url).open() as reading:
        assert type_name(reading.describe("t", TARGET).column("v").type) == promised
    assert arrived(url)["v"] == [(text, fits), (None, True)]


POSTGRES_TORTURE = [
    ("numeric", "'NaN'", "string", "NaN", True),
    ("numeric(10,2)", "'NaN'", "decimal(10,2)", "NaN", False),
    ("numeric", "1e-40", "string", f"0.{'0' * 39}1", True),
    ("numeric(38,4)", "1234567890123456789012345678901234.5678", "decimal(38,4)", "1234567890123456789012345678901234.5678", True),
    ("real", "0.1", "float", "0.1", True),
    ("double precision", "'NaN'", "double", "nan", True),
    ("date", "'infinity'", "date", "infinity", False),
    ("date", "'0044-03-15 BC'", "date", "0044-03-15 BC", False),
    ("timestamp", "'-infinity'", "timestamp", "-infinity", False),
    ("timestamptz", "'2024-01-01 00:00:00+02'", "timestamptz", "2023-12-31 22:00:00+00", True),
    ("timetz", "'10:00:00+02'", "string", "10:00:00+02", True),
    ("interval", "'1 month'", "string", "1 mon", True),
    ("bytea", "'\\x00ff'", "binary", "\\x00\\xFF", True),
    ("uuid", "'6fa459ea-ee8a-3ca4-894e-db77e160355e'", "uuid", "6fa459ea-ee8a-3ca4-894e-db77e160355e", True),
    ("jsonb", "'{\"a\": 1.10}'", "string", '{"a": 1.10}', True),
    ("int[]", "'{1,NULL,3}'", "list<long>", "[1, NULL, 3]", True),
    ("int[]", "'{{1,2},{3,4}}'", "list<long>", "[[1, 2], [3, 4]]", False),
    ("inet", "'10.0.0.0/8'", "string", "10.0.0.0/8", True),
    ("int4range", "'[1,5)'", "string", "[1,5)", True),
    ("bit(3)", "B'101'", "string", "101", True),
    ("money", "12.34", "string", "$12.34", True),
    ("char(4)", "'ab'", "string", "ab  ", True),
    ("time", "'24:00:00'", "time", "24:00:00", False),
    ("text", "'a''é\U0001f600'", "string", "a'é\U0001f600", True),
]


def test_values_of_postgres_arrive_as_printed(postgres) -> None:
    columns = ", ".join(f"v{place} {kind}" for place, (kind, *_) in enumerate(POSTGRES_TORTURE))
    values = ", ".join(sql for _, sql, *_ in POSTGRES_TORTURE)
    url = postgres(f"CREATE TABLE t ({columns})", f"INSERT INTO t VALUES ({values})", "INSERT INTO t DEFAULT VALUES")
    with source(url).open() as reading:
        promised = [type_name(column.type) for column in reading.describe("t", TARGET).columns]
    assert promised == [kind for _, _, kind, _, _ in POSTGRES_TORTURE]
    assert list(arrived(url).values()) == [[(text, fits), (None, True)] for *_, text, fits in POSTGRES_TORTURE]


def test_a_column_that_holds_other_values_in_sqlite_travels_as_text(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("CREATE TABLE t (n INTEGER, d DATE, b BLOB)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", [(1, "2024-01-01", b"\0"), ("x", "soon", "text"), (2.5, None, None)])
        connection.commit()
    assert arrived(f"sqlite:///{tmp_path}/shop.db") == {
        "n": [("1", True), ("x", False), ("2.5", False)],
        "d": [("2024-01-01", True), ("soon", False), (None, True)],
        "b": [("\\x00", True), ("text", False), (None, True)],
    }


def test_keys_comments_and_enums_become_the_contract(postgres) -> None:
    url = postgres(
        "CREATE TYPE mood AS ENUM ('good', 'bad')",
        "CREATE TABLE p (a int, b int, c text UNIQUE, PRIMARY KEY (b, a))",
        "CREATE UNIQUE INDEX ON p (a, c)",
        "CREATE UNIQUE INDEX ON p (c) WHERE a > 1",
        "CREATE UNIQUE INDEX ON p (lower(c))",
        "CREATE TABLE t (x int NOT NULL, y int, m mood, FOREIGN KEY (y, x) REFERENCES p (b, a))",
        "COMMENT ON TABLE t IS 'what'",
        "COMMENT ON COLUMN t.x IS 'why'",
    )
    with source(url).open() as reading:
        parent, child = reading.describe("p", TableName("shop", "p")), reading.describe("t", TARGET)
    assert parent.key == ("b", "a")
    assert {rule.name for rule in parent.rules} == {"primary_key:b,a", "not_null:a", "not_null:b", "unique:c", "unique:a,c"}
    assert (child.description, child.column("x").description, child.column("x").required) == ("what", "why", True)
    rules = {rule.name: dict(rule.arguments) for rule in child.rules}
    assert rules == {
        "not_null:x": {},
        "accepted_values:m": {"values": ["good", "bad"]},
        "foreign_key:y,x": {"references": "shop.p", "columns": ["b", "a"]},
    }


def read_since(url: str, window: Window) -> tuple[list[object], Extract]:
    with source(url).open() as reading:
        extract = reading.read_since("t", reading.describe("t", TARGET), window)
        assert extract.batches is not None
        rows = pa.Table.from_batches(extract.batches, extract.schema)
    assert rows.num_rows == extract.rows
    return sorted(rows.column("id").to_pylist()), extract


ROWS = "INSERT INTO t VALUES (1, '2024-01-01 10:00:00'), (2, '2024-01-01 12:00:00'), (3, '2024-01-01 12:00:00'), (4, NULL)"


@pytest.mark.parametrize("database", ["duck", "postgres"])
@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMPTZ"])
def test_a_window_holds_ties_nulls_and_the_lookback(database: str, kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(database)(f'CREATE TABLE t (id INTEGER, "at" {kind})', ROWS)
    ids, first = read_since(url, Window("at"))
    assert first.position is not None
    assert (ids, first.position.value["low"], first.position.value["below"]) == ([1, 2, 3, 4], "", 0)
    since = str(first.position.value["max"])
    assert since.startswith("2024-01-01 12:00:00")
    ids, again = read_since(url, Window("at", since))
    assert again.position is not None
    assert (ids, again.position.value["max"], again.position.value["below"]) == ([2, 3, 4], since, 1)
    assert read_since(url, Window("at", since, "2h"))[0] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("kind", "values", "since", "lookback", "expected"),
    [
        ("BIGINT", "1, 2, 3", "2", "", [2, 3]),
        ("BIGINT", "1, 2, 3", "3", "1", [2, 3]),
        ("DECIMAL(12,2)", "1.10, 1.11, 1.12", "1.11", "", [2, 3]),
        ("VARCHAR", "'a', 'b', 'c'", "b", "", [2, 3]),
        ("DATE", "DATE '2024-02-28', DATE '2024-02-29', DATE '2024-03-01'", "2024-03-01", "1h", [2, 3]),
    ],
)
def test_every_ordered_type_is_a_cursor(duck, kind: str, values: str, since: str, lookback: str, expected: list[int]) -> None:
    one, two, three = values.split(", ")
    url = duck(f"CREATE TABLE t (id INTEGER, c {kind})", f"INSERT INTO t VALUES (1, {one}), (2, {two}), (3, {three})")
    ids, extract = read_since(url, Window("c", since, lookback))
    assert extract.position is not None
    assert (ids, extract.position.kind, extract.position.value["below"]) == (expected, "cursor", 3 - len(expected))


def test_an_infinite_cursor_is_no_position(duck) -> None:
    url = duck('CREATE TABLE t (id INTEGER, "at" TIMESTAMP)', ROWS, "INSERT INTO t VALUES (5, 'infinity')")
    ids, extract = read_since(url, Window("at"))
    assert extract.position is not None
    assert (ids, extract.position.value["max"]) == ([1, 2, 3, 4, 5], "")


def test_what_cannot_be_a_cursor_is_refused(duck) -> None:
    url = duck('CREATE TABLE t (id INTEGER, d DOUBLE, l INTEGER[], "at" TIMESTAMP)')
    for window, error in (
        (Window("d"), Unsupported),
        (Window("l"), Unsupported),
        (Window("absent"), UnknownName),
        (Window("at", "2024-01-01", "soon"), ProjectInvalid),
    ):
        with pytest.raises(error) as raised:
            read_since(url, window)
        assert raised.value.hint
    assert read_since(url, Window("at"))[1].position.value == {"max": "", "low": "", "below": 0}


def test_a_sample_asks_for_no_more_rows(duck) -> None:
    url = duck("CREATE TABLE t AS SELECT range AS id FROM range(5000)")
    with source(url).open() as reading:
        assert reading.sample("t", 7).num_rows == 7


def test_a_stream_leaves_no_file_behind(duck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    url = duck("CREATE TABLE t AS SELECT range AS id FROM range(5000)")
    with source(url).open() as reading:
        extract = reading.read("t", reading.describe("t", TARGET))
        assert sum(path.is_file() for path in scratch.rglob("*")) == 1
        assert extract.batches is not None
        assert sum(batch.num_rows for batch in extract.batches) == 5000
        assert sum(path.is_file() for path in scratch.rglob("*")) == 0
    assert list(scratch.iterdir()) == []


def test_a_stream_that_ends_leaves_the_others_alone(duck) -> None:
    url = duck(*(f"CREATE TABLE {name} AS SELECT range AS id FROM range({rows})" for name, rows in (("a", 1), ("b", 2), ("c", 3))))
    with source(url).open() as reading:
        a, b = (reading.read(name, reading.describe(name, TARGET)) for name in "ab")
        assert sum(batch.num_rows for batch in a.batches or ()) == 1
        c = reading.read("c", reading.describe("c", TARGET))
        assert [sum(batch.num_rows for batch in one.batches or ()) for one in (b, c)] == [2, 3]


def test_another_schema_is_read_if_asked_for(duck) -> None:
    url = duck("CREATE SCHEMA s", "CREATE TABLE s.t AS SELECT 1 AS id", "CREATE TABLE u AS SELECT 1 AS id")
    with source(url, schema="s").open() as reading:
        assert reading.tables() == ("t",)
    assert arrived(url, schema="s") == {"id": [("1", True)]}


def test_the_doctor_names_isolation_and_absent_tables(duck, postgres) -> None:
    (well,) = source(duck("CREATE TABLE t (id INTEGER)")).findings()
    assert well.detail.endswith("1 tables, read at a snapshot")
    found = list(source(postgres("CREATE TABLE t (id int)"), absent=True).findings())
    assert found[0].detail.endswith("1 tables, read at REPEATABLE READ")
    assert [(one.ok, one.subject) for one in found[1:]] == [(False, "source shop, table absent")]
    (ill,) = source(postgres(), isolation="NONE SUCH").findings()
    assert not ill.ok


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("no url", SourceUnreachable),
        ("nodialect://user:hunter2@host/db", ExtraMissing),
        ("mysql+mysqldb://user:hunter2@host/db", ExtraMissing),
        ("postgresql://user:hunter2@127.0.0.1:1/db?sslpassword=hunter22", SourceUnreachable),
        ("duckdb:////nowhere/at/all.duckdb", SourceUnreachable),
    ],
)
def test_an_address_that_leads_nowhere_is_said_without_its_password(url: str, error: type[LimnosError]) -> None:
    with pytest.raises(error) as raised, source(url).open():
        pass
    said = raised.value.render() + str(raised.value.__cause__) + str(raised.value.__context__)
    assert "hunter2" not in raised.value.render()
    assert "hunter2" not in said or raised.value.__suppress_context__
    assert raised.value.hint
