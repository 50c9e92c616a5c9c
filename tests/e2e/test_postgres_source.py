from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pyarrow as pa
import pytest
from services import Postgres

from limnos.engines.duckdb import DuckEngine
from limnos.errors import ProjectInvalid, SourceChanged, SourceRefused, SourceUnreachable, UnknownName, Unsupported
from limnos.model.changes import Window
from limnos.model.contract import Contract
from limnos.model.conversion import convert
from limnos.model.extract import Extract
from limnos.model.names import TableName, literal, quoted
from limnos.model.project import Protect, SourceConfig
from limnos.model.secret import Secret
from limnos.ports import Reading
from limnos.sources.postgres import PostgresReading, PostgresSource

pytestmark = pytest.mark.e2e

Run = Callable[[str], None]


@pytest.fixture
def database(postgres_server: Postgres) -> Generator[str]:
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        yield postgres_server.url(name)
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def run(database: str) -> Run:
    def run(sql: str) -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(sql)

    return run


def _source(url: str, protect: Protect = Protect(), **options: object) -> PostgresSource:  # noqa: B008 a frozen value
    given = {"url": Secret(url, name="SHOP_DSN"), **options}
    return PostgresSource(SourceConfig("shop", "postgres", Path(), "shop", given, protect=protect), DuckEngine())


def _read(reading: Reading, table: str) -> tuple[Contract, Extract]:
    contract = reading.describe(table, TableName("shop", table))
    return contract, reading.read(table, contract)


def _values(extract: Extract) -> list[object]:
    assert extract.batches is not None
    return [value for batch in extract.batches for value in batch.column(0).to_pylist()]


# Type, value as SQL, the promised type, and what must arrive as text after conversion; None means that the row is held back.
FAITHFUL = [
    ("smallint", "-32768", "int32", "-32768"),
    ("bigint", "9223372036854775807", "int64", "9223372036854775807"),
    ("oid", "4294967295", "int64", "4294967295"),
    ("real", "'NaN'", "float", "nan"),
    ("double precision", "'-Infinity'", "double", "-inf"),
    ("double precision", "0.1::float8 + 0.2::float8", "double", "0.30000000000000004"),
    ("numeric(38,10)", "1234567890123456789012345678.0123456789", "decimal128(38, 10)", "1234567890123456789012345678.0123456789"),
    ("numeric(12,2)", "'NaN'", "decimal128(12, 2)", None),
    ("numeric(5,-2)", "12345", "string", "12300"),
    ("numeric", "1234567890123456789012345678901.5", "string", "1234567890123456789012345678901.5"),
    ("numeric(60,20)", "0.00000000000000000001", "string", "0.00000000000000000001"),
    ("numeric", "'Infinity'", "string", "Infinity"),
    ("text", "E'a\\tb\\u00e9'", "string", "a\tbé"),
    ("char(4)", "'ab'", "string", "ab  "),
    ("bytea", "'\\x00ff'", "binary", "\\x00\\xFF"),
    ("boolean", "false", "bool", "false"),
    ("date", "'2013-02-28'", "date32[day]", "2013-02-28"),
    ("date", "'infinity'", "date32[day]", None),
    ("date", "'4000-01-01 BC'", "date32[day]", None),
    ("date", "'290000-01-01'", "date32[day]", None),
    ("time", "'23:59:59.999999'", "time64[us]", "23:59:59.999999"),
    ("time", "'24:00:00'", "time64[us]", None),
    ("timetz", "'10:00:00.5+02'", "string", "10:00:00.5+02"),
    ("timestamp", "'2013-02-28 10:11:12.123456'", "timestamp[us]", "2013-02-28 10:11:12.123456"),
    ("timestamp", "'-infinity'", "timestamp[us]", None),
    ("timestamptz", "'2013-02-28 10:11:12.5+02'", "timestamp[us, tz=UTC]", "2013-02-28 08:11:12.5+00"),
    ("timestamptz", "'infinity'", "timestamp[us, tz=UTC]", None),
    ("interval", "'1 year 2 days 3.5 seconds'", "string", "P1Y2DT3.5S"),
    ("uuid", "'6ECD8C99-4036-403D-BF84-CF8400F67836'", "extension<arrow.uuid>", "6ecd8c99-4036-403d-bf84-cf8400f67836"),
    ("jsonb", """'{"a": [1, 2.50]}'""", "string", '{"a": [1, 2.50]}'),
    ("json", """'{"a":1, "a":2}'""", "string", '{"a":1, "a":2}'),
    ("text[]", """'{"a b",NULL,"NULL"}'""", "string", '{"a b",NULL,"NULL"}'),
    ("int[]", "'{{1,2},{3,4}}'", "string", "{{1,2},{3,4}}"),
    ("money", "12.34", "string", "$12.34"),
    ("bit(4)", "B'1010'", "string", "1010"),
    ("inet", "'10.0.0.1/24'", "string", "10.0.0.1/24"),
    ("int4range", "'[1,5)'", "string", "[1,5)"),
    ("mood", "'so-so'", "string", "so-so"),
    ("cents", "7.10", "decimal128(6, 2)", "7.10"),
    ("pair", "ROW(1, 'x y')", "string", '(1,"x y")'),
    ("xml", "'<a>1</a>'", "string", "<a>1</a>"),
]
TYPES = """
CREATE TYPE mood AS ENUM ('bad', 'so-so');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN price AS numeric(6,2) CHECK (VALUE >= 0);
CREATE DOMAIN cents AS price NOT NULL;
"""


def test_every_type_arrives_exactly_or_is_held_back(database: str, run: Run) -> None:
    columns = ", ".join(f"c{place} {kind}" for place, (kind, *_) in enumerate(FAITHFUL))
    values = ", ".join(value for _, value, *_ in FAITHFUL)
    run(f"{TYPES} CREATE TABLE hard ({columns}); INSERT INTO hard VALUES ({values})")
    with _source(database).open() as reading, DuckEngine().session() as session:
        contract, extract = _read(reading, "hard")
        raw = pa.Table.from_batches(extract.batches or iter(()))
        assert [str(column.type).removesuffix("[pyarrow]") for column in contract.columns] == [kind for *_, kind, _ in FAITHFUL]
        for place, (kind, value, _, expected) in enumerate(FAITHFUL):
            name = f"c{place}"
            conversion = convert(quoted(name), raw.schema.field(name).type, contract.column(name).type)
            (row,) = session.run(f"SELECT CAST({conversion.value} AS VARCHAR) AS v, {conversion.fails} AS f FROM raw", raw=raw).to_pylist()
            assert (row["v"], row["f"]) == (expected, expected is None), f"{kind} {value}"


def test_one_value_out_of_range_makes_its_column_text_in_its_batch_and_keeps_the_others(database: str, run: Run) -> None:
    run("CREATE TABLE days (d date); INSERT INTO days VALUES ('2013-02-28'), (NULL)")
    with _source(database).open() as reading:
        (batch,) = _read(reading, "days")[1].batches or ()
        assert batch.schema.types == [pa.date32()]
    run("INSERT INTO days VALUES ('-infinity')")
    with _source(database).open() as reading:
        _, extract = _read(reading, "days")
        assert extract.schema.types == [pa.string()]
        assert _values(extract) == ["2013-02-28", None, "-infinity"]


def test_constraints_and_comments_become_the_contract(database: str, run: Run) -> None:
    run("""
        CREATE TYPE mood AS ENUM ('bad', 'good');
        CREATE TABLE maker (a int, b int, PRIMARY KEY (b, a));
        CREATE TABLE thing (id int PRIMARY KEY, x int, y int, m mood, code text NOT NULL UNIQUE, dropped int,
            FOREIGN KEY (y, x) REFERENCES maker (a, b));
        CREATE UNIQUE INDEX ON thing (x, m) INCLUDE (y);
        CREATE UNIQUE INDEX ON thing (lower(code));
        CREATE UNIQUE INDEX ON thing (y) WHERE x > 0;
        ALTER TABLE thing DROP COLUMN dropped;
        COMMENT ON TABLE thing IS 'All things';
        COMMENT ON COLUMN thing.code IS 'As printed';
    """)
    with _source(database).open() as reading:
        contract = reading.describe("thing", TableName("shop", "thing"))
    assert contract.key == ("id",)
    assert contract.description == "All things"
    assert contract.column("code").description == "As printed"
    assert {column.name for column in contract.columns if column.required} == {"id", "code"}
    assert {(rule.kind, rule.columns) for rule in contract.rules} == {
        ("primary_key", ("id",)),
        ("unique", ("code",)),
        ("unique", ("x", "m")),
        ("not_null", ("id",)),
        ("not_null", ("code",)),
        ("accepted_values", ("m",)),
        ("foreign_key", ("y", "x")),
    }
    arguments = {rule.kind: rule.arguments for rule in contract.rules}
    assert arguments["accepted_values"] == {"values": ["bad", "good"]}
    assert arguments["foreign_key"] == {"references": "shop.maker", "columns": ["a", "b"]}


def test_checks_that_mean_the_same_in_the_lake_become_rules_and_no_others_do(database: str, run: Run) -> None:
    run("""
        CREATE TABLE t (id int PRIMARY KEY, a int, "B c" numeric(6,2), word text, x float8,
            CONSTRAINT small CHECK (a BETWEEN -5 AND 10 OR a IS NULL OR TRUE),
            CONSTRAINT order_ CHECK (a < "B c" AND NOT a = 0 AND a <> -1),
            CONSTRAINT words CHECK (word <> ''), CONSTRAINT floats CHECK (x > 0), CONSTRAINT sums CHECK (a + 1 > 0),
            CONSTRAINT bounds CHECK ("B c" >= 0.5 AND "B c" <= 100));
        INSERT INTO t VALUES (1, 1, 1.5), (2, NULL, NULL), (3, 99, 100);
        ALTER TABLE t ADD CONSTRAINT late CHECK (a < 50) NOT VALID;
    """)
    with _source(database).open() as reading:
        contract = reading.describe("t", TableName("shop", "t"))
    rules = {rule.name: rule for rule in contract.rules if rule.kind == "sql"}
    assert {name: rule.columns for name, rule in rules.items()} == {
        "sql:bounds": ("B c",),
        "sql:floats": ("x",),
        "sql:order_": ("a", "B c"),
        "sql:small": ("a",),
        "sql:words": ("word",),
    }
    with DuckEngine().session() as session:
        rows = pa.table({"a": pa.array([1, None, 0, -1, 5]), "B c": pa.array(["1.5", None, "2", "3", "0.4"]).cast(pa.decimal128(6, 2))})
        held = [
            [row["ok"] for row in session.run(f"SELECT {rules[name].arguments['expression']} AS ok FROM rows", rows=rows).to_pylist()]
            for name in ("sql:order_", "sql:bounds")
        ]
    assert held == [[True, None, False, False, False], [True, None, True, True, False]]


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO t VALUES (3, 'good')",
        "UPDATE t SET id = id WHERE id = 1",
        "DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (2, 'bad')",
        "ALTER TABLE t ADD COLUMN extra int DEFAULT 7",
        "ALTER TABLE t RENAME COLUMN id TO number",
        "ALTER TYPE mood RENAME VALUE 'bad' TO 'worse'",
        "TRUNCATE t",
    ],
)
def test_a_fingerprint_sees_what_changes_rows(database: str, run: Run, change: str) -> None:
    run("CREATE TYPE mood AS ENUM ('bad', 'good'); CREATE TABLE t (id int, m mood); INSERT INTO t VALUES (1, 'bad'), (2, 'bad')")
    with _source(database).open() as reading:
        before = reading.position("t")
    with _source(database).open() as reading:
        assert reading.position("t") == before
    run(change)
    with _source(database).open() as reading:
        assert reading.position("t") != before


def test_a_fingerprint_tells_rows_of_one_transaction_at_one_place_in_two_tables_apart(database: str, run: Run) -> None:
    run("CREATE TABLE t (id int)")
    run("CREATE TABLE a AS SELECT 1 AS id; CREATE TABLE b AS SELECT 2 AS id")
    found: list[tuple[object, object]] = []
    for change in ("SELECT", "ALTER TABLE a INHERIT t", "ALTER TABLE a NO INHERIT t; ALTER TABLE b INHERIT t"):
        run(change)
        with _source(database).open() as reading:
            found.append((reading.position("t").value["rows"], reading.position("t").value["versions"]))
    assert [rows for rows, _ in found] == [0, 1, 1]
    assert len(set(found)) == 3


def _since(reading: Reading, table: str, window: Window) -> Extract:
    assert isinstance(reading, PostgresReading)
    return reading.read_since(table, reading.describe(table, TableName("shop", table)), window)


# Type of the cursor, its values in order, a lookback, and the ordinals that must come after the third was the greatest.
CURSORS = [
    ("smallint", ["-3", "5", "7", "7", "9"], "", [2, 3, 4]),
    ("int", ["-3", "5", "7", "7", "9"], "2", [1, 2, 3, 4]),
    ("smallint", ["1", "2", "3", "4", "5"], "100000", [0, 1, 2, 3, 4]),
    ("bigint", ["1", "9223372036854775806", "9223372036854775807"], "", [2]),
    ("numeric(10,2)", ["-1.50", "2.25", "10.01", "10.02", "NaN"], "", [2, 3, 4]),
    ("date", ["2012-12-30", "2013-01-01", "2013-01-03", "2013-01-03", "infinity", "-infinity"], "2d", [1, 2, 3, 4, 5]),
    ("timestamp", ["2013-01-01 00:00", "2013-01-01 23:00", "2013-01-02 00:00:00.5", "2013-01-03 00:00"], "1h", [2, 3]),
    ("timestamp", ["2013-01-01 00:00", "2013-01-01 23:00:00.5", "2013-01-02 00:00:00.5", "infinity"], "1h", [1, 2, 3]),
    ("timestamptz", ["2013-01-01 01:00+02", "2013-01-01 00:00+00", "2013-01-01 00:00+00", "4000-01-01 BC"], "", [1, 2, 3]),
]


@pytest.mark.parametrize(("kind", "values", "lookback", "expected"), CURSORS)
def test_a_window_holds_ties_nulls_and_what_is_in_no_order(
    database: str, run: Run, kind: str, values: list[str], lookback: str, expected: list[int]
) -> None:
    run(f"CREATE TABLE t (n int, at {kind}); INSERT INTO t VALUES (100, NULL)")
    run(f"INSERT INTO t VALUES {', '.join(f'({n}, {literal(value)})' for n, value in enumerate(values[:3]))}")
    with _source(database).open() as reading:
        first = _since(reading, "t", Window("at", lookback=lookback))
        assert sorted(_values(first)) == [0, 1, 2, 100]
        assert first.rows == 4
        assert first.position is not None
        assert (first.position.value["low"], first.position.value["below"]) == ("", 0)
    for n, value in enumerate(values[3:], start=3):
        run(f"INSERT INTO t VALUES ({n}, {literal(value)})")
    with _source(database).open() as reading:
        later = _since(reading, "t", Window("at", str(first.position.value["max"]), lookback))
        assert sorted(_values(later)) == [*expected, 100]
        assert later.rows == len(expected) + 1
        assert later.position is not None
        assert later.position.value["below"] == len(values) - len(expected)
        assert later.position.value["max"] not in {"infinity", "NaN"}


@pytest.mark.parametrize("kind", ["text", "uuid", "float8", "numeric", "jsonb"])
def test_a_cursor_without_an_order_that_both_sides_share_is_refused(database: str, run: Run, kind: str) -> None:
    run(f"CREATE TABLE t (at {kind})")
    with _source(database).open() as reading:
        with pytest.raises(Unsupported, match="at cannot be a cursor"):
            _since(reading, "t", Window("at"))
        with pytest.raises(UnknownName):
            _since(reading, "t", Window("att"))


@pytest.mark.parametrize(("kind", "since", "lookback"), [("int", "5", "2d"), ("date", "2013-01-01", "5")])
def test_a_lookback_of_another_type_than_the_cursor_is_refused(database: str, run: Run, kind: str, since: str, lookback: str) -> None:
    run(f"CREATE TABLE t (at {kind})")
    with _source(database).open() as reading, pytest.raises(ProjectInvalid) as raised:
        _since(reading, "t", Window("at", since, lookback))
    assert raised.value.hint == "correct `lookback` in limnos.yml"


def test_views_have_no_fingerprint_and_are_read_all_the_same(database: str, run: Run) -> None:
    run("CREATE TABLE t AS SELECT 1 AS id; CREATE VIEW v AS SELECT id + 1 AS id FROM t")
    with _source(database).open() as reading:
        with pytest.raises(Unsupported, match="A view of PostgreSQL has no fingerprint"):
            reading.position("v")
        _, extract = _read(reading, "v")
        assert extract.position is None
        assert _values(extract) == [2]


@pytest.mark.parametrize("change", ["TRUNCATE t", "ALTER TABLE t ALTER COLUMN id TYPE bigint", "DROP TABLE t"])
def test_a_table_that_no_snapshot_shields_is_not_read_as_empty(database: str, run: Run, change: str) -> None:
    run("CREATE TABLE t AS SELECT generate_series(1, 10) AS id")
    with _source(database).open() as reading:
        contract = reading.describe("t", TableName("shop", "t"))
        run(change)
        with pytest.raises(SourceChanged) as raised:
            reading.read("t", contract)
    assert raised.value.hint == "run again"


def test_nothing_can_be_written_through_a_reading(database: str, run: Run) -> None:
    run("CREATE TABLE t (id int); CREATE FUNCTION sly() RETURNS int LANGUAGE sql VOLATILE AS 'INSERT INTO t VALUES (1) RETURNING id'")
    run("CREATE VIEW v AS SELECT sly() AS id")
    with _source(database).open() as reading, pytest.raises(SourceRefused, match="read-only transaction"):
        _values(_read(reading, "v")[1])


def test_text_of_no_known_encoding_is_refused_and_not_changed(postgres_server: Postgres) -> None:
    with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
        owner.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0")
    try:
        with psycopg.connect(postgres_server.url("ascii"), autocommit=True) as writer:
            writer.execute(r"CREATE TABLE t AS SELECT convert_from('\x636166c3a9', 'SQL_ASCII') AS name")
        with _source(postgres_server.url("ascii")).open() as reading:
            assert _values(_read(reading, "t")[1]) == ["café"]
        with psycopg.connect(postgres_server.url("ascii"), autocommit=True) as writer:
            writer.execute(r"INSERT INTO t SELECT convert_from('\x636166e9', 'SQL_ASCII')")
        with _source(postgres_server.url("ascii")).open() as reading, pytest.raises(SourceRefused, match="not in its own encoding"):
            _values(_read(reading, "t")[1])
    finally:
        with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
            owner.execute("DROP DATABASE ascii WITH (FORCE)")


def test_a_statement_that_takes_too_long_is_refused(database: str, run: Run) -> None:
    run("CREATE VIEW slow AS SELECT pg_sleep(5)::text AS nap")
    with _source(database, Protect(statement_timeout_s=0.2)).open() as reading, pytest.raises(SourceRefused) as raised:
        _read(reading, "slow")
    assert "statement_timeout" in raised.value.hint


def test_a_stream_that_takes_too_long_is_refused(database: str, run: Run) -> None:
    run("CREATE VIEW slow AS SELECT CASE WHEN current_query() LIKE 'COPY%' THEN pg_sleep(5)::text END AS nap")
    with _source(database, Protect(statement_timeout_s=0.3)).open() as reading, pytest.raises(SourceRefused) as raised:
        _values(_read(reading, "slow")[1])
    assert "statement_timeout" in raised.value.hint


def test_a_table_without_the_right_to_read_is_refused_and_the_doctor_says_so(database: str, run: Run, postgres_server: Postgres) -> None:
    run("DROP ROLE IF EXISTS guest")
    run("CREATE ROLE guest LOGIN PASSWORD 'guest-word'")
    run("CREATE TABLE mine (id int); CREATE TABLE ours (id int); GRANT SELECT ON ours TO guest")
    guest = database.replace(f"//limnos:{quote(postgres_server.password, safe='')}@", "//guest:guest-word@")
    try:
        with _source(guest).open() as reading:
            assert _values(_read(reading, "ours")[1]) == []
            with pytest.raises(SourceRefused) as raised:
                _read(reading, "mine")
        assert "grant SELECT" in raised.value.hint
        findings = {finding.subject: finding for finding in _source(guest).findings()}
        assert findings["source shop"].ok
        assert not findings["source shop, table mine"].ok
        assert "GRANT SELECT" in findings["source shop, table mine"].hint
        assert "source shop, table ours" not in findings
    finally:
        run("DROP OWNED BY guest; DROP ROLE guest")


def _failing(postgres_server: Postgres, case: str) -> str:
    good = postgres_server.url("postgres", password="hunter2/%@x")
    return {
        "wrong password": good,
        "no such database": postgres_server.url("nowhere"),
        "nobody listens": good.replace(f":{postgres_server.port}/", ":1/"),
        "no such host": good.replace("127.0.0.1", "nowhere.invalid"),
        "raw at sign": f"postgresql://limnos:x@hunter2@127.0.0.1:{postgres_server.port}/postgres",
        "raw slash": f"postgresql://limnos:hunter2/x@127.0.0.1:{postgres_server.port}/postgres",
        "no scheme": "limnos:hunter2@127.0.0.1/postgres",
        "misspelt scheme": good.replace("postgresql://", "postgrsql://"),
        "bad port": good.replace(f":{postgres_server.port}/", ":hunter2/"),
        "unknown parameter": good + "?passwd=hunter2",
    }[case]


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("wrong password", SourceRefused),
        ("no such database", SourceRefused),
        ("nobody listens", SourceUnreachable),
        ("no such host", SourceUnreachable),
        ("raw at sign", SourceUnreachable),
        ("raw slash", SourceUnreachable),
        ("no scheme", SourceUnreachable),
        ("misspelt scheme", SourceUnreachable),
        ("bad port", SourceUnreachable),
        ("unknown parameter", SourceUnreachable),
    ],
)
def test_a_failed_connection_names_what_to_set_and_never_shows_the_password(
    postgres_server: Postgres, case: str, error: type[SourceRefused | SourceUnreachable]
) -> None:
    url = _failing(postgres_server, case)
    with pytest.raises(error) as raised, _source(url).open():
        pass
    assert "SHOP_DSN" in raised.value.hint
    assert "limnos doctor shop" in raised.value.hint
    (finding,) = _source(url).findings()
    assert not finding.ok
    cause: BaseException | None = raised.value
    while cause is not None:
        for shown in (str(cause), repr(cause), str(finding)):
            assert "hunter2" not in shown
            assert postgres_server.password not in shown
            assert url not in shown
        cause = cause.__cause__
