"""The gate lets analytical SQL through: refusing it would be a defect as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from limnos.engines.duckdb import DuckEngine
from limnos.errors import QueryInvalid

TPCH = sorted((Path(__file__).parents[3] / "benchmarks" / "tpch").glob("q*.sql"))
ANALYTICAL = Path(__file__).with_name("analytical.sql").read_text().splitlines()


@pytest.mark.parametrize("sql", ANALYTICAL)
def test_analytical_sql_passes(sql: str) -> None:
    assert DuckEngine().tables_of(sql) <= {"s.t", "s.u", "s.v"}


@pytest.mark.parametrize("file", TPCH, ids=lambda file: file.stem)
def test_every_query_of_tpch_passes(file: Path) -> None:
    names = DuckEngine().tables_of(file.read_text())
    assert names
    assert names <= {f"tpch.{table}" for table in "customer lineitem nation orders part partsupp region supplier".split()}


def test_all_22_queries_are_there() -> None:
    assert len(TPCH) == 22


@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("SELECT 1,\n  getenv('HOME')", "query, line 2, column 3"),
        ("SELECT 'é',\n  getenv('HOME')", "query, line 2, column 3"),
        ("SELECT *\nFROM flights", "query, line 2, column 6"),
        ("SELECT 1 +", "query, line 1, column 11"),
        ("SELECT *\nFROM shop.orders AT (VERSION => 1)", "query, line 2, column 6"),
    ],
)
def test_a_refusal_says_where(sql: str, place: str) -> None:
    with pytest.raises(QueryInvalid) as caught:
        DuckEngine().tables_of(sql)
    assert caught.value.subject == place


def test_a_bare_name_is_told_the_whole_one() -> None:
    with pytest.raises(QueryInvalid) as caught:
        DuckEngine().tables_of("SELECT * FROM Flights", ["nyc.flights", "nyc.planes"])
    assert caught.value.expected == "nyc.flights (did you mean this?)"
