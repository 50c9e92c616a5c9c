"""Partition transforms: as Iceberg's specification, as SQL that splits files, and as values in manifests.

Source: Apache Iceberg table specification, version 2, "Partition Transforms".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyiceberg.conversions import partition_to_py
from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import parse_transform
from pyiceberg.typedef import Record
from pyiceberg.types import DateType, PrimitiveType, TimestampType, TimestamptzType

from limnos.errors import ProjectInvalid, Unsupported
from limnos.model.contract import Contract, Partition
from limnos.model.names import quoted
from limnos.model.types import type_name

_EPOCH = {"year": "DATE '1970-01-01'", "month": "DATE '1970-01-01'", "day": "DATE '1970-01-01'", "hour": "TIMESTAMP '1970-01-01'"}
_IDENTITY = {"boolean", "int", "long", "string", "date", "uuid"}
"""Types whose values survive as text between engine and manifest; a float's many zeros and NaNs do not, nor do bytes."""
_PREFIX = "__limnos_partition_"


def _spelled(partition: Partition) -> str:
    return f"{partition.transform}[{partition.width}]" if partition.width else partition.transform


def _field_name(partition: Partition) -> str:
    return partition.column if partition.transform == "identity" else f"{partition.column}_{partition.transform}"


def specification(contract: Contract, schema: Schema) -> PartitionSpec:
    """Give the contract's partitions as an Iceberg partition specification over `schema`."""
    return PartitionSpec(
        *(
            PartitionField(
                source_id=schema.find_field(partition.column).field_id,
                field_id=PARTITION_FIELD_ID_START + at,
                transform=parse_transform(_spelled(partition)),
                name=_field_name(partition),
            )
            for at, partition in enumerate(contract.partitions)
        )
    )


def agree(spec: PartitionSpec, schema: Schema, contract: Contract) -> bool:
    """Tell whether a table is partitioned as its contract says."""
    found = [(schema.find_column_name(field.source_id), str(field.transform)) for field in spec.fields]
    return found == [(partition.column, _spelled(partition)) for partition in contract.partitions]


def expressions(contract: Contract) -> Mapping[str, str]:
    """Map an alias to the SQL expression that splits the files, one a partition.

    Raises:
        Unsupported: If the engine cannot compute a transform.
        ProjectInvalid: If a transform does not fit its column.
    """
    return {f"{_PREFIX}{at}": _expression(partition, contract) for at, partition in enumerate(contract.partitions)}


def _expression(partition: Partition, contract: Contract) -> str:
    kind = contract.column(partition.column).type
    column = quoted(partition.column)
    if partition.transform == "identity":
        if type_name(kind) not in _IDENTITY and not pa.types.is_decimal(kind):
            raise _unfit(
                partition, contract, f"year, month, day or hour of a timestamp, or a column of type {', '.join(sorted(_IDENTITY))}"
            )
        return f"datediff('day', DATE '1970-01-01', {column})" if pa.types.is_date(kind) else column
    if partition.transform in _EPOCH:
        if not (pa.types.is_timestamp(kind) or (pa.types.is_date(kind) and partition.transform != "hour")):
            raise _unfit(partition, contract, "a date or timestamp column")
        local = f"({column} AT TIME ZONE 'UTC')" if pa.types.is_timestamp(kind) and kind.tz else column
        return f"datediff('{partition.transform}', {_EPOCH[partition.transform]}, {local})"
    if partition.transform == "truncate":
        if pa.types.is_integer(kind):
            return f"({column} - ((({column} % {partition.width}) + {partition.width}) % {partition.width}))"
        if pa.types.is_string(kind):
            return f"left({column}, {partition.width})"
        raise _unfit(partition, contract, "an integer or string column")
    raise Unsupported(
        f"{contract.table} cannot be partitioned by {partition}",
        subject=str(contract.place),
        seen=partition.transform,
        expected="identity, year, month, day, hour or truncate",
        hint=f"choose another transform under tables: {contract.table}: partition:",
    )


def _unfit(partition: Partition, contract: Contract, expected: str) -> ProjectInvalid:
    return ProjectInvalid(
        f"{contract.table} cannot be partitioned by {partition}",
        subject=str(contract.place),
        seen=f"{partition.column} is {contract.column(partition.column).type}",
        expected=expected,
        hint=f"change tables: {contract.table}: partition:",
    )


def record(spec: PartitionSpec, schema: Schema, values: Mapping[str, str | None]) -> Record:
    """Give a file's partition values, texts as the engine wrote them, as a manifest holds them."""
    texts: Sequence[str | None] = [values.get(f"{_PREFIX}{at}") for at in range(len(spec.fields))]
    return Record(*(_value(field, schema, text) for field, text in zip(spec.fields, texts, strict=True)))


def _value(field: PartitionField, schema: Schema, text: str | None) -> Any:  # noqa: ANN401 the manifest holds any primitive
    if text is None:
        return None
    kind = field.transform.result_type(schema.find_type(field.source_id))
    if not isinstance(kind, PrimitiveType) or isinstance(kind, TimestampType | TimestamptzType):
        raise TypeError(f"no partition value of type {kind}")
    return int(text) if isinstance(kind, DateType) else partition_to_py(kind, text)
