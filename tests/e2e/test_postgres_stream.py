from __future__ import annotations

import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services import Postgres

from limnos.engines.duckdb import DuckEngine
from limnos.errors import LimnosError, SourceRefused, UnknownName, Unsupported
from limnos.model.changes import Changes
from limnos.model.names import TableName, literal, quoted
from limnos.model.position import Position
from limnos.model.project import LogLimit, Mode, Protect, SourceConfig, SourceTable
from limnos.model.secret import Secret
from limnos.sources.postgres import PostgresSource

pytestmark = pytest.mark.e2e

Row = tuple[str | None, ...]
PROTECT = Protect()
ENVELOPE = ("_seq", "_op", "_at", "_kept")


@dataclass
class Copy:
    """Keep tables as the change stream says they are: what a lake would hold, by the simplest means."""

    url: str
    config: SourceConfig
    identity: dict[str, tuple[str, ...]] = field(default_factory=dict)
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    last: list[dict[str, Any]] = field(default_factory=list)
    reloads: dict[str, str] = field(default_factory=dict)

    @property
    def source(self) -> PostgresSource:
        return PostgresSource(replace(self.config, known=dict(self.positions)), DuckEngine())

    def run(self, sql: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.encode())

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql.encode()).fetchall()

    def sync(self, *, acknowledge: bool = True) -> list[dict[str, Any]]:
        """Catch up with the source; gives the changes that were applied, of all tables, in their order."""
        self.source.prepare()
        with self.source.open() as reading:
            given_ = list(reading.changes(self.positions)) if self.positions else []
            self.reloads = {one.table: one.reload for one in given_ if one.reload}
            self.last = sorted(
                (row for one in given_ if one.rows is not None and one.table not in self.reloads for row in self._changed(one)),
                key=lambda row: row["_seq"],
            )
            assert len({(row["_table"], row["_seq"]) for row in self.last}) == len(self.last)
            for row in self.last:
                self._apply(row)
            for table in self.config.tables:
                if table.name not in self.positions or table.name in self.reloads:
                    self._load(reading, table.name)
            self.positions = {table.name: reading.cut(table.name) for table in self.config.tables}
        if acknowledge:
            self.source.acknowledge(self.positions)
        return self.last

    def _changed(self, one: Changes) -> Iterator[dict[str, Any]]:
        assert one.rows is not None
        one.rows.validate(full=True)
        assert one.rows.schema.names[:4] == list(ENVELOPE)
        assert [row["_seq"] for row in one.rows.to_pylist()] == sorted(row["_seq"] for row in one.rows.to_pylist())
        self.identity[one.table] = one.identity
        self.columns[one.table] = tuple(one.rows.schema.names[4:])
        return ({"_table": one.table, **row} for row in one.rows.to_pylist())

    def _load(self, reading: Any, table: str) -> None:
        described = reading.describe(table, TableName("shop", table))
        contract = replace(described, columns=tuple(replace(column, type=pa.string()) for column in described.columns))
        extract = reading.read(table, contract)
        whole = pa.Table.from_batches(extract.batches, extract.schema)
        self.columns[table] = tuple(whole.schema.names)
        self.rows[table] = [tuple(None if value is None else str(value) for value in row.values()) for row in whole.to_pylist()]

    def _apply(self, row: dict[str, Any]) -> None:
        table = row["_table"]
        rows, columns, identity = self.rows[table], self.columns[table], self.identity[table]
        if row["_op"] == "truncate":
            rows.clear()
            return
        places = [columns.index(name) for name in identity]
        found = [old for old in rows if all(old[place] == row[columns[place]] for place in places)]
        if row["_op"] == "insert":
            assert row["_kept"] is None
            assert not found or len(identity) == len(columns), (row, found)
            rows.append(tuple(row[name] for name in columns))
            return
        assert found, (row, rows)
        rows.remove(found[0])
        if row["_op"] == "update":
            kept = row["_kept"] or ()
            rows.append(tuple(old if name in kept else row[name] for name, old in zip(columns, found[0], strict=True)))

    def check_anew(self, table: str) -> None:
        """Assert that a table is what reading it anew gives."""
        followed = sorted(self.rows[table], key=repr)
        with self.source.open() as reading:
            self._load(reading, table)
        assert followed == sorted(self.rows[table], key=repr)

    def check(self) -> None:
        """Assert that every table is what the server says, text by text."""
        for table, columns in self.columns.items():
            texts = ", ".join(f"{quoted(name)}::text" for name in columns)
            assert sorted(self.rows[table], key=repr) == sorted(self.ask(f"SELECT {texts} FROM {quoted(table)}"), key=repr)


def _config(url: str, *tables: str, protect: Protect = PROTECT, **options: object) -> SourceConfig:
    declared = tuple(SourceTable(name, TableName("shop", name), Mode.CDC) for name in tables)
    slot = {"slot": f"limnos_{url[-12:]}", **options}
    return SourceConfig("shop", "postgres", Path(), "shop", {"url": Secret(url, name="SHOP_DSN"), **slot}, declared, protect=protect)


@contextmanager
def _database(server: Postgres) -> Generator[str]:
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(server.dsn, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        try:
            yield server.url(name)
        finally:
            for (slot,) in owner.execute("SELECT slot_name FROM pg_replication_slots WHERE database = %s", [name]).fetchall():
                owner.execute("SELECT pg_drop_replication_slot(%s)", [slot])
            owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(postgres_server: Postgres) -> Generator[str]:
    with _database(postgres_server) as url:
        yield url


@pytest.fixture
def copy(database: str) -> Copy:
    made = Copy(database, _config(database, "t"))
    made.run("CREATE TABLE t (id int PRIMARY KEY, a text, big text)")
    return made


def _said(changes: list[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    return [(row["_op"], *(row[name] for name in columns)) for row in changes]


def test_the_first_run_reads_and_the_following_ones_follow_every_operation_in_order(copy: Copy) -> None:
    copy.run("INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, NULL)")
    assert copy.sync() == []
    copy.check()
    copy.run("INSERT INTO t VALUES (4, 'four')")
    copy.run("UPDATE t SET a = a || '!' WHERE id < 3")
    copy.run("DELETE FROM t WHERE id = 2")
    assert _said(copy.sync(), "id", "a") == [
        ("insert", "4", "four"),
        ("update", "1", "one!"),
        ("update", "2", "two!"),
        ("delete", "2", None),
    ]
    copy.check()
    assert copy.sync() == []


def test_a_changed_key_comes_as_a_delete_and_an_insert(copy: Copy) -> None:
    copy.run("INSERT INTO t VALUES (1, 'one', 'x'), (2, 'two', 'y')")
    copy.sync()
    copy.run("UPDATE t SET id = id + 10, a = 'moved'")
    changes = copy.sync()
    assert _said(changes, "id", "a") == [
        ("delete", "1", None),
        ("insert", "11", "moved"),
        ("delete", "2", None),
        ("insert", "12", "moved"),
    ]
    copy.check()


def test_changes_bear_the_time_of_their_commit(copy: Copy) -> None:
    copy.sync()
    copy.run("INSERT INTO t VALUES (1)")
    ((before, now),) = copy.ask("SELECT now() - interval '1 minute', now()")
    (change,) = copy.sync()
    assert before < change["_at"] <= now
    assert change["_at"].utcoffset().total_seconds() == 0


BIG = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 400) n)"


def test_a_large_value_that_stays_is_named_as_kept(copy: Copy) -> None:
    copy.run(f"ALTER TABLE t ALTER big SET STORAGE EXTERNAL; INSERT INTO t VALUES (1, 'one', {BIG}), (2, 'two', 'small')")
    copy.sync()
    copy.run("UPDATE t SET a = 'new'")
    changes = copy.sync()
    assert [(row["id"], row["a"], row["big"], row["_kept"]) for row in changes] == [
        ("1", "new", None, ["big"]),
        ("2", "new", "small", None),
    ]
    copy.check()


def test_with_the_whole_old_row_in_the_log_nothing_is_kept_and_keys_may_change(copy: Copy) -> None:
    copy.run(f"ALTER TABLE t ALTER big SET STORAGE EXTERNAL; ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1, 'one', {BIG})")
    copy.sync()
    copy.run("UPDATE t SET a = 'new'; UPDATE t SET id = 5")
    changes = copy.sync()
    assert _said(changes, "id") == [("update", "1"), ("delete", "1"), ("insert", "5")]
    assert all(row["_kept"] is None and len(row["big"]) == 400 * 32 for row in changes)
    copy.check()


def test_a_changed_key_with_a_large_value_that_stays_has_the_table_read_anew(copy: Copy) -> None:
    copy.run(f"ALTER TABLE t ALTER big SET STORAGE EXTERNAL; INSERT INTO t VALUES (1, 'one', {BIG})")
    copy.sync()
    copy.run("UPDATE t SET id = 2")
    assert copy.sync() == []
    assert "REPLICA IDENTITY FULL" in copy.reloads["t"]
    copy.check()
    copy.run("DELETE FROM t")
    copy.sync()
    assert copy.reloads == {}
    copy.check()


def test_a_truncation_empties_the_table_at_its_place_in_the_order(copy: Copy) -> None:
    copy.run("INSERT INTO t VALUES (1), (2)")
    copy.sync()
    copy.run("BEGIN; INSERT INTO t VALUES (3); TRUNCATE t; INSERT INTO t VALUES (4); COMMIT")
    assert _said(copy.sync(), "id") == [("insert", "3"), ("truncate", None), ("insert", "4")]
    copy.check()


def test_a_truncation_that_cascades_empties_every_table_it_reaches(database: str) -> None:
    copy = Copy(database, _config(database, "parent", "child"))
    copy.run("CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, up int REFERENCES parent)")
    copy.run("INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1)")
    copy.sync()
    copy.run("TRUNCATE parent CASCADE")
    copy.run("INSERT INTO parent VALUES (2)")
    assert sorted(row["_table"] for row in copy.sync() if row["_op"] == "truncate") == ["child", "parent"]
    copy.check()
    assert copy.rows == {"parent": [("2",)], "child": []}


def test_what_was_rolled_back_to_a_savepoint_is_not_there(copy: Copy) -> None:
    copy.sync()
    copy.run(
        "BEGIN; INSERT INTO t VALUES (1); SAVEPOINT a; INSERT INTO t VALUES (2); SAVEPOINT b; UPDATE t SET a = 'x'; ROLLBACK TO a;"
        "INSERT INTO t VALUES (3); RELEASE a; INSERT INTO t VALUES (4); COMMIT"
    )
    copy.run("BEGIN; DELETE FROM t; ROLLBACK")
    assert _said(copy.sync(), "id") == [("insert", "1"), ("insert", "3"), ("insert", "4")]
    copy.check()


def test_a_transaction_that_commits_late_comes_once_though_others_overtook_it(copy: Copy) -> None:
    copy.sync()
    with psycopg.connect(copy.url) as slow, psycopg.connect(copy.url) as other:
        slow.execute("INSERT INTO t VALUES (1, 'slow')")
        other.execute("INSERT INTO t VALUES (2, 'overtakes')")
        other.commit()
        assert _said(copy.sync(), "id") == [("insert", "2")]
        other.execute("UPDATE t SET a = 'again'")
        slow.commit()
        assert _said(copy.sync(), "id") == [("insert", "1")]
        other.commit()
    assert _said(copy.sync(), "id") == [("update", "2")]
    copy.check()


def test_a_commit_after_the_snapshot_waits_for_the_next_run_though_the_log_has_it(copy: Copy) -> None:
    copy.sync()
    copy.run("INSERT INTO t VALUES (1)")
    with copy.source.open() as reading:
        copy.run("INSERT INTO t VALUES (2)")
        first = [row["id"] for one in reading.changes(copy.positions) if one.rows for row in one.rows.to_pylist()]
        position = reading.cut("t")
    assert first == ["1"]
    copy.source.acknowledge({"t": position})
    copy.positions = {"t": position}
    copy.rows["t"] = [("1", None, None)]
    assert _said(copy.sync(), "id") == [("insert", "2")]
    copy.check()


def test_what_is_committed_asynchronously_is_not_overlooked(copy: Copy) -> None:
    copy.sync()
    copy.run("SET synchronous_commit = off; INSERT INTO t SELECT n FROM generate_series(1, 10) n")
    assert len(copy.sync()) == 10
    copy.check()


def test_a_lost_acknowledgement_repeats_nothing(copy: Copy) -> None:
    copy.sync()
    for number in range(5):
        copy.run(f"INSERT INTO t VALUES ({number})")
        assert _said(copy.sync(acknowledge=False), "id") == [("insert", str(number))]
    copy.source.acknowledge(copy.positions)
    copy.source.acknowledge(copy.positions)
    assert copy.sync() == []
    copy.check()


def test_a_table_may_join_later_and_hands_over_with_no_gap_and_no_overlap(copy: Copy) -> None:
    copy.run("INSERT INTO t VALUES (1)")
    copy.sync()
    copy.run("CREATE TABLE late (id int PRIMARY KEY); INSERT INTO late VALUES (1); UPDATE t SET a = 'x'")
    copy.config = replace(copy.config, tables=_config(copy.url, "t", "late").tables)
    copy.sync()
    copy.check()
    copy.run("INSERT INTO late VALUES (2)")
    assert _said(copy.sync(), "_table") == [("insert", "late")]
    copy.check()


def test_a_run_of_one_table_keeps_the_log_for_the_others(database: str) -> None:
    copy = Copy(database, _config(database, "t", "u"))
    copy.run("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)")
    copy.sync()
    behind = copy.positions["u"]
    copy.run("INSERT INTO u VALUES (1)")
    copy.run("INSERT INTO t VALUES (1)")
    with copy.source.open() as reading:
        assert [one.table for one in reading.changes({"t": copy.positions["t"]})] == ["t"]
        copy.source.acknowledge({"t": reading.cut("t"), "u": behind})
        copy.rows["t"], copy.positions["t"] = [("1",)], reading.cut("t")
    assert _said(copy.sync(), "_table") == [("insert", "u")]
    copy.check()


def test_idle_tables_do_not_hold_the_log_back(copy: Copy) -> None:
    copy.run("CREATE TABLE busy (id int)")
    copy.sync()
    slot = str(copy.config.options["slot"])
    confirmed = f"SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = {literal(slot)}"
    before = copy.ask(confirmed)
    copy.run("INSERT INTO busy SELECT generate_series(1, 1000)")
    copy.sync()
    assert copy.ask(f"SELECT ({confirmed}) > {literal(before[0][0])}::pg_lsn") == [(True,)]


def test_an_open_transaction_from_before_the_publication_is_waited_for(database: str) -> None:
    copy = Copy(database, _config(database, "t", protect=Protect(statement_timeout_s=0.5)))
    copy.run("CREATE TABLE t (id int PRIMARY KEY)")
    with psycopg.connect(database) as writer:
        writer.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(SourceRefused) as refused:
            copy.source.prepare()
        assert "pg_stat_activity" in refused.value.hint
        writer.commit()
    copy.sync()
    copy.check()


def test_what_was_written_before_a_table_joined_is_waited_for_though_it_is_published_already(copy: Copy) -> None:
    copy.sync()
    copy.run("CREATE TABLE late (id int PRIMARY KEY)")
    copy.config = replace(copy.config, tables=_config(copy.url, "t", "late").tables, protect=Protect(statement_timeout_s=0.3))
    with psycopg.connect(copy.url) as writer:
        writer.execute("INSERT INTO late VALUES (1)")
        for _ in range(2):
            with pytest.raises(SourceRefused, match="before its tables were published"):
                copy.sync()
        writer.execute("INSERT INTO late VALUES (2)")
        writer.commit()
    copy.sync()
    copy.check()


SHAPES = [
    ("ALTER TABLE t ADD n int DEFAULT 7", "altered"),
    ("ALTER TABLE t DROP a", "altered"),
    ("ALTER TABLE t RENAME a TO b", "altered"),
    ("ALTER TABLE t ALTER a TYPE varchar(20)", "altered"),
    ("ALTER TABLE t ALTER a TYPE text USING a || '!'", "altered"),
    ("ALTER TABLE t ADD n int; UPDATE t SET n = 1; ALTER TABLE t DROP n", "altered"),
    ("ALTER TABLE t REPLICA IDENTITY NOTHING", "which row"),
    ("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, a text)", "made anew"),
]


@pytest.mark.parametrize(("statement", "why"), SHAPES)
def test_a_statement_that_reshapes_a_table_has_it_read_anew(copy: Copy, statement: str, why: str) -> None:
    copy.run("INSERT INTO t VALUES (1, 'one'), (2, 'two')")
    copy.sync()
    copy.run("UPDATE t SET a = 'before'")
    copy.run(statement)
    copy.run("INSERT INTO t VALUES (3)")
    if "NOTHING" in statement:
        with pytest.raises(Unsupported, match="REPLICA IDENTITY FULL"):
            copy.sync()
        copy.run("ALTER TABLE t REPLICA IDENTITY DEFAULT")
        copy.sync()
    else:
        assert copy.sync() == []
        assert why in copy.reloads["t"]
    copy.check()
    copy.run("UPDATE t SET id = id + 100")
    copy.sync()
    assert copy.reloads == {}
    copy.check()


def test_a_table_that_is_gone_does_not_keep_the_others_from_being_followed(copy: Copy) -> None:
    copy.run("CREATE TABLE u (id int PRIMARY KEY)")
    copy.config = replace(copy.config, tables=_config(copy.url, "t", "u").tables)
    copy.sync()
    copy.run("INSERT INTO t VALUES (1)")
    copy.run("DROP TABLE u")
    copy.source.prepare()
    with copy.source.open() as reading:
        assert {one.table: bool(one.reload) for one in reading.changes(copy.positions)} == {"t": False, "u": True}
        with pytest.raises(UnknownName, match="t"):
            reading.cut("u")


def test_a_dropped_slot_is_made_anew_and_the_table_read_anew(copy: Copy) -> None:
    copy.sync()
    copy.run("INSERT INTO t VALUES (1)")
    copy.run(f"SELECT pg_drop_replication_slot({literal(str(copy.config.options['slot']))})")
    assert copy.sync() == []
    assert "log" in copy.reloads["t"]
    copy.check()
    copy.run("INSERT INTO t VALUES (2)")
    assert _said(copy.sync(), "id") == [("insert", "2")]
    copy.check()


@pytest.mark.parametrize("drop", ["DROP PUBLICATION {0}", "ALTER PUBLICATION {0} DROP TABLE t"])
def test_a_publication_that_somebody_took_away_is_made_anew_and_the_table_read_anew(copy: Copy, drop: str) -> None:
    copy.sync()
    copy.run("INSERT INTO t VALUES (1)")
    copy.run(drop.format(quoted(str(copy.config.options["slot"]))))
    copy.run("INSERT INTO t VALUES (2)")
    assert copy.sync() == []
    assert copy.reloads["t"]
    copy.check()
    copy.run("INSERT INTO t VALUES (3)")
    assert _said(copy.sync(), "id") == [("insert", "3")]
    copy.check()


def test_a_slot_that_keeps_too_much_is_reported_and_given_up_where_that_is_wanted(copy: Copy) -> None:
    copy.sync()
    copy.run("INSERT INTO t VALUES (1)")
    copy.config = replace(copy.config, protect=Protect(max_log_bytes=1))
    (finding,) = [one for one in copy.source.findings() if ", slot " in one.subject]
    assert not finding.ok
    assert "max_log" in finding.detail
    assert len(copy.sync()) == 1
    copy.run("INSERT INTO t VALUES (2)")
    copy.config = replace(copy.config, protect=Protect(max_log_bytes=1, on_log_limit=LogLimit.DROP))
    assert copy.sync() == []
    assert "log" in copy.reloads["t"]
    copy.check()


def test_a_slot_that_the_server_overran_is_made_anew_and_the_table_read_anew(copy: Copy) -> None:
    copy.sync()
    copy.run("INSERT INTO t VALUES (1)")
    copy.run("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
    try:
        copy.run("SELECT pg_reload_conf()")
        for _ in range(3):
            copy.run("SELECT pg_switch_wal()")
            copy.run("INSERT INTO t VALUES (2) ON CONFLICT DO NOTHING")
        copy.run("CHECKPOINT")
        (finding,) = [one for one in copy.source.findings() if ", slot " in one.subject]
        assert not finding.ok
        assert "thrown" in finding.detail
    finally:
        copy.run("ALTER SYSTEM RESET max_slot_wal_keep_size")
        copy.run("SELECT pg_reload_conf()")
    assert copy.sync() == []
    assert "log" in copy.reloads["t"]
    copy.check()


def test_another_server_in_its_place_has_the_table_read_anew(copy: Copy) -> None:
    copy.sync()
    position = copy.positions["t"]
    copy.positions["t"] = replace(position, value={**position.value, "system": "1/00000001"})
    copy.sync()
    assert "another" in copy.reloads["t"]


def test_a_position_of_another_mode_has_the_table_read_anew(copy: Copy) -> None:
    copy.sync()
    copy.positions["t"] = Position("cursor", {"max": "1"})
    copy.sync()
    assert copy.reloads["t"]


def test_doctor_finds_nothing_amiss_where_a_run_prepared_everything(copy: Copy) -> None:
    copy.sync()
    found = list(copy.source.findings())
    assert [one for one in found if not one.ok] == []
    assert any("is published; rows are told apart by id" in one.detail for one in found)


def test_doctor_reports_a_slot_that_no_table_needs_any_more(copy: Copy) -> None:
    copy.sync()
    copy.config = replace(copy.config, tables=())
    (finding,) = [one for one in copy.source.findings() if not one.ok]
    copy.run(finding.hint)
    assert [one for one in copy.source.findings() if not one.ok] == []


def test_nothing_is_made_for_tables_that_cannot_be_followed(copy: Copy) -> None:
    copy.run("ALTER TABLE t DROP CONSTRAINT t_pkey")
    copy.source.prepare()
    assert copy.ask(f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = {literal(str(copy.config.options['slot']))}") == [(0,)]


def test_a_stream_that_is_left_early_lets_the_slot_go(copy: Copy) -> None:
    copy.sync()
    copy.run("INSERT INTO t SELECT n, repeat('x', 200) FROM generate_series(1, 50000) n")
    with copy.source.open() as reading:
        changes = reading.changes(copy.positions)
        assert next(changes).rows is not None
        changes.close()
        assert reading.cut("t").value["lsn"] == copy.positions["t"].value["lsn"]
        assert sum(one.rows.num_rows for one in reading.changes(copy.positions) if one.rows) == 50_000


def test_a_slot_in_use_is_an_error_that_says_so(copy: Copy) -> None:
    copy.sync()
    copy.run("INSERT INTO t SELECT n, 'x' FROM generate_series(1, 1000) n")
    with psycopg.connect(copy.url) as other:
        other.execute("CREATE FUNCTION pg_temp.wait() RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1'")
        with copy.source.open() as reading, _held(copy), pytest.raises(SourceRefused) as refused:
            list(reading.changes(copy.positions))
        assert "in use" in refused.value.what


@contextmanager
def _held(copy: Copy) -> Generator[None]:
    """Hold the slot as a reader of the streaming protocol does."""
    connection = psycopg.pq.PGconn.connect(f"{copy.url}?replication=database".encode())
    slot = copy.config.options["slot"]
    connection.send_query(f"START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '1', publication_names '{slot}')".encode())
    assert connection.get_result().status == psycopg.pq.ExecStatus.COPY_BOTH
    try:
        yield
    finally:
        connection.finish()


def test_rights_that_are_lacking_are_named_with_the_statement_to_type(database: str) -> None:
    owner = Copy(database, _config(database, "t"))
    user = f"u{uuid.uuid4().hex[:8]}"
    owner.run(f"CREATE TABLE t (id int PRIMARY KEY); CREATE ROLE {user} LOGIN PASSWORD 'p'; GRANT SELECT ON t TO {user}")
    url = database.replace(database.split("//")[1].split("@", maxsplit=1)[0], f"{user}:p")
    mine = Copy(url, replace(owner.config, options={**owner.config.options, "url": Secret(url)}))
    with pytest.raises(SourceRefused) as refused:
        mine.source.prepare()
    assert refused.value.hint.startswith("CREATE PUBLICATION")
    owner.run(refused.value.hint)
    with pytest.raises(SourceRefused) as refused:
        mine.source.prepare()
    assert refused.value.hint == f'ALTER ROLE "{user}" REPLICATION;'
    assert any(not one.ok and one.hint == refused.value.hint for one in mine.source.findings())
    owner.run(refused.value.hint)
    mine.sync()
    owner.run("INSERT INTO t VALUES (1)")
    assert _said(mine.sync(), "id") == [("insert", "1")]
    owner.run(f"DROP OWNED BY {user}; DROP ROLE {user}")


def test_a_table_without_identity_is_not_published_and_says_what_to_type(copy: Copy) -> None:
    copy.run("CREATE TABLE bare (id int, a text); INSERT INTO bare VALUES (1, 'x'), (1, 'x')")
    copy.config = replace(copy.config, tables=_config(copy.url, "t", "bare").tables)
    with pytest.raises(Unsupported) as unsupported:
        copy.sync()
    copy.run("UPDATE bare SET a = 'y'")
    assert any(not one.ok and one.hint == unsupported.value.hint for one in copy.source.findings())
    copy.run(unsupported.value.hint)
    copy.sync()
    copy.check()
    copy.run("UPDATE bare SET a = 'z' WHERE ctid = (SELECT min(ctid) FROM bare)")
    assert _said(copy.sync(), "id", "a") == [("delete", "1", "y"), ("insert", "1", "z")]
    copy.check()


GENERATED = """
CREATE TYPE mood AS ENUM ('low', 'high');
CREATE FUNCTION shout(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$SELECT upper($1) || '!'$$;
CREATE TABLE g (
    id int PRIMARY KEY, a int, "b %s" text COLLATE "C", big text, code char(4), flag boolean, at timestamptz, "Ünder" numeric(8,3),
    twice int GENERATED ALWAYS AS (a * 2) STORED,
    rounded numeric(10,1) GENERATED ALWAYS AS (a * 1.26 + "Ünder" % 7) STORED,
    small varchar(9) GENERATED ALWAYS AS (substr(shout("b %s"), 1, 9)) STORED,
    after boolean GENERATED ALWAYS AS ("b %s" > 'a') STORED,
    padded char(6) GENERATED ALWAYS AS (code) STORED,
    size int GENERATED ALWAYS AS (length(big)) STORED,
    pair text[] GENERATED ALWAYS AS (ARRAY["b %s", flag::text]) STORED,
    day date GENERATED ALWAYS AS ((at AT TIME ZONE 'UTC')::date) STORED,
    one mood GENERATED ALWAYS AS ('low'::mood) STORED,
    search tsvector GENERATED ALWAYS AS (to_tsvector('simple', coalesce("b %s", ''))) STORED
)"""


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL", "keyless"])
def test_generated_columns_are_computed_by_the_server_from_the_columns_of_the_log(copy: Copy, identity: str) -> None:
    copy.run(GENERATED.replace(" PRIMARY KEY", " NOT NULL") if identity == "keyless" else GENERATED)
    copy.run(f"ALTER TABLE g REPLICA IDENTITY {'FULL' if identity == 'keyless' else identity}")
    copy.config = replace(copy.config, tables=_config(copy.url, "g").tables)
    copy.run(
        f"INSERT INTO g VALUES (1, 5, 'x', {BIG}, NULL, NULL, NULL, NULL), (2, 6, 'Y%', 'short', 'ab ', true, '2024-01-01 23:59+00', 3.5)"
    )
    copy.sync()
    copy.run("INSERT INTO g (id) VALUES (3); INSERT INTO g VALUES (4, 7, 'it''s {, \"\\ a', 'z', 'abcd', false, 'infinity', -1)")
    copy.run(
        "UPDATE g SET a = a + 1, flag = NOT flag, code = 'q'; UPDATE g SET id = 20, \"b %s\" = 'ä' WHERE id = 2; DELETE FROM g WHERE id = 4"
    )
    copy.sync()
    assert copy.reloads == {}
    copy.check_anew("g")
    copy.run("TRUNCATE g; INSERT INTO g VALUES (1, 1)")
    copy.sync()
    copy.check_anew("g")


def test_a_generated_column_that_reads_a_large_value_and_others_has_the_table_read_anew_when_that_is_not_sent(copy: Copy) -> None:
    copy.run("CREATE TABLE g (id int PRIMARY KEY, a int, big text, n int GENERATED ALWAYS AS (a + length(big)) STORED)")
    copy.config = replace(copy.config, tables=_config(copy.url, "g").tables)
    copy.run(f"INSERT INTO g VALUES (1, 5, {BIG})")
    copy.sync()
    copy.run("UPDATE g SET a = 6")
    copy.sync()
    assert "n is generated from big and others" in copy.reloads["g"]
    copy.check()
    copy.run("ALTER TABLE g REPLICA IDENTITY FULL; UPDATE g SET a = 7")
    copy.sync()
    copy.run("UPDATE g SET a = 8")
    copy.sync()
    assert copy.reloads == {}
    copy.check()


def test_a_generated_column_that_cannot_be_computed_has_the_table_read_anew(copy: Copy) -> None:
    copy.run("CREATE TABLE g (id int PRIMARY KEY, n text GENERATED ALWAYS AS (id::text || tableoid::text) STORED)")
    copy.config = replace(copy.config, tables=_config(copy.url, "g", "t").tables)
    copy.sync()
    copy.run("INSERT INTO g VALUES (1); INSERT INTO t VALUES (1)")
    assert _said(copy.sync(), "id") == [("insert", "1")]
    assert "its generated columns cannot be computed from the log" in copy.reloads["g"]
    copy.check()


def test_generated_columns_that_the_log_cannot_stand_for_are_refused_with_what_to_do(copy: Copy) -> None:
    copy.run("CREATE TABLE g (id int, n int GENERATED ALWAYS AS (id * 2) STORED PRIMARY KEY)")
    copy.config = replace(copy.config, tables=_config(copy.url, "g").tables)
    with pytest.raises(Unsupported, match="generated columns") as refused:
        copy.sync()
    assert "mode: incremental" in refused.value.hint


def test_an_index_may_be_the_identity(copy: Copy) -> None:
    copy.run("CREATE TABLE i (a text NOT NULL, b int NOT NULL, c text); CREATE UNIQUE INDEX ix ON i (b, a)")
    copy.run("ALTER TABLE i REPLICA IDENTITY USING INDEX ix; INSERT INTO i VALUES ('x', 1, 'one'), ('y', 2, 'two')")
    copy.config = replace(copy.config, tables=_config(copy.url, "i").tables)
    copy.sync()
    copy.run("UPDATE i SET c = 'new' WHERE b = 1; UPDATE i SET b = 3 WHERE b = 2; DELETE FROM i WHERE b = 1")
    assert _said(copy.sync(), "a", "b") == [("update", "x", "1"), ("delete", "y", "2"), ("insert", "y", "3"), ("delete", "x", "1")]
    assert copy.identity["i"] == ("b", "a")
    copy.check()


@pytest.fixture
def parts(database: str) -> Copy:
    made = Copy(database, _config(database, "p"))
    made.run("CREATE TABLE p (id int, a text, PRIMARY KEY (id)) PARTITION BY RANGE (id)")
    made.run("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100); CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200)")
    made.run("INSERT INTO p VALUES (1, 'one'), (101, 'more')")
    made.sync()
    return made


def test_a_partitioned_table_comes_under_its_own_name(parts: Copy) -> None:
    parts.run(
        "INSERT INTO p VALUES (2, 'two'); UPDATE p SET id = 102 WHERE id = 1; DELETE FROM p1 WHERE id = 2; INSERT INTO p2 VALUES (103)"
    )
    assert {row["_table"] for row in parts.sync()} == {"p"}
    assert parts.reloads == {}
    parts.check()


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE p1",
        "DROP TABLE p1",
        "ALTER TABLE p DETACH PARTITION p1",
        "CREATE TABLE q (id int NOT NULL, a text); INSERT INTO q VALUES (999); ALTER TABLE p ATTACH PARTITION q DEFAULT",
    ],
)
def test_what_the_log_does_not_tell_of_partitions_has_the_table_read_anew(parts: Copy, statement: str) -> None:
    parts.run(statement)
    parts.run("INSERT INTO p VALUES (110)")
    parts.sync()
    assert "partitions" in parts.reloads["p"]
    parts.check()


TYPED = """
CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN yes AS boolean; CREATE TYPE pair AS (x int, y text);
CREATE TABLE typed (id int PRIMARY KEY, b boolean, d yes, i inet, c cidr, n numeric, f float8, r real, t timestamptz, s timestamp,
    v interval, y bytea, u uuid, j jsonb, a boolean[], h char(6), m mood, p pair, l daterange, o money, x xml, k bit(3), z timetz, e date)
"""
VALUES = """
INSERT INTO typed VALUES
 (1, true, false, '10.0.0.1', '10.0.0.0/8', 'NaN', 0.1::float8 + 0.2, 0.1, '2024-02-29 12:00:00.123456+05', 'infinity',
  '1 year -3 days 04:05:06.7', '\\x00ff', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": [1, 2.50]}', '{{t,f},{NULL,t}}',
  'ab', 'sad', '(1,"a b")', '[2024-01-01,2024-02-01)',
  12.34, '<a>é</a>', '101', '10:00+02', '4000-01-01 BC'),
 (2, NULL, true, '::1', 'fe80::/10', '-Infinity', 'NaN', '-infinity', '-infinity', '0044-03-15 BC', '-1 mon', '',
  NULL, 'null', '{}', '', 'ok', '(,)', 'empty', -1, '<b/>', '000', '00:00:00-12', 'infinity'),
 (3, false, NULL, '10.1.0.0/16', '::/0', '12345678901234567890123456789012345678901234567890.12', '1e300', 1e-40,
  'epoch', '9999-12-31 23:59:59.999999', 'PT1S', '\\x', 'ffffffff-ffff-ffff-ffff-ffffffffffff',
  '"\\u00e9"', NULL, 'é', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
"""


def test_every_value_is_the_text_that_the_server_prints_for_it(database: str) -> None:
    copy = Copy(database, _config(database, "typed"))
    copy.run(TYPED)
    copy.sync()
    copy.run("SET DateStyle = 'German'; SET IntervalStyle = 'postgres'; SET TimeZone = 'Asia/Tokyo'; SET bytea_output = 'escape';" + VALUES)
    assert len(copy.sync()) == 3
    columns = [name for name in copy.columns["typed"] if name != "h"]
    texts = ", ".join(f"{name}::text" for name in columns)
    with psycopg.connect(database) as connection:
        connection.execute("SET TimeZone = 'UTC'; SET IntervalStyle = 'iso_8601'; SET DateStyle = 'ISO, YMD'; SET extra_float_digits = 3")
        printed = connection.execute(f"SELECT {texts} FROM typed ORDER BY id".encode()).fetchall()
    assert [tuple(row[name] for name in columns) for row in copy.last] == printed
    assert [row["h"] for row in copy.last] == ["ab    ", " " * 6, "é     "]


def test_a_large_transaction_comes_in_batches_of_bounded_size(copy: Copy) -> None:
    copy.sync()
    copy.run("INSERT INTO t SELECT n, repeat('x', 100), md5(n::text) FROM generate_series(1, 200000) n")
    with copy.source.open() as reading:
        seen, ids = 0, set()
        for one in reading.changes(copy.positions):
            assert one.rows is not None
            assert one.rows.nbytes < 64 * 1024 * 1024
            seen += one.rows.num_rows
            ids.update(one.rows.column("id").to_pylist())
    assert seen == len(ids) == 200_000


def test_the_secret_is_in_no_error(database: str) -> None:
    password = database.split(":")[2].split("@", maxsplit=1)[0]
    copy = Copy(database, _config(database, "t", slot="no such slot!"))
    copy.run("CREATE TABLE t (id int PRIMARY KEY)")
    with pytest.raises(LimnosError) as error:
        copy.sync()
    assert password not in str(error.value)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["insert", "update", "delete", "move", "commit", "rollback", "savepoint", "back"]),
            st.integers(0, 2),
            st.integers(0, 9),
        ),
        st.tuples(st.sampled_from(["sync", "sync", "truncate"]), st.just(0), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_interleaves_each_change_comes_exactly_once(database: str, steps: list[tuple[str, int, int]]) -> None:
    copy = Copy(database, _config(database, "t"))
    copy.run("DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, a text)")
    copy.sync()
    writers = [psycopg.connect(database) for _ in range(3)]
    try:
        for number, (what, who, key) in enumerate(steps):
            if what == "sync":
                copy.sync(acknowledge=number % 3 > 0)
            elif what == "truncate":
                for writer in writers:
                    writer.commit()
                copy.run("TRUNCATE t")
            else:
                _step(writers[who], what, 10 * who + key, number)
        copy.sync()
        for writer in writers:
            writer.commit()
        copy.sync()
        copy.check()
    finally:
        for writer in writers:
            writer.close()


def _step(writer: psycopg.Connection[Any], what: str, key: int, number: int) -> None:
    """Do one thing; each writer has keys of its own, so that none waits for another."""
    match what:
        case "insert":
            writer.execute("INSERT INTO t VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET a = excluded.a", [key, str(number)])
        case "update":
            writer.execute("UPDATE t SET a = %s WHERE id = %s", [str(number), key])
        case "delete":
            writer.execute("DELETE FROM t WHERE id = %s", [key])
        case "move":
            writer.execute("UPDATE t SET id = %s WHERE id = %s AND NOT EXISTS (SELECT FROM t WHERE id = %s)", [key + 100, key, key + 100])
        case "savepoint":
            writer.execute("SAVEPOINT s")
        case "back":
            if writer.info.transaction_status is psycopg.pq.TransactionStatus.INTRANS:
                writer.execute(f"SAVEPOINT s; UPDATE t SET a = 'never' WHERE id = {key}; ROLLBACK TO s")
        case "commit":
            writer.commit()
        case _:
            writer.rollback()
