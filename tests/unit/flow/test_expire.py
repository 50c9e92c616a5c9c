"""Old versions that upkeep lets go, and the files that go with them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from tests.crash import world
from tests.unit.flow.scripted import Script, lake_of, published
from tests.unit.flow.test_upkeep import Killed, killing

from limnos import Lake
from limnos.errors import LimnosError, RequestError, StorageFailed, VersionExpired

NOW = {"keep": "1", "grace": "0s"}


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def lake(tmp_path: Path, script: Script) -> Lake:
    """Four runs that each add rows, and one file a run to compact."""
    lake = lake_of(tmp_path, script, table="mode: incremental, cursor: at", promises="")
    for at in range(4):
        script.insert(*((at * 10 + n, "x", "1.00", at) for n in range(4)))
        assert lake.run().exit_code() == 0
    return lake


def everything(lake: Lake) -> list[tuple[object, ...]]:
    return published(lake, "*")


def on_disk(lake: Lake) -> set[Path]:
    return {path for path in (lake.project.root / ".limnos" / "lake").rglob("*") if path.is_file()}


def foreign(lake: Lake) -> SqlCatalog:
    root = lake.project.root / ".limnos"
    return SqlCatalog("limnos", uri=f"sqlite:///{root}/state.db", warehouse=str(root / "lake"))


def of(lake: Lake) -> tuple[str, str]:
    table = lake.history()[0].snapshot.table
    return table.namespace, table.name


def test_by_default_a_month_is_kept_and_nothing_young_is_deleted(lake: Lake) -> None:
    lake.upkeep()
    before = on_disk(lake)
    (result,) = [one for one in lake.upkeep(keep="1") if one.rows]
    assert (result.expired, result.deleted_files) == (0, 0)
    assert on_disk(lake) == before
    assert not any(one.snapshot.expired for one in lake.history())


def test_old_versions_go_with_the_files_that_only_they_need(lake: Lake) -> None:
    lake.upkeep(keep="100", grace="0s")
    before, rows = on_disk(lake), everything(lake)
    (result,) = [one for one in lake.upkeep(**NOW) if one.rows]
    # The version of the last run stays beside that of the upkeep.
    assert result.expired == 3
    assert result.deleted_files == len(before - on_disk(lake)) > 4
    assert everything(lake) == rows
    assert [one.snapshot.expired for one in lake.history()] == [True] * 3 + [False] * 3
    assert world.strays(lake.project.root) == set()
    assert all(one.expired == one.deleted_files == 0 for one in lake.upkeep(**NOW))
    lake._parts.ledger.verify()


def test_a_version_that_expired_is_told_and_what_is_kept_reads_as_ever(lake: Lake) -> None:
    first, *_, last = [one.snapshot for one in lake.history()]
    lake.upkeep(**NOW)
    with pytest.raises(VersionExpired, match="has expired") as told:
        lake.query(f"SELECT * FROM {first.table}", as_of=first.at)
    assert str(first.snapshot_id) in told.value.seen
    (count,) = Lake(lake.project.root).query(f"SELECT count(*) AS n FROM {last.table}", as_of=last.at).rows()
    assert count["n"] == last.rows


def test_a_number_keeps_so_many_versions(lake: Lake) -> None:
    lake.upkeep(keep="3", grace="0s")
    # Compacting made a fifth, and leaving out what expired a sixth.
    assert [one.snapshot.expired for one in lake.history()] == [True, True, False, False, False, False]


def test_a_duration_keeps_every_instant_within_it(lake: Lake) -> None:
    before = lake.history()
    lake.upkeep(keep="1h", grace="0s")
    for one in before:
        assert lake.query(f"SELECT * FROM {one.snapshot.table}", as_of=one.snapshot.at).to_arrow().num_rows == one.snapshot.rows
    lake.upkeep(keep="0s", grace="0s")
    assert [one.snapshot.expired for one in lake.history()][:3] == [True] * 3


def test_a_dry_run_says_what_an_upkeep_does_and_changes_nothing(lake: Lake) -> None:
    lake.upkeep(keep="100", grace="0s")
    before, history = on_disk(lake), lake.history()
    planned = [one for one in lake.upkeep(**NOW, dry_run=True) if one.rows]
    assert (on_disk(lake), lake.history()) == (before, history)
    done = [one for one in lake.upkeep(**NOW) if one.rows]
    said = [(one.expired, one.deleted_files, one.deleted_bytes, one.files_after) for one in planned]
    assert said == [(one.expired, one.deleted_files, one.deleted_bytes, one.files_after) for one in done]
    assert said[0][0] == 3


def test_a_dry_run_foresees_the_compaction(lake: Lake) -> None:
    (planned,) = [one for one in lake.upkeep(dry_run=True) if one.rows]
    (done,) = [one for one in lake.upkeep() if one.rows]
    assert (planned.files_before, planned.files_after) == (done.files_before, done.files_after)
    assert planned.files_after < planned.files_before


def test_orphans_go_when_they_are_older_than_the_grace(lake: Lake) -> None:
    lake.upkeep()
    home = next(path for path in on_disk(lake) if path.name.endswith(".metadata.json")).parent.parent
    orphans = [home / "data" / "dead" / "a.parquet", home / "metadata" / "dead-m0.avro", home / "metadata" / "00009-dead.metadata.json"]
    for orphan in orphans:
        orphan.parent.mkdir(exist_ok=True)
        orphan.write_bytes(b"left by a writer that was killed")
    yesterday = time.time() - 2 * 86_400
    os.utime(orphans[0], (yesterday, yesterday))
    (result,) = [one for one in lake.upkeep() if one.rows]
    assert (result.expired, result.deleted_files) == (0, 1)
    assert [orphan.exists() for orphan in orphans] == [False, True, True]
    assert not orphans[0].parent.exists()
    lake.upkeep(grace="0s")
    assert not any(orphan.exists() for orphan in orphans)


def test_a_foreign_reader_reads_on_and_sees_no_version_that_went(lake: Lake) -> None:
    first = lake.history()[0].snapshot
    rows = len(everything(lake))
    lake.upkeep(**NOW)
    table = foreign(lake).load_table(of(lake))
    assert table.scan().to_arrow().num_rows == rows
    assert first.snapshot_id not in {one.snapshot_id for one in table.metadata.snapshots}
    assert all(table.scan(snapshot_id=one.snapshot_id).to_arrow().num_rows for one in table.metadata.snapshots)


def test_a_tagged_version_stays(lake: Lake, script: Script) -> None:
    second = lake.history()[1].snapshot
    with foreign(lake).load_table(of(lake)).manage_snapshots() as manage:
        manage.create_tag(second.snapshot_id, "audit")
    # A table whose current version another writer made is left alone.
    assert all(not one.rows for one in lake.upkeep(**NOW))
    script.insert((99, "y", "2.00", 9))
    assert lake.run().exit_code() == 0
    (result,) = [one for one in lake.upkeep(**NOW) if one.rows]
    assert result.expired == 3
    assert foreign(lake).load_table(of(lake)).scan(snapshot_id=second.snapshot_id).to_arrow().num_rows == second.rows
    assert lake.query(f"SELECT * FROM {second.table}", as_of=second.at).to_arrow().num_rows == second.rows


@pytest.mark.parametrize("step", ["upkeep.look", "upkeep.forget", "upkeep.expire", "upkeep.expired", "upkeep.delete"])
def test_killed_at_a_step_it_is_done_by_the_next(lake: Lake, step: str) -> None:
    lake.upkeep(keep="100", grace="0s")
    rows, versions = everything(lake), len(lake.history())
    with pytest.raises(Killed):
        Lake(lake.project.root, observer=killing(step)).upkeep(**NOW)
    assert everything(lake) == rows
    Lake(lake.project.root).upkeep(**NOW)
    assert everything(lake) == rows
    assert [one.snapshot.expired for one in lake.history()][:versions] == [True] * 3 + [False] * (versions - 3)
    assert world.strays(lake.project.root) == set()
    assert not lake._parts.ledger.open_runs()


def test_where_a_version_cannot_be_read_nothing_is_deleted(lake: Lake) -> None:
    lake.upkeep(keep="100", grace="0s")
    current = lake.history()[-1].snapshot
    hidden = Path(current.metadata_location)
    away = hidden.with_name("away")
    before = on_disk(lake)
    hidden.rename(away)
    with pytest.raises(LimnosError) as told:
        Lake(lake.project.root).upkeep(**NOW)
    assert isinstance(told.value, StorageFailed)
    away.rename(hidden)
    assert on_disk(lake) == before


def test_runs_go_on_after_it(lake: Lake, script: Script) -> None:
    lake.upkeep(**NOW)
    script.insert((99, "y", "2.00", 9))
    assert lake.run().exit_code() == 0
    assert len(everything(lake)) == 17
    lake.upkeep(**NOW)
    assert len(everything(lake)) == 17


@pytest.mark.parametrize("keep", ["0", "-1", "often", "3 moons"])
def test_what_cannot_be_kept_is_told(lake: Lake, keep: str) -> None:
    with pytest.raises(RequestError, match="cannot be kept"):
        lake.upkeep(keep=keep)
