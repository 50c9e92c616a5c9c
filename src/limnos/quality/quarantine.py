"""Quarantine: the SQL that turns rows which cannot be published into entries that keep what was there, and back.

Every entry has the columns, in this order: `id VARCHAR, table_name VARCHAR, run_id VARCHAR, at TIMESTAMPTZ, origin VARCHAR, fingerprint
VARCHAR, row VARCHAR, raw BLOB, reasons STRUCT(rule VARCHAR, version VARCHAR, severity VARCHAR, columns VARCHAR[], detail VARCHAR)[]`.
`row` is a JSON object of column to original text or null, `raw` is set instead where no row could be made of the bytes. `fingerprint` is
the same for equal content of a table in any run; `id` is the same when the same run takes the same step again, and differs between equal
rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from limnos.model.casts import Casts
from limnos.model.contract import Contract, RuleSpec, Severity
from limnos.model.conversion import as_text
from limnos.model.names import TableName, literal, quoted
from limnos.model.types import type_name

MALFORMED = RuleSpec("malformed", severity=Severity.QUARANTINE)
REASONS = "STRUCT(rule VARCHAR, version VARCHAR, severity VARCHAR, columns VARCHAR[], detail VARCHAR)[]"
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Stamp:
    """Say whose entries they are: of which table, of which run, since when."""

    table: TableName
    run_id: str
    at: datetime


def of_rejects(rejects: str, stamp: Stamp) -> str:
    """Write entries of what could not become a row, from a SELECT of `origin VARCHAR, raw BLOB, reason VARCHAR`."""
    reasons = f"[{reason(MALFORMED, 'reason')}]"
    return _entries(f"SELECT origin, origin AS place, NULL::VARCHAR AS row, raw, {reasons} AS reasons FROM ({rejects})", stamp)


def of_failed_conversions(rows: str, raw: pa.Schema, contract: Contract, stamp: Stamp, *, origin: str = "CAST(_record AS VARCHAR)") -> str:
    """Write entries of the rows in which a value does not fit its column, with a reason for each such column.

    `rows` is a SELECT of the raw columns and `_record BIGINT`; `origin` is SQL over them, text that says where a row came from. Columns
    that the contract does not know are kept in `row`.
    """
    fails: list[str] = []
    reasons: list[str] = []
    for name, conversion in Casts.of(raw, contract).columns.items():
        if conversion.certain:
            continue
        source = contract.drifted.beside.get(name, name)
        if name in contract.drifted.refused:
            spec, wrong = (
                RuleSpec("undeclared", (name,), severity=Severity.QUARANTINE),
                "stands in a column that the contract does not have",
            )
        else:
            spelled = type_name(contract.column(name).type)
            spec, wrong = RuleSpec("type", (name,), {"type": spelled}, Severity.QUARANTINE), f"is not of type {spelled}"
        shown = f"'''' || left({as_text(quoted(source), raw.field(source).type)}, {_SHOWN}) || ''' {wrong}'"
        fails.append(conversion.fails)
        reasons.append(f"CASE WHEN {conversion.fails} THEN {reason(spec, shown)} END")
    listed = f"list_filter([{', '.join(reasons)}], lambda one: one IS NOT NULL)" if reasons else "[]"
    body = f"SELECT {origin} AS origin, {origin} AS place, {_row(raw)} AS row, NULL::BLOB AS raw, {listed} AS reasons"
    return _entries(f"{body} FROM ({rows}) WHERE {' OR '.join(fails) or 'FALSE'}", stamp)


def of_bad_rows(relation: str, bad_table: str, contract: Contract, stamp: Stamp, *, origin: str = "", row: str = "NULL") -> str:
    """Write entries of the typed rows that an audit listed in `bad_table`; their texts convert back to the same values.

    `origin` is SQL over the relation's columns that names a stable place. Without it the place stays empty, and `id` rests on the content.
    `row` is SQL of the original row as a JSON object, where it is known.
    """
    place = origin or "''"
    marked = f"JOIN {quoted(bad_table)} AS bad ON one._file = bad._file AND one._row = bad._row"
    text = f"coalesce({row}, {_row(contract.schema)})"
    body = f"SELECT {place} AS origin, {place} AS place, {text} AS row, NULL::BLOB AS raw, bad.reasons AS reasons"
    return _entries(f"{body} FROM {relation} AS one {marked}", stamp)


def rows_back(entries: str, contract: Contract) -> str:
    """Write the rows of stored entries as text columns in the contract's order, with the entry's id first, as `_entry`.

    A column that the entry does not hold is null; an entry without a row gives none.
    """
    columns = ", ".join(f"json_extract_string(row, {literal(_pointer(name))}) AS {quoted(name)}" for name in contract.names)
    return f"SELECT id AS _entry, {columns} FROM ({entries}) WHERE row IS NOT NULL"


def undeclared(contract: Contract) -> str:
    """Write the condition, never null, of stored entries that hold a value in a column which the contract still does not have."""
    known = ", ".join(literal(name) for name in contract.names)
    unknown = f"one.rule LIKE 'undeclared:%' AND NOT list_contains([{known}], one.columns[1])"
    return f"coalesce(list_bool_or(list_transform(reasons, lambda one: {unknown})), FALSE)"


def reason(spec: RuleSpec, detail: str) -> str:
    """Write one reason of an entry; `detail` is SQL."""
    columns = ", ".join(literal(name) for name in spec.columns)
    return (
        f"{{'rule': {literal(spec.name)}, 'version': {literal(spec.version)}, 'severity': {literal(str(spec.severity))}, "
        f"'columns': [{columns}]::VARCHAR[], 'detail': {detail}}}"
    )


def _entries(body: str, stamp: Stamp) -> str:
    table, run_id, at = literal(str(stamp.table)), literal(stamp.run_id), literal(stamp.at.isoformat())
    content = "coalesce(row, hex(raw))"
    marked = f"SELECT *, md5({table} || chr(10) || {content}) AS fingerprint FROM ({body})"
    number = "row_number() OVER (PARTITION BY place, fingerprint)"
    identity = " || chr(10) || ".join([run_id, table, "place", "fingerprint", f"CAST({number} AS VARCHAR)"])
    return (
        f"SELECT md5({identity}) AS id, {table} AS table_name, {run_id} AS run_id, CAST({at} AS TIMESTAMPTZ) AS at, origin, fingerprint, "
        f"row, raw, CAST(reasons AS {REASONS}) AS reasons FROM ({marked})"
    )


def _row(schema: Iterable[pa.Field[pa.DataType]]) -> str:
    members = ", ".join(f"{literal(field.name)}, CAST({as_text(quoted(field.name), field.type)} AS VARCHAR)" for field in schema)
    return f"CAST(json_object({members}) AS VARCHAR)"


def _pointer(name: str) -> str:
    """Write a JSON pointer to a member. Source: RFC 6901, section 3."""
    return "/" + name.replace("~", "~0").replace("/", "~1")
