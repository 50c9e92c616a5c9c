from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from pathlib import Path

import pyarrow as pa
import pymysql
import pytest
from pymysql.constants import CLIENT
from services import MariaDB

from limnos import Lake
from limnos.engines.duckdb import DuckEngine
from limnos.model.contract import Contract
from limnos.model.conversion import convert
from limnos.model.extract import Extract
from limnos.model.names import TableName, quoted
from limnos.model.project import SourceConfig
from limnos.model.secret import Secret
from limnos.ports import Reading
from limnos.sources.mysql import MariadbSource

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("decoder")]

Run = Callable[[str], None]


@pytest.fixture
def database(mariadb_server: MariaDB) -> Generator[str]:
    name = f"t{uuid.uuid4().hex[:12]}"
    _run(mariadb_server, "", f"CREATE DATABASE {name}")
    yield name
    _run(mariadb_server, "", f"DROP DATABASE {name}")


@pytest.fixture
def run(mariadb_server: MariaDB, database: str) -> Run:
    return lambda sql: _run(mariadb_server, database, sql)


@pytest.fixture
def source(mariadb_server: MariaDB, database: str) -> MariadbSource:
    url = Secret(mariadb_server.url(database), name="SHOP_DSN")
    return MariadbSource(SourceConfig("shop", "mariadb", Path(), "shop", {"url": url}), DuckEngine())


def _run(server: MariaDB, database: str, sql: str) -> None:
    with (
        pymysql.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            database=database or None,
            client_flag=CLIENT.MULTI_STATEMENTS,
            autocommit=True,
            init_command="SET sql_mode = 'ALLOW_INVALID_DATES'",
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)
        while cursor.nextset():
            pass


def _read(reading: Reading, table: str) -> tuple[Contract, Extract]:
    contract = reading.describe(table, TableName("shop", table))
    return contract, reading.read(table, contract)


# Type, value as SQL, the promised type, and what must arrive as text after conversion; None means that the row is held back.
FAITHFUL = [
    ("tinyint", "-128", "int32", "-128"),
    ("tinyint(1)", "7", "int32", "7"),
    ("tinyint unsigned", "255", "int32", "255"),
    ("smallint unsigned", "65535", "int32", "65535"),
    ("mediumint", "-8388608", "int32", "-8388608"),
    ("int", "-2147483648", "int32", "-2147483648"),
    ("int unsigned", "4294967295", "int64", "4294967295"),
    ("int(8) zerofill", "42", "int64", "42"),
    ("bigint", "-9223372036854775808", "int64", "-9223372036854775808"),
    ("bigint", "9223372036854775807", "int64", "9223372036854775807"),
    ("bigint unsigned", "18446744073709551615", "decimal128(20, 0)", "18446744073709551615"),
    ("year", "2024", "int32", "2024"),
    ("year", "0", "int32", "0"),
    ("bit(1)", "b'1'", "int64", "1"),
    ("bit(8)", "b'101'", "int64", "5"),
    ("bit(63)", "0x7FFFFFFFFFFFFFFF", "int64", "9223372036854775807"),
    ("bit(64)", "0xFFFFFFFFFFFFFFFF", "decimal128(20, 0)", "18446744073709551615"),
    ("decimal(5,2)", "-999.99", "decimal128(5, 2)", "-999.99"),
    ("decimal(5,5)", "-0.00001", "decimal128(5, 5)", "-.00001"),
    ("decimal(10,0)", "-7", "decimal128(10, 0)", "-7"),
    ("decimal(18,2)", "-9999999999999999.99", "decimal128(18, 2)", "-9999999999999999.99"),
    ("decimal(19,2)", "99999999999999999.99", "decimal128(19, 2)", "99999999999999999.99"),
    ("decimal(6,2) unsigned zerofill", "1.5", "decimal128(6, 2)", "1.50"),
    ("decimal(38,10)", "1234567890123456789012345678.0123456789", "decimal128(38, 10)", "1234567890123456789012345678.0123456789"),
    ("decimal(65,30)", f"-{'9' * 35}.{'1' * 30}", "string", f"-{'9' * 35}.{'1' * 30}"),
    ("float", "0.1", "float", "0.1"),
    ("float", "16777215", "float", "16777215.0"),
    ("float", "3.4028234e38", "float", "3.4028235e+38"),
    ("float", "1e-45", "float", "1e-45"),
    ("float(10,2)", "1234567.25", "float", "1234567.25"),
    ("double", "0.1e0 + 0.2e0", "double", "0.30000000000000004"),
    ("double", "1.7976931348623157e308", "double", "1.7976931348623157e+308"),
    ("double", "5e-324", "double", "5e-324"),
    ("double(20,4)", "123456789012.3456", "double", "123456789012.3456"),
    ("date", "'2024-02-29'", "date32[day]", "2024-02-29"),
    ("date", "'0001-01-01'", "date32[day]", "0001-01-01"),
    ("date", "'9999-12-31'", "date32[day]", "9999-12-31"),
    ("date", "'0000-00-00'", "date32[day]", None),
    ("date", "'2024-00-00'", "date32[day]", None),
    ("date", "'2024-02-31'", "date32[day]", None),
    ("date", "'0000-03-01'", "date32[day]", None),
    ("datetime", "'2024-02-29 23:59:59'", "timestamp[us]", "2024-02-29 23:59:59"),
    ("datetime(6)", "'1000-01-01 00:00:00.000001'", "timestamp[us]", "1000-01-01 00:00:00.000001"),
    ("datetime(6)", "'9999-12-31 23:59:59.999999'", "timestamp[us]", "9999-12-31 23:59:59.999999"),
    ("datetime(3)", "'0001-01-01 00:00:00.5'", "timestamp[us]", "0001-01-01 00:00:00.5"),
    ("datetime", "'0000-00-00 00:00:00'", "timestamp[us]", None),
    ("datetime", "'2024-01-00 10:00:00'", "timestamp[us]", None),
    ("timestamp NULL", "'2038-01-19 03:14:07'", "timestamp[us, tz=UTC]", "2038-01-19 03:14:07+00"),
    ("timestamp(6) NULL", "'1970-01-01 00:00:01.000001'", "timestamp[us, tz=UTC]", "1970-01-01 00:00:01.000001+00"),
    ("timestamp NULL", "'0000-00-00 00:00:00'", "timestamp[us, tz=UTC]", None),
    ("time", "'23:59:59'", "string", "23:59:59"),
    ("time(6)", "'-838:59:59.999999'", "string", "-838:59:59.999999"),
    ("time", "'25:00:00'", "string", "25:00:00"),
    ("char(5)", "'ab  '", "string", "ab"),
    ("varchar(5)", "'ab  '", "string", "ab  "),
    ("text CHARACTER SET latin1", "'caf\u00e9 \u20ac'", "string", "caf\u00e9 \u20ac"),
    ("varchar(9) CHARACTER SET utf8mb3", "'\u4e2d\u00e9'", "string", "\u4e2d\u00e9"),
    ("varchar(9) CHARACTER SET utf16", "'\u4e2d\U0001f600'", "string", "\u4e2d\U0001f600"),
    ("varchar(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "'\U0001f600 it''s'", "string", "\U0001f600 it's"),
    ("longtext CHARACTER SET utf8mb4", "repeat('\u00e9\\\\0', 70000)", "string", "\u00e9\\0" * 70000),
    ("varbinary(8)", "x'00FF'", "binary", "\\x00\\xFF"),
    ("binary(4)", "x'01'", "binary", "\\x01\\x00\\x00\\x00"),
    ("longblob", "repeat(x'FB', 300)", "binary", "\\xFB" * 300),
    ("enum('a','it''s','b,c')", "'it''s'", "string", "it's"),
    ("enum('a','b')", "'c'", "string", ""),
    ("set('a','b','c')", "'c,a'", "string", "a,c"),
    ("json", """'{"a": [1, 2.50],  "a": 1e400}'""", "string", '{"a": [1, 2.50],  "a": 1e400}'),
    ("inet6", "'2001:db8::ff00:42:8329'", "string", "2001:db8::ff00:42:8329"),
    ("uuid", "'6ECD8C99-4036-403D-BF84-CF8400F67836'", "extension<arrow.uuid>", "6ecd8c99-4036-403d-bf84-cf8400f67836"),
    (
        "point",
        "ST_GeomFromText('POINT(1 2)', 4326)",
        "binary",
        "\\xE6\\x10" + "\\x00" * 2 + "\\x01" * 2 + "\\x00" * 9 + "\\xF0?" + "\\x00" * 7 + "@",
    ),
]


@pytest.fixture
def torture(run: Run) -> list[str]:
    columns = ", ".join(f"c{place} {kind}" for place, (kind, *_) in enumerate(FAITHFUL))
    values = ", ".join(value for _, value, *_ in FAITHFUL)
    run(f"CREATE TABLE hard ({columns}); INSERT INTO hard VALUES ({values}); INSERT INTO hard () VALUES ()")
    return [f"c{place}" for place in range(len(FAITHFUL))]


def test_every_type_arrives_exactly_or_is_held_back(source: MariadbSource, torture: list[str]) -> None:
    with source.open() as reading, DuckEngine().session() as session:
        contract, extract = _read(reading, "hard")
        (batch,) = extract.batches or ()
        raw = pa.Table.from_batches([batch])
        assert [str(column.type).removesuffix("[pyarrow]") for column in contract.columns] == [kind for *_, kind, _ in FAITHFUL]
        for name, (kind, value, _, expected) in zip(torture, FAITHFUL, strict=True):
            conversion = convert(quoted(name), raw.schema.field(name).type, contract.column(name).type)
            select = f"SELECT CAST({conversion.value} AS VARCHAR) AS v, {conversion.fails} AS f FROM raw"
            one, null = session.run(select, raw=raw).to_pylist()
            assert (one["v"], one["f"]) == (expected, expected is None), f"{kind} {value}"
            assert (null["v"], null["f"]) == (None, False), kind


@pytest.fixture
def lake(mariadb_server: MariaDB, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("SHOP_DSN", mariadb_server.url(database))
    (tmp_path / "limnos.yml").write_text(
        "version: 1\nproject: shop\nlake: .limnos/lake\nstate: .limnos/state.db\n"
        "sources:\n  shop: {type: mariadb, url: secret://SHOP_DSN}\n"
    )
    return Lake(tmp_path)


def test_a_table_of_every_type_is_published_as_the_server_prints_it(lake: Lake, run: Run) -> None:
    good = [row for row in FAITHFUL if row[3] is not None and not row[0].startswith("enum('a','b')")]
    columns = ", ".join(f"c{place} {kind}" for place, (kind, *_) in enumerate(good))
    run(f"CREATE TABLE good (id int PRIMARY KEY, {columns}); INSERT INTO good VALUES (1, {', '.join(value for _, value, *_ in good)})")
    run("INSERT INTO good (id) VALUES (2)")
    (table,) = lake.run().tables
    assert (table.read, table.written, table.quarantined) == (2, 2, 0), table
    texts = ", ".join(f"CAST(c{place} AS VARCHAR) AS c{place}" for place in range(len(good)))
    one, null = lake.query(f"SELECT {texts} FROM shop.good ORDER BY id").rows()
    assert [one[f"c{place}"] for place in range(len(good))] == [expected for *_, expected in good]
    assert set(null.values()) == {None}


def test_what_no_type_of_the_lake_holds_waits_with_its_own_text_and_a_reason(lake: Lake, run: Run) -> None:
    run("""
        CREATE TABLE odd (id int PRIMARY KEY, d date, t datetime(2), s timestamp NULL, e enum('a', 'b'));
        INSERT INTO odd VALUES (1, '2024-02-29', '2024-02-29 10:11:12.13', '2024-02-29 10:11:12', 'a'),
            (2, '0000-00-00', NULL, NULL, NULL), (3, '2024-00-00', NULL, NULL, NULL), (4, '2024-02-31', NULL, NULL, NULL),
            (5, NULL, '2024-01-00 10:00:00', NULL, NULL), (6, NULL, NULL, '0000-00-00', NULL), (7, NULL, NULL, NULL, 'c');
    """)
    (table,) = lake.run().tables
    assert (table.read, table.written, table.quarantined) == (7, 1, 6), table
    (row,) = lake.query("SELECT CAST(d AS VARCHAR) AS d, CAST(t AS VARCHAR) AS t, CAST(s AS VARCHAR) AS s, e FROM shop.odd").rows()
    assert row == {"d": "2024-02-29", "t": "2024-02-29 10:11:12.13", "s": "2024-02-29 10:11:12+00", "e": "a"}
    waiting = {entry.row["id"]: entry for entry in lake.quarantine.entries("shop.odd", limit=100) if entry.row}
    seen = {name: next(value for column, value in waiting[name].row.items() if column != "id" and value is not None) for name in waiting}
    assert seen == {
        "2": "0000-00-00",
        "3": "2024-00-00",
        "4": "2024-02-31",
        "5": "2024-01-00 10:00:00.00",
        "6": "0000-00-00 00:00:00",
        "7": "",
    }
    assert all(entry.reasons for entry in waiting.values())
