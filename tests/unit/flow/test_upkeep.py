"""Upkeep of a table that many small runs brought in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.flow.scripted import Script, lake_of, published

from limnos import Lake
from limnos.errors import UnknownName
from limnos.model.names import TableName
from limnos.model.run import Step


class Killed(BaseException):
    """End a verb as a signal would."""


def killing(step: str) -> Callable[[Step], None]:
    def observe(passed: Step) -> None:
        if passed.name == step:
            raise Killed

    return observe


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    script = Script()
    lake = lake_of(tmp_path, script, table="mode: incremental, cursor: at", promises="")
    for at in range(4):
        script.insert(*((at * 10 + n, "x", "1.00", at) for n in range(4)))
        assert lake.run().exit_code() == 0
    return lake


def everything(lake: Lake) -> list[tuple[object, ...]]:
    return published(lake, "*")


def test_small_files_become_one_and_no_row_changes(lake: Lake) -> None:
    before = everything(lake)
    (result,) = [one for one in lake.upkeep() if one.rows]
    assert (result.rows, result.files_before, result.files_after) == (16, 4, 1)
    assert everything(lake) == before
    assert lake.history()[-1].action == "upkeep"
    assert lake.history()[-1].snapshot.snapshot_id == result.snapshot_id
    assert all(one.snapshot_id is None for one in lake.upkeep())


def test_older_versions_are_still_there(lake: Lake) -> None:
    earlier = lake.history()[-2].snapshot
    lake.upkeep()
    (count,) = lake.query(f"SELECT count(*) AS n FROM {earlier.table}", as_of=earlier.at).rows()
    assert count["n"] == earlier.rows == 12


def test_a_run_after_it_goes_on_from_what_is_there(lake: Lake) -> None:
    lake.upkeep()
    before = everything(lake)
    assert lake.run().exit_code() == 0
    assert everything(lake) == before


@pytest.mark.parametrize("step", ["upkeep.choose", "upkeep.write", "upkeep.stage", "upkeep.publish", "upkeep.moved", "upkeep.published"])
def test_killed_at_a_step_it_leaves_the_rows_and_no_stray_file(lake: Lake, step: str) -> None:
    before = everything(lake)
    victim = Lake(lake.project.root, observer=killing(step))
    with pytest.raises(Killed):
        victim.upkeep()
    assert everything(lake) == before
    lake.upkeep()
    assert everything(lake) == before
    assert len(lake._parts.catalog.files(lake.history()[-1].snapshot)) == 1
    assert lake._parts.catalog.discard(lake.history()[-1].snapshot.run_id) == 0


def test_a_pattern_that_matches_nothing_is_told(lake: Lake) -> None:
    with pytest.raises(UnknownName):
        lake.upkeep("nowhere.*")
    assert TableName("nowhere", "x") not in lake._parts.catalog.pin()
