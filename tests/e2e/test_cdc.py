"""Tables of mode `cdc`, whatever is kept of their rows, on a real PostgreSQL and a real MariaDB, by the command line."""

from __future__ import annotations

import json
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
import services

from limnos import Lake
from limnos.apps.cli.main import run

pytestmark = pytest.mark.e2e

CURRENT = {"hard": "TRUE", "soft": "_deleted_at IS NULL", "history": "valid_to IS NULL"}
SOURCE_WORDS = {"hard": "mode: cdc", "soft": "mode: cdc, deletes: soft", "history": "mode: cdc"}
LAKE_WORDS = {"hard": "", "soft": "", "history": "history: scd2, "}
ORDERS = "CREATE TABLE orders (id int PRIMARY KEY, note varchar(40), amount decimal(9,2), placed date)"
FILLED = """INSERT INTO orders VALUES (1, 'a', 1.00, '2024-01-05'), (2, 'b', 2.00, '2024-01-06'), (3, NULL, 3.00, '2024-02-07'),
    (4, 'd', -4.00, '2024-03-01'), (5, 'e', 5.00, NULL)"""


@dataclass
class Shop:
    """A database of its own at a real server, and the project that reads it."""

    kind: str
    server: services.Postgres | services.MariaDB
    database: str
    directory: Path
    read: Callable[[], Any]
    project: str = field(default="", init=False)

    def connect(self) -> Any:
        if self.kind == "postgres":
            return psycopg.connect(self.server.url(self.database), autocommit=True)
        at = {"host": self.server.host, "port": self.server.port, "user": self.server.user, "password": self.server.password}
        return pymysql.connect(**at, database=self.database, autocommit=True)

    def execute(self, *statements: str) -> list[Any]:
        """Run statements in one connection; gives the rows of the last one."""
        rows: list[Any] = []
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows = list(cursor.fetchall()) if cursor.description else []
        return rows

    def declare(self, tables: Mapping[str, str], lake: Mapping[str, str] | None = None) -> None:
        """Write the project: words under the source's tables, and under the lake's."""
        at_source = ", ".join(f"{name}: {{{words}}}" for name, words in tables.items())
        url = self.server.url(self.database)
        text = f'version: 1\nproject: p\nsources:\n  s: {{type: {self.kind}, url: "{url}", tables: {{{at_source}}}}}\n'
        if lake:
            text += "tables:\n" + "".join(f"  s.{name}: {{{words}}}\n" for name, words in lake.items())
        (self.directory / "limnos.yml").write_text(text)

    def limnos(self, *arguments: str) -> tuple[int, Any]:
        """Type a command; gives its exit code and its answer as JSON."""
        self.read()
        code = run(("-C", str(self.directory), *arguments, "--json"))
        said = self.read()
        return code, json.loads(said.out) if said.out.strip() else said.err

    def run(self, *patterns: str) -> dict[str, Any]:
        """Run; gives the results by the table's name."""
        code, result = self.limnos("run", *patterns)
        assert code == 0, [table["error"] for table in result["tables"]]
        for table in result["tables"]:
            assert table["read"] == table["written"] + table["quarantined"] + table["unchanged"]
        return {table["table"].partition(".")[2]: table for table in result["tables"]}

    def query(self, sql: str) -> list[dict[str, Any]]:
        code, rows = self.limnos("query", sql)
        assert code == 0, rows
        return list(rows)

    def equal(self, table: str = "orders", kept: str = "hard", *, but: str = "") -> None:
        """Compare the current rows of the lake with the source's, as text; `but` names those that are quarantined."""
        columns = Lake(self.directory).query(f"SELECT * FROM s.{table} LIMIT 0").to_arrow().schema.names
        own = [name for name in columns if name not in {"_deleted_at", "valid_from", "valid_to"}]
        quote = '"' if self.kind == "postgres" else "`"
        where = f" WHERE NOT ({but})" if but else ""
        there = Counter(
            tuple(None if value is None else str(value) for value in row)
            for row in self.execute(f"SELECT {', '.join(f'{quote}{name}{quote}' for name in own)} FROM {table}{where}")
        )
        values = ", ".join(f'"{name}"::VARCHAR AS c{at}' for at, name in enumerate(own))
        here = Counter(tuple(row.values()) for row in self.query(f"SELECT {values} FROM s.{table} WHERE {CURRENT[kept]}"))
        assert (sorted((there - here).elements(), key=repr), sorted((here - there).elements(), key=repr)) == ([], [])
        assert there


@pytest.fixture(params=["postgres", "mariadb"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Generator[Shop]:
    server = request.getfixturevalue(f"{request.param}_server")
    database = f"cdc_{secrets.token_hex(4)}"
    admin = Shop(request.param, server, "postgres" if request.param == "postgres" else "mysql", tmp_path, capfd.readouterr)
    admin.execute(f"CREATE DATABASE {database}")
    shop = Shop(request.param, server, database, tmp_path, capfd.readouterr)
    shop.execute(ORDERS, FILLED)
    yield shop
    if request.param == "postgres":
        admin.execute(
            f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{database}'",
            f"DROP DATABASE {database} WITH (FORCE)",
        )
    else:
        admin.execute(f"DROP DATABASE {database}")


def declare(shop: Shop, kept: str, *, more: str = "") -> None:
    checks = "checks: [range: {column: amount, min: 0}]"
    shop.declare({"orders": SOURCE_WORDS[kept]}, {"orders": f"{LAKE_WORDS[kept]}{more}{checks}"})


@pytest.mark.parametrize("kept", ["hard", "soft", "history"])
def test_every_verb_on_a_table_that_is_merged(shop: Shop, kept: str) -> None:
    declare(shop, kept, more="partition: month(placed), ")
    first = shop.run()["orders"]
    assert (first["read"], first["quarantined"]) == (5, 1)
    shop.equal(kept=kept, but="id = 4")
    code, plan = shop.limnos("plan")
    assert (code, plan["tables"][0]["action"]) == (0, "merge")
    shop.execute(
        "UPDATE orders SET note = 'x', placed = '2024-05-05' WHERE id = 1",
        "UPDATE orders SET id = 20 WHERE id = 2",
        "DELETE FROM orders WHERE id = 3",
        "INSERT INTO orders VALUES (6, 'f', 6.00, '2024-02-29'), (7, 'g', -7.00, '2024-01-01')",
        "UPDATE orders SET amount = 4.00 WHERE id = 4",
        "UPDATE orders SET amount = -5.00 WHERE id = 5",
    )
    second = shop.run()["orders"]
    assert second["lag_s"] is not None
    assert second["quarantined"] == 2
    assert not any("read in full" in note for note in second["notes"])
    shop.equal(kept=kept, but="id IN (5, 7)")
    for verb in (("status",), ("why", "s.orders"), ("check",), ("history", "s.orders"), ("upkeep",)):
        code, answer = shop.limnos(*verb)
        assert (verb, code) == (verb, 1 if verb[0] == "why" else 0), answer
    shop.equal(kept=kept, but="id IN (5, 7)")
    code, answer = shop.limnos("verify")
    assert code == 0, answer
    declare(shop, kept, more="on_fail: warn, partition: month(placed), ")
    code, released = shop.limnos("quarantine", "release", "s.orders", "--all")
    assert (code, released["moved"]) == (0, 2)
    shop.equal(kept=kept)
    shop.execute("UPDATE orders SET note = 'last' WHERE id = 7", "DELETE FROM orders WHERE id = 5")
    shop.run()
    shop.equal(kept=kept)
    code, _ = shop.limnos("query", "SELECT * FROM s.orders", "--output", str(shop.directory / "rows.parquet"))
    assert (code, (shop.directory / "rows.parquet").is_file()) == (0, True)


@pytest.mark.parametrize("kept", ["soft", "history"])
def test_what_is_kept_survives_a_reading_in_full(shop: Shop, kept: str) -> None:
    declare(shop, kept)
    shop.run()
    shop.execute("UPDATE orders SET note = 'x' WHERE id = 1", "DELETE FROM orders WHERE id = 2")
    shop.run()
    before = Counter(row["id"] for row in shop.query("SELECT id FROM s.orders"))
    shop.execute("ALTER TABLE orders ADD COLUMN extra int", "UPDATE orders SET extra = 7 WHERE id = 3", "DELETE FROM orders WHERE id = 5")
    again = shop.run()["orders"]
    assert any("read in full" in note for note in again["notes"]), again
    shop.equal(kept=kept, but="id = 4")
    after = Counter(row["id"] for row in shop.query("SELECT id FROM s.orders"))
    assert after - before == (Counter({3: 1}) if kept == "history" else Counter())
    assert before - after == Counter()
    shop.execute("UPDATE orders SET extra = 8 WHERE id = 3")
    assert shop.run()["orders"]["read"] == 1
    shop.equal(kept=kept, but="id = 4")


@pytest.mark.parametrize(("before", "after"), [("hard", "history"), ("hard", "soft"), ("soft", "hard"), ("history", "soft")])
def test_what_is_kept_of_a_row_can_be_declared_otherwise_later(shop: Shop, before: str, after: str) -> None:
    declare(shop, before)
    shop.run()
    shop.execute("UPDATE orders SET note = 'x' WHERE id = 1", "DELETE FROM orders WHERE id = 2")
    shop.run()
    shop.equal(kept=before, but="id = 4")
    shop.execute("UPDATE orders SET note = 'y' WHERE id = 1", "DELETE FROM orders WHERE id = 3")
    declare(shop, after)
    assert any("begun anew" in note for note in shop.run()["orders"]["notes"])
    shop.equal(kept=after, but="id = 4")
    shop.execute("UPDATE orders SET note = 'z' WHERE id = 1", "INSERT INTO orders VALUES (9, 'n', 9.00, NULL)")
    assert shop.run()["orders"]["read"] == 2
    shop.equal(kept=after, but="id = 4")


MODES = {"full": "mode: full", "cdc": "mode: cdc", "incremental": "mode: incremental, cursor: id"}


@pytest.mark.parametrize("other", ["full", "incremental"])
def test_a_table_changes_its_mode_and_back(shop: Shop, other: str) -> None:
    for change, mode in enumerate((other, "cdc", other, "cdc", "cdc"), 1):
        shop.declare({"orders": MODES[mode]})
        shop.run()
        shop.equal()
        shop.execute(
            f"INSERT INTO orders VALUES ({100 + change}, 'n', 1.00, NULL)", "UPDATE orders SET note = concat(note, '.') WHERE id = 1"
        )
        if mode == "cdc":
            shop.execute(f"DELETE FROM orders WHERE id = {change}")
            result = shop.run()["orders"]
            assert not any("read in full" in note for note in result["notes"])
            shop.equal()


def test_a_table_that_is_added_later_joins(shop: Shop) -> None:
    shop.declare({"orders": "mode: cdc"})
    shop.run()
    shop.execute("CREATE TABLE later (id int PRIMARY KEY, note varchar(10))", "INSERT INTO later VALUES (1, 'a'), (2, 'b')")
    shop.execute("DELETE FROM orders WHERE id = 1", "UPDATE later SET note = 'c' WHERE id = 1")
    shop.declare({"orders": "mode: cdc", "later": "mode: cdc"})
    assert {name: one["read"] for name, one in shop.run().items()} == {"orders": 1, "later": 2}
    shop.execute("DELETE FROM orders WHERE id = 2", "DELETE FROM later WHERE id = 2")
    assert {name: one["read"] for name, one in shop.run().items()} == {"orders": 1, "later": 1}
    shop.equal("orders")
    shop.equal("later")


@pytest.mark.parametrize("kept", ["hard", "history"])
def test_keys_of_several_columns_and_odd_characters(shop: Shop, kept: str) -> None:
    odd = ["", " ", "a", "A", "a ", "it''s", 'q"q', "x\ty", "ÿ€𝄞", "NULL", "%s{}"]
    text = 'varchar(20) COLLATE "C"' if shop.kind == "postgres" else "varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
    shop.execute(
        f"CREATE TABLE odd (k {text} NOT NULL, d decimal(6,2) NOT NULL, v varchar(20), PRIMARY KEY (d, k))",
        *(f"INSERT INTO odd VALUES ('{key}', {at}.50, 'v')" for at, key in enumerate(odd)),
    )
    shop.declare({"odd": SOURCE_WORDS[kept]}, {"odd": LAKE_WORDS[kept].rstrip(", ")})
    shop.run()
    shop.equal("odd", kept)
    shop.execute("UPDATE odd SET v = 'w'", "UPDATE odd SET k = concat(k, ' ') WHERE d < 3", "DELETE FROM odd WHERE d > 8")
    shop.run()
    shop.equal("odd", kept)
    shop.execute("UPDATE odd SET k = upper(k) WHERE k = 'a'", "UPDATE odd SET d = d + 100 WHERE d > 5")
    result = shop.run()["odd"]
    assert not any("read in full" in note for note in result["notes"])
    shop.equal("odd", kept)
    code, answer = shop.limnos("verify")
    assert code == 0, answer


def test_nulls_in_a_unique_column_do_not_clash(shop: Shop) -> None:
    shop.execute("CREATE TABLE u (id int PRIMARY KEY, code varchar(10) UNIQUE)", "INSERT INTO u VALUES (1, NULL), (2, NULL), (3, 'x')")
    shop.declare({"u": "mode: cdc"})
    shop.run()
    shop.execute("INSERT INTO u VALUES (4, NULL)", "UPDATE u SET code = NULL WHERE id = 3", "UPDATE u SET code = 'x' WHERE id = 1")
    assert shop.run()["u"]["quarantined"] == 0
    shop.equal("u")
    shop.execute("UPDATE u SET code = 'y' WHERE id = 2", "UPDATE u SET code = 'z' WHERE id = 1", "UPDATE u SET code = 'x' WHERE id = 2")
    assert shop.run()["u"]["quarantined"] == 0
    shop.equal("u")


def test_keys_that_are_equal_but_written_otherwise(shop: Shop) -> None:
    kinds = "n numeric PRIMARY KEY" if shop.kind == "postgres" else "n varchar(20) COLLATE utf8mb4_general_ci PRIMARY KEY"
    values = ("1.0", "1.00", "2.5", "2.50") if shop.kind == "postgres" else ("'a'", "'A'", "'b'", "'b '")
    shop.execute(f"CREATE TABLE n ({kinds}, v int)", f"INSERT INTO n VALUES ({values[0]}, 1), ({values[2]}, 2)")
    shop.declare({"n": "mode: cdc"})
    shop.run()
    shop.execute(
        f"DELETE FROM n WHERE n = {values[0]}",
        f"INSERT INTO n VALUES ({values[1]}, 3)",
        f"UPDATE n SET n = {values[3]} WHERE n = {values[2]}",
    )
    shop.run()
    assert shop.query("SELECT count(*) AS n FROM s.n") == [{"n": 2}]
    assert sorted(row["v"] for row in shop.query("SELECT v FROM s.n")) == [2, 3]


@pytest.mark.parametrize(
    ("kept", "change", "ends"),
    [
        ("hard", "ALTER TABLE orders ADD COLUMN extra int DEFAULT 5", "equal"),
        ("soft", "ALTER TABLE orders ADD COLUMN extra int DEFAULT 5", "equal"),
        ("history", "ALTER TABLE orders DROP COLUMN note", "schema-drift"),
        ("soft", "ALTER TABLE orders RENAME COLUMN note TO remark", "schema-drift"),
        ("hard", "ALTER TABLE orders {modify} note {type} text", "equal"),
        ("history", "ALTER TABLE orders {modify} amount {type} decimal(20,2)", "equal"),
    ],
    ids=["added", "added beside marks", "dropped", "renamed", "retyped", "widened"],
)
def test_columns_that_change_in_mid_stream(shop: Shop, kept: str, change: str, ends: str) -> None:
    declare(shop, kept)
    shop.run()
    words = {"modify": "ALTER COLUMN", "type": "TYPE"} if shop.kind == "postgres" else {"modify": "MODIFY COLUMN", "type": ""}
    shop.execute("UPDATE orders SET amount = 1.50 WHERE id = 1", change.format(**words), "DELETE FROM orders WHERE id = 2")
    shop.execute("INSERT INTO orders (id, amount) VALUES (10, 10.00)")
    code, result = shop.limnos("run")
    if ends != "equal":
        (table,) = result["tables"]
        assert (table["status"], table["error"] and table["error"]["error"]) == ("failed", ends)
        declare(shop, kept, more="drift: {drop: accept, rename: accept}, ")
        code, result = shop.limnos("run")
    assert code == 0, [table["error"] for table in result["tables"]]
    missing = "note" if "DROP" in change else ""
    if missing:
        assert shop.query(f"SELECT count(*) AS n FROM s.orders WHERE id = 10 AND note IS NULL AND {CURRENT[kept]}") == [{"n": 1}]
    else:
        shop.equal(kept=kept, but="id = 4")
    shop.execute("DELETE FROM orders WHERE id = 3", "INSERT INTO orders (id, amount) VALUES (11, 11.00)")
    again = shop.run()["orders"]
    assert again["read"] == 2, again
    assert shop.query(f"SELECT id FROM s.orders WHERE id IN (3, 11) AND {CURRENT[kept]}") == [{"id": 11}]


def test_tables_of_every_mode_are_seen_at_one_point_in_time(shop: Shop) -> None:
    names = ("hard", "soft", "history", "whole", "above")
    for name in names:
        shop.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, balance int NOT NULL, moved int NOT NULL)")
        shop.execute(f"INSERT INTO {name} VALUES (1, 1000, 0), (2, 1000, 0), (3, 1000, 0)")
    words = {name: SOURCE_WORDS.get(name, "mode: full") for name in names}
    words["above"] = "mode: incremental, cursor: moved, lookback: 1000000"
    shop.declare(words, {"history": "history: scd2"})
    stop, moves = threading.Event(), [0]

    def move(seed: int) -> None:
        with shop.connect() as connection, connection.cursor() as cursor:
            if shop.kind == "postgres":
                connection.autocommit = False
            else:
                connection.autocommit(False)
            at = 0
            while not stop.is_set():
                at += 1
                one, two = names[(at + seed) % 5], names[(at * 3 + seed + 1) % 5]
                for name, by in sorted([(one, -7), (two, 7)]):
                    cursor.execute(f"UPDATE {name} SET balance = balance + {by}, moved = {at} WHERE id = {seed}")
                connection.commit()
                moves[0] += 1
                stop.wait(0.002)

    movers = [threading.Thread(target=move, args=(seed,)) for seed in (1, 2)]
    for mover in movers:
        mover.start()
    try:
        for _ in range(5):
            shop.run()
            parts = " UNION ALL ".join(f"SELECT balance FROM s.{name} WHERE {CURRENT.get(name, 'TRUE')}" for name in names)
            assert shop.query(f"SELECT sum(balance)::BIGINT AS total FROM ({parts})") == [{"total": 15_000}]
    finally:
        stop.set()
        for mover in movers:
            mover.join(30)
    assert moves[0] > 20
