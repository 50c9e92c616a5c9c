"""Contracts as Iceberg schemas: field ids given once and kept, columns added and widened, never renamed by accident.

Source: Apache Iceberg table specification, version 2, "Schema Evolution" and "Column Projection".
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.table import Transaction
from pyiceberg.types import IcebergType, ListType, MapType, NestedField, StructType

from limnos.errors import SchemaDrift
from limnos.model.bookkeeping import KEPT_NAMES
from limnos.model.contract import Contract
from limnos.model.types import canonical, type_name, widens


def arrow_schema(schema: Schema) -> pa.Schema:
    """Give an Iceberg schema as Arrow, each field with its id under `PARQUET:field_id`."""
    return schema_to_pyarrow(schema, include_field_ids=True)


def field_ids(schema: Schema) -> Mapping[str, object]:
    """Map each column to its field id, nested ones in the engine's notation."""
    return {field.name: _ids(field) for field in schema.fields}


def _ids(field: NestedField) -> object:
    children = _children(field.field_type)
    return {"": field.field_id} | {name: _ids(child) for name, child in children.items()} if children else field.field_id


def _children(kind: IcebergType) -> dict[str, NestedField]:
    match kind:
        case StructType():
            return {field.name: field for field in kind.fields}
        case ListType():
            return {"element": kind.element_field}
        case MapType():
            return {"key": kind.key_field, "value": kind.value_field}
        case _:
            return {}


def evolve(transaction: Transaction, catalog: MetastoreCatalog, contract: Contract, *, replace: bool) -> None:
    """Bring a table's schema to its contract inside `transaction`: rename columns, add them, widen types.

    A type that cannot be widened is replaced by a new column of the same name and a new id, which is only sound when every file is
    replaced as well.

    Raises:
        SchemaDrift: If a type cannot be widened and the files stay, or the column partitions the table.
    """
    metadata = transaction.table_metadata
    published = {field.name: canonical(field.type) for field in arrow_schema(metadata.schema())}
    splitting = {metadata.schema().find_column_name(field.source_id) for spec in metadata.partition_specs for field in spec.fields}
    wanted = {column.name: column.type for column in contract.columns}
    renamed = {old: name for old, name in contract.drifted.renamed.items() if old in published and name not in published}
    if renamed:
        # Another column may get an old name in the same breath, which one update does not allow.
        with transaction.update_schema() as update:
            for old, name in renamed.items():
                update.rename_column(old, name)
                published[name] = published.pop(old)
    # What was kept of rows once, and is not any more, is nothing of the source's.
    forgotten = [name for name in KEPT_NAMES if replace and name in published and name not in wanted and name not in splitting]
    if not forgotten and all(published.get(name) == kind for name, kind in wanted.items()):
        return
    new = {field.name: field.field_type for field in iceberg_schema(catalog, contract).fields}
    with transaction.update_schema(allow_incompatible_changes=True) as update:
        for name in forgotten:
            update.delete_column(name)
        for name, kind in wanted.items():
            if name not in published:
                update.add_column(name, new[name])
            elif published[name] != kind and widens(published[name], kind):
                update.update_column(name, field_type=new[name])
            elif published[name] != kind:
                if not replace or name in splitting:
                    raise SchemaDrift(
                        f"The type of {contract.table}.{name} cannot be changed while rows or partitions depend on it",
                        subject=f"{contract.table}.{name}",
                        seen=type_name(kind),
                        expected=type_name(published[name]),
                        hint="declare the published type in the contract",
                    )
                update.delete_column(name)
                update.add_column(name, new[name])


def iceberg_schema(catalog: MetastoreCatalog, contract: Contract) -> Schema:
    """Give a contract's columns as a new Iceberg schema: every column optional, ids from 1 in order."""
    # PyIceberg offers no other conversion.
    return assign_fresh_schema_ids(catalog._convert_schema_if_needed(contract.schema))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
