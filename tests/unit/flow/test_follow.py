"""Following a source: what a round leaves behind, when it rests, and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.flow.scripted import Script, lake_of, published

from limnos import Lake
from limnos.errors import SourceUnreachable, Unsupported, WorldError
from limnos.flow import follow as following
from limnos.model.run import RunResult

Told = list[RunResult | WorldError]


@pytest.fixture
def script() -> Script:
    script = Script()
    script.insert((1, "a", "1.00", 1))
    return script


def rounds(*between: Callable[[], object]) -> tuple[Callable[[float], bool], list[float]]:
    """Make a `stopped` that does something between rounds and ends after the last; gives the pauses it was asked for."""
    todo, pauses = list(between), list[float]()

    def stopped(pause_s: float) -> bool:
        pauses.append(pause_s)
        if not todo:
            return True
        todo.pop(0)()
        return False

    return stopped, pauses


def nothing() -> None:
    """Let a round find nothing."""


def events(lake: Lake) -> int:
    return len(list(lake._parts.ledger.events()))


def test_it_ends_after_the_first_round_when_told_to(tmp_path: Path, script: Script) -> None:
    lake, told = lake_of(tmp_path, script), Told()
    stopped, pauses = rounds()
    lake.follow(told=told.append, stopped=stopped)
    assert (len(told), len(pauses)) == (1, 1)
    assert len(published(lake)) == 1


def test_idle_rounds_leave_no_events_and_are_not_told(tmp_path: Path, script: Script) -> None:
    lake, told, seen = lake_of(tmp_path, script), Told(), list[int]()
    stopped, _ = rounds(lambda: seen.append(events(lake)), nothing, nothing, lambda: seen.append(events(lake)))
    lake.follow(told=told.append, stopped=stopped)
    assert len(told) == 1
    assert seen[0] == seen[1] == events(lake)


def test_a_round_with_changes_publishes_them_and_rests_less_than_the_latency(tmp_path: Path, script: Script) -> None:
    lake, told = lake_of(tmp_path, script), Told()
    stopped, pauses = rounds(nothing, lambda: script.insert((2, "b", "2.00", 2)))
    lake.follow(told=told.append, stopped=stopped)
    assert [one.tables[0].read for one in told if isinstance(one, RunResult)] == [1, 1]
    assert len(published(lake)) == 2
    assert all(0 <= pause <= lake.project.sources[0].latency_s for pause in pauses)


def test_one_idle_round_in_a_while_remembers_how_far_the_source_was_read(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_RECORD_IDLE_S", 0.0)
    lake, told = lake_of(tmp_path, script), Told()
    script.insert((2, "b", "2.00", 2))
    stopped, _ = rounds(nothing)
    before = len(script.acknowledged)
    lake.follow(told=told.append, stopped=stopped)
    assert [one.tables[0].read for one in told if isinstance(one, RunResult)] == [2, 0]
    assert len(script.acknowledged) - before == 2
    assert len(lake.history("s.rows")) == 1


class Flaky(Script):
    """A source that does not answer while `down`."""

    down = False

    def prepare(self) -> None:
        if self.down:
            raise SourceUnreachable("The source does not answer", subject="s", seen="nothing", expected="an answer", hint="limnos doctor s")
        super().prepare()


def test_a_source_that_fails_is_tried_later_each_time_and_then_at_once_again(tmp_path: Path) -> None:
    script = Flaky()
    script.insert((1, "a", "1.00", 1))

    def fall() -> None:
        script.down = True

    def rise() -> None:
        script.down = False
        script.insert((2, "b", "2.00", 2))

    lake, told = lake_of(tmp_path, script), Told()
    stopped, pauses = rounds(fall, nothing, nothing, nothing, nothing, nothing, rise)
    lake.follow(told=told.append, stopped=stopped)
    assert pauses[1:7] == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert pauses[0] < 2.0 > pauses[7]
    assert len(published(lake)) == 2
    assert script.rows == [(1, "a", "1.00", 1), (2, "b", "2.00", 2)]


def test_a_project_without_a_table_to_follow_says_so(tmp_path: Path, script: Script) -> None:
    lake = lake_of(tmp_path, script, table="mode: full")
    stopped, pauses = rounds()
    with pytest.raises(Unsupported, match="can be followed"):
        lake.follow(told=Told().append, stopped=stopped)
    assert pauses == []
