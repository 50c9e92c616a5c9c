"""Columns and partitions that change between versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

import pyarrow as pa
import pytest

from limnos.errors import SchemaDrift
from limnos.model.contract import Column, Contract, Partition
from limnos.model.names import TableName
from limnos.testing.catalog.world import FISH, NAMES, Row, World, identifier, ordered

PLACES = Contract(
    TableName("pond", "places"),
    (
        Column("n", pa.int64()),
        Column("name", pa.string()),
        Column("day", pa.date32()),
        Column("at", pa.timestamp("us")),
        Column("zoned", pa.timestamp("us", tz="UTC")),
        Column("ok", pa.bool_()),
    ),
)


class Columns:
    """Columns and partitions that change between versions."""

    def test_a_column_is_added_beside_the_others(self, world: World) -> None:
        wide = replace(FISH, columns=(Column("cm", pa.int32()), *FISH.columns))
        first = world.load(FISH, [{"id": 1, "name": "pike"}], "run-1")
        second = world.load(wide, [{"id": 2, "name": "perch", "cm": 30}], "run-2", keep=True)
        assert world.rows(first) == [{"id": 1, "name": "pike"}]
        assert world.rows(second) == [{"id": 1, "name": "pike", "cm": None}, {"id": 2, "name": "perch", "cm": 30}]
        assert ordered(world.foreign().load_table(identifier(FISH)).scan().to_arrow().to_pylist()) == world.rows(second)

    def test_a_type_is_widened_in_place(self, world: World) -> None:
        def contract(kind: pa.DataType, money: pa.DataType) -> Contract:
            return replace(FISH, columns=(Column("id", kind), Column("price", money)))

        world.load(contract(pa.int32(), pa.decimal128(9, 2)), [{"id": 1, "price": 1}], "run-1")
        wide = world.load(contract(pa.int64(), pa.decimal128(20, 2)), [{"id": 2**40, "price": 10**15}], "run-2", keep=True)
        assert [row["id"] for row in world.rows(wide)] == [1, 2**40]
        assert [int(row["price"]) for row in world.rows(wide)] == [1, 10**15]
        assert world.foreign().load_table(identifier(FISH)).scan().to_arrow().num_rows == 2

    def test_another_type_is_another_column_of_the_same_name(self, world: World) -> None:
        retyped = replace(FISH, columns=(Column("id", pa.string()), FISH.columns[1]))
        first = world.load(FISH, [{"id": 1, "name": "pike"}], "run-1")
        before, files = world.seen(), world.files()
        with pytest.raises(SchemaDrift) as caught:
            world.catalog.layout(retyped, "run-2", replace=False)
        assert all((caught.value.what, caught.value.subject, caught.value.seen, caught.value.expected, caught.value.hint))
        assert (world.seen(), world.files()) == (before, files)
        second = world.load(retyped, [{"id": "a", "name": "perch"}], "run-3")
        assert world.rows(second) == [{"id": "a", "name": "perch"}]
        assert world.rows(first) == [{"id": 1, "name": "pike"}]
        assert world.rows(first, world.elsewhere()[0]) == [{"id": 1, "name": "pike"}]

    @pytest.mark.parametrize(
        "partitions",
        [
            (Partition("name"),),
            (Partition("name", "truncate", 2),),
            (Partition("n", "truncate", 10),),
            (Partition("n"), Partition("ok")),
            (Partition("day"),),
            (Partition("day", "year"),),
            (Partition("day", "month"),),
            (Partition("at", "day"),),
            (Partition("at", "hour"),),
            (Partition("zoned", "month"), Partition("name")),
        ],
        ids=lambda partitions: "+".join(map(str, partitions)),
    )
    def test_partitions_lose_no_row_and_mislead_no_reader(self, world: World, partitions: tuple[Partition, ...]) -> None:
        rows = _places()
        snapshot = world.load(replace(PLACES, partitions=partitions), rows, "run-1")
        assert world.rows(snapshot) == ordered(rows)
        table = world.foreign().load_table(identifier(PLACES))
        assert len(table.spec().fields) == len(partitions)
        for row in rows:
            condition = _same(row, [partition.column for partition in partitions])
            found = table.scan(row_filter=condition).to_arrow().to_pylist()
            assert row in found, condition

    def test_a_table_is_partitioned_in_another_way_from_its_next_version_on(self, world: World) -> None:
        rows = _places()
        versions = [
            world.load(replace(PLACES, partitions=partitions), rows, f"run-{n}")
            for n, partitions in enumerate([(), (Partition("name"),), (Partition("day", "month"),), ()])
        ]
        for snapshot in versions:
            assert world.rows(snapshot) == ordered(rows)
        recent = world.foreign().load_table(identifier(PLACES)).scan(row_filter="day >= '2026-01-01'")
        assert recent.to_arrow().num_rows == sum(row["day"] is not None and row["day"] >= date(2026, 1, 1) for row in rows)


def _places() -> list[Row]:
    """Rows around the edges of every transform: before 1970, at the turn of hour and month, and null."""
    instants = (
        datetime(1969, 12, 31, 23, 59, 59, 999999),  # noqa: DTZ001 a timestamp without a zone
        datetime(1970, 1, 1),  # noqa: DTZ001
        datetime(1, 1, 1, 0, 30),  # noqa: DTZ001
        datetime(2026, 2, 28, 23, 0),  # noqa: DTZ001
        datetime(9999, 12, 31, 23, 59),  # noqa: DTZ001
        None,
    )
    numbers = (-11, -10, -1, 0, 9, 10, 2**62, None)
    return [
        {
            "n": numbers[at % len(numbers)],
            "name": name,
            "day": moment.date() if (moment := instants[at % len(instants)]) else None,
            "at": moment,
            "zoned": pa.scalar(moment, pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC")).as_py(),
            "ok": (True, False, None)[at % 3],
        }
        for at, name in enumerate(NAMES)
    ]


def _same(row: Row, columns: Sequence[str]) -> str:
    """Write the condition that finds a row by these columns, in PyIceberg's own filter language."""
    return " and ".join(f"{column} IS NULL" if row[column] is None else f"{column} = {_spelled(row[column])}" for column in columns)


def _spelled(value: object) -> str:
    text = value.isoformat() if isinstance(value, date) else str(value)
    return str(value).lower() if isinstance(value, bool | int) else "'" + text.replace("'", "''") + "'"
