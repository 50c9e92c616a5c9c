"""How a merge is written: which rows leave by position deletes, which files are written anew, and when small ones become one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.flow.scripted import Row, Script, lake_of, published

from limnos import Lake
from limnos.model.data import Relation

ROWS: list[Row] = [(at, "x", "1.00", at) for at in range(12)]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def lake(tmp_path: Path, script: Script) -> Lake:
    """Twelve rows in one file."""
    script.insert(*ROWS)
    lake = lake_of(tmp_path, script, table="mode: cdc", promises="")
    assert lake.run().exit_code() == 0
    return lake


def relation(lake: Lake) -> Relation:
    return lake._parts.catalog.relation(lake.history()[-1].snapshot)


def delete(lake: Lake, script: Script, *rows: Row) -> None:
    for row in rows:
        script.delete(row)
    assert lake.run().exit_code() == 0
    assert published(lake, "id") == sorted(((row[0],) for row in script.rows), key=repr)


def test_fewer_than_a_quarter_of_a_file_leave_by_position_deletes(lake: Lake, script: Script) -> None:
    (file,) = relation(lake).files
    delete(lake, script, *ROWS[:2])
    found = relation(lake)
    assert (found.files, len(found.deletes), dict(found.gone)) == ((file,), 1, {file: 2})


def test_from_a_quarter_on_the_file_is_written_anew(lake: Lake, script: Script) -> None:
    (file,) = relation(lake).files
    delete(lake, script, *ROWS[:3])
    found = relation(lake)
    assert (len(found.files), found.deletes, dict(found.gone)) == (1, (), {})
    assert file not in found.files


def test_rows_that_left_before_count_towards_the_quarter(lake: Lake, script: Script) -> None:
    (file,) = relation(lake).files
    delete(lake, script, *ROWS[:2])
    delete(lake, script, ROWS[2])
    found = relation(lake)
    assert (len(found.files), found.deletes) == (1, ())
    assert file not in found.files


def test_a_file_that_nothing_leaves_stays_whatever_left_it_before(lake: Lake, script: Script) -> None:
    (file,) = relation(lake).files
    delete(lake, script, *ROWS[:2])
    script.insert((50, "y", "1.00", 50))
    assert lake.run().exit_code() == 0
    found = relation(lake)
    assert (found.files[0], len(found.files), dict(found.gone)) == (file, 2, {file: 2})


def test_a_merge_writes_four_small_files_anew(lake: Lake, script: Script) -> None:
    versions = []
    for at in range(20, 24):
        script.insert((at, "y", "1.00", at))
        assert lake.run().exit_code() == 0
        versions.append(set(relation(lake).files))
    assert [len(files) for files in versions[:3]] == [2, 3, 4]
    assert versions[0] < versions[1] < versions[2]
    assert not versions[2] & versions[3]
    assert published(lake, "id") == sorted(((row[0],) for row in script.rows), key=repr)
