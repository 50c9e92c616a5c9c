from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limnos.model.anomaly import Grain, Judgement, Point, Scale
from limnos.model.verdict import Outcome
from limnos.quality.anomaly import alarms, judged, late, since
from limnos.quality.backtest import backtest, backtest_sigmas, with_faults

START = datetime(2026, 1, 5, tzinfo=UTC)
WEEK = (1.0, 1.05, 1.1, 1.05, 1.0, 0.4, 0.3)


def points(values: Sequence[float | None], of: int = 0) -> list[Point]:
    return [Point(START + timedelta(days=day), value, of) for day, value in enumerate(values)]


def weekly(days: int, *, growth: float = 0.0, noise: float = 0.03, seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    return [round(10_000 * (1 + growth) ** day * WEEK[day % 7] * (1 + chance.gauss(0, noise))) for day in range(days)]


def counts(values: Sequence[float | None]) -> list[Judgement]:
    return judged(points(values), Grain.DAY, Scale.COUNT)


def test_a_weekly_pattern_is_usual_and_a_missing_day_of_it_is_not() -> None:
    values = weekly(120)
    assert alarms(counts(values)) == []
    for place, factor in ((100, 0.0), (101, 0.5), (103, 3.0)):
        faulty = [value * factor if at == place else value for at, value in enumerate(values)]
        assert alarms(counts(faulty)) == [place]


def test_a_sunday_as_full_as_a_monday_is_unusual() -> None:
    values = weekly(120)
    values[118] = values[112]
    assert 118 % 7 == 6
    assert alarms(counts(values)) == [118]


def test_growth_is_usual() -> None:
    assert alarms(counts(weekly(200, growth=0.01))) == []


@given(st.lists(st.integers(0, 10**6), max_size=13))
def test_little_history_is_unknown_and_never_a_pass(values: list[int]) -> None:
    assert {one.outcome for one in counts([float(value) for value in values])} <= {Outcome.UNKNOWN}


@settings(max_examples=30)
@given(st.integers(60, 99), st.floats(0, 100, allow_nan=False))
def test_a_point_is_judged_by_those_before_it_and_never_by_itself(place: int, factor: float) -> None:
    values = weekly(100)
    changed = [value * factor if at == place else value for at, value in enumerate(values)]
    before, after = counts(values), counts(changed)
    assert [(one.low, one.high) for one in before[: place + 1]] == [(one.low, one.high) for one in after[: place + 1]]


def test_an_anomaly_leaves_the_history_that_later_points_are_judged_by() -> None:
    values = weekly(120)
    faulty = [value * 20 if 90 <= at < 94 else value for at, value in enumerate(values)]
    plain, with_incident = counts(values), counts(faulty)
    assert alarms(with_incident) == [90, 91, 92, 93]
    for one, other in zip(plain[94:], with_incident[94:], strict=True):
        assert other.high is not None
        assert one.high == pytest.approx(other.high, rel=0.1)


def test_a_change_that_stays_becomes_the_new_normal() -> None:
    found = alarms(counts([value * (2 if at >= 90 else 1) for at, value in enumerate(weekly(150))]))
    assert found[:7] == list(range(90, 97))
    assert found[-1] < 105


def test_small_changes_do_not_alarm_however_steady_the_history() -> None:
    assert alarms(counts([1_000_000.0] * 60 + [1_150_000.0])) == []
    assert alarms(counts([1_000_000.0] * 60 + [1_300_000.0])) == [60]


def test_few_rows_vary_more_than_many() -> None:
    few, many = [4.0, 5.0, 6.0, 5.0] * 20, [4000.0, 5000.0, 6000.0, 5000.0] * 20
    assert alarms(counts([*few, 11.0])) == []
    assert counts([*many[:-1], 5000.0, 5000.0])[-1].outcome is Outcome.PASS


def test_days_without_a_measurement_are_left_out() -> None:
    values: list[float | None] = [None if day % 11 == 3 else value for day, value in enumerate(weekly(120))]
    found = counts(values)
    assert alarms(found) == []
    assert found[3].outcome is Outcome.UNKNOWN
    assert found[119].outcome is Outcome.PASS


def test_a_share_alarms_where_it_moves_by_more_than_chance_and_a_hundredth() -> None:
    def last(share: float, of: int) -> Outcome:
        return judged(points([0.001] * 40 + [share], of), Grain.DAY, Scale.SHARE)[-1].outcome

    assert last(0.005, 1_000_000) is Outcome.PASS
    assert last(0.02, 1_000_000) is Outcome.FAIL
    assert last(0.02, 50) is Outcome.PASS
    assert last(0.5, 50) is Outcome.FAIL


def test_shares_at_both_ends_are_judged() -> None:
    for usual in (0.0, 1.0):
        found = judged(points([usual] * 30 + [0.5], 1000), Grain.DAY, Scale.SHARE)
        assert [one.outcome for one in found[-2:]] == [Outcome.PASS, Outcome.FAIL]


def test_late_is_half_as_long_again_as_the_longest_usual_gap() -> None:
    changes = [day * 86_400.0 for day in range(20)]
    assert late(changes, 20.4 * 86_400)[0] is Outcome.PASS
    assert late(changes, 20.6 * 86_400) == (Outcome.FAIL, 20.5 * 86_400)
    assert late(changes[:8], 99 * 86_400) == (Outcome.UNKNOWN, None)


def test_one_good_point_does_not_end_a_departure_and_two_do() -> None:
    def began(outcomes: str) -> float | None:
        words = {"p": Outcome.PASS, "f": Outcome.FAIL, "u": Outcome.UNKNOWN}
        judgements = [Judgement(point, words[said]) for point, said in zip(points(range(len(outcomes))), outcomes, strict=True)]
        found = since(judgements)
        return found.point.value if found else None

    assert [began(said) for said in ("ppff", "pfpf", "fppf", "ppp", "ffpp", "")] == [2, 1, 3, None, None, None]


def test_faults_are_the_same_for_the_same_seed_and_are_where_they_are_said_to_be() -> None:
    values = points(weekly(200))
    faulty, places = with_faults(values, start=60, seed=3)
    assert (faulty, places) == with_faults(values, start=60, seed=3)
    assert places == {at for at, (one, other) in enumerate(zip(values, faulty, strict=True)) if one != other}
    assert len(places) == 4
    assert min(places) >= 60


def test_a_back_test_counts_every_fault_once_and_the_mean_with_the_point_inside_misses_most() -> None:
    values = points(weekly(200))
    ours, theirs = backtest(values, Grain.DAY, rounds=5), backtest_sigmas(values, rounds=5)
    assert ours.found + ours.missed == theirs.found + theirs.missed == 20
    assert ours.recall is not None
    assert theirs.recall is not None
    assert ours.recall >= 0.9
    assert theirs.recall < 0.5
    assert ours.precision is not None
    assert ours.precision >= 0.9
