"""Compute generated columns, which the log does not hold: the server evaluates their expressions over the values that it does hold.

Source: PostgreSQL documentation, "Generated Columns": an expression is immutable and reads its own row alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute

from limnos.model.changes import ENVELOPE, KEPT, OPERATION, Operation
from limnos.model.names import quoted
from limnos.sources.postgres import catalog
from limnos.sources.postgres.columns import SourceColumn
from limnos.sources.postgres.refusals import Address
from limnos.sources.postgres.stream.pgoutput import Column
from limnos.sources.postgres.stream.rows import Untold

_compute: Any = pyarrow.compute  # its stubs know no plain Python values

# Which columns an expression reads stands with its column or with its default, by the server's version.
_EXPRESSIONS = """
SELECT a.attname::text, pg_get_expr(d.adbin, d.adrelid), format_type(a.atttypid, a.atttypmod), ARRAY(
    SELECT DISTINCT b.attname::text FROM pg_depend p JOIN pg_attribute b ON b.attrelid = p.refobjid AND b.attnum = p.refobjsubid
    WHERE p.refclassid = 'pg_class'::regclass AND p.refobjid = a.attrelid AND p.refobjsubid > 0 AND p.refobjsubid <> a.attnum
      AND (p.classid, p.objid, p.objsubid) IN (('pg_attrdef'::regclass, d.oid, 0), ('pg_class'::regclass, a.attrelid, a.attnum::int)))
FROM pg_attribute a JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s AND a.attgenerated <> '' AND NOT a.attisdropped ORDER BY a.attnum
"""
_READ = """
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), coalesce(' COLLATE ' || c.oid::regcollation, '')
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation c ON c.oid = nullif(a.attcollation, t.typcollation)
WHERE a.attrelid = %s AND a.attname = ANY(%s) ORDER BY a.attnum
"""


_ROW = "limnos_row"


@dataclass(frozen=True, slots=True)
class Generated:
    """Complete the changes of one table; `reads` has, for each generated column, the columns of the log that its value comes from.

    `sql` takes the values of `inputs` as arrays of text and gives the generated columns, as text.
    """

    connection: psycopg.Connection[Any]
    address: Address
    reads: dict[str, frozenset[str]]
    inputs: tuple[str, ...]
    sql: str
    order: tuple[str, ...]

    @classmethod
    def of(cls, connection: psycopg.Connection[Any], address: Address, oid: int, columns: Sequence[SourceColumn]) -> Generated:
        """Prepare for a table of these columns, generated ones among them."""
        found = catalog.ask(connection, _EXPRESSIONS, oid)
        reads = {name: frozenset(inputs) for name, _, _, inputs in found}
        typed = catalog.ask(connection, _READ, oid, sorted(set[str]().union(*reads.values())))
        inputs = [_ROW, *(f"{quoted(name)}::{kind}{collation} AS {quoted(name)}" for name, kind, collation in typed)]
        values = [_ROW, *(f"({expression})::{kind} AS {quoted(name)}" for name, expression, kind, _ in found)]
        outputs = ", ".join(column.carrier(pa.string()).sql for column in columns if column.name in reads)
        names = ", ".join([_ROW, *(quoted(name) for name, *_ in typed)])
        outer = f"SELECT {outputs} FROM (SELECT {', '.join(values)} FROM (SELECT {', '.join(inputs)} FROM unnest("
        arrays = ", ".join(["%s::int8[]", *("%s::text[]" for _ in typed)])
        sql = f"{_verbatim(outer)}{arrays}{_verbatim(f') AS sent({names})) AS row) AS computed ORDER BY {_ROW}')}"
        return cls(connection, address, reads, tuple(name for name, *_ in typed), sql, tuple(column.name for column in columns))

    def complete(self, batch: pa.RecordBatch, *, keyless: bool) -> pa.RecordBatch:
        """Add the generated columns to changes of this table, in the table's order; a delete by key bears none.

        Raises:
            Untold: If a value that an expression reads was not sent, while another one was, or the server cannot evaluate it.
        """
        wanted = pa.array([True] * batch.num_rows) if keyless else _compute.not_equal(batch.column(OPERATION), Operation.DELETE.value)
        computed = self._ask(batch.filter(wanted))
        places: Column = _compute.if_else(wanted, _compute.subtract(_compute.cumulative_sum(wanted.cast(pa.int64())), 1), None)
        kept: list[list[str] | None] = batch.column(KEPT).to_pylist()
        columns = {name: batch.column(name) for name in batch.schema.names}
        for name, values in zip(self.reads, computed, strict=True):
            stays = pa.array([self._stays(name, frozenset(absent or ())) for absent in kept], pa.bool_())
            columns[name] = _compute.if_else(stays, None, values.take(places))
            kept = [[*(absent or ()), name] if stay else absent for absent, stay in zip(kept, stays.to_pylist(), strict=True)]
        columns[KEPT] = pa.array(kept, ENVELOPE.field(KEPT).type)
        names = [*ENVELOPE.names, *self.order]
        return pa.RecordBatch.from_arrays([columns[name] for name in names], names=names)

    def _stays(self, name: str, absent: frozenset[str]) -> bool:
        """Tell whether a generated value stays as it was because all that it reads does."""
        not_sent = self.reads[name] & absent
        if not_sent and not_sent != self.reads[name]:
            raise Untold(f"{name} is generated from {min(not_sent)} and others, and that large value was not sent")
        return bool(not_sent)

    def _ask(self, batch: pa.RecordBatch) -> list[Column]:
        values = [batch.column(name).to_pylist() for name in self.inputs]
        try:
            rows = catalog.ask(self.connection, self.sql, list(range(batch.num_rows)), *values)
        except psycopg.Error as error:
            raise Untold(f"its generated columns cannot be computed from the log ({self.address.clean(str(error))})") from None
        columns = zip(*rows, strict=True) if rows else ([] for _ in self.reads)
        return [pa.array(column, pa.string()) for column in columns]


def _verbatim(sql: str) -> str:
    """Write SQL in which the driver finds no place for a value."""
    return sql.replace("%", "%%")
