"""What the engine writes as a partition value, against PyIceberg's own transform of the same value."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.catalog.memory import InMemoryCatalog
from pyiceberg.partitioning import partition_record_value
from pyiceberg.schema import Schema

from limnos.engines.duckdb import DuckEngine
from limnos.errors import LimnosError, ProjectInvalid, Unsupported
from limnos.model.contract import Column, Contract, Partition
from limnos.model.names import TableName
from limnos.model.types import parse_type, sql_type
from limnos.tables import partitions
from limnos.tables.schema import iceberg_schema

ENGINE = DuckEngine()
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "date": st.dates(),
    "timestamp": st.datetimes(),
    "timestamptz": st.datetimes(timezones=st.just(UTC)),
    "int": st.integers(-(2**31) + 1000, 2**31 - 1),
    "long": st.integers(-(2**63) + 1000, 2**63 - 1),
    "string": texts,
    "boolean": st.booleans(),
    "decimal(12,2)": st.decimals(-(10**9), 10**9, places=2),
    "uuid": st.uuids(),
}
TRANSFORMS = [
    *((kind, Partition("c", transform)) for kind in ("date", "timestamp", "timestamptz") for transform in ("year", "month", "day")),
    *((kind, Partition("c", "hour")) for kind in ("timestamp", "timestamptz")),
    *((kind, Partition("c", "truncate", width)) for kind in ("int", "long", "string") for width in (1, 3, 1000)),
    *((kind, Partition("c")) for kind in ("date", "int", "long", "string", "boolean", "decimal(12,2)", "uuid")),
]


def contract_of(kind: str, partition: Partition) -> Contract:
    return Contract(TableName("pond", "fish"), (Column("c", parse_type(kind)),), partitions=(partition,))


def schema_of(contract: Contract) -> Schema:
    return iceberg_schema(InMemoryCatalog("none"), contract)


def written(contract: Contract, value: object) -> object:
    """Give what the manifest would hold, through the engine's text."""
    ((alias, expression),) = partitions.expressions(contract).items()
    kind = contract.columns[0].type
    rows = pa.table({"c": [str(value)]}) if isinstance(value, UUID) else pa.table({"c": pa.array([value], kind)})
    with ENGINE.session() as session:
        typed = f"SELECT c::{sql_type(kind)} AS c FROM rows"
        text = session.run(f"SELECT ({expression})::VARCHAR AS t FROM ({typed})", rows=rows).column(0)[0].as_py()
    schema = schema_of(contract)
    return partitions.record(partitions.specification(contract, schema), schema, {alias: text})[0]


def expected(contract: Contract, value: object) -> object:
    schema = schema_of(contract)
    (field,) = partitions.specification(contract, schema).fields
    found = field.transform.transform(schema.find_type("c"))(partition_record_value(field, value, schema))
    return UUID(bytes=found) if isinstance(value, UUID) else found


@pytest.mark.parametrize(("kind", "partition"), TRANSFORMS, ids=[f"{kind}-{partition}" for kind, partition in TRANSFORMS])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_partition_value_is_what_iceberg_makes_of_it(kind: str, partition: Partition, data: st.DataObject) -> None:
    contract = contract_of(kind, partition)
    value = data.draw(st.none() | VALUES[kind])
    assert written(contract, value) == expected(contract, value)


EDGES: list[tuple[str, Partition, object]] = [
    ("timestamp", Partition("c", "hour"), datetime(1969, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001 a timestamp without a zone
    ("timestamp", Partition("c", "hour"), datetime(1970, 1, 1)),  # noqa: DTZ001
    ("timestamp", Partition("c", "day"), datetime(1969, 12, 31, 0, 0, 0, 1)),  # noqa: DTZ001
    ("timestamptz", Partition("c", "month"), datetime(1969, 12, 31, 23, 30, tzinfo=UTC)),
    ("date", Partition("c", "year"), date(1969, 12, 31)),
    ("date", Partition("c", "year"), date(1, 1, 1)),
    ("date", Partition("c", "month"), date(9999, 12, 31)),
    ("int", Partition("c", "truncate", 10), -1),
    ("int", Partition("c", "truncate", 10), -10),
    ("string", Partition("c", "truncate", 3), "😀é\u0301xy"),
    ("string", Partition("c"), ""),
    ("string", Partition("c"), "null"),
    ("decimal(12,2)", Partition("c"), Decimal("-0.10")),
]


@pytest.mark.parametrize(("kind", "partition", "value"), EDGES)
def test_edges_are_on_the_right_side(kind: str, partition: Partition, value: object) -> None:
    contract = contract_of(kind, partition)
    assert written(contract, value) == expected(contract, value)


REFUSED: list[tuple[str, Partition, type[LimnosError]]] = [
    ("timestamp", Partition("c"), ProjectInvalid),
    ("double", Partition("c"), ProjectInvalid),
    ("binary", Partition("c"), ProjectInvalid),
    ("list<long>", Partition("c"), ProjectInvalid),
    ("date", Partition("c", "hour"), ProjectInvalid),
    ("string", Partition("c", "year"), ProjectInvalid),
    ("date", Partition("c", "truncate", 5), ProjectInvalid),
    ("long", Partition("c", "bucket", 5), Unsupported),
]


@pytest.mark.parametrize(("kind", "partition", "error"), REFUSED, ids=[f"{kind}-{partition}" for kind, partition, _ in REFUSED])
def test_a_transform_that_does_not_fit_is_refused(kind: str, partition: Partition, error: type[LimnosError]) -> None:
    with pytest.raises(error) as caught:
        partitions.expressions(contract_of(kind, partition))
    assert all((caught.value.what, caught.value.subject, caught.value.seen, caught.value.expected, caught.value.hint))
