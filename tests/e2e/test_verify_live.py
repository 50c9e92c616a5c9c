"""Verify while others write: tables of mode `cdc` are compared at the position at which the lake is."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pymysql
import pytest
import services

from limnos import Lake
from limnos.model.comparison import Comparison, Kind

pytestmark = pytest.mark.e2e

ROWS = 3_000
CREATE = "CREATE TABLE orders (id int PRIMARY KEY, note varchar(40), amount decimal(9,2))"
KEYLESS = "CREATE TABLE hits (path varchar(40), amount decimal(9,2))"
FILL = {
    "postgres": "INSERT INTO orders SELECT n, 'note ' || n, n / 4.0 FROM generate_series(1, 3000) AS n",
    "mariadb": "INSERT INTO orders SELECT seq, concat('note ', seq), seq / 4 FROM seq_1_to_3000",
}


@dataclass
class Shop:
    """A database of its own at a real server, and the lake that reads it."""

    kind: str
    connect: Callable[[], Any]
    directory: Path
    rounds: int = 0
    errors: list[BaseException] = field(default_factory=list[BaseException])

    @property
    def lake(self) -> Lake:
        return Lake(self.directory)

    def execute(self, *statements: str) -> None:
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    @contextmanager
    def writing(self) -> Generator[None]:
        """Change rows all the time: keys from 1 on are updated, deleted, inserted and moved; those from 2000 to 2999 stand still."""
        over = threading.Event()

        def write() -> None:
            random = Random(7)
            try:
                with self.connect() as connection, connection.cursor() as cursor:
                    while not over.is_set():
                        one, fresh = random.randrange(1, 2_000), 10_000 + self.rounds
                        cursor.execute(f"UPDATE orders SET amount = amount + 1 WHERE id = {one}")
                        cursor.execute(f"DELETE FROM orders WHERE id = {one + 3}")
                        cursor.execute(f"INSERT INTO orders VALUES ({fresh}, 'fresh', 1)")
                        if self.rounds % 5 == 0:
                            cursor.execute(f"UPDATE orders SET id = {fresh + 1_000_000} WHERE id = {fresh}")
                        cursor.execute(f"INSERT INTO hits VALUES ('path {self.rounds % 9}', {self.rounds % 4})")
                        cursor.execute(f"DELETE FROM hits WHERE amount = {self.rounds % 7}")
                        self.rounds += 1
            except BaseException as error:  # noqa: BLE001 a thread has nobody else to tell
                self.errors.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        assert not self.errors
        assert self.rounds > 0


@pytest.fixture(params=["postgres", "mariadb"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Shop]:
    server: Any = request.getfixturevalue(f"{request.param}_server")
    database = f"live_{secrets.token_hex(4)}"

    def connect(name: str = database) -> Any:
        if isinstance(server, services.Postgres):
            return psycopg.connect(server.url(name), autocommit=True)
        at = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
        return pymysql.connect(**at, database=name, autocommit=True)

    admin = Shop(request.param, lambda: connect("postgres" if request.param == "postgres" else "mysql"), tmp_path)
    admin.execute(f"CREATE DATABASE {database}")
    shop = Shop(request.param, connect, tmp_path)
    shop.execute(CREATE, KEYLESS, FILL[request.param], "INSERT INTO hits SELECT note, amount FROM orders WHERE id < 50")
    if shop.kind == "postgres":
        shop.execute("ALTER TABLE hits REPLICA IDENTITY FULL")
    source = f'{{type: {shop.kind}, url: "{server.url(database)}", tables: {{orders: {{mode: cdc}}, hits: {{mode: cdc}}}}}}'
    (tmp_path / "limnos.yml").write_text(f"version: 1\nproject: p\nsources:\n  s: {source}\n")
    assert shop.lake.run().exit_code() == 0
    yield shop
    if shop.kind == "postgres":
        with suppress(psycopg.Error):
            shop.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()")
    admin.execute(f"DROP DATABASE {database}")


def _by_table(found: tuple[Comparison, ...]) -> dict[str, Comparison]:
    for one in found:
        assert one.error is None, one.error
    return {one.table.name: one for one in found}


def test_changes_that_are_still_to_be_merged_do_not_count_and_are_told(shop: Shop) -> None:
    shop.execute(
        "UPDATE orders SET note = 'new' WHERE id = 7",
        "DELETE FROM orders WHERE id = 8",
        "INSERT INTO orders VALUES (9000, 'x', 1)",
        "UPDATE orders SET id = 9001 WHERE id = 10",
        "INSERT INTO hits VALUES ('more', 1)",
        "DELETE FROM hits WHERE amount = 2.5",
    )
    found = _by_table(shop.lake.verify())
    assert [(found[name].differing, found[name].pending, found[name].exit_code()) for name in ("orders", "hits")] == [(0, 5, 0), (0, 2, 0)]
    assert any("still to be merged: 5" in note for note in found["orders"].notes)
    place = {"postgres": "LSN ", "mariadb": "GTID "}[shop.kind]
    told = next(finding for finding in shop.lake.why("s.orders").findings if finding.subject == "source")
    assert told.ok
    assert f"3 columns, equal, 5 to be merged, at {place}" in told.detail
    shop.lake.run()
    assert {one.pending for one in shop.lake.verify()} == {0}


def test_a_truncation_that_is_still_to_be_merged_explains_every_row(shop: Shop) -> None:
    shop.execute("TRUNCATE TABLE orders", "INSERT INTO orders VALUES (1, 'first again', 1)")
    found = _by_table(shop.lake.verify())["orders"]
    assert (found.source_rows, found.lake_rows, found.differing, found.pending) == (1, ROWS, 0, ROWS)


def test_under_writers_and_runs_no_difference_is_found_that_is_none(shop: Shop) -> None:
    pending = 0
    with shop.writing():
        for turn in range(8):
            if turn % 4 == 3:
                assert shop.lake.run().exit_code() == 0
            for one in shop.lake.verify():
                assert (one.error, one.differing) == (None, 0), one
                pending += one.pending
    assert pending > 0
    assert shop.lake.run().exit_code() == 0
    assert {(one.differing, one.pending) for one in shop.lake.verify()} == {(0, 0)}


def test_under_writers_a_real_difference_is_found_and_nothing_else(shop: Shop) -> None:
    with shop.writing():
        _damage(shop)
        for _ in range(3):
            found = _by_table(shop.lake.verify())
            said = {(each.kind, each.key["id"]): dict(each.values) for each in found["orders"].differences}
            assert said == {(Kind.CHANGED, "2500"): {"note": ("note 2500", "damaged")}}
            assert found["hits"].differing == 0
            assert "no change of the source explains the differences" in found["orders"].notes


def _damage(shop: Shop) -> None:
    """Change one row in the lake behind everybody's back."""
    for file in (shop.directory / ".limnos/lake/s/orders").rglob("*.parquet"):
        rows = pq.read_table(file)
        notes = rows.column("note").to_pylist() if "note" in rows.schema.names else []
        if "note 2500" in notes:
            at = rows.schema.get_field_index("note")
            damaged = pa.array(["damaged" if note == "note 2500" else note for note in notes], rows.schema.field(at).type)
            pq.write_table(rows.set_column(at, rows.schema.field(at), damaged), file)
