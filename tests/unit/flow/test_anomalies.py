from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from limnos import Lake
from limnos.errors import UnknownName
from limnos.flow.anomalies import ARRIVED, CHANGED, QUARANTINED, ROWS, anomalies, recorded
from limnos.ledger import events as ledger
from limnos.model.anomaly import Anomaly, Grain, Scale
from limnos.model.verdict import Outcome
from limnos.quality.anomaly import judged

START = datetime(2026, 1, 5, 6, tzinfo=UTC)
PROJECT = """
version: 1
project: shop
sources:
  files: {type: files, namespace: shop, tables: {orders: {path: orders.csv}}}
tables:
  shop.orders: {columns: [{name: id, type: long, checks: [not_null]}]}
"""


class Days:
    """Run one lake day after day, by a clock of our own."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (directory / "limnos.yml").write_text(PROJECT)
        self.lake, self.directory, self.day = Lake(directory), directory, 0.0
        clock = self

        class Clock(datetime):
            @classmethod
            def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
                return clock.now.astimezone(tz)  # type: ignore[arg-type]

        monkeypatch.setattr(ledger, "datetime", Clock)

    @property
    def now(self) -> datetime:
        return START + timedelta(days=self.day)

    def load(self, rows: int, bad: int = 0) -> None:
        lines = [str(row) for row in range(rows - bad)] + ["x"] * bad
        (self.directory / "orders.csv").write_text("id\n" + "\n".join(lines) + "\n")
        assert self.lake.run().tables[0].read == rows
        self.day += 1

    def anomaly(self, measure: str) -> Anomaly:
        (found,) = [one for one in anomalies(self.lake._parts, [], now=self.now) if one.measure == measure]
        return found


@pytest.fixture
def days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Days:
    return Days(tmp_path, monkeypatch)


def test_the_first_runs_are_unknown(days: Days) -> None:
    days.load(100)
    days.load(1)
    assert {measure: days.anomaly(measure).outcome for measure in (ROWS, QUARANTINED, CHANGED)} == dict.fromkeys(
        (ROWS, QUARANTINED, CHANGED), Outcome.UNKNOWN
    )
    assert days.anomaly(ROWS).detail == "too little history"


def test_half_the_rows_and_more_in_quarantine_are_told_with_what_is_usual_and_since_when(days: Days) -> None:
    for day in range(24):
        days.load(400 + day % 3)
    assert {days.anomaly(measure).outcome for measure in (ROWS, QUARANTINED)} == {Outcome.PASS}
    began = days.now
    days.load(200, bad=40)
    days.load(201)
    rows, quarantined = days.anomaly(ROWS), days.anomaly(QUARANTINED)
    assert (rows.outcome, rows.value, rows.points) == (Outcome.FAIL, 201, 26)
    assert rows.since == began.replace(hour=0)
    assert rows.low is not None
    assert 201 < rows.low < 400
    assert (quarantined.outcome, quarantined.value) == (Outcome.PASS, 0)
    share = next(one for one in recorded(days.lake._parts, []) if one.measure == QUARANTINED).points[24]
    assert (share.value, share.of) == (0.2, 200)
    assert judged(recorded(days.lake._parts, [])[1].points, Grain.DAY, Scale.SHARE)[24].outcome is Outcome.FAIL


def test_a_table_that_stopped_to_change_is_late(days: Days) -> None:
    for _ in range(12):
        days.load(10 + int(days.day))
    assert days.anomaly(CHANGED).outcome is Outcome.PASS
    days.day += 1
    assert days.anomaly(CHANGED).outcome is Outcome.FAIL


def test_a_table_that_grows_is_measured_by_what_arrives_once_the_day_is_over(days: Days) -> None:
    source = days.directory / "shop.db"
    with closing(sqlite3.connect(source)) as db, db:
        db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    declared = f"shop: {{type: database, url: 'sqlite:///{source}', tables: {{orders: {{mode: incremental, cursor: id}}}}}}"
    (days.directory / "limnos.yml").write_text(f"version: 1\nproject: shop\nsources:\n  {declared}\n")
    days.lake = Lake(days.directory)
    for day, rows in ((0, 5), (0.1, 2), (10, 3), (22, 4)):
        with closing(sqlite3.connect(source)) as db, db:
            db.executemany("INSERT INTO orders DEFAULT VALUES", [()] * rows)
        days.day = day
        assert days.lake.run().exit_code() == 0
    one = recorded(days.lake._parts, [], now=days.now)[0]
    assert (one.measure, one.grain, len(one.points)) == (ARRIVED, Grain.DAY, 22)
    assert {place: point.value for place, point in enumerate(one.points) if point.value is not None} == {0: 7, 10: 3}
    assert recorded(days.lake._parts, [], now=days.now + timedelta(days=1))[0].points[-1].value == 4


def test_a_table_that_never_ran_is_told_with_the_nearest(days: Days) -> None:
    days.load(10)
    with pytest.raises(UnknownName) as told:
        days.lake.anomalies("shop.ordres")
    assert told.value.expected == "shop.orders (did you mean this?)"


def test_a_back_test_needs_ninety_points(days: Days) -> None:
    for _ in range(3):
        days.load(10)
    assert days.lake.backtest() == ()
