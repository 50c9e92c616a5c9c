"""Back-test: put faults into a recorded series, and count which are found."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import mean, stdev

from limnos.model.anomaly import Backtest, Grain, Point, Scale
from limnos.model.names import TableName
from limnos.quality.anomaly import alarms, judged

FAULTS = (0.0, 0.5, 0.7, 1.5, 3.0)
SHARE = 0.03
ROUNDS = 10

_LEAST_HISTORY = 60
_WINDOW, _SIGMAS = 14, 3


def with_faults(points: Sequence[Point], *, start: int, share: float = SHARE, seed: int = 0) -> tuple[list[Point], frozenset[int]]:
    """Multiply some counts from `start` on by a fault each; gives the series and the places, the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 a repeatable draw, not a secret
    candidates = [place for place in range(start, len(points)) if points[place].value]
    places = frozenset(chance.sample(candidates, min(len(candidates), max(1, round(share * len(candidates))))))
    faulty = [
        replace(point, value=point.value * chance.choice(FAULTS)) if place in places and point.value is not None else point
        for place, point in enumerate(points)
    ]
    return faulty, places


def backtest(
    points: Sequence[Point], grain: Grain, *, table: TableName | None = None, measure: str = "", rounds: int = ROUNDS, start: int = 0
) -> Backtest:
    """Put faults into a series of counts `rounds` times, and count what is found; points before `start`, by default 60, are history."""
    return _counted(points, lambda faulty: alarms(judged(faulty, grain, Scale.COUNT)), table, measure, rounds, start or _LEAST_HISTORY)


def backtest_sigmas(points: Sequence[Point], *, rounds: int = ROUNDS, start: int = 0) -> Backtest:
    """Do the same for the rule of others: three standard deviations from the mean of 14 points, the tested one among them."""
    return _counted(points, _sigmas, None, "three sigmas", rounds, start or _LEAST_HISTORY)


def _counted(
    points: Sequence[Point], find: Callable[[Sequence[Point]], list[int]], table: TableName | None, measure: str, rounds: int, start: int
) -> Backtest:
    found = missed = false = 0
    for seed in range(rounds):
        faulty, places = with_faults(points, start=start, seed=seed)
        alarmed = {place for place in find(faulty) if place >= start}
        found += len(alarmed & places)
        missed += len(places - alarmed)
        false += len(alarmed - places)
    return Backtest(table, measure, len(points), found, missed, false)


def _sigmas(points: Sequence[Point]) -> list[int]:
    values = [math.nan if point.value is None else point.value for point in points]
    found: list[int] = []
    for place in range(_WINDOW - 1, len(values)):
        window = [value for value in values[place - _WINDOW + 1 : place + 1] if not math.isnan(value)]
        if len(window) > 1 and abs(values[place] - mean(window)) > _SIGMAS * stdev(window):
            found.append(place)
    return found
