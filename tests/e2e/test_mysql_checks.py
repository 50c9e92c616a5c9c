"""CHECK constraints of MariaDB and MySQL as rules: what is translated passes the same rows on both sides, and the rest is left out."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services import MariaDB

from limnos.engines.duckdb import DuckEngine
from limnos.model.names import TableName
from limnos.model.project import SourceConfig
from limnos.model.secret import Secret
from limnos.sources.mysql import MariadbSource, MysqlSource

pytestmark = pytest.mark.e2e

SAID = [
    "b IN ('x', 'yy') AND p IN ('p', 'q')",
    "b NOT IN ('x', 'yy')",
    "b = 'x'",
    "'x' <> b",
    "b <> c",
    "p = c2",
    "p <> ''",
    "c = 'AB'",
    "c <> '' OR c2 = 'AB'",
    "char_length(w) > 2",
    "character_length(b) BETWEEN 1 AND 3",
    "length(p) < 4 AND octet_length(w) <= 5",
    "char_length(l) = 1",
    "p LIKE '%x_' OR p NOT LIKE 'y%'",
    "d >= '2020-01-01'",
    "d BETWEEN '1999-12-31' AND '2030-01-01'",
    "d NOT BETWEEN '1999-12-31' AND '2030-01-01'",
    "d < DATE '2020-01-01'",
    "t < '2030-01-01 10:00:00' OR t = '2031-01-01 00:00:00'",
    "d < d2",
    "x > 0.1",
    "x <= 100 AND x <> 0",
    "x IN (0.1, -2) OR f >= 0.1",
    "n NOT IN (1, 2)",
    "n <> -1",
    "n IS NOT NULL AND d IS NULL",
    "m IN (1, 2.5)",
    "m > n",
    "m BETWEEN -1.50 AND n",
    "big > 9223372036854775807",
    "big > -1 AND n < 0.5",
    "j IS NOT NULL OR nn IS NULL OR ts IS NULL OR e IS NULL",
    "NOT (n > 0 AND m > 0) OR b IS NULL",
    "(n > 1 OR m > 1) AND d2 IS NOT NULL OR n = 0",
    "(n > 0) IS TRUE",
    "(n > 0) IS NOT FALSE",
    "n BETWEEN 1 AND 2 IS NULL",
    "(NOT (n > 0)) IS TRUE",
    "(n > 0 OR m > 0) IS NOT TRUE",
]
LEFT_OUT = [
    "w = 'x'",
    "w <> ''",
    "b > 'm'",
    "b LIKE 'x%'",
    "p LIKE '%\\\\_%'",
    "p LIKE 'x%' ESCAPE '|'",
    "lower(p) = p",
    "p REGEXP '^x'",
    "length(l) = 1",
    "p = 'back\\\\slash'",
    "b = p COLLATE utf8mb4_bin",
    "n + 1 > 0",
    "-n > 0",
    "n = '1'",
    "n <=> 3",
    "n > 1e1",
    "n = 1 XOR m = 1",
    "n IN (1, NULL)",
    "n IN (SIGN(1), 2)",
    "nn > 0",
    "x = n",
    "d > t",
    "d = '2020-02-31'",
    "t > '2030-01-01'",
    "ts > '2030-01-01 10:00:00'",
    "y > 70",
    "bits = 1",
    "e = 'ok'",
    "json_valid(j)",
]
COLUMNS = """id serial, w varchar(9), b varchar(9) COLLATE utf8mb4_bin, p varchar(9) COLLATE {nopad}, c char(3) COLLATE utf8mb4_bin,
c2 char(3) COLLATE {nopad}, l varchar(9) CHARACTER SET latin1 COLLATE latin1_bin, d date, d2 date, t datetime(6), ts timestamp NULL,
x double, f float, n int, m decimal(6,2), big bigint unsigned, nn decimal(60,2), j json, e enum('sad', 'ok'), y year, bits bit(3)"""
NOT_THERE: dict[str, set[str]] = {"mariadb": set(), "mysql": {"json_valid(j)", "d = '2020-02-31'"}}
WORDS = st.sampled_from(["", "x", "xy", "yy", "yy ", " x ", "é", "😀", "pq", "p", "q", "  ", "AB", "C", "X", "axb", "x\t"])
DAYS = st.dates(dt.date(1999, 12, 30), dt.date(2031, 1, 2)) | st.sampled_from([dt.date(2020, 1, 1), dt.date(1999, 12, 31)])
TIMES = st.sampled_from(["2030-01-01T09:59:59.999999", "2030-01-01T10:00", "2031-01-01", "1990-01-01T00:00:01"]).map(
    dt.datetime.fromisoformat
)
ROWS = st.lists(
    st.tuples(
        *[st.none() | WORDS] * 3,
        *[st.none() | st.sampled_from(["AB", "C", "AB ", "", "X"])] * 2,
        st.none() | st.sampled_from(["é", "x", "", "éé"]),
        *[st.none() | DAYS] * 2,
        st.none() | TIMES,
        st.none() | st.floats(-1e9, 1e9) | st.sampled_from([0.1, 0.10000000000000002, 100.0, -0.0, -2.0]),
        st.none() | st.sampled_from([0.1, 0.25, 0.099999]),
        st.none() | st.integers(-3, 3),
        st.none() | st.sampled_from([Decimal(1), Decimal("2.50"), Decimal("-1.5"), Decimal("0.01")]),
        st.none() | st.sampled_from([0, 2**63 - 1, 2**63, 2**64 - 1]),
    ),
    min_size=1,
    max_size=20,
)


@dataclass(slots=True)
class Server:
    kind: str
    at: MariaDB
    name: str
    rules: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)

    @property
    def said(self) -> list[str]:
        return [one for one in [*SAID, *LEFT_OUT] if one not in NOT_THERE[self.kind]]

    @property
    def source(self) -> MysqlSource:
        config = SourceConfig("s", self.kind, Path(), "s", {"url": Secret(self.at.url(self.name, scheme=self.kind), name="S_DSN")})
        return (MariadbSource if self.kind == "mariadb" else MysqlSource)(config, DuckEngine())

    def ask(self, sql: str, rows: list[tuple[Any, ...]] | None = None) -> list[tuple[Any, ...]]:
        who = {"host": self.at.host, "port": self.at.port, "user": self.at.user, "password": self.at.password}
        with closing(pymysql.connect(**who, autocommit=True, charset="utf8mb4")) as connection, connection.cursor() as cursor:
            cursor.execute("SET sql_mode = ''")
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS {self.name}")
            cursor.execute(f"USE {self.name}")
            cursor.executemany(sql, rows) if rows else cursor.execute(sql)
            return list(cursor.fetchall())


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> Generator[Server]:
    one = Server(request.param, request.getfixturevalue(f"{request.param}_server"), f"c{uuid.uuid4().hex[:12]}")
    columns = COLUMNS.format(nopad="utf8mb4_nopad_bin" if one.kind == "mariadb" else "utf8mb4_0900_bin")
    checks = [f"CONSTRAINT c{at:02} CHECK ({said})" for at, said in enumerate(one.said)]
    one.ask(f"CREATE TABLE judged ({columns}, {', '.join(checks)}) CHARACTER SET utf8mb4")
    one.ask(f"CREATE TABLE answers ({columns}) CHARACTER SET utf8mb4")
    with one.source.open() as reading:
        described = reading.describe("judged", TableName("s", "judged"))
    one.rules = {
        rule.name.removeprefix("sql:"): (str(rule.arguments["expression"]), rule.columns) for rule in described.rules if rule.kind == "sql"
    }
    yield one
    one.ask(f"DROP DATABASE {one.name}")


def test_what_is_not_known_to_mean_the_same_is_left_out(server: Server) -> None:
    spoken = {said: server.rules.get(f"c{at:02}") for at, said in enumerate(server.said)}
    assert [said for said, rule in spoken.items() if said in SAID and rule is None] == []
    assert [(said, rule) for said, rule in spoken.items() if said in LEFT_OUT and rule is not None] == []
    assert spoken["m BETWEEN -1.50 AND n"] == ('("m" >= -1.50 AND "m" <= "n")', ("n", "m")) or server.kind == "mysql"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_the_same_rows_pass_on_both_sides(server: Server, rows: list[tuple[Any, ...]]) -> None:
    server.ask("TRUNCATE answers")
    server.ask(f"INSERT INTO answers (w, b, p, c, c2, l, d, d2, t, x, f, n, m, big) VALUES ({', '.join(['%s'] * 14)})", rows)
    said = [one for one in server.said if one in SAID]
    expected = server.ask(f"SELECT {', '.join(f'({one})' for one in said)} FROM answers ORDER BY id")
    with server.source.open() as reading:
        contract = reading.describe("answers", TableName("s", "answers"))
        table = pa.Table.from_batches(list(reading.read("answers", contract).batches or ())).cast(contract.schema)
    names = [f"c{server.said.index(one):02}" for one in said]
    conditions = ", ".join(f"({server.rules[name][0]}) AS {name}" for name in names)
    with DuckEngine().session() as session:
        found = session.run(f"SELECT {conditions} FROM answers ORDER BY id", answers=table)
    assert [tuple(row.values()) for row in found.to_pylist()] == expected


def test_a_constraint_of_a_column_bears_its_name(mariadb_server: MariaDB) -> None:
    server = Server("mariadb", mariadb_server, f"c{uuid.uuid4().hex[:12]}")
    try:
        server.ask("CREATE TABLE t (a int CHECK (a > 0), `b c` int, CONSTRAINT `up``` CHECK (a < `b c`))")
        with server.source.open() as reading:
            rules = {rule.name: rule for rule in reading.describe("t", TableName("s", "t")).rules}
    finally:
        server.ask(f"DROP DATABASE {server.name}")
    assert {name: (rule.columns, rule.arguments) for name, rule in rules.items()} == {
        "sql:a": (("a",), {"expression": '"a" > 0'}),
        "sql:up`": (("a", "b c"), {"expression": '"a" < "b c"'}),
    }
