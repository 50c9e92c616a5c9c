"""Anomalies: what departs from the history that the ledger holds, table by table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from limnos.flow.parts import Parts
from limnos.flow.select import matching
from limnos.ledger.events import FINISHED
from limnos.ledger.readings import tables_of
from limnos.model.anomaly import Anomaly, Backtest, Grain, Judgement, Point, Scale
from limnos.model.names import TableName
from limnos.model.project import Mode
from limnos.model.run import TableStatus
from limnos.model.verdict import Outcome
from limnos.quality.anomaly import judged, late, since
from limnos.quality.backtest import backtest

ROWS, ARRIVED, QUARANTINED, CHANGED = "rows", "rows arrived", "rows quarantined", "last change"

_DAYS_FOR_DAYS = 21
_DAYS_FOR_HOURS = 3
_LEAST_BACKTEST = 90
_SAID = {TableStatus.PUBLISHED.value, TableStatus.UNCHANGED.value, TableStatus.HELD.value}


@dataclass(slots=True)
class _Recorded:
    """Hold what runs said of one table, oldest first."""

    runs: list[tuple[datetime, Mapping[str, Any]]] = field(default_factory=list["tuple[datetime, Mapping[str, Any]]"])

    def grain(self) -> Grain:
        """Choose what a point stands for by how long and how often the table was loaded."""
        span = self.runs[-1][0] - self.runs[0][0]
        if span >= timedelta(days=_DAYS_FOR_DAYS):
            return Grain.DAY
        if span >= timedelta(days=_DAYS_FOR_HOURS) and len(self.runs) > span / timedelta(hours=1):
            return Grain.HOUR
        return Grain.RUN


@dataclass(frozen=True, slots=True)
class Series:
    """Hold one measure of one table over time."""

    table: TableName
    measure: str
    grain: Grain
    scale: Scale
    points: tuple[Point, ...]


def anomalies(parts: Parts, patterns: Sequence[str], *, now: datetime | None = None) -> tuple[Anomaly, ...]:
    """Judge the newest measurement of each chosen table by the ones before it; one with too little history is unknown.

    Raises:
        UnknownName: If a pattern matches no table that was ever run.
    """
    found = [_newest(one) for one in recorded(parts, patterns, now=now)]
    return tuple(sorted([*found, *_freshness(parts, patterns, now or datetime.now(UTC))], key=lambda one: (one.table, one.measure)))


def backtests(parts: Parts, patterns: Sequence[str]) -> tuple[Backtest, ...]:
    """Put faults into the recorded counts of each chosen table, and count which are found; series of 90 points or more.

    Raises:
        UnknownName: If a pattern matches no table that was ever run.
    """
    return tuple(
        backtest(one.points, one.grain, table=one.table, measure=one.measure)
        for one in recorded(parts, patterns)
        if one.scale is Scale.COUNT and len(one.points) >= _LEAST_BACKTEST
    )


def recorded(parts: Parts, patterns: Sequence[str], *, now: datetime | None = None) -> tuple[Series, ...]:
    """Read the series of each chosen table from the ledger: its rows, or the rows that arrived, and the share that was quarantined."""
    modes = {table.target: table.mode for source in parts.project.sources for table in source.tables}
    found: list[Series] = []
    for table, runs in _by_table(parts, patterns).items():
        grain = runs.grain()
        if modes.get(table, Mode.FULL) is Mode.FULL:
            found.append(Series(table, ROWS, grain, Scale.COUNT, _bucketed(runs, grain, _last)))
        else:
            found.append(Series(table, ARRIVED, grain, Scale.COUNT, _whole(_bucketed(runs, grain, _sum), grain, now)))
        found.append(Series(table, QUARANTINED, grain, Scale.SHARE, _bucketed(runs, grain, _share)))
    return tuple(found)


def _by_table(parts: Parts, patterns: Sequence[str]) -> Mapping[TableName, _Recorded]:
    found: dict[TableName, _Recorded] = {}
    for event in parts.ledger.events(action=FINISHED):
        for said in tables_of(event):
            if said["status"] in _SAID:
                found.setdefault(TableName.parse(said["table"]), _Recorded()).runs.append((event.at, said))
    return {table: found[table] for table in matching(found, patterns)}


def _bucketed(runs: _Recorded, grain: Grain, measure: Callable[[datetime, Sequence[Mapping[str, Any]]], Point]) -> tuple[Point, ...]:
    """Make one point of the runs of each step, and points without a value of steps without a run."""
    if grain is Grain.RUN:
        return tuple(measure(at, [said]) for at, said in runs.runs)
    together: dict[datetime, list[Mapping[str, Any]]] = {}
    for at, said in runs.runs:
        together.setdefault(_floor(at, grain), []).append(said)
    first, last = min(together), max(together)
    steps = [first + place * grain.step for place in range((last - first) // grain.step + 1)]
    return tuple(measure(step, together[step]) if step in together else Point(step, None) for step in steps)


def _floor(at: datetime, grain: Grain) -> datetime:
    hour = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour.replace(hour=0) if grain is Grain.DAY else hour


def _whole(points: tuple[Point, ...], grain: Grain, now: datetime | None) -> tuple[Point, ...]:
    """Leave out the step that is not over yet: what arrives in it is still being added up."""
    current = _floor(now or datetime.now(UTC), grain)
    return points[:-1] if points and grain is not Grain.RUN and points[-1].at >= current else points


def _last(at: datetime, said: Sequence[Mapping[str, Any]]) -> Point:
    return Point(at, float(said[-1]["read"]))


def _sum(at: datetime, said: Sequence[Mapping[str, Any]]) -> Point:
    # Rows at the cursor are read again and again, and found unchanged.
    return Point(at, float(sum(one["written"] + one["quarantined"] for one in said)))


def _share(at: datetime, said: Sequence[Mapping[str, Any]]) -> Point:
    judged_rows = sum(one["written"] + one["quarantined"] for one in said)
    return Point(at, sum(one["quarantined"] for one in said) / judged_rows, judged_rows) if judged_rows else Point(at, None)


def _newest(series: Series) -> Anomaly:
    judgements = judged(series.points, series.grain, series.scale)
    measured = [one for one in judgements if one.point.value is not None]
    if not measured:
        last = Judgement(series.points[-1], Outcome.UNKNOWN)
        return _stated(series, last, 0, None, "nothing was measured")
    last = measured[-1]
    began = since(measured) if last.outcome is Outcome.FAIL else None
    detail = "too little history" if last.outcome is Outcome.UNKNOWN else ""
    return _stated(series, last, len(measured), began.point.at if began else None, detail)


def _stated(series: Series, last: Judgement, points: int, began: datetime | None, detail: str) -> Anomaly:
    value = last.point.value or 0.0
    return Anomaly(series.table, series.measure, last.outcome, last.point.at, value, last.low, last.high, points, began, detail)


def _freshness(parts: Parts, patterns: Sequence[str], now: datetime) -> Iterable[Anomaly]:
    for table, runs in _by_table(parts, patterns).items():
        changes = [at for at, said in runs.runs if said["status"] == TableStatus.PUBLISHED.value]
        if not changes:
            continue
        outcome, due = late([at.timestamp() for at in changes], now.timestamp())
        age_s = (now - changes[-1]).total_seconds()
        high = due - changes[-1].timestamp() if due is not None else None
        began = datetime.fromtimestamp(due, UTC) if due is not None and outcome is Outcome.FAIL else None
        detail = "too little history" if outcome is Outcome.UNKNOWN else ""
        yield Anomaly(table, CHANGED, outcome, changes[-1], age_s, 0.0 if high else None, high, len(changes), began, detail)
