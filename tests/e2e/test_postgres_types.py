"""Every type of PostgreSQL through a whole run: what is published or quarantined is what PostgreSQL prints."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from services import Postgres

from limnos import Lake
from limnos.engines.duckdb import DuckEngine
from limnos.model.conversion import as_text
from limnos.model.names import TableName, literal, quoted
from limnos.model.project import SourceConfig
from limnos.model.secret import Secret
from limnos.sources.postgres import PostgresSource

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("decoder")]

# How this room sets a session up, so that `column::text` is the same text there and here.
PRINTING = "-c DateStyle=ISO,YMD -c IntervalStyle=iso_8601 -c TimeZone=UTC -c extra_float_digits=3"
SCHEMA = """
CREATE EXTENSION hstore; CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('bad', 'so-so');
CREATE TYPE pair AS (a int, b text);
CREATE TYPE spans AS RANGE (subtype = float8);
CREATE DOMAIN price AS numeric(6,2);
CREATE DOMAIN cents AS price;
CREATE DOMAIN day AS date;
CREATE DOMAIN tags AS text[];
"""
# Per type its values as PostgreSQL reads them, and those that no type of the lake holds, each of which must wait in quarantine.
TYPES: dict[str, tuple[list[str], list[str]]] = {
    "boolean": (["true", "false"], []),
    "smallint": (["-32768", "32767", "0"], []),
    "integer": (["-2147483648", "2147483647"], []),
    "bigint": (["-9223372036854775808", "9223372036854775807"], []),
    "oid": (["0", "4294967295"], []),
    "real": (["1e-45", "3.4028235e38", "0.1", "-0", "NaN", "Infinity", "-Infinity"], []),
    "double precision": (["5e-324", "1.7976931348623157e308", "0.1", "-0", "NaN", "Infinity", "-Infinity"], []),
    "numeric": (["NaN", "Infinity", "-Infinity", "1e-20", "12345678901234567890123456789012345678901234567890.5", "1.500"], []),
    "numeric(1,0)": (["9", "-9", "0"], ["NaN"]),
    "numeric(4,4)": (["0.9999", "-0.0001", "0"], ["NaN"]),
    "numeric(12,2)": (["9999999999.99", "-9999999999.99", "0.01", "10000", "0.10", "100000000"], ["NaN"]),
    "numeric(15,3)": (["999999999999.999", "-999999999999.999", "0.001", "10000.5"], ["NaN"]),
    "numeric(16,0)": (["9999999999999999", "-1", "10000000000000", "0"], ["NaN"]),
    "numeric(38,0)": (["99999999999999999999999999999999999999", "-99999999999999999999999999999999999999", "1", "0"], ["NaN"]),
    "numeric(38,10)": (["1234567890123456789012345678.0123456789", "-0.0000000001", "10000"], ["NaN"]),
    "numeric(38,38)": (["0.99999999999999999999999999999999999999", "-0.00000000000000000000000000000000000001"], ["NaN"]),
    "numeric(60,20)": (["0.00000000000000000001", "1234567890123456789012345678901234567890.5", "NaN"], []),
    "numeric(5,-2)": (["12345", "-9999949", "NaN"], []),
    "date": (
        ["0001-01-01", "9999-12-31", "2000-02-29", "1970-01-01"],
        ["infinity", "-infinity", "0001-12-31 BC", "4713-01-01 BC", "10000-01-01", "5874897-12-31", "0005-02-28 BC", "0005-02-29 BC"],
    ),
    "time": (["00:00", "23:59:59.999999", "10:11:12.5"], ["24:00:00"]),
    "timestamp": (
        ["0001-01-01 00:00", "9999-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999", "2000-01-01 00:00:00.5"],
        ["infinity", "-infinity", "0001-12-31 23:59:59.999999 BC", "10000-01-01 00:00", "294276-12-31 23:59:59.999999"],
    ),
    "timestamptz": (
        ["0001-01-01 00:00+00", "9999-12-31 23:59:59.999999+00", "2013-02-28 10:11:12.5+02"],
        ["infinity", "-infinity", "4713-11-24 00:00+00 BC", "10000-01-01 00:00+00"],
    ),
    "timetz": (["10:00:00.5+02", "24:00:00-15:59", "00:00+00"], []),
    "interval": (["1 year 2 days 3.5 seconds", "-1 mon +3 days -04:05:06.000007", "0"], []),
    "money": (["12.34", "-92233720368547758.08"], []),
    "uuid": (["6ECD8C99-4036-403D-BF84-CF8400F67836", "00000000-0000-0000-0000-000000000000"], []),
    "json": (['{"a":1, "a":2}', " null", '"\\u00e9"'], []),
    "jsonb": (['{"a": [1, 2.50]}', "12345678901234567890.10"], []),
    "text": (["", "é", "a\tb\nc\\N", "𝄞", "x" * 70_000, "NULL", "\\."], []),
    "varchar(5)": (["", "é ", "NaN"], []),
    "char(4)": (["ab", "", "é"], []),
    '"char"': (["a", ""], []),
    "name": (["pg_class"], []),
    "bytea": (["\\x00ff", "", "\\x" + "00" * 300], []),
    "text[]": (['{"a b",NULL,"NULL",""}', "{}", "{{a,b},{c,d}}", "[0:1]={x,y}"], []),
    "int[]": (["{1,NULL,-2}", "{{1,2},{3,4}}", "[2:3]={5,6}", "{}"], []),
    "numeric(6,2)[]": (["{1.5,NaN}"], []),
    "mood": (["bad", "so-so"], []),
    "pair": (['(1,"x y")', "(,)", '(2,"")'], []),
    "int4range": (["[1,5)", "empty", "(,)", "[7,7]"], []),
    "int4multirange": (["{[1,3),[5,8)}", "{}"], []),
    "tstzrange": (["[2013-01-01 00:00+00,)"], []),
    "spans": (["[1.5,2.5]"], []),
    "inet": (["10.0.0.1/24", "::1", "10.0.0.1"], []),
    "cidr": (["10.0.0.0/8", "2001:db8::/32"], []),
    "macaddr": (["08:00:2b:01:02:03"], []),
    "bit(4)": (["1010"], []),
    "varbit": (["", "10101"], []),
    "hstore": (['a=>1, "b c"=>NULL'], []),
    "citext": (["ÄbC"], []),
    "xml": (["<a>1</a>"], []),
    "tsvector": (["a:1 fat:2A"], []),
    "point": (["(1.5,-2)"], []),
    "pg_lsn": (["16/B374D848"], []),
    "cents": (["7.10", "-9999.99"], ["NaN"]),
    "day": (["2000-02-29"], ["infinity"]),
    "tags": (["{a,NULL}"], []),
}


@pytest.fixture
def database(postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        monkeypatch.setenv("SHOP_DSN", postgres_server.url(name))
        yield postgres_server.url(name)
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _lake(directory: Path) -> Lake:
    (directory / "limnos.yml").write_text("version: 1\nproject: p\nsources:\n  shop: {type: postgres, url: secret://SHOP_DSN}\n")
    return Lake(directory)


def _column(place: int) -> str:
    return f"c{place}"


def _rows() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Give rows of values that the lake has types for, and rows of one other value each; what a row leaves out is null."""
    most = max(len(fitting) for fitting, _ in TYPES.values())
    fitting = [{_column(place): good[n] for place, (good, _) in enumerate(TYPES.values()) if n < len(good)} for n in range(most)]
    odd = [{_column(place): value} for place, (_, values) in enumerate(TYPES.values()) for value in values]
    return fitting, odd


def _fill(owner: psycopg.Connection[Any], table: str, rows: list[dict[str, str]]) -> None:
    columns = ", ".join(f"{_column(place)} {kind}" for place, kind in enumerate(TYPES))
    owner.execute(f"CREATE TABLE {table} (n int PRIMARY KEY, {columns})")
    for n, row in enumerate(rows):
        names, values = ", ".join(["n", *row]), ", ".join([str(n), *(literal(value) for value in row.values())])
        owner.execute(f"INSERT INTO {table} ({names}) VALUES ({values})")


def _printed(owner: psycopg.Connection[Any], table: str, place: int, kind: str) -> dict[int, str | None]:
    # A cast of char(n) to text cuts its blanks, which are part of what it holds.
    column = _column(place)
    text = f"CASE WHEN {column} IS NOT NULL THEN rpad({column}::text, 4) END" if kind == "char(4)" else f"{column}::text"
    return dict(owner.execute(f"SELECT n, {text} FROM {table}").fetchall())


def _published(owner: psycopg.Connection[Any], rows: pa.Table, place: int, kind: str) -> dict[int, str | None]:
    """Give what the lake holds, typed values as PostgreSQL prints them."""
    column = _column(place)
    held = rows.schema.field(column).type
    with DuckEngine().session() as session:
        texts = session.run(f"SELECT n, {as_text(quoted(column), held)} AS v FROM rows", rows=rows).to_pylist()
    if pa.types.is_string(held):
        return {row["n"]: row["v"] for row in texts}
    printed = f"SELECT n, v::{kind}::text FROM unnest(%s::int[], %s::text[]) AS lake (n, v)"
    return dict(owner.execute(printed, ([row["n"] for row in texts], [row["v"] for row in texts])).fetchall())


def test_each_value_of_each_type_is_what_postgresql_prints_or_waits_with_a_reason(database: str, tmp_path: Path) -> None:
    fitting, odd = _rows()
    with psycopg.connect(database, autocommit=True, options=PRINTING) as owner:
        owner.execute(SCHEMA)
        _fill(owner, "plain", fitting)
        _fill(owner, "mixed", [*fitting, *odd])
        lake = _lake(tmp_path)
        results = {result.table.name: result for result in lake.run().tables}
        assert [result.error for result in results.values() if result.error] == []
        assert (results["plain"].written, results["plain"].quarantined) == (len(fitting), 0)
        assert (results["mixed"].written, results["mixed"].quarantined) == (len(fitting), len(odd))
        waiting = {int(str(entry.row["n"])): entry for entry in lake.quarantine.entries("shop.mixed", limit=1000) if entry.row}
        for table in ("plain", "mixed"):
            rows = lake.query(f"SELECT * FROM shop.{table}").to_arrow()
            for place, kind in enumerate(TYPES):
                published = _published(owner, rows, place, kind)
                waits = {n: (entry.row or {})[_column(place)] for n, entry in waiting.items()} if table == "mixed" else {}
                assert {**published, **waits} == _printed(owner, table, place, kind), f"{kind} in {table}"
    reasons = {n: [reason.rule for reason in entry.reasons] for n, entry in waiting.items()}
    assert reasons == {n: [f"type:{next(iter(row))}"] for n, row in enumerate(odd, start=len(fitting))}


# What other drivers for PostgreSQL were seen to change without a word.
CORRUPTIONS = {
    "a numeric NaN becomes 0": ("numeric(12,2)", "NaN"),
    "an unconstrained numeric NaN becomes 0": ("numeric", "NaN"),
    "an infinite numeric becomes 0": ("numeric", "Infinity"),
    "a numeric of 31 digits is cut to a scale of 10": ("numeric", "1234567890123456789.012345678901"),
    "a numeric of 60 digits becomes a double": ("numeric(60,20)", "1234567890123456789012345678901234567890.01234567890123456789"),
    "a number in jsonb loses its zeros": ("jsonb", '{"a": [1, 2.50]}'),
    "an array of two dimensions is flattened": ("int[]", "{{1,2},{3,4}}"),
    "an array loses its lower bound": ("int[]", "[2:3]={5,6}"),
    "the end of a day becomes its beginning": ("time", "24:00:00"),
    "a time loses its offset": ("timetz", "10:00:00+02"),
    "an infinite instant becomes a number": ("timestamptz", "infinity"),
    "an infinite day becomes a number": ("date", "-infinity"),
    "a day before the year 1 becomes a number": ("date", "4000-01-01 BC"),
    "a day after the year 9999 becomes a number": ("date", "290000-01-01"),
    "an address becomes bytes": ("inet", "10.0.0.1/24"),
    "bits become bytes with a length before them": ("bit(4)", "1010"),
    "a range becomes bytes": ("int4range", "[1,5)"),
    "money becomes cents": ("money", "$12.34"),
    "an interval loses its months": ("interval", "P1Y2M3DT4H"),
}


@pytest.mark.parametrize(("kind", "value"), CORRUPTIONS.values(), ids=CORRUPTIONS)
def test_a_known_silent_corruption_does_not_happen(postgres_server: Postgres, kind: str, value: str) -> None:
    with psycopg.connect(postgres_server.dsn, autocommit=True, options=PRINTING) as owner:
        owner.execute("DROP SCHEMA IF EXISTS known CASCADE; CREATE SCHEMA known")
        owner.execute(f"CREATE TABLE known.t AS SELECT {literal(value)}::{kind} AS v")
        ((printed,),) = owner.execute("SELECT v::text FROM known.t").fetchall()
    options = {"url": Secret(postgres_server.dsn), "schema": "known"}
    with PostgresSource(SourceConfig("shop", "postgres", Path(), "shop", options), DuckEngine()).open() as reading:
        (batch,) = reading.read("t", reading.describe("t", TableName("shop", "t"))).batches or ()
    assert batch.schema.types == [pa.string()]
    assert batch.column(0).to_pylist() == [printed] == [value]
