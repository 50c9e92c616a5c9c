"""Bad input of every kind, through the command line: a four-part error, or a quarantined row with its place, its text and the reason.

All cases stand in one project, each as a source of its own, so that one run also shows that none of them troubles another.
"""

from __future__ import annotations

import gzip
import json
import math
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from services import Postgres

from limnos import Lake

LIMNOS = str(Path(sys.executable).with_name("limnos"))
NOTES = "{id: long, n: int, note: string}"


@dataclass(frozen=True)
class Aside:
    """Expect one quarantined row: `origin` within its source, `text` as it stood there, part of the `reason`, and the rule."""

    origin: str
    text: str | bytes
    reason: str
    rule: str


@dataclass(frozen=True)
class Case:
    """Put `content` into a file and expect `rows` published and `asides` waiting, or the `error` and its exit code."""

    name: str
    content: bytes | Callable[[Path], None]
    ending: str = "csv"
    columns: str = NOTES
    rows: Sequence[tuple[Any, ...]] = ()
    asides: Sequence[Aside] = ()
    error: str = ""
    code: int = 0
    seen: str = ""
    named: str = ""

    @property
    def file(self) -> str:
        return f"{self.name}.{self.ending}"

    def source(self) -> str:
        if self.ending == "db":
            return f"{{type: sqlite, path: {self.file}, namespace: bad, tables: {{{self.name}: {{}}}}}}"
        return f"{{type: files, namespace: bad, tables: {{{self.name}: {{path: {self.file}}}}}}}"

    def table(self) -> str:
        declared = [pair.split(": ") for pair in self.columns.strip("{}").split(", ")]
        return "{columns: [" + ", ".join(f'{{name: {name}, type: "{kind.replace(";", ",")}"}}' for name, kind in declared) + "]}"


def malformed(line: int, raw: bytes, reason: str) -> Aside:
    return Aside(f":{line}", raw, reason, "malformed")


def misfit(line: int, column: str, text: str, kind: str) -> Aside:
    return Aside(f":{line}", text, f"'{text}' is not of type {kind}", f"type:{column}")


def _parquet(path: Path, *, half: bool = False, **columns: pa.Array) -> None:
    pq.write_table(pa.table(columns), path)
    if half:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])


def _half_parquet(path: Path) -> None:
    _parquet(path, half=True, id=pa.array(range(5_000)))


def _headless_parquet(path: Path) -> None:
    """Damage the rows and leave the footer whole: the columns can still be read, their pages not."""
    pq.write_table(pa.table({"id": pa.array(range(50_000))}), path, compression="zstd")
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * (len(whole) // 2) + whole[4 + len(whole) // 2 :])


def _wide_parquet(path: Path) -> None:
    _parquet(path, id=pa.array([1, 2, 3], pa.int64()), n=pa.array([7, 2**31, -(2**31)], pa.int64()), note=pa.array(["a", "b", None]))


def _far_parquet(path: Path) -> None:
    _parquet(path, id=pa.array([1, 2], pa.int64()), x=pa.array([1.5, math.nan]))


def _half_gzip(path: Path) -> None:
    whole = gzip.compress(b"id,n,note\n" + b"".join(b"%d,1,%d\n" % (i, i * 7919) for i in range(5_000)))
    path.write_bytes(whole[: len(whole) // 2])


def _sqlite(path: Path, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
    with sqlite3.connect(path) as db:
        db.execute(sql)
        db.executemany(f"INSERT INTO {path.stem} VALUES ({','.join('?' * len(rows[0]))})", rows)
    db.close()


def _storage_classes(path: Path) -> None:
    _sqlite(
        path,
        "CREATE TABLE storage_class (id INTEGER PRIMARY KEY, n INTEGER, x REAL, at DATE)",
        [(1, 5, 1.5, "2024-01-01"), (2, "five", 2.5, None), (3, 7, "x", None), (4, 2.5, 0.5, None), (5, b"\x01\xff", None, "2024-02-30")],
    )


def _undecodable(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE undecodable (id INTEGER PRIMARY KEY, note TEXT)")
        db.execute("INSERT INTO undecodable VALUES (1, 'a'), (2, CAST(x'62ff63' AS TEXT)), (3, 'c')")
    db.close()


def _not_sqlite(path: Path) -> None:
    path.write_bytes(b"id,n\n1,2\n" * 100)


HEAD = b"id,n,note\n"
AROUND = [(1, 10, "a"), (3, 30, "c")]
CASES = [
    Case("few_fields", HEAD + b"1,10,a\n2\n3,30,c\n", rows=AROUND, asides=[malformed(3, b"2\n", "too few fields: 1 of 3")]),
    Case("many_fields", HEAD + b"1,10,a\n2,20,b,c\n3,30,c\n", rows=AROUND, asides=[malformed(3, b"2,20,b,c\n", "too many fields: 4 of 3")]),
    Case("open_quote", HEAD + b'1,10,a\n2,20,"b\n3,30,c\n', rows=AROUND, asides=[malformed(3, b'2,20,"b\n', "quote without an end")]),
    Case(
        "closed_quote",
        HEAD + b'1,10,a\n2,20,"b"x\n3,30,c\n',
        rows=AROUND,
        asides=[malformed(3, b'2,20,"b"x\n', "text after a closing quote")],
    ),
    Case("bad_utf8", HEAD + b"1,10,a\n2,20,\xff\xfe\n3,30,c\n", rows=AROUND, asides=[malformed(3, b"2,20,\xff\xfe\n", "not UTF-8")]),
    Case("nul", HEAD + b"1,10,a\n2,20,b\0b\n3,30,c\n", rows=AROUND, asides=[malformed(3, b"2,20,b\0b\n", "NUL character")]),
    Case("bom", b"\xef\xbb\xbf" + HEAD + b"1,10,a\n3,30,c\n", rows=AROUND),
    Case("mixed_line_ends", b"id,n,note\r\n1,10,a\n3,30,c\r4,40,d\r\n\r\n", rows=[*AROUND, (4, 40, "d")]),
    Case("quoted_line_ends", HEAD + b'1,10,"a\r\nb,""c"""\n3,30,c', rows=[(1, 10, 'a\r\nb,"c"'), (3, 30, "c")]),
    Case("empty_file", b"", error="malformed-file", code=1, seen="0 bytes"),
    Case("only_blank", b"\n\n", error="malformed-file", code=1),
    Case("header_only", HEAD, rows=[]),
    Case("header_twice", b"id,n,ID\n1,2,3\n", error="malformed-file", code=1, seen="id, n, ID"),
    Case("header_unnamed", b"id,,note\n1,2,3\n", error="malformed-file", code=1),
    Case("header_broken", b'id,"n,note\n1,2,3\n', error="malformed-file", code=1),
    Case("type_misfit", HEAD + b"1,10,a\n2,ten,b\n3,30,c\n", rows=AROUND, asides=[misfit(3, "n", "ten", "int")]),
    Case(
        "rounding",
        b"id,n,price\n1,1,1.25\n2,3.5,1.25\n3,3,1.255\n4,4,1e2\n5,5.0,9.9\n",
        columns="{id: long, n: int, price: decimal(6;2)}",
        rows=[(1, 1, Decimal("1.25")), (5, 5, Decimal("9.90"))],
        asides=[misfit(3, "n", "3.5", "int"), misfit(4, "price", "1.255", "decimal(6,2)"), misfit(5, "price", "1e2", "decimal(6,2)")],
    ),
    Case(
        "overflow",
        HEAD + b"1,2147483647,a\n2,2147483648,b\n9223372036854775807,-2147483648,c\n9223372036854775808,1,d\n",
        rows=[(1, 2**31 - 1, "a"), (2**63 - 1, -(2**31), "c")],
        asides=[misfit(3, "n", "2147483648", "int"), misfit(5, "id", "9223372036854775808", "long")],
    ),
    Case(
        "not_finite",
        b"id,x,price\n1,NaN,1\n2,-inf,2\n3,Infinity,3\n4,1e999,4\n5,1,NaN\n6,1,inf\n7,0.1,-0.5\n",
        columns="{id: long, x: double, price: decimal(5;1)}",
        rows=[(1, math.nan, Decimal("1.0")), (2, -math.inf, Decimal("2.0")), (3, math.inf, Decimal("3.0")), (7, 0.1, Decimal("-0.5"))],
        asides=[misfit(5, "x", "1e999", "double"), misfit(6, "price", "NaN", "decimal(5,1)"), misfit(7, "price", "inf", "decimal(5,1)")],
    ),
    Case(
        "dates",
        b"id,day,at\n1,0001-01-01,9999-12-31T23:59:59.999999\n2,0000-01-01,\n3,2024-02-30,\n4,10000-01-01,\n5,infinity,\n6,,infinity\n"
        b"7,2024-02-29,2024-02-29 00:00:00\n8,,2024-01-01T24:00:00\n9,2024-1-2,\n",
        columns="{id: long, day: date, at: timestamp}",
        rows=[(1, "0001-01-01", "9999-12-31 23:59:59.999999"), (7, "2024-02-29", "2024-02-29 00:00:00")],
        asides=[
            *(misfit(line, "day", text, "date") for line, text in enumerate(["0000-01-01", "2024-02-30", "10000-01-01", "infinity"], 3)),
            misfit(7, "at", "infinity", "timestamp"),
            misfit(9, "at", "2024-01-01T24:00:00", "timestamp"),
            misfit(10, "day", "2024-1-2", "date"),
        ],
    ),
    Case("parquet_half", _half_parquet, "parquet", "{id: long}", error="malformed-file", code=1),
    Case("parquet_pages", _headless_parquet, "parquet", "{id: long}", error="malformed-file", code=1, named="bad.parquet_pages"),
    Case("parquet_text", b"id\n1\n", "parquet", "{id: long}", error="malformed-file", code=1),
    Case(
        "parquet_wide",
        _wide_parquet,
        "parquet",
        rows=[(1, 7, "a"), (3, -(2**31), None)],
        asides=[Aside("parquet_wide.parquet", "2147483648", "'2147483648' is not of type int", "type:n")],
    ),
    Case(
        "parquet_nan",
        _far_parquet,
        "parquet",
        "{id: long, x: decimal(5;2)}",
        rows=[(1, Decimal("1.50"))],
        asides=[Aside("parquet_nan.parquet", "NaN", "'NaN' is not of type decimal(5,2)", "type:x")],
    ),
    Case("gzip_half", _half_gzip, "csv.gz", error="malformed-file", code=1),
    Case("gzip_not", b"id,n,note\n1,2,3\n", "csv.gz", error="malformed-file", code=1),
    Case("zstd_not", b"id,n,note\n1,2,3\n", "csv.zst", error="malformed-file", code=1),
    Case(
        "ndjson",
        b'{"id":1,"n":10,"note":"a"}\n{"id":2,"n":\nnot json\n[1,2]\n{"id":3,"n":30,"note":"c"}\n{"id":4,"n":1e99,"note":"d"}\n'
        b'{"id":5,"n":NaN}\n{"id":6,"n":6,"note":"\xff"}\n\n',
        "ndjson",
        rows=AROUND,
        asides=[
            malformed(2, b'{"id":2,"n":\n', ""),
            malformed(3, b"not json\n", ""),
            malformed(4, b"[1,2]\n", "not a JSON object"),
            Aside(":6", "1e99", "is not of type int", "type:n"),
            Aside(":7", "NaN", "'NaN' is not of type int", "type:n"),
            malformed(8, b'{"id":6,"n":6,"note":"\xff"}\n', ""),
        ],
    ),
    Case("ndjson_empty", b"", "ndjson", error="malformed-file", code=1),
    Case(
        "storage_class",
        _storage_classes,
        "db",
        "{id: long, n: long, x: double, at: date}",
        rows=[(1, 5, 1.5, date(2024, 1, 1))],
        asides=[
            Aside("storage_class id=2", "five", "'five' is not of type long", "type:n"),
            Aside("storage_class id=3", "x", "'x' is not of type double", "type:x"),
            Aside("storage_class id=4", "2.5", "'2.5' is not of type long", "type:n"),
            Aside("storage_class id=5", "X'01FF'", "is not of type long", "type:n"),
        ],
    ),
    Case(
        "undecodable",
        _undecodable,
        "db",
        "{id: long, note: string}",
        rows=[(1, "a"), (3, "c")],
        asides=[Aside("undecodable key 2", b"2\tb\xffc", "not UTF-8, in note", "malformed")],
    ),
    Case("sqlite_not", _not_sqlite, "db", "{id: long}", error="source-unreachable", code=3),
    Case("missing", lambda _: None, error="source-unreachable", code=3),
    Case("folder", lambda path: path.mkdir(), error="source-unreachable", code=3),
]
BY_NAME = {case.name: case for case in CASES}


@dataclass(frozen=True)
class World:
    directory: Path
    code: int
    result: Mapping[str, Any]
    tables: Mapping[str, Mapping[str, Any]]


def limnos(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LIMNOS, "-C", str(directory), *arguments], capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Run the project of all cases once, as its user would."""
    directory = tmp_path_factory.mktemp("bad-input")
    for case in CASES:
        path = directory / case.file
        if callable(case.content):
            case.content(path)
        else:
            path.write_bytes(case.content)
    sources = [f"  {case.name}: {case.source()}\n" for case in CASES]
    tables = [f"  bad.{case.name}: {case.table()}\n" for case in CASES]
    (directory / "good.csv").write_text("id\n1\n2\n")
    sources.append("  good: {type: files, tables: {good: {path: good.csv}}}\n")
    (directory / "limnos.yml").write_text("version: 1\nproject: bad\nsources:\n" + "".join(sources) + "tables:\n" + "".join(tables))
    ended = limnos(directory, "run", "--json")
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "a defect in Limnos" not in ended.stderr
    result = json.loads(ended.stdout)
    return World(directory, ended.returncode, result, {table["table"]: table for table in result["tables"]})


@pytest.fixture(scope="module")
def again(world: World) -> Mapping[str, Mapping[str, Any]]:
    """Run the same once more, nothing having changed."""
    return {table["table"]: table for table in json.loads(limnos(world.directory, "run", "--json").stdout)["tables"]}


@pytest.fixture(scope="module")
def told(world: World) -> str:
    """Say the same to a person."""
    ended = limnos(world.directory, "run")
    assert ended.returncode == 3
    assert "Traceback" not in ended.stderr
    return ended.stderr


FAILING = [case.name for case in CASES if case.error]
LOADING = [case.name for case in CASES if not case.error]


def test_the_worst_case_gives_the_exit_code_and_the_good_table_is_published(world: World) -> None:
    assert world.code == world.result["exit_code"] == 3
    assert world.tables["good.good"]["status"] == "published"
    assert {table["status"] for table in world.tables.values()} == {"published", "failed"}


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_every_row_is_accounted_for(world: World, name: str) -> None:
    table = world.tables[f"bad.{name}"]
    assert table["read"] == table["written"] + table["quarantined"] + table["unchanged"]
    assert (table["written"], table["quarantined"]) == (len(BY_NAME[name].rows), len(BY_NAME[name].asides))
    assert (table["snapshot_id"] is None) == bool(BY_NAME[name].error)


@pytest.mark.parametrize("name", FAILING)
def test_what_cannot_be_read_is_told_in_four_parts(world: World, told: str, name: str) -> None:
    case, table = BY_NAME[name], world.tables[f"bad.{name}"]
    error = table["error"]
    assert (table["status"], error["error"], error["exit_code"]) == ("failed", case.error, case.code)
    for part in ("what", "subject", "seen", "expected", "hint"):
        assert error[part], part
    assert case.seen in error["seen"]
    assert (case.named or case.file) in " ".join([error["subject"], error["seen"]])
    block = told.partition(f"bad.{name}: {error['what']}\n")[2].split("\n\n")[0]
    shown = [line.split()[0] for line in block.splitlines()[:4]]
    assert shown == ["at", "seen", "expected", "hint:"], block


@pytest.mark.parametrize("name", FAILING)
def test_what_cannot_be_read_gives_its_exit_code_alone(world: World, name: str) -> None:
    assert Lake(world.directory).run(f"bad.{name}").exit_code() == BY_NAME[name].code


@pytest.mark.parametrize("name", LOADING)
def test_the_rows_around_are_published_with_exact_values(world: World, name: str) -> None:
    found = [tuple(row.values()) for row in Lake(world.directory).query(f"SELECT * FROM bad.{name} ORDER BY id").rows()]
    assert [tuple(map(_shown, row)) for row in found] == [tuple(map(_shown, row)) for row in BY_NAME[name].rows]


@pytest.mark.parametrize("name", LOADING)
def test_a_row_set_aside_keeps_its_place_its_text_and_the_reason(world: World, name: str) -> None:
    entries = Lake(world.directory).quarantine.entries(f"bad.{name}", limit=100)
    for aside in BY_NAME[name].asides:
        (entry,) = [entry for entry in entries if aside.origin in entry.origin and _holds(entry, aside.text)]
        assert [reason.rule for reason in entry.reasons][:1] == [aside.rule]
        assert aside.reason in entry.reasons[0].detail
    assert len(entries) == len(BY_NAME[name].asides)


@pytest.mark.parametrize("name", LOADING)
def test_the_same_again_changes_nothing(world: World, again: Mapping[str, Mapping[str, Any]], name: str) -> None:
    before, table = world.tables[f"bad.{name}"], again[f"bad.{name}"]
    assert (table["status"], table["snapshot_id"]) == ("unchanged", before["snapshot_id"])
    assert (table["read"], table["unchanged"]) == (before["read"], before["read"])
    assert len(Lake(world.directory).history(f"bad.{name}")) == 1


def _holds(entry: Any, text: str | bytes) -> bool:
    if isinstance(text, bytes):
        return entry.row is None and entry.raw == text
    return entry.raw is None and text in entry.row.values()


def _shown(value: object) -> str:
    return "nan" if isinstance(value, float) and math.isnan(value) else str(value)


SECRET = "pl4nted-p4ssword"


def _refused(directory: Path, url: str) -> tuple[Mapping[str, Any], str]:
    (directory / "rates.csv").write_text("id\n1\n")
    secrets = directory / ".limnos" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "PG_URL").write_text(url)
    (secrets / "PG_URL").chmod(0o600)
    (directory / "limnos.yml").write_text(
        "version: 1\nproject: shop\nsources:\n"
        "  pg: {type: postgres, url: secret://PG_URL, namespace: shop, tables: {orders: {}}}\n"
        "  files: {type: files, namespace: shop, tables: {rates: {path: rates.csv}}}\n"
    )
    ended = limnos(directory, "run", "--json")
    said = limnos(directory, "run")
    everything = ended.stdout + ended.stderr + said.stdout + said.stderr
    assert (ended.returncode, said.returncode) == (3, 3)
    assert "Traceback" not in everything
    assert SECRET not in everything
    tables = {table["table"]: table for table in json.loads(ended.stdout)["tables"]}
    assert tables["shop.rates"]["status"] == "published"
    for part in ("at ", "seen ", "expected ", "hint: "):
        assert part in said.stderr
    return tables["shop.orders"]["error"], everything


def test_an_unreachable_database_is_told_and_the_other_tables_load(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    error, _ = _refused(tmp_path, f"postgresql://limnos:{SECRET}@127.0.0.1:{port}/shop")
    assert error["error"] == "source-unreachable"
    assert all(error[part] for part in ("what", "subject", "seen", "expected", "hint"))


def test_a_wrong_password_is_told_without_it_and_the_other_tables_load(tmp_path: Path, postgres_server: Postgres) -> None:
    error, _ = _refused(tmp_path, postgres_server.url("postgres", password=SECRET))
    assert error["error"] == "source-refused"
    assert "password" in error["seen"]
    assert all(error[part] for part in ("what", "subject", "seen", "expected", "hint"))


@pytest.mark.parametrize("verb", [["plan"], ["run"], ["check"], ["status"], ["query", "SELECT 1"]])
@pytest.mark.parametrize("flag", ["", "--json"])
def test_a_broken_project_file_is_told_in_four_parts_by_every_verb(tmp_path: Path, verb: list[str], flag: str) -> None:
    (tmp_path / "limnos.yml").write_text("version: 1\nprojct: shop\n")
    ended = limnos(tmp_path, *verb, *([flag] if flag else []))
    assert ended.returncode == 2
    if flag:
        error = json.loads(ended.stderr)
        assert (error["error"], error["subject"]) == ("project-invalid", "limnos.yml:2")
        assert "project (did you mean this?)" in error["expected"]
    else:
        assert [line.split()[0] for line in ended.stderr.splitlines()[1:]] == ["at", "seen", "expected", "hint:"]
