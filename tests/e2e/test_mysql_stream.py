from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pymysql
import pytest
import services
from services import MariaDB

from limnos.engines.duckdb import DuckEngine
from limnos.errors import SourceChanged, SourceRefused, Unsupported
from limnos.model.casts import Casts
from limnos.model.changes import ENVELOPE, Changes
from limnos.model.names import TableName
from limnos.model.position import Position
from limnos.model.project import Mode, SourceConfig, SourceTable
from limnos.model.secret import Secret
from limnos.sources.mysql import MariadbSource

pytestmark = pytest.mark.e2e

Ask = Callable[..., list[tuple[Any, ...]]]
ENVELOPE_NAMES = ENVELOPE.names
ENGINE = DuckEngine()


def connect(server: MariaDB, database: str | None, **more: Any) -> pymysql.Connection[Any]:
    return pymysql.connect(
        host=server.host,
        port=server.port,
        user=more.get("user", server.user),
        password=more.get("password", server.password),
        database=database,
        autocommit=more.get("autocommit", True),
        charset="utf8mb4",
        init_command="SET SESSION sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'",
    )


def asker(connection: pymysql.Connection[Any]) -> Ask:
    def ask(sql: str, *values: object) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())

    return ask


@pytest.fixture
def database(mariadb_server: MariaDB) -> Generator[str]:
    name = f"s{uuid.uuid4().hex[:12]}"
    with closing(connect(mariadb_server, None)) as connection:
        ask = asker(connection)
        ask(f"CREATE DATABASE {name}")
        yield name
        ask(f"DROP DATABASE {name}")


@pytest.fixture
def ask(mariadb_server: MariaDB, database: str) -> Generator[Ask]:
    with closing(connect(mariadb_server, database)) as connection:
        yield asker(connection)


def source_of(server: MariaDB, database: str, user: str = "", password: str = "") -> MariadbSource:
    url = Secret(server.url(database, user=user, password=password), name="SHOP_DSN")
    return MariadbSource(SourceConfig("shop", "mariadb", Path(), "shop", {"url": url}), ENGINE)


@pytest.fixture
def source(mariadb_server: MariaDB, database: str) -> MariadbSource:
    return source_of(mariadb_server, database)


def typed(rows: pa.RecordBatch, contract: Any) -> list[tuple[Any, ...]]:
    """Convert as a load does: the typed values, or the raw texts of those that do not fit."""
    casts = Casts.of(rows.schema, contract)
    with ENGINE.session() as session:
        found = session.run(
            f"SELECT {casts.select}, ({casts.fails or 'FALSE'}) AS _misfit FROM raw_rows", raw_rows=pa.Table.from_batches([rows])
        )
    return [
        tuple(repr(value) if value is not None else str(raw[name]) for name, value in row.items() if name != "_misfit")
        for row, raw in zip(found.to_pylist(), rows.to_pylist(), strict=True)
    ]


def differences(left: dict[Any, Any], right: dict[Any, Any]) -> list[Any]:
    """Name the first rows that only one side has, or the values in which they differ."""
    keys = [key for key in left.keys() | right.keys() if left.get(key) != right.get(key)][:5]
    return [(key, list(set(left.get(key, ())) ^ set(right.get(key, ())))[:10]) for key in keys]


@dataclass
class Follower:
    """Keep copies of tables as a lake would: read them once, then follow the log."""

    source: MariadbSource
    tables: tuple[str, ...]
    copies: dict[str, dict[tuple[Any, ...], tuple[Any, ...]]] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    reloads: dict[str, str] = field(default_factory=dict)
    events: list[tuple[str, str]] = field(default_factory=list)
    log: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def step(self) -> None:
        """Catch up, and hold the copies against a full read of the same reading."""
        with self.source.open() as reading:
            self.reloads.clear()
            known = {table: position for table, position in self.positions.items() if table in self.tables}
            for changes in reading.changes(known):
                if changes.reload:
                    self.reloads[changes.table] = changes.reload
                    continue
                assert changes.table not in self.reloads
                self._apply(changes, reading.describe(changes.table, TableName("shop", "t")))
            for table in self.tables:
                contract = reading.describe(table, TableName("shop", "t"))
                extract = reading.read(table, contract)
                found = self._keyed(list(extract.batches or ()), contract, contract.key or contract.names)
                if table not in self.positions or table in self.reloads:
                    self.copies[table] = found
                assert differences(self.copies[table], found) == []
                self.positions[table] = reading.cut(table)

    def _keyed(self, batches: list[pa.RecordBatch], contract: Any, key: tuple[str, ...]) -> dict[tuple[Any, ...], Any]:
        names = list(contract.names)
        places = [names.index(name) for name in key]
        found: dict[tuple[Any, ...], Any] = {}
        for row in [row for rows in batches for row in typed(rows, contract)]:
            mark = tuple(row[place] for place in places)
            found[mark] = (*found.get(mark, ()), row) if not contract.key else row
        return {mark: tuple(sorted(row)) if not contract.key else row for mark, row in found.items()}

    def _apply(self, changes: Changes, contract: Any) -> None:
        rows = changes.rows
        assert rows is not None
        assert rows.schema.names[:4] == ENVELOPE_NAMES
        assert all(rows.schema.field(name).type == ENVELOPE.field(name).type for name in ENVELOPE_NAMES)
        assert changes.identity == (contract.key or contract.names)
        sequences = rows.column(0).to_pylist()
        assert sequences == sorted(set(sequences))
        copy = self.copies[changes.table]
        names = list(contract.names)
        places = [names.index(name) for name in changes.identity]
        plain = typed(rows.select(rows.schema.names[4:]), contract)
        for operation, row, raw in zip(rows.column("_op").to_pylist(), plain, rows.to_pylist(), strict=True):
            self.events.append((changes.table, operation))
            self.log.append((operation, raw))
            mark = tuple(row[place] for place in places)
            if operation == "truncate":
                copy.clear()
            elif contract.key:
                if operation == "delete":
                    del copy[mark]
                else:
                    assert (operation == "insert") == (mark not in copy)
                    copy[mark] = row
            elif operation == "insert":
                copy[mark] = tuple(sorted([*copy.get(mark, ()), row]))
            else:
                assert operation == "delete"
                copy[mark] = copy[mark][1:]
                if not copy[mark]:
                    del copy[mark]

    def operations(self, table: str) -> list[str]:
        return [operation for name, operation in self.events if name == table]


@pytest.fixture
def follow(source: MariadbSource) -> Callable[..., Follower]:
    def begin(*tables: str) -> Follower:
        source.prepare()
        follower = Follower(source, tables)
        follower.step()
        return follower

    return begin


def shop(ask: Ask) -> None:
    ask("CREATE TABLE orders (id INT PRIMARY KEY, what VARCHAR(40), price DECIMAL(10,2))")


def test_inserts_updates_and_deletes_arrive_in_order(ask: Ask, follow: Callable[..., Follower]) -> None:
    shop(ask)
    ask("INSERT INTO orders VALUES (1, 'tea', 1.50), (2, 'milk', NULL)")
    follower = follow("orders")
    ask("INSERT INTO orders VALUES (3, 'rice', 12345678.99)")
    ask("UPDATE orders SET price = -2.25 WHERE id = 2")
    ask("DELETE FROM orders WHERE id = 1")
    follower.step()
    assert follower.operations("orders") == ["insert", "update", "delete"]
    assert not follower.reloads


def test_an_empty_range_gives_nothing(ask: Ask, follow: Callable[..., Follower]) -> None:
    shop(ask)
    follower = follow("orders")
    follower.step()
    assert follower.events == []
    assert not follower.reloads


def test_a_changed_key_comes_as_a_delete_and_an_insert(ask: Ask, follow: Callable[..., Follower]) -> None:
    ask("CREATE TABLE places (town VARCHAR(20), street VARCHAR(20), what TEXT, PRIMARY KEY (street, town))")
    ask("INSERT INTO places VALUES ('a', 'long street name', 'x'), ('b', 's', 'y'), ('c', 's', 'z')")
    follower = follow("places")
    ask("UPDATE places SET street = 'long street naming' WHERE town = 'a'")
    ask("UPDATE places SET town = 'B', what = 'Y' WHERE town = 'b'")
    ask("UPDATE places SET what = 'other' WHERE town = 'c'")
    ask("UPDATE places SET town = CONCAT(town, '1')")
    follower.step()
    assert follower.operations("places") == [*["delete", "insert"] * 2, "update", *["delete", "insert"] * 3]


def test_a_table_without_a_key_is_told_by_whole_rows(ask: Ask, follow: Callable[..., Follower]) -> None:
    ask("CREATE TABLE marks (a INT, b VARCHAR(10))")
    ask("INSERT INTO marks VALUES (1, 'x'), (1, 'x'), (2, NULL)")
    follower = follow("marks")
    ask("DELETE FROM marks WHERE a = 1 LIMIT 1")
    ask("UPDATE marks SET b = 'z' WHERE a = 2")
    ask("INSERT INTO marks VALUES (2, 'z'), (NULL, NULL)")
    follower.step()
    assert follower.operations("marks") == ["delete", "delete", "insert", "insert", "insert"]


def test_truncate_is_an_operation_of_its_own(ask: Ask, follow: Callable[..., Follower], database: str) -> None:
    shop(ask)
    ask("INSERT INTO orders VALUES (1, 'tea', 1.50)")
    follower = follow("orders")
    ask("INSERT INTO orders VALUES (2, 'tea', 1.50)")
    ask(f"TRUNCATE TABLE `{database}`.`orders`")
    ask("INSERT INTO orders VALUES (2, 'milk', 1.50)")
    ask("TRUNCATE orders")
    ask("INSERT INTO orders VALUES (3, 'rice', 1.50)")
    follower.step()
    assert follower.operations("orders") == ["insert", "truncate", "insert", "truncate", "insert"]


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE orders ADD COLUMN note TEXT DEFAULT 'none'",
        "ALTER TABLE orders DROP COLUMN price",
        "ALTER TABLE orders MODIFY price DECIMAL(12,4)",
        "ALTER TABLE orders RENAME COLUMN what TO name",
        "RENAME TABLE orders TO old, spare TO orders",
        "CREATE OR REPLACE TABLE orders (id INT PRIMARY KEY, other DATE)",
    ],
)
def test_a_statement_that_reshapes_the_table_has_it_read_anew(ask: Ask, follow: Callable[..., Follower], statement: str) -> None:
    shop(ask)
    ask("CREATE TABLE spare (id INT PRIMARY KEY, what VARCHAR(40), price DECIMAL(10,2))")
    ask("INSERT INTO spare VALUES (7, 'seven', 7)")
    ask("INSERT INTO orders VALUES (1, 'tea', 1.50)")
    follower = follow("orders")
    ask("INSERT INTO orders VALUES (2, 'tea', 1.50)")
    ask(statement)
    ask("INSERT INTO orders (id) VALUES (3)")
    follower.step()
    assert "orders" in follower.reloads
    ask("DELETE FROM orders WHERE id = 3")
    follower.step()
    assert not follower.reloads
    assert follower.events[-1] == ("orders", "delete")


def test_statements_that_leave_rows_and_columns_alone_do_not(ask: Ask, follow: Callable[..., Follower]) -> None:
    shop(ask)
    follower = follow("orders")
    for statement in (
        "CREATE INDEX by_price ON orders (price)",
        "ANALYZE TABLE orders",
        "CREATE VIEW v AS SELECT * FROM orders",
        "CREATE TABLE other (id INT PRIMARY KEY, price INT)",
        "ALTER TABLE other ADD COLUMN x INT",
        "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET NEW.price = 3",
        "INSERT INTO orders VALUES (1, 'tea', 1)",
        "DROP TRIGGER t",
    ):
        ask(statement)
    follower.step()
    assert not follower.reloads
    assert follower.operations("orders") == ["insert"]


def test_other_tables_other_databases_and_what_was_rolled_back_are_left_out(
    ask: Ask, follow: Callable[..., Follower], mariadb_server: MariaDB, database: str
) -> None:
    shop(ask)
    ask("CREATE TABLE other (id INT PRIMARY KEY)")
    ask(f"CREATE DATABASE {database}x")
    ask(f"CREATE TABLE {database}x.orders LIKE orders")
    follower = follow("orders")
    ask("INSERT INTO other VALUES (1)")
    ask(f"INSERT INTO {database}x.orders VALUES (1, 'not ours', 0)")
    ask(f"TRUNCATE {database}x.orders")
    ask(f"DROP DATABASE {database}x")
    ask("START TRANSACTION")
    ask("INSERT INTO orders VALUES (1, 'gone', 0)")
    ask("ROLLBACK")
    ask("START TRANSACTION")
    ask("INSERT INTO orders VALUES (2, 'stays', 0)")
    ask("SAVEPOINT half")
    ask("INSERT INTO orders VALUES (3, 'gone', 0)")
    ask("ROLLBACK TO half")
    ask("COMMIT")
    follower.step()
    assert follower.operations("orders") == ["insert"]
    assert not follower.reloads


def test_a_cascade_has_the_child_read_anew(ask: Ask, follow: Callable[..., Follower]) -> None:
    ask("CREATE TABLE parents (id INT PRIMARY KEY, note TEXT)")
    ask("CREATE TABLE children (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parents (id) ON DELETE CASCADE ON UPDATE CASCADE)")
    ask("CREATE TABLE grandchildren (id INT PRIMARY KEY, c INT, FOREIGN KEY (c) REFERENCES children (id) ON DELETE SET NULL)")
    ask("INSERT INTO parents VALUES (1, ''), (2, ''), (3, '')")
    ask("INSERT INTO children VALUES (1, 1), (2, 2), (3, 3)")
    ask("INSERT INTO grandchildren VALUES (1, 1), (2, 2), (3, 3)")
    follower = follow("children", "grandchildren")
    ask("INSERT INTO parents VALUES (4, '')")
    ask("UPDATE parents SET note = 'changed'")
    follower.step()
    assert not follower.reloads
    ask("UPDATE parents SET id = 30 WHERE id = 3")
    follower.step()
    assert set(follower.reloads) >= {"children"}
    ask("DELETE FROM parents WHERE id = 1")
    follower.step()
    assert set(follower.reloads) == {"children", "grandchildren"}


def test_a_statement_logged_as_such_has_its_table_read_anew(ask: Ask, follow: Callable[..., Follower], mariadb_server: MariaDB) -> None:
    shop(ask)
    ask("CREATE TABLE other (id INT PRIMARY KEY)")
    follower = follow("orders", "other")
    ask("INSERT INTO other VALUES (5)")
    ask("SET SESSION binlog_format = STATEMENT")
    ask("INSERT INTO orders VALUES (1, 'it''s', 1)")
    ask("SET SESSION binlog_format = ROW")
    follower.step()
    assert set(follower.reloads) == {"orders"}
    assert follower.operations("other") == ["insert"]
    assert "it's" not in follower.reloads["orders"]


def test_each_table_gets_only_what_comes_after_its_own_position(ask: Ask, source: MariadbSource) -> None:
    shop(ask)
    ask("CREATE TABLE other (id INT PRIMARY KEY)")
    follower = Follower(source, ("orders",))
    follower.step()
    ask("INSERT INTO orders VALUES (1, 'a', 1)")
    ask("INSERT INTO other VALUES (1)")
    with source.open() as reading:
        follower.positions["other"] = reading.cut("other")
        follower.copies["other"] = {("1",): ("1",)}
    follower.tables = ("orders", "other")
    ask("INSERT INTO other VALUES (2)")
    ask("INSERT INTO orders VALUES (2, 'b', 1)")
    follower.step()
    assert follower.events == [("orders", "insert"), ("orders", "insert"), ("other", "insert")]


def test_the_log_is_followed_over_rotated_files(ask: Ask, follow: Callable[..., Follower]) -> None:
    shop(ask)
    follower = follow("orders")
    for number in range(5):
        ask("INSERT INTO orders VALUES (%s, 'x', 1)", number)
        ask("FLUSH BINARY LOGS")
    follower.step()
    assert follower.operations("orders") == ["insert"] * 5
    ask("FLUSH BINARY LOGS")
    follower.step()
    ask("UPDATE orders SET price = 2")
    follower.step()
    assert follower.operations("orders")[5:] == ["update"] * 5


def test_a_purged_log_has_the_table_read_anew(ask: Ask, follow: Callable[..., Follower]) -> None:
    shop(ask)
    follower = follow("orders")
    ask("INSERT INTO orders VALUES (1, 'x', 1)")
    ask("FLUSH BINARY LOGS")
    ((last, *_),) = ask("SHOW MASTER STATUS")
    ask("FLUSH BINARY LOGS")
    ask("INSERT INTO orders VALUES (2, 'x', 1)")
    # A file that was just left may still be wanted for recovery; the server then keeps it, and purges it at the next call.
    while len(ask("SHOW BINARY LOGS")) > 1:
        ((last, *_),) = ask("SHOW MASTER STATUS")
        ask(f"PURGE BINARY LOGS TO '{last}'")
    follower.step()
    assert "orders" in follower.reloads
    follower.step()
    assert not follower.reloads


def test_a_log_begun_anew_has_the_table_read_anew(ask: Ask, follow: Callable[..., Follower]) -> None:
    shop(ask)
    follower = follow("orders")
    ask("INSERT INTO orders VALUES (1, 'x', 1)")
    ask("RESET MASTER")
    for number in range(200):
        ask("INSERT INTO orders VALUES (%s, 'y', 1)", number + 10)
    follower.step()
    assert "orders" in follower.reloads


def test_on_another_server_the_position_is_found_by_gtid(ask: Ask, follow: Callable[..., Follower]) -> None:
    shop(ask)
    follower = follow("orders")
    ask("INSERT INTO orders VALUES (1, 'x', 1)")
    ask("FLUSH BINARY LOGS")
    ask("INSERT INTO orders VALUES (2, 'x', 1)")
    there = {**follower.positions["orders"].value, "server": "another", "file": "other-bin.000900", "pos": 4}
    follower.positions["orders"] = Position(follower.positions["orders"].kind, there)
    follower.step()
    assert not follower.reloads
    assert follower.operations("orders") == ["insert", "insert"]


def test_compressed_events_are_read(ask: Ask, follow: Callable[..., Follower]) -> None:
    shop(ask)
    follower = follow("orders")
    ask("SET GLOBAL log_bin_compress = ON, log_bin_compress_min_len = 10")
    try:
        ask("INSERT INTO orders SELECT seq, REPEAT('x', 40), 1 FROM seq_1_to_1000")
        ask("UPDATE orders SET what = REPEAT('y', 40) WHERE id <= 500")
        ask("DELETE FROM orders WHERE id > 900")
        follower.step()
        assert len(follower.events) == 1600
        ask("ALTER TABLE orders ADD COLUMN a_long_name_for_a_column_so_that_it_is_packed INT")
        follower.step()
    finally:
        ask("SET GLOBAL log_bin_compress = OFF, log_bin_compress_min_len = 256")
    assert "ALTER TABLE" in follower.reloads["orders"]


def test_an_event_of_many_megabytes_is_read(ask: Ask, follow: Callable[..., Follower], mariadb_server: MariaDB, database: str) -> None:
    ask("CREATE TABLE files (id INT PRIMARY KEY, content LONGBLOB)")
    follower = follow("files")
    ask("SET GLOBAL max_allowed_packet = 1073741824")
    with closing(connect(mariadb_server, database)) as other:
        for number, size in enumerate([5, 20_000_000, 16_777_215 - 60, 100, 35_000_000]):
            asker(other)("INSERT INTO files VALUES (%s, REPEAT('z', %s))", number, size)
    with follower.source.open() as reading:
        found = {row["id"]: len(row["content"]) for each in reading.changes(follower.positions) for row in each.rows.to_pylist()}
    assert found == {0: 5, 1: 20_000_000, 2: 16_777_155, 3: 100, 4: 35_000_000}


def test_a_large_transaction_comes_in_bounded_batches(ask: Ask, follow: Callable[..., Follower]) -> None:
    shop(ask)
    follower = follow("orders")
    ask("INSERT INTO orders SELECT seq, CONCAT('number ', seq), seq / 100 FROM seq_1_to_200000")
    with follower.source.open() as reading:
        batches = [changes.rows for changes in reading.changes(follower.positions)]
    assert sum(batch.num_rows for batch in batches) == 200_000
    assert len(batches) > 1
    assert max(batch.nbytes for batch in batches) < 64 * 1024 * 1024
    ids = [each for batch in batches for each in batch.column("id").to_pylist()]
    assert ids == list(range(1, 200_001))
    assert batches[-1].column("what")[-1].as_py() == "number 200000"


def test_an_xa_transaction_counts_when_it_is_committed(
    ask: Ask, follow: Callable[..., Follower], mariadb_server: MariaDB, database: str
) -> None:
    shop(ask)
    follower = follow("orders")
    with closing(connect(mariadb_server, database)) as other:
        xa = asker(other)
        for name, number in (("kept", 1), ("undone", 2)):
            xa(f"XA START '{name}'")
            xa("INSERT INTO orders VALUES (%s, 'x', 1)", number)
            xa(f"XA END '{name}'")
            xa(f"XA PREPARE '{name}'")
            follower.step()
            assert follower.operations("orders") == []
            xa(f"XA COMMIT '{name}'" if name == "kept" else f"XA ROLLBACK '{name}'")
            follower.step()
            assert ("orders" in follower.reloads) == (name == "kept")
        xa("XA START 'once'")
        xa("INSERT INTO orders VALUES (3, 'x', 1)")
        xa("XA END 'once'")
        xa("XA COMMIT 'once' ONE PHASE")
    follower.step()


def test_writers_and_snapshots_interleaved_give_every_change_once(
    ask: Ask, follow: Callable[..., Follower], mariadb_server: MariaDB, database: str
) -> None:
    ask("CREATE TABLE accounts (id INT PRIMARY KEY, amount INT NOT NULL, note VARCHAR(20))")
    ask("CREATE TABLE moves (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b INT)")
    ask("INSERT INTO accounts SELECT seq, 100, NULL FROM seq_1_to_20")
    follower = follow("accounts", "moves")
    stop = threading.Event()
    failed: list[BaseException] = []

    def write(seed: int) -> None:
        chance = random.Random(seed)
        with closing(connect(mariadb_server, database, autocommit=False)) as connection:
            mine = asker(connection)
            while not stop.is_set():
                try:
                    for _ in range(chance.randint(1, 5)):
                        a, b = chance.sample(range(1, 21), 2)
                        mine("UPDATE accounts SET amount = amount - 1 WHERE id = %s", a)
                        mine("UPDATE accounts SET amount = amount + 1, note = %s WHERE id = %s", chance.choice(["x", None]), b)
                        mine("INSERT INTO moves (a, b) VALUES (%s, %s)", a, b)
                        if chance.random() < 0.2:
                            mine("DELETE FROM moves WHERE id < (SELECT m FROM (SELECT max(id) - 50 AS m FROM moves) x)")
                    connection.rollback() if chance.random() < 0.2 else connection.commit()
                except pymysql.err.OperationalError as error:
                    connection.rollback()
                    if error.args[0] not in {1213, 1205, 1020}:
                        failed.append(error)
                        return

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(6):
            follower.step()
            assert not follower.reloads
            assert sum(int(row[1]) for row in follower.copies["accounts"].values()) == 2000
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    follower.step()
    assert not failed
    inserted = [row["id"] for operation, row in follower.log if operation == "insert" and "a" in row]
    assert len(inserted) == len(set(inserted)) > 50


TYPES: Mapping[str, list[str]] = {
    "TINYINT": ["-128", "127", "0"],
    "TINYINT UNSIGNED": ["255", "128"],
    "SMALLINT": ["-32768", "32767"],
    "SMALLINT UNSIGNED ZEROFILL": ["65535", "7"],
    "MEDIUMINT": ["-8388608", "8388607", "-1"],
    "MEDIUMINT UNSIGNED": ["16777215", "8388608"],
    "INT": ["-2147483648", "2147483647"],
    "INT UNSIGNED": ["4294967295", "2147483648"],
    "BIGINT": ["-9223372036854775808", "9223372036854775807"],
    "BIGINT UNSIGNED": ["18446744073709551615", "9223372036854775808"],
    "BOOLEAN": ["TRUE", "FALSE"],
    "FLOAT": ["0.1", "-3.4e38", "1.17549e-38", "16777217"],
    "FLOAT(7,3)": ["1.234"],
    "DOUBLE": ["0.1", "-1.7976931348623157e308", "5e-324", "123456789.12345678", "-0.0"],
    "DOUBLE(12,2)": ["1234.56"],
    "DECIMAL(1,0)": ["-9", "9"],
    "DECIMAL(5,5)": ["0.12345", "-0.00001"],
    "DECIMAL(9,0)": ["999999999", "-1"],
    "DECIMAL(10,2)": ["-12345678.90", "0"],
    "DECIMAL(18,9)": ["123456789.987654321", "-999999999.999999999"],
    "DECIMAL(19,2)": ["12345678901234567.89", "-0.01"],
    "DECIMAL(38,10)": ["-1234567890123456789012345678.0123456789", "0"],
    "DECIMAL(38,38)": ["0.00000000000000000000000000000000000001", "-0.5"],
    "DECIMAL(65,30)": ["-12345678901234567890123456789012345.012345678901234567890123456789", "0", "7"],
    "DECIMAL(65,0)": ["9" * 65],
    "BIT(1)": ["b'1'", "b'0'"],
    "BIT(11)": ["b'10110111011'"],
    "BIT(63)": [f"b'{'1' * 63}'"],
    "BIT(64)": [f"b'{'1' * 64}'", "b'1'"],
    "DATE": ["'1000-01-01'", "'9999-12-31'", "'2024-02-29'"],
    "DATE NULL": ["'0000-00-00'", "'2024-00-00'", "'2024-02-31'", "'0001-01-01'"],
    "DATETIME": ["'1000-01-01 00:00:00'", "'9999-12-31 23:59:59'"],
    "DATETIME(1)": ["'2024-06-30 12:00:00.7'"],
    "DATETIME(3)": ["'2024-06-30 12:00:00.123'", "'0000-00-00'", "'2024-00-10 01:02:03.004'"],
    "DATETIME(6)": ["'2024-06-30 12:00:00.000001'", "'1969-12-31 23:59:59.999999'"],
    "TIMESTAMP NULL": ["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'2024-02-29 12:30:45'"],
    "TIMESTAMP(5) NULL": ["'2024-02-29 12:30:45.12345'", "'0000-00-00'"],
    "TIMESTAMP(6) NULL": ["'2024-12-31 23:59:59.999999'"],
    "TIME": ["'00:00:00'", "'-00:00:01'", "'838:59:59'", "'-838:59:59'", "'23:59:59'"],
    "TIME(1)": ["'-00:00:00.1'", "'101:00:00.9'"],
    "TIME(3)": ["'-10:11:12.123'", "'00:00:00.001'"],
    "TIME(6)": ["'-838:59:59.000001'", "'-00:00:00.000001'", "'12:00:00.999999'"],
    "YEAR": ["1901", "2155", "0"],
    "CHAR(5)": ["'ab'", "''", "'a b  '", "'日本語'"],
    "CHAR(255) CHARACTER SET utf8mb4": ["REPEAT('日', 255)", "'x'"],
    "VARCHAR(10)": ["'x  '", "''", "'🐚'"],
    "VARCHAR(300)": ["REPEAT('ü', 300)", "'x'"],
    "VARCHAR(20) CHARACTER SET latin1": ["'Crème brûlée €'", "'plain'"],
    "VARCHAR(20) CHARACTER SET cp1251": ["'Привет'"],
    "VARCHAR(20) CHARACTER SET ucs2": ["'añ日'"],
    "VARCHAR(20) CHARACTER SET utf16": ["'a🐚'"],
    "VARCHAR(20) CHARACTER SET utf32": ["'a🐚'"],
    "VARCHAR(20) CHARACTER SET sjis": ["'日本ア'", "'a'"],
    "VARCHAR(20) CHARACTER SET gbk": ["'中文'"],
    "VARCHAR(20) CHARACTER SET utf8mb3": ["'日本'"],
    "CHAR(9) CHARACTER SET latin1": ["'é'"],
    "VARCHAR(500) COMPRESSED": ["REPEAT('abc', 150)", "'x'", "''"],
    "TEXT COMPRESSED": ["REPEAT('abc', 1500)"],
    "TINYTEXT": ["'tiny'"],
    "TEXT": ["REPEAT('text', 5000)", "''"],
    "MEDIUMTEXT": ["REPEAT('text', 50000)"],
    "LONGTEXT": ["'long\\n\\t\\0\\'\\\\'"],
    "JSON": ["'{\"a\": [1, 2.50, null]}'"],
    "BINARY(4)": ["'a'", "x'00'", "x'61006200'", "x'ff000000'"],
    "VARBINARY(300)": ["x'00ff10'", "x''"],
    "BLOB": ["x'0001feff'"],
    "LONGBLOB": ["REPEAT(x'fe', 70000)"],
    "ENUM('a','it''s','c, d','日')": ["'a'", "'it''s'", "'c, d'", "'日'"],
    "SET('a','b','it''s')": ["''", "'a,it''s'", "'b'"],
    "UUID": ["'123e4567-e89b-12d3-a456-426655440000'", "'6ccd780c-baba-1026-9564-5b8c656024db'"],
    "INET6": ["'::ffff:1.2.3.4'", "'2001:db8::1'", "'::'", "'1:0:0:2::'"],
    "INET4": ["'1.2.3.4'", "'0.0.0.0'", "'255.0.0.0'"],
    "GEOMETRY": ["ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('LINESTRING(0 0, 1 1)', 4326)"],
    "POINT": ["POINT(1, -1)"],
}


def test_every_type_arrives_as_a_full_read_gives_it(ask: Ask, follow: Callable[..., Follower]) -> None:
    columns = [f"c{number} {kind}" for number, kind in enumerate(TYPES)]
    virtual = "twice INT AS (id * 2) VIRTUAL, thrice INT AS (id * 3) STORED, hidden INT INVISIBLE DEFAULT 7"
    ask(f"CREATE TABLE torture (id INT PRIMARY KEY, {', '.join(columns)}, {virtual}) ROW_FORMAT=DYNAMIC")
    follower = follow("torture")
    row = 0
    for _ in range(2):
        for number, values in enumerate(TYPES.values()):
            for value in values:
                row += 1
                ask(f"INSERT INTO torture (id, c{number}) VALUES ({row}, {value})")
    first = [values[0] for values in TYPES.values()]
    names = ", ".join(f"c{number}" for number in range(len(TYPES)))
    ask(f"INSERT INTO torture (id, {names}) VALUES (0, {', '.join(first)})")
    ask("INSERT INTO torture (id) VALUES (-1)")
    follower.step()
    assert len(follower.events) == row + 2
    ask("UPDATE torture SET hidden = NULL WHERE id > 20")
    ask("UPDATE torture SET id = id + 1000 WHERE id <= 20")
    ask("DELETE FROM torture WHERE id % 3 = 0")
    follower.step()
    assert not follower.reloads


def test_an_enum_value_outside_its_list_is_the_empty_text(ask: Ask, follow: Callable[..., Follower]) -> None:
    ask("CREATE TABLE kinds (id INT PRIMARY KEY, kind ENUM('a', 'b'))")
    follower = follow("kinds")
    ask("INSERT IGNORE INTO kinds VALUES (1, 'wrong'), (2, 'b'), (3, NULL)")
    follower.step()
    assert [row["kind"] for _, row in follower.log] == ["", "b", None]


@pytest.mark.parametrize(
    "create",
    [
        "CREATE TABLE t (id INT PRIMARY KEY, x INT) WITH SYSTEM VERSIONING",
        "CREATE TABLE t (id INT PRIMARY KEY) ENGINE = MyISAM",
        "CREATE VIEW t AS SELECT 1 AS id",
    ],
)
def test_what_the_log_does_not_tell_is_refused(ask: Ask, source: MariadbSource, create: str) -> None:
    ask(create)
    with source.open() as reading, pytest.raises(Unsupported) as refusal:
        reading.cut("t")
    assert "mode: cdc" in refusal.value.hint


def test_rows_logged_in_part_are_refused_beforehand_and_read_anew_afterwards(
    ask: Ask, follow: Callable[..., Follower], source: MariadbSource
) -> None:
    shop(ask)
    ask("INSERT INTO orders VALUES (1, 'x', 1)")
    follower = follow("orders")
    ask("SET SESSION binlog_row_image = MINIMAL")
    ask("UPDATE orders SET price = 3")
    ask("SET SESSION binlog_row_image = FULL")
    follower.step()
    assert "binlog_row_image" in follower.reloads["orders"]
    ask("SET GLOBAL binlog_row_image = MINIMAL")
    try:
        with pytest.raises(SourceRefused) as refusal:
            source.prepare()
    finally:
        ask("SET GLOBAL binlog_row_image = FULL")
    assert refusal.value.hint == "SET GLOBAL binlog_row_image = FULL"


def test_a_missing_right_is_named_with_the_statement_that_grants_it(ask: Ask, mariadb_server: MariaDB, database: str) -> None:
    ask("CREATE OR REPLACE USER 'reader'@'127.0.0.1' IDENTIFIED BY 'pw-of-reader'")
    ask(f"GRANT SELECT ON {database}.* TO 'reader'@'127.0.0.1'")
    limited = source_of(mariadb_server, database, "reader", "pw-of-reader")
    for _ in range(2):
        with pytest.raises(SourceRefused) as refusal:
            limited.prepare()
        assert refusal.value.hint == "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO 'reader'@'127.0.0.1'"
        assert "pw-of-reader" not in str(refusal.value)
        ask("GRANT BINLOG MONITOR ON *.* TO 'reader'@'127.0.0.1'")
    ask(refusal.value.hint)
    limited.prepare()


def test_a_server_without_a_log_is_refused() -> None:
    with services.mariadb("--skip-log-bin") as server, pytest.raises(SourceRefused) as refusal:
        source_of(server, "mysql").prepare()
    assert "log_bin" in refusal.value.hint


def test_a_table_reshaped_after_the_snapshot_is_not_read_under_other_names(
    ask: Ask, follow: Callable[..., Follower], source: MariadbSource
) -> None:
    ask("CREATE TABLE pairs (id INT PRIMARY KEY, a INT, b INT)")
    follower = follow("pairs")
    ask("INSERT INTO pairs VALUES (1, 2, 3)")
    with source.open() as reading:
        ask("ALTER TABLE pairs RENAME COLUMN a TO b, RENAME COLUMN b TO a")
        with pytest.raises(SourceChanged):
            list(reading.changes(follower.positions))
    follower.step()
    assert "pairs" in follower.reloads


def test_doctor_names_a_deleted_log_and_for_how_long_it_is_kept(
    ask: Ask, mariadb_server: MariaDB, database: str, source: MariadbSource
) -> None:
    shop(ask)
    with source.open() as reading:
        here = reading.cut("orders")
    gone = Position(here.kind, {**here.value, "file": "binlog.000000"})
    url = Secret(mariadb_server.url(database), name="SHOP_DSN")
    table = SourceTable("orders", TableName("shop", "orders"), Mode.CDC)
    for known, words in ((here, "never deleted by age"), (gone, "has deleted binlog.000000")):
        config = SourceConfig("shop", "mariadb", Path(), "shop", {"url": url}, (table,), known={"orders": known})
        assert any(words in finding.detail for finding in MariadbSource(config, ENGINE).findings())
