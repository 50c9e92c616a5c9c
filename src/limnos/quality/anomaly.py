"""Anomalies: what departs from its own history, without configuration.

A point is compared with the median of the same place in the last cycles, moved by how the last cycle compares with its own past. What
that leaves over varies by its median absolute deviation. The tested point is in none of these, and points that were anomalies leave
the history, until so many follow each other that they are the new normal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from limnos.model.anomaly import Grain, Judgement, Point, Scale
from limnos.model.verdict import Outcome

DEVIATIONS = 4.0
LEAST_EFFECT = 0.2
LEAST_SHARE = 0.01
LEAST_POINTS = 14
FRESHNESS_POINTS = 8

_CYCLES = 4
_NEIGHBOURS = 7
_PAST_CYCLES = 8
_TO_DEVIATION = 1.4826
_QUANTILE = 0.99
_LATE = 1.5


def judged(points: Sequence[Point], grain: Grain, scale: Scale) -> list[Judgement]:
    """Judge each point by those before it; pass and fail need 14 earlier deviations to compare with, before that it is unknown.

    Counts are compared by their logarithm and shares by that of their odds. An alarm needs four robust deviations, and an effect that
    matters: a fifth of a count, one hundredth of a share. Fewer rows vary more, as counting them tells.

    Source: Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993: modified z-scores.
    """
    period = _period(points, grain, scale)
    history = _History(points, scale, period)
    return [history.judge(place) for place in range(len(points))]


def late(changes: Sequence[float], now: float) -> tuple[Outcome, float | None]:
    """Judge how long nothing changed, by the times of the changes in seconds; gives the time after which it is late.

    That is half as long again as the gap that 99 of 100 did not exceed; with fewer than eight gaps it is unknown.
    """
    gaps = sorted(after - before for before, after in pairwise(changes))
    if len(gaps) < FRESHNESS_POINTS:
        return Outcome.UNKNOWN, None
    due = changes[-1] + _LATE * gaps[min(len(gaps) - 1, math.ceil(_QUANTILE * len(gaps)) - 1)]
    return (Outcome.FAIL if now > due else Outcome.PASS), due


def since(judgements: Sequence[Judgement]) -> Judgement | None:
    """Give where the departure began in which the last point stands; one good point among bad ones does not end it.

    Examples:
        >>> from datetime import UTC, datetime
        >>> at = [Point(datetime(2026, 1, day, tzinfo=UTC), day) for day in range(1, 5)]
        >>> outcomes = [Outcome.PASS, Outcome.FAIL, Outcome.PASS, Outcome.FAIL]
        >>> since([Judgement(point, outcome) for point, outcome in zip(at, outcomes, strict=True)]).point.value
        2
    """
    first, good = None, 0
    for judgement in reversed(judgements):
        if judgement.outcome is Outcome.FAIL:
            first, good = judgement, 0
        elif judgement.outcome is Outcome.PASS:
            good += 1
        if good > (1 if first else 0):
            break
    return first


def _period(points: Sequence[Point], grain: Grain, scale: Scale) -> int:
    """Choose the cycle after which values are most alike, where one is better than none."""
    best, spread = 1, _spread(points, scale, 1)
    for period in grain.cycles:
        if len(points) >= 3 * period and (found := _spread(points, scale, period)) < spread:
            best, spread = period, found
    return best


def _spread(points: Sequence[Point], scale: Scale, period: int) -> float:
    values = [_value(point, scale) for point in points]
    steps = [
        abs(after - before) for before, after in zip(values, values[period:], strict=False) if before is not None and after is not None
    ]
    return median(steps) if steps else math.inf


def _value(point: Point, scale: Scale) -> float | None:
    if point.value is None:
        return None
    if scale is Scale.COUNT:
        return math.log1p(max(0.0, point.value))
    return _odds(point.value * point.of, point.of)


def _odds(kept: float, of: int) -> float:
    # Half a row more on either side keeps none and all of them finite (Haldane and Anscombe).
    return math.log((kept + 0.5) / (of - kept + 0.5))


def _back(value: float, scale: Scale) -> float:
    return max(0.0, math.expm1(value)) if scale is Scale.COUNT else 1 / (1 + math.exp(-value))


@dataclass(slots=True)
class _History:
    points: Sequence[Point]
    scale: Scale
    period: int
    values: list[float | None] = field(init=False)
    usual: list[bool] = field(init=False)
    steps: list[float | None] = field(init=False)
    rest: list[float | None] = field(init=False)
    run: int = 0

    def __post_init__(self) -> None:
        size = len(self.points)
        self.values = [_value(point, self.scale) for point in self.points]
        self.usual, self.steps, self.rest = [True] * size, [None] * size, [None] * size

    def judge(self, place: int) -> Judgement:
        value, point = self.values[place], self.points[place]
        expected = self._expected(place)
        if value is None or expected is None:
            return Judgement(point, Outcome.UNKNOWN)
        base, drift = expected
        self.steps[place] = value - base
        self.rest[place] = value - base - drift
        past = self._known(self.rest, place, max(_PAST_CYCLES * self.period, _PAST_CYCLES * _NEIGHBOURS))
        if len(past) < LEAST_POINTS:
            return Judgement(point, Outcome.UNKNOWN)
        low, high = self._range(base + drift, past, point)
        bad = point.value is not None and not low <= point.value <= high
        self._remember(place, bad=bad)
        return Judgement(point, Outcome.FAIL if bad else Outcome.PASS, low, high)

    def _expected(self, place: int) -> tuple[float, float] | None:
        """Give the median of the same place in the last cycles, and how the last cycle stands against the ones before it."""
        count = _CYCLES if self.period > 1 else _NEIGHBOURS
        same = self._known(self.values, place, (count + 2) * self.period, self.period)[:count]
        if not same:
            return None
        recent = self._known(self.steps, place, max(self.period, _NEIGHBOURS))
        return median(same), median(recent) if len(recent) >= max(3, self.period // 3) else 0.0

    def _known(self, values: Sequence[float | None], place: int, reach: int, step: int = 1) -> list[float]:
        """Give the usual ones of the values before a place, the nearest first."""
        before = range(place - step, max(-1, place - reach - 1), -step)
        return [value for at in before if self.usual[at] and (value := values[at]) is not None]

    def _range(self, expected: float, past: Sequence[float], point: Point) -> tuple[float, float]:
        middle = median(past)
        spread = _TO_DEVIATION * median(abs(one - middle) for one in past)
        usual = _back(expected, self.scale)
        if self.scale is Scale.COUNT:
            reach = max(DEVIATIONS * max(spread, 1 / math.sqrt(usual + 1)), LEAST_EFFECT)
            return _back(expected - reach, self.scale), _back(expected + reach, self.scale)
        kept = usual * point.of
        reach = DEVIATIONS * max(spread, math.sqrt(1 / (kept + 0.5) + 1 / (point.of - kept + 0.5)))
        return (
            max(0.0, min(_back(expected - reach, self.scale), usual - LEAST_SHARE)),
            min(1.0, max(_back(expected + reach, self.scale), usual + LEAST_SHARE)),
        )

    def _remember(self, place: int, *, bad: bool) -> None:
        self.usual[place] = not bad
        self.run = self.run + 1 if bad else 0
        if self.run >= max(self.period, _NEIGHBOURS):
            self._move(place - self.run + 1, place + 1)
            self.run = 0

    def _move(self, start: int, end: int) -> None:
        """Take a departure that stays for the new normal: what was before it is moved to its level."""
        shift = median(rest for rest in self.rest[start:end] if rest is not None)
        self.usual[start:end] = [True] * (end - start)
        self.values[:start] = [None if value is None else value + shift for value in self.values[:start]]
        for series in (self.steps, self.rest):
            series[start:end] = [None if value is None else value - shift for value in series[start:end]]


def alarms(judgements: Iterable[Judgement]) -> list[int]:
    """Give the places of the points that departed from their history."""
    return [place for place, judgement in enumerate(judgements) if judgement.outcome is Outcome.FAIL]
