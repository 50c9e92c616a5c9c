"""Pace and congestion: the bound on rows holds over all streams, and a slow source is spared until it recovers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limnos.errors import SourceUnreachable
from limnos.model.project import Protect
from limnos.sources.protect import Congestion, Pace


class Time:
    """A clock that moves when somebody sleeps, or is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def paced(time: Time, probe: Callable[[], float] | None = None, **words: int) -> Pace:
    return Pace(Protect(adaptive=True, **words), probe, clock=time.clock, sleep=time.sleep)


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=40), st.integers(1, 10_000))
def test_no_more_rows_pass_than_the_rate_allows_but_for_the_last_batch(batches: list[int], rate: int) -> None:
    time = Time()
    pace = paced(time, max_rows_per_s=rate)
    with pace.lane():
        for rows in batches:
            pace.take(rows)
    assert time.now - 100 == pytest.approx(sum(batches[:-1]) / rate)


def test_the_rate_holds_over_all_streams_together() -> None:
    time = Time()
    pace = paced(time, max_rows_per_s=100)
    with pace.lane(), pace.lane():
        for _ in range(5):
            pace.take(100)
    assert time.now - 100 == 4


def test_time_that_passed_elsewhere_is_not_made_up_for_by_a_burst() -> None:
    time = Time()
    pace = paced(time, max_rows_per_s=100)
    pace.take(100)
    time.now += 60
    pace.take(100)
    assert time.slept == []
    pace.take(100)
    assert time.slept == [1.0]


def test_ten_rows_that_a_server_only_looked_at_count_as_one() -> None:
    time = Time()
    pace = paced(time, max_rows_per_s=100)
    pace.scanned(2000)
    pace.scanned(1)
    pace.take(1)
    assert time.now - 100 == pytest.approx(2.01)


def test_the_time_limit_of_a_statement_allows_for_its_pauses() -> None:
    def limit_s(protect: Protect, *tables: int) -> float:
        pace = Pace(protect, lambda: 0.01)
        for rows in tables:
            pace.expect(rows)
        return pace.limit_s

    assert limit_s(Protect(statement_timeout_s=60), 10**9) == 60
    assert limit_s(Protect(statement_timeout_s=60, max_rows_per_s=1000), 5000, 90_000, 10) == 60 + 90
    assert limit_s(Protect(statement_timeout_s=60, max_rows_per_s=1000, adaptive=True), 90_000) == 480 + 90
    assert limit_s(Protect(statement_timeout_s=0, max_rows_per_s=1000, adaptive=True), 90_000) == 0


def test_without_a_bound_nobody_waits() -> None:
    time = Time()
    pace = paced(time)
    with pace.lane():
        pace.take(1_000_000)
        pace.take(1_000_000)
    assert time.slept == []


def test_a_source_that_grows_slow_bears_half_as_many_streams_and_one_more_for_each_sign_of_recovery() -> None:
    congestion = Congestion(8)
    slow = [congestion.observe(latency_s) for latency_s in (0.010, 0.011, 0.10, 0.10, 0.10, 0.10)]
    assert slow == [8, 8, 8, 4, 2, 1]
    assert [congestion.observe(0.1) for _ in range(4)] == [0.5, 0.25, 0.125, 0.125]
    assert [congestion.observe(0.010) for _ in range(6)] == [0.25, 0.5, 1, 2, 3, 4]


def test_one_high_sample_is_chance() -> None:
    congestion = Congestion(4)
    assert [congestion.observe(latency_s) for latency_s in (0.01, 0.5, 0.01, 0.5, 0.01)] == [4, 4, 4, 4, 4]


def test_a_source_that_became_slower_for_good_gets_its_streams_back() -> None:
    congestion = Congestion(4)
    congestion.observe(0.01)
    allowed = [congestion.observe(0.03) for _ in range(300)]
    assert min(allowed) < 1
    assert allowed[-1] == 4


@given(st.lists(st.floats(0, 1e6), max_size=200), st.integers(1, 64))
def test_what_is_allowed_stays_within_its_bounds(latencies: list[float], most: int) -> None:
    congestion = Congestion(most)
    for latency_s in latencies:
        assert 0 < congestion.observe(latency_s) <= most


def test_streams_in_excess_all_rest_in_proportion() -> None:
    time = Time()
    latency_s = [0.01]
    pace = paced(time, lambda: latency_s[0], connections=4)
    with closing(pace), pace.lane(), pace.lane():
        latency_s[0] = 1.0
        for _ in range(3):
            pace._observe(lambda: latency_s[0])
        assert pace.lanes == 1
        time.now += 0.5
        pace.take(1)
    assert time.slept == [0.5]


def test_a_source_that_does_not_answer_the_probe_is_spared_and_the_streams_go_on() -> None:
    def broken() -> float:
        raise SourceUnreachable("It does not answer", subject="s", hint="limnos doctor s")

    pace = paced(Time(), lambda: 0.01, connections=4)
    with closing(pace), pace.lane():
        for _ in range(2):
            pace._observe(broken)
        assert pace.lanes < 4
        pace.take(10)


def test_the_probe_asks_before_the_first_stream_and_ends_with_the_reading() -> None:
    asked = threading.Event()

    def probe() -> float:
        asked.set()
        return 0.001

    before = threading.active_count()
    with closing(Pace(Protect(adaptive=True), probe)) as pace:
        assert not asked.is_set()
        with pace.lane():
            assert asked.is_set()
            assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_a_pause_ends_with_what_it_holds_up() -> None:
    ended = threading.Event()
    ended.set()
    pace = Pace(Protect(max_rows_per_s=1), sleep=lambda _: pytest.fail("it slept"))
    for _ in range(3):
        pace.take(1_000_000, ended)
