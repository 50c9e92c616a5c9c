from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Generator
from pathlib import Path

import pyarrow as pa
import pymysql
import pytest
from pymysql.constants import CLIENT
from services import MariaDB

from limnos.engines.duckdb import DuckEngine
from limnos.errors import SourceChanged, SourceRefused, SourceUnreachable, UnknownName, Unsupported
from limnos.model.changes import Window
from limnos.model.contract import Contract
from limnos.model.extract import Extract
from limnos.model.names import TableName
from limnos.model.project import Protect, SourceConfig
from limnos.model.secret import Secret
from limnos.sources.mysql import MariadbSource, lanes
from limnos.sources.mysql.source import MysqlReading

pytestmark = pytest.mark.e2e

Run = Callable[[str], None]


@pytest.fixture
def database(mariadb_server: MariaDB) -> Generator[str]:
    name = f"t{uuid.uuid4().hex[:12]}"
    _execute(mariadb_server, "", f"CREATE DATABASE {name}")
    yield mariadb_server.url(name)
    _execute(mariadb_server, "", f"DROP DATABASE {name}")


@pytest.fixture
def run(mariadb_server: MariaDB, database: str) -> Run:
    return lambda sql: _execute(mariadb_server, database.rpartition("/")[2], sql)


def _connect(server: MariaDB, database: str) -> pymysql.Connection:
    return pymysql.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        database=database or None,
        client_flag=CLIENT.MULTI_STATEMENTS,
        autocommit=True,
    )


def _execute(server: MariaDB, database: str, sql: str) -> None:
    with _connect(server, database) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        while cursor.nextset():
            pass


def _source(url: str, protect: Protect | None = None) -> MariadbSource:
    config = SourceConfig("shop", "mariadb", Path(), "shop", {"url": Secret(url, name="SHOP_DSN")}, protect=protect or Protect())
    return MariadbSource(config, DuckEngine())


def _contract(reading: MysqlReading, table: str) -> Contract:
    return reading.describe(table, TableName("shop", table))


def _read(reading: MysqlReading, table: str) -> Extract:
    return reading.read(table, _contract(reading, table))


def _values(extract: Extract) -> list[object]:
    return [value for batch in extract.batches or () for value in batch.column(0).to_pylist()]


def test_constraints_and_comments_become_the_contract(database: str, run: Run) -> None:
    run("""
        CREATE TABLE maker (a int, b int, PRIMARY KEY (b, a));
        CREATE TABLE thing (id int AUTO_INCREMENT PRIMARY KEY, x int, y int, m enum('bad', 'it''s', '') COMMENT 'As felt',
            code varchar(20) NOT NULL UNIQUE, note text, twice int AS (x * 2) VIRTUAL, secret int INVISIBLE,
            UNIQUE KEY (x, m), UNIQUE KEY (note(10)), FOREIGN KEY (y, x) REFERENCES maker (b, a)) COMMENT 'All things';
    """)
    with _source(database).open() as reading:
        contract = _contract(reading, "thing")
    assert contract.names == ("id", "x", "y", "m", "code", "note", "twice", "secret")
    assert contract.key == ("id",)
    assert contract.description == "All things"
    assert contract.column("m").description == "As felt"
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
    assert arguments["accepted_values"] == {"values": ["bad", "it's", ""]}
    assert arguments["foreign_key"] == {"references": "shop.maker", "columns": ["b", "a"]}


def test_views_are_read_and_sequences_are_not_tables(database: str, run: Run) -> None:
    run("CREATE TABLE t AS SELECT 1 AS id; CREATE VIEW v AS SELECT id + 1 AS id FROM t; CREATE SEQUENCE s")
    with _source(database).open() as reading:
        assert reading.tables() == ("t", "v")
        assert _values(_read(reading, "v")) == [2]


def test_all_tables_belong_to_one_point_in_time_while_others_write(database: str, run: Run, mariadb_server: MariaDB) -> None:
    run("CREATE TABLE a (n int PRIMARY KEY); CREATE TABLE b (n int PRIMARY KEY)")
    halt = threading.Event()

    def write() -> None:
        with _connect(mariadb_server, database.rpartition("/")[2]) as connection, connection.cursor() as cursor:
            number = 0
            while not halt.is_set():
                number += 1
                cursor.execute(f"BEGIN; INSERT INTO a VALUES ({number}); INSERT INTO b VALUES ({number}); COMMIT")
                while cursor.nextset():
                    pass

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):
            with _source(database, Protect(connections=3)).open() as reading:
                assert reading.binlog_position() is not None
                first, second = _read(reading, "a"), _read(reading, "b")
                assert first.rows == second.rows
                assert _values(first) == _values(second)
    finally:
        halt.set()
        writer.join()


def test_more_streams_than_connections_give_every_row_all_the_same(database: str, run: Run) -> None:
    run("CREATE TABLE t (n int PRIMARY KEY, d date, word varchar(600))")
    run("INSERT INTO t SELECT seq, '2024-02-29', repeat('x', 600) FROM seq_1_to_20000")
    with _source(database, Protect(connections=1)).open() as reading:
        run("INSERT INTO t VALUES (0, NULL, NULL)")
        extracts = [_read(reading, "t") for _ in range(3)]
        streams = [iter(extract.batches or ()) for extract in extracts]
        tables = [[next(stream)] for stream in streams]
        for turn in (1, 0, 2):
            tables[turn] += streams[turn]
        whole = [pa.Table.from_batches(table) for table in tables]
        assert [len(table) > 1 for table in tables] == [True] * 3
        assert [table.column("n").to_pylist() for table in whole] == [list(range(1, 20001))] * 3
        assert _read(reading, "t").rows == 20000


_SENDING = "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%word%WHERE%' AND id <> connection_id()"


def _wide(run: Run, key: str = "int", n: str = "seq") -> None:
    """Make a table of three parts."""
    run(f"SET sql_log_bin = 0; CREATE TABLE t (n {key} PRIMARY KEY, word varchar(5500))")
    run(f"SET sql_log_bin = 0; INSERT INTO t SELECT {n}, repeat('x', 5500) FROM seq_1_to_18000; ANALYZE TABLE t")


def _sending(server: MariaDB) -> int:
    with _connect(server, "") as other, other.cursor() as cursor:
        cursor.execute(_SENDING)
        ((number,),) = cursor.fetchall()
    return int(number)


@pytest.mark.parametrize(
    ("key", "n"), [("bigint unsigned", "18446744073709551615 - (18000 - seq) * 7"), ("smallint", "CAST(seq AS SIGNED) - 12000")]
)
def test_a_large_table_is_read_by_several_connections_at_once_and_each_row_arrives_once(database: str, run: Run, key: str, n: str) -> None:
    _wide(run, key, n)
    with _source(database, Protect(connections=2)).open() as reading:
        run("DELETE FROM t LIMIT 100")
        extract = _read(reading, "t")
        stream = iter(extract.batches or ())
        first = next(stream)
        assert [thread.name for thread in threading.enumerate()].count("limnos-mysql") == 2
        found = [value for batch in (first, *stream) for value in batch.column(0).to_pylist()]
        assert extract.counted is not None
        assert extract.read == len(found) == len(set(found)) == 18000


def test_the_rows_of_a_large_table_are_counted_by_the_server_and_not_by_what_arrives(
    database: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    _wide(run)
    made = lanes.batch
    monkeypatch.setattr(lanes, "batch", lambda *given: made(*given).slice(1))
    with _source(database, Protect(connections=2)).open() as reading:
        extract = _read(reading, "t")
        batches = list(extract.batches or ())
        assert extract.read == 18000 == sum(each.num_rows for each in batches) + len(batches)


def test_a_server_that_is_to_be_spared_counts_the_rows_of_a_large_table_first(database: str, run: Run) -> None:
    _wide(run)
    with _source(database, Protect(connections=2, max_rows_per_s=10_000_000)).open() as reading:
        extract = _read(reading, "t")
        assert (extract.counted, extract.rows, extract.read) == (None, 18000, 18000)


def test_a_stream_that_is_given_up_ends_its_statements_and_leaves_the_snapshot_usable(
    database: str, run: Run, mariadb_server: MariaDB
) -> None:
    _wide(run)
    with _source(database, Protect(connections=2)).open() as reading:
        run("DELETE FROM t LIMIT 100")
        for _ in range(3):
            stream = _read(reading, "t").batches
            assert stream is not None
            assert next(stream).num_rows > 0
            stream.close()
            assert _sending(mariadb_server) == 0
        assert len(_values(_read(reading, "t"))) == 18000


def test_an_error_in_one_part_ends_all_parts_and_spares_the_connections(database: str, run: Run) -> None:
    _wide(run)
    with _source(database, Protect(connections=2, statement_timeout_s=0.01)).open() as reading:
        contract = _contract(reading, "t")
        with pytest.raises(SourceRefused, match="took too long"):
            _values(reading.read("t", contract))
        assert reading.tables() == ("t",)


@pytest.mark.parametrize("change", ["MODIFY n bigint", "ADD COLUMN z int, ALGORITHM=INSTANT", "ADD INDEX (word(9)), LOCK=NONE"])
def test_a_table_that_was_read_is_not_altered_before_the_reading_ends(database: str, run: Run, change: str) -> None:
    run("CREATE TABLE t (n int PRIMARY KEY, word varchar(9)); INSERT INTO t VALUES (1, 'x')")
    with _source(database).open() as reading:
        assert _values(_read(reading, "t")) == [1]
        with pytest.raises(pymysql.OperationalError, match="Lock wait timeout"):
            run(f"SET lock_wait_timeout = 1; ALTER TABLE t {change}")
        assert _values(_read(reading, "t")) == [1]
    run(f"ALTER TABLE t {change}")


def test_the_binlog_position_is_that_of_the_rows(database: str, run: Run, mariadb_server: MariaDB) -> None:
    run("CREATE TABLE t (id int)")
    with _source(database).open() as reading:
        before = reading.binlog_position()
    run("INSERT INTO t VALUES (1)")
    with _source(database).open() as reading:
        after = reading.binlog_position()
    assert before is not None
    assert after is not None
    assert before["file"] == after["file"]
    assert isinstance(before["pos"], int)
    assert isinstance(after["pos"], int)
    assert before["pos"] < after["pos"]
    assert before["gtid"] != after["gtid"]


@pytest.mark.parametrize("change", ["TRUNCATE t", "DROP TABLE t", "ALTER TABLE t MODIFY id bigint", "ALTER TABLE t CHANGE id number int"])
def test_a_table_that_no_snapshot_shields_is_not_read_as_something_else(database: str, run: Run, change: str) -> None:
    run("CREATE TABLE t (id int, word text); INSERT INTO t SELECT seq, 'x' FROM seq_1_to_10")
    with _source(database).open() as reading:
        contract = _contract(reading, "t")
        run(change)
        with pytest.raises((SourceChanged, SourceRefused)) as raised:
            _values(reading.read("t", contract))
    assert isinstance(raised.value, SourceChanged)
    assert raised.value.hint == "run again"


def test_a_table_without_snapshots_is_refused_if_it_changes_while_it_is_read(database: str, run: Run) -> None:
    run("CREATE TABLE t (id int PRIMARY KEY) ENGINE=MyISAM; INSERT INTO t VALUES (1), (2)")
    with _source(database).open() as reading:
        assert sorted(_values(_read(reading, "t")), key=str) == [1, 2]
        extract = _read(reading, "t")
        run("INSERT INTO t VALUES (3)")
        with pytest.raises(SourceChanged, match="altered or truncated"):
            _values(extract)
    findings = {finding.subject: finding.detail for finding in _source(database).findings()}
    assert "no snapshots" in findings["source shop, table t"]


def test_nothing_can_be_written_through_a_reading(database: str, run: Run) -> None:
    run("CREATE TABLE t (id int)")
    run("CREATE FUNCTION sly() RETURNS int MODIFIES SQL DATA DETERMINISTIC BEGIN INSERT INTO t VALUES (1); RETURN 1; END")
    run("CREATE VIEW v AS SELECT sly() AS id")
    with _source(database).open() as reading, pytest.raises(SourceRefused, match="refuses to be read"):
        _values(_read(reading, "v"))


def test_settings_of_the_server_do_not_change_what_arrives(mariadb_server: MariaDB, database: str, run: Run) -> None:
    run("CREATE TABLE t (s timestamp NULL, c char(5)); SET time_zone = '+00:00'; INSERT INTO t VALUES ('2024-02-29 12:00:00', 'ab')")
    run("SET GLOBAL time_zone = '+05:00'; SET GLOBAL sql_select_limit = 0")
    run("SET GLOBAL sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,NO_BACKSLASH_ESCAPES'")
    try:
        with _source(database).open() as reading:
            (batch,) = _read(reading, "t").batches or ()
        assert [str(value) for value in batch.to_pylist()[0].values()] == ["2024-02-29 12:00:00+00:00", "ab"]
    finally:
        run("SET GLOBAL time_zone = DEFAULT; SET GLOBAL sql_mode = DEFAULT; SET GLOBAL sql_select_limit = DEFAULT")


CURSORS = [
    ("int", ["1", "5", "5", "9"], "5", "", [5, 5, 9, None], "9", 1),
    ("int", ["1", "5", "5", "9"], "9", "4", [5, 5, 9, None], "9", 1),
    ("bigint unsigned", ["1", "18446744073709551615"], "18446744073709551614", "", [18446744073709551615, None], "18446744073709551615", 1),
    ("decimal(10,3)", ["0.001", "0.002"], "0.002", "", ["0.002", None], "0.002", 1),
    ("double", ["0.1e0 + 0.2e0", "0.3e0"], "0.30000000000000004", "", [0.30000000000000004, None], "0.30000000000000004", 1),
    ("date", ["'2024-02-27'", "'2024-02-29'", "'2024-03-01'"], "2024-03-01", "1d", ["2024-02-29", "2024-03-01", None], "2024-03-01", 1),
    (
        "datetime(6)",
        ["'2024-02-29 23:59:59.999999'", "'2024-03-01'"],
        "2024-03-01 00:00:00.000000",
        "",
        ["2024-03-01 00:00:00", None],
        "2024-03-01 00:00:00.000000",
        1,
    ),
    (
        "timestamp NULL",
        ["'2024-02-29 12:00:00'", "'2024-03-01'"],
        "2024-03-01 00:00:00",
        "12h",
        ["2024-02-29 12:00:00+00:00", "2024-03-01 00:00:00+00:00", None],
        "2024-03-01 00:00:00",
        0,
    ),
]


@pytest.mark.parametrize("case", CURSORS, ids=lambda case: f"{case[0]} {case[3]}")
def test_a_window_has_ties_nulls_and_what_looks_back(
    database: str, run: Run, case: tuple[str, list[str], str, str, list[object], str, int]
) -> None:
    kind, values, since, lookback, arrives, greatest, below = case
    rows = ", ".join(f"({value})" for value in values)
    run(f"CREATE TABLE t (c {kind}, KEY (c)); SET time_zone = '+00:00'; INSERT INTO t VALUES {rows}, (NULL)")
    with _source(database).open() as reading:
        contract = _contract(reading, "t")
        whole = reading.read_since("t", contract, Window("c"))
        assert whole.rows == len(values) + 1
        assert whole.position is not None
        assert whole.position.value == {"max": greatest, "low": "", "below": 0}
        extract = reading.read_since("t", contract, Window("c", since, lookback))
        assert extract.position is not None
        assert {key: extract.position.value[key] for key in ("max", "below")} == {"max": greatest, "below": below}
        found = _values(extract)
        assert extract.rows == len(found)
        assert sorted(str(value) for value in found) == sorted(str(value) for value in arrives)


def test_a_cursor_without_order_or_name_is_refused(database: str, run: Run) -> None:
    run("CREATE TABLE t (id int, word varchar(9))")
    with _source(database).open() as reading:
        contract = _contract(reading, "t")
        with pytest.raises(Unsupported, match="cannot be a cursor"):
            reading.read_since("t", contract, Window("word"))
        with pytest.raises(UnknownName, match="No column is called ix"):
            reading.read_since("t", contract, Window("ix"))
        with pytest.raises(Unsupported, match="no lookback"):
            reading.read_since("t", contract, Window("id", "5", "2d"))


def test_a_statement_that_takes_too_long_is_refused(database: str, run: Run) -> None:
    run("CREATE VIEW slow AS SELECT sleep(5) AS nap")
    with _source(database, Protect(statement_timeout_s=0.2)).open() as reading:
        contract = _contract(reading, "slow")
        with pytest.raises(SourceRefused) as raised:
            _values(reading.read("slow", contract))
    assert "statement_timeout" in raised.value.hint


def test_a_lock_that_is_held_is_refused_in_time(database: str, run: Run, mariadb_server: MariaDB) -> None:
    run("CREATE TABLE t (id int)")
    with (
        _connect(mariadb_server, database.rpartition("/")[2]) as keeper,
        keeper.cursor() as cursor,
        _source(database, Protect(lock_timeout_s=1)).open() as reading,
    ):
        contract = _contract(reading, "t")
        cursor.execute("LOCK TABLES t WRITE")
        with pytest.raises(SourceRefused) as raised:
            reading.read("t", contract)
        cursor.execute("UNLOCK TABLES")
        assert _values(reading.read("t", contract)) == []
    assert "lock_timeout" in raised.value.hint


def test_a_connection_that_is_cut_in_mid_stream_is_an_error_and_not_an_end(database: str, run: Run, mariadb_server: MariaDB) -> None:
    run("CREATE TABLE t (n int PRIMARY KEY, word varchar(700)); INSERT INTO t SELECT seq, repeat('x', 700) FROM seq_1_to_60000")
    with _source(database).open() as reading:
        stream = iter(_read(reading, "t").batches or ())
        assert next(stream).num_rows > 0
        with _connect(mariadb_server, "") as killer, killer.cursor() as cursor:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE info LIKE '%FROM \"t%' AND info NOT LIKE '%processlist%'")
            for (number,) in cursor.fetchall():
                cursor.execute(f"KILL {number}")
        with pytest.raises(SourceUnreachable):
            list(stream)


def test_a_table_without_the_right_to_read_is_not_there_and_the_doctor_says_so(database: str, run: Run, mariadb_server: MariaDB) -> None:
    name = database.rpartition("/")[2]
    run("CREATE TABLE mine (id int); CREATE TABLE ours (id int)")
    run(f"CREATE USER guest@'127.0.0.1' IDENTIFIED BY 'guest-word'; GRANT SELECT ON {name}.ours TO guest@'127.0.0.1'")
    try:
        with _source(mariadb_server.url(name, user="guest", password="guest-word")).open() as reading:
            assert reading.tables() == ("ours",)
            assert _values(_read(reading, "ours")) == []
            with pytest.raises(UnknownName):
                _contract(reading, "mine")
    finally:
        run("DROP USER guest@'127.0.0.1'")


def _failing(server: MariaDB, case: str) -> str:
    good = server.url("mysql", password="hunter2/%@x")
    return {
        "wrong password": good,
        "no such database": server.url("nowhere"),
        "nobody listens": good.replace(f":{server.port}/", ":1/"),
        "no such host": good.replace("127.0.0.1", "nowhere.invalid"),
        "raw at sign": f"mysql://limnos:x@hunter2@127.0.0.1:{server.port}/mysql",
        "raw slash": f"mysql://limnos:hunter2/x@127.0.0.1:{server.port}/mysql",
        "no scheme": "limnos:hunter2@127.0.0.1/mysql",
        "misspelt scheme": good.replace("mariadb://", "mariab://"),
        "bad port": good.replace(f":{server.port}/", ":hunter2/"),
        "unknown parameter": good + "?passwd=hunter2",
        "no database": good.removesuffix("mysql"),
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
        ("no database", SourceUnreachable),
    ],
)
def test_a_failed_connection_names_what_to_set_and_never_shows_the_password(
    mariadb_server: MariaDB, case: str, error: type[SourceRefused | SourceUnreachable]
) -> None:
    url = _failing(mariadb_server, case)
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
            assert mariadb_server.password not in shown
            assert url not in shown
        cause = cause.__cause__
