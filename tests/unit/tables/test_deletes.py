"""Position-delete files, as the specification has them and as foreign readers take them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.table import StaticTable
from tests.conformance.test_catalog import world_of

from limnos.model.contract import Column, Contract, Partition
from limnos.model.data import Relation
from limnos.model.names import TableName
from limnos.model.project import StorageConfig
from limnos.testing.catalog import World

FISH = Contract(TableName("pond", "fish"), (Column("id", pa.int64()), Column("kind", pa.int64())))
SPLIT = Contract(FISH.table, FISH.columns, partitions=(Partition("kind"),))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_of(f"sqlite:///{tmp_path}/state.db", StorageConfig(str(tmp_path / "lake"))) as world:
        yield world


def fish(*ids: int) -> list[dict[str, int]]:
    return [{"id": at, "kind": at % 3} for at in ids]


def relation_of(world: World) -> Relation:
    return world.catalog.relation(world.catalog.pin()[FISH.table])


def test_a_delete_file_is_as_the_specification_has_it(world: World) -> None:
    world.load(FISH, fish(*range(10)), "run-0")
    world.load(FISH, fish(*range(10, 20)), "run-1", keep=True)
    world.publish(world.change(FISH, [], "run-2", where="id IN (17, 3, 12, 1)"))
    relation = relation_of(world)
    (path,) = relation.deletes
    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    assert [(field.name, str(field.type), field.nullable) for field in schema] == [("file_path", "string", False), ("pos", "int64", False)]
    assert [field.metadata[b"PARQUET:field_id"] for field in schema] == [b"2147483546", b"2147483545"]
    rows = [(row["file_path"], row["pos"]) for row in file.read().to_pylist()]
    assert rows == sorted(rows)
    assert {path for path, _ in rows} == set(relation.files) == set(relation.gone)
    assert [entry["file_path"] for entry in _entries(world)] == [path]
    (entry,) = _entries(world)
    assert (entry["content"], entry["record_count"], entry["file_size_in_bytes"]) == (1, 4, Path(path).stat().st_size)
    bounds = [dict(entry[name]) for name in ("lower_bounds", "upper_bounds")]
    assert [each[2147483546].decode() for each in bounds] == [min(relation.files), max(relation.files)]
    assert [int.from_bytes(each[2147483545], "little") for each in bounds] == [1, 7]


def _entries(world: World) -> list[dict[str, Any]]:
    return world.foreign().load_table(("pond", "fish")).inspect.delete_files().to_pylist()


def test_each_partition_has_a_delete_file_of_its_own(world: World) -> None:
    world.load(SPLIT, fish(*range(30)), "run-0")
    world.publish(world.change(SPLIT, [], "run-1", where="id IN (0, 3, 6, 1, 4)"))
    assert sorted((entry["partition"]["kind"], entry["record_count"]) for entry in _entries(world)) == [(0, 3), (1, 2)]


def test_polars_reads_the_same_rows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    world.load(FISH, fish(*range(50)), "run-0")
    world.publish(world.change(FISH, fish(100, 101), "run-1", where="id % 7 = 0"))
    world.publish(world.change(FISH, [], "run-2", where="id % 11 = 1"))
    (snapshot,) = world.catalog.pin().values()
    expected = sorted(row["id"] for row in world.rows(snapshot))
    read = pl.scan_iceberg(world.foreign().load_table(("pond", "fish"))).collect()
    assert sorted(read["id"].to_list()) == expected
    assert len(expected) == snapshot.rows


def test_only_the_files_that_deletes_concern_are_joined_with_them(world: World) -> None:
    world.load(FISH, fish(*range(10)), "run-0")
    world.load(FISH, fish(*range(10, 20)), "run-1", keep=True)
    world.publish(world.change(FISH, [], "run-2", where="id = 15"))
    relation = relation_of(world)
    (hit,) = relation.gone
    with world.engine.session() as session:
        sql = session.relation(relation)
    clean, joined = sql.split(" UNION ALL ")
    assert "ANTI JOIN" not in clean
    assert hit not in clean
    assert "ANTI JOIN" in joined
    assert hit in joined


@settings(max_examples=8, deadline=None)
@given(st.lists(st.sets(st.integers(0, 39), max_size=10), min_size=1, max_size=5), st.sampled_from([FISH, SPLIT]))
def test_any_sequence_of_changes_leaves_what_a_set_would(
    tmp_path_factory: pytest.TempPathFactory, changes: list[set[int]], contract: Contract
) -> None:
    home = tmp_path_factory.mktemp("world")
    with world_of(f"sqlite:///{home}/state.db", StorageConfig(str(home / "lake"))) as world:
        world.load(contract, fish(*range(40)), "run-0")
        there = set(range(40))
        for n, gone in enumerate(changes, start=1):
            condition = f"id IN ({', '.join(map(str, gone))})" if gone else "FALSE"
            (snapshot,) = world.publish(world.change(contract, fish(100 * n), f"run-{n}", where=condition))
            there = there - gone | {100 * n}
            assert {row["id"] for row in world.rows(snapshot)} == there
            assert snapshot.rows == len(there)
        assert {row["id"] for row in world.scanned(contract)} == there


def test_the_metadata_lists_only_the_newest_versions_and_the_others_stay_readable(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limnos.tables.iceberg._SNAPSHOTS_LISTED", 2)
    for at in range(7):
        world.load(FISH, fish(at), f"run-{at}", keep=True)
    versions = world.catalog.history(FISH.table)
    assert [version.rows for version in versions] == [1, 2, 3, 4, 5, 6, 7]
    assert [len(world.catalog.relation(version).files) for version in versions] == [1, 2, 3, 4, 5, 6, 7]
    listed = StaticTable.from_metadata(versions[-1].metadata_location).metadata.snapshots
    assert 2 <= len(listed) <= 4
    assert sorted(row["id"] for row in world.rows(versions[-1])) == list(range(7))
