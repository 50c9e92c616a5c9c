"""What a table's own history says of its last measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from limnos.model.names import TableName
from limnos.model.verdict import Outcome


class Scale(StrEnum):
    """Say how values of a series vary: counts by a factor, shares by their odds."""

    COUNT = "count"
    SHARE = "share"


class Grain(StrEnum):
    """Say what one point of a series stands for; `cycles` are the lengths, in points, after which its pattern may come again."""

    RUN = "run"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"

    @property
    def cycles(self) -> tuple[int, ...]:
        """How many points the day, the week or the year of this grain has."""
        return {Grain.RUN: (), Grain.HOUR: (24, 168), Grain.DAY: (7,), Grain.WEEK: (52,)}[self]

    @property
    def step(self) -> timedelta:
        """How far two points are apart; zero for runs, which come when they come."""
        return {Grain.HOUR: timedelta(hours=1), Grain.DAY: timedelta(days=1), Grain.WEEK: timedelta(weeks=1)}.get(self, timedelta())


@dataclass(frozen=True, slots=True)
class Point:
    """Hold one measurement: a count, or a share of `of` rows; None where nothing was measured."""

    at: datetime
    value: float | None
    of: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """State how a point stands against the points before it; without enough of them the outcome is unknown and there is no range."""

    point: Point
    outcome: Outcome
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Anomaly:
    """State how the newest measurement of a table stands; `since` is when it left its range, `points` how many were measured."""

    table: TableName
    measure: str
    outcome: Outcome
    at: datetime
    value: float
    low: float | None
    high: float | None
    points: int
    since: datetime | None = None
    detail: str = ""

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {
            "table": str(self.table),
            "measure": self.measure,
            "outcome": self.outcome.value,
            "at": self.at.isoformat(),
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "points": self.points,
            "since": self.since.isoformat() if self.since else None,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class Backtest:
    """Count what was found among faults put into a recorded series."""

    table: TableName | None
    measure: str
    points: int
    found: int
    missed: int
    false: int

    @property
    def precision(self) -> float | None:
        """The share of alarms that were faults; None without an alarm."""
        return self.found / (self.found + self.false) if self.found + self.false else None

    @property
    def recall(self) -> float | None:
        """The share of faults that were found; None without a fault."""
        return self.found / (self.found + self.missed) if self.found + self.missed else None

    def as_json(self) -> Mapping[str, object]:
        """Give it as a JSON object."""
        return {
            "table": str(self.table) if self.table else None,
            "measure": self.measure,
            "points": self.points,
            "found": self.found,
            "missed": self.missed,
            "false": self.false,
            "precision": self.precision,
            "recall": self.recall,
        }
