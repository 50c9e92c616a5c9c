"""The example's tables are profiled as a naive count of their rows says, and keep what is suggested for them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from limnos import Lake
from limnos.model.verdict import Outcome

pytestmark = pytest.mark.e2e

TABLES = ("nyc.flights", "nyc.planes", "nyc.airports", "nyc.weather", "nyc.airlines")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    directory = tmp_path_factory.mktemp("flights")
    Lake.init(directory, example="flights")
    opened = Lake(directory)
    assert opened.run().exit_code() == 0
    return opened


@pytest.mark.parametrize("table", TABLES)
def test_counts_are_those_of_the_rows(lake: Lake, table: str) -> None:
    rows = lake.query(f"SELECT * FROM {table}").to_arrow()
    found = lake.profile(table, personal=True)
    assert (found.rows, [column.name for column in found.columns]) == (rows.num_rows, rows.column_names)
    for column in found.columns:
        counts = Counter(rows.column(column.name).to_pylist())
        nulls = counts.pop(None, 0)
        assert (column.nulls, column.distinct, column.approximate) == (nulls, len(counts), ()), column.name
        assert column.single == sum(count == 1 for count in counts.values()), column.name
        assert [one.rows for one in column.top] == (sorted(counts.values(), reverse=True)[:20] if max(counts.values()) > 1 else [])
        assert column.pattern_rows in (0, column.filled)


def test_keys_and_references_are_found(lake: Lake) -> None:
    keys = {table: [(key.columns, key.declared) for key in lake.profile(table).keys] for table in TABLES}
    assert keys["nyc.flights"] == [(("time_hour", "carrier", "flight"), True)]
    assert keys["nyc.weather"] == [(("origin", "time_hour"), False)]
    assert (("tailnum",), True) in keys["nyc.planes"]
    found = {one.column: one for one in lake.profile("nyc.flights").inclusions}
    assert {name: (str(one.parent), one.whole) for name, one in found.items()} == {
        "carrier": ("nyc.airlines", True),
        "dest": ("nyc.airports", True),
        "origin": ("nyc.airports", True),
        "tailnum": ("nyc.planes", False),
    }
    (counted,) = lake.query("SELECT count(*) AS n FROM nyc.flights WHERE tailnum IN (SELECT tailnum FROM nyc.planes)").rows()
    assert found["tailnum"].rows == counted["n"]


def test_references_are_found_without_being_declared(lake: Lake, tmp_path: Path) -> None:
    silent = [line for line in (lake.project.root / "limnos.yml").read_text().splitlines() if "foreign_key" not in line]
    (lake.project.root / "limnos.yml").replace(tmp_path / "kept.yml")
    (lake.project.root / "limnos.yml").write_text("\n".join(silent) + "\n")
    try:
        found = {one.column: one for one in Lake(lake.project.root).profile("nyc.flights").inclusions}
        assert {name: one.declared for name, one in found.items() if one.named} == {"carrier": True, "tailnum": False}
        assert {"dest", "origin"} <= found.keys()
        suggested = {one.rule.name for one in Lake(lake.project.root).suggest("nyc.flights").rules}
        assert "foreign_key:dest" in suggested
        assert not {"foreign_key:tailnum", "foreign_key:origin"} & suggested
    finally:
        (tmp_path / "kept.yml").replace(lake.project.root / "limnos.yml")


def test_what_is_suggested_passes_when_it_is_written(lake: Lake) -> None:
    for table in TABLES:
        told = Lake(lake.project.root).suggest(table, write=True)
        assert bool(told.rules) == told.written == bool(told.diff)
        (checked,) = Lake(lake.project.root).check(table)
        verdicts = {verdict.rule: verdict.outcome for verdict in checked.verdicts}
        assert {verdicts[one.rule.name] for one in told.rules} <= {Outcome.PASS}
        assert Lake(lake.project.root).suggest(table).rules == ()
    assert "# told, not stopped" in (lake.project.root / "limnos.yml").read_text()
