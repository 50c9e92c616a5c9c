"""Quarantine entries: what could not become a row, did not fit its type, or broke a rule, with all reasons and the original text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from limnos.model.casts import RECORD, Casts, names, numbered
from limnos.model.contract import Contract
from limnos.model.data import Relation
from limnos.model.extract import Extract
from limnos.model.names import TableName, literal, quoted
from limnos.model.types import type_name
from limnos.ports import Session

MALFORMED = "malformed"
_ORIGINS = "limnos_origins"
_LOCATED = "limnos_located"


def text(expression: str, kind: pa.DataType) -> str:
    """Write the SQL of a value's exact text, from which `convert` makes the same value again."""
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return f"'\\x' || lower(hex({expression}))"
    if pa.types.is_nested(kind):
        return f"to_json({expression})::VARCHAR"
    return f"{expression}::VARCHAR"


def _row(schema: pa.Schema, alias: str) -> str:
    packed = ", ".join(f"{quoted(field.name)} := {text(f'{alias}.{quoted(field.name)}', field.type)}" for field in schema)
    return f"to_json(struct_pack({packed}))::VARCHAR"


@dataclass(frozen=True, slots=True)
class Maker:
    """Make the entries of one table and run; an entry's id is the same whenever the same step is done again."""

    session: Session
    contract: Contract
    run_id: str
    at: datetime

    def entries(self, extract: Extract, relation: Relation, *, failed: str, bad: str) -> str:
        """Write the SELECT of all entries: of the extract's rejects, of the raw rows in the table `failed`, of the staged rows in `bad`."""
        found = [self._of_rejects(extract.rejects)] if extract.rejected else []
        if self._exists(failed):
            found.append(self._of_failed(extract, failed))
        if self._exists(bad):
            found.append(self._of_bad(extract, relation, bad))
        table, run = literal(str(self.contract.table)), literal(self.run_id)
        identity = f"md5(concat_ws(chr(31), {run}, {table}, origin, fingerprint, row_number() OVER (PARTITION BY origin, fingerprint)))"
        return (
            f"SELECT {identity} AS id, {table} AS table_name, {run} AS run_id, TIMESTAMPTZ {literal(self.at.isoformat())} AS \"at\", origin, "
            'fingerprint, "row", raw, reasons FROM '
            "(SELECT *, md5(coalesce(\"row\", '') || chr(31) || coalesce(hex(raw), '')) AS fingerprint "
            f"FROM ({' UNION ALL BY NAME '.join(found)}))"
        )

    def _exists(self, table: str) -> bool:
        return bool(self.session.run(f"SELECT 1 FROM duckdb_tables() WHERE table_name = {literal(table)}").num_rows)

    def _of_rejects(self, rejects: str) -> str:
        reason = _reason(literal(MALFORMED), literal(""), "[]::VARCHAR[]", "reason")
        return f'SELECT origin, NULL::VARCHAR AS "row", raw, [{reason}] AS reasons FROM ({rejects})'

    def _of_failed(self, extract: Extract, failed: str) -> str:
        casts = Casts.of(extract.schema, self.contract)
        reasons = ", ".join(self._misfit(name, casts) for name in casts.uncertain)
        self._origins(extract, failed)
        return (
            f'SELECT coalesce(o.origin, {self._key(extract.schema, "f")}) AS origin, {_row(extract.schema, "f")} AS "row", NULL::BLOB AS raw, '
            f"list_filter([{reasons}], lambda one: one IS NOT NULL) AS reasons FROM {failed} AS f LEFT JOIN {_ORIGINS} AS o USING ({RECORD})"
        )

    def _misfit(self, name: str, casts: Casts) -> str:
        kind = self.contract.column(name).type
        seen = f"{literal('not a ' + type_name(kind) + ': ')} || left({quoted(name)}::VARCHAR, 200)"
        reason = _reason(literal(f"type:{name}"), literal(self.contract.version), f"[{literal(name)}]", seen)
        return f"CASE WHEN {casts.columns[name].fails} THEN {reason} END"

    def _of_bad(self, extract: Extract, relation: Relation, bad: str) -> str:
        rows = f"(SELECT t.*, b.reasons AS _reasons FROM ({self.session.relation(relation, positions=True)}) AS t JOIN {bad} AS b USING (_file, _row))"
        origin = self._key(self.contract.schema, "t")
        row = _row(self.contract.schema, "t")
        if not (extract.scan and extract.origins):
            return f'SELECT {origin} AS origin, {row} AS "row", NULL::BLOB AS raw, _reasons AS reasons FROM {rows} AS t'
        self._locate(extract, rows)
        return (
            f'SELECT coalesce(o.origin, {origin}) AS origin, coalesce(_raw_row, {row}) AS "row", NULL::BLOB AS raw, _reasons AS reasons '
            f"FROM {_LOCATED} AS t LEFT JOIN {_LOCATED}_origins AS o USING ({RECORD})"
        )

    def _locate(self, extract: Extract, rows: str) -> None:
        """Find the raw record of each bad row by value, reading the source once more; equal rows are paired in any order."""
        columns = self.contract.names
        casts = Casts.of(extract.schema, self.contract)
        self.session.run(
            f"CREATE OR REPLACE TEMP TABLE limnos_lost AS SELECT *, hash({names(columns)}) AS _hash, "
            f"row_number() OVER (PARTITION BY {names(columns)}) AS _copy FROM {rows}"
        )
        typed = f"SELECT {RECORD}, {_row(extract.schema, 'raw')} AS _raw_row, {casts.select} FROM {numbered(extract.scan)} AS raw"
        candidates = f"SELECT *, hash({names(columns)}) AS _hash FROM ({typed}) WHERE hash({names(columns)}) IN (SELECT _hash FROM limnos_lost)"
        ranked = f"SELECT *, row_number() OVER (PARTITION BY {names(columns)} ORDER BY {RECORD}) AS _copy FROM ({candidates})"
        same = " AND ".join(f"l.{quoted(name)} IS NOT DISTINCT FROM r.{quoted(name)}" for name in columns)
        self.session.run(
            f"CREATE OR REPLACE TEMP TABLE {_LOCATED} AS SELECT l.*, r.{RECORD}, r._raw_row FROM limnos_lost AS l "
            f"LEFT JOIN ({ranked}) AS r ON l._hash = r._hash AND l._copy = r._copy AND {same}"
        )
        self._origins(extract, _LOCATED, f"{_LOCATED}_origins")

    def _origins(self, extract: Extract, table: str, into: str = _ORIGINS) -> None:
        """Look the origins of the records in `table` up, and keep them as a table of `_record` and `origin`."""
        records = self.session.run(f"SELECT DISTINCT {RECORD} FROM {table} WHERE {RECORD} IS NOT NULL ORDER BY 1").column(0).to_pylist()
        found = extract.origins(records) if extract.origins and records else []
        given = pa.table({RECORD: pa.array(records[: len(found)], pa.int64()), "origin": pa.array(found, pa.string())})
        self.session.run(f"CREATE OR REPLACE TEMP TABLE {into} AS SELECT * FROM given", given=given)

    def _key(self, schema: pa.Schema, alias: str) -> str:
        """Write the SQL of what a person can look a row up by: its key, or only its table."""
        key = [name for name in self.contract.key if name in schema.names]
        named = [f"{literal(name + '=')} || coalesce({alias}.{quoted(name)}::VARCHAR, 'null')" for name in key]
        return f"concat_ws(' ', {', '.join([literal(self.contract.table.name), *named])})"


def _reason(rule: str, version: str, columns: str, detail: str) -> str:
    return f"{{'rule': {rule}, 'version': {version}, 'severity': 'quarantine', 'columns': {columns}, 'detail': {detail}}}"


def of_run(entries: str, table: TableName, run_id: str) -> str:
    """Give the stored entries of one table that one run made."""
    return f"SELECT * FROM ({entries}) WHERE table_name = {literal(str(table))} AND run_id = {literal(run_id)}"


def rows_back(entries: str, contract: Contract) -> str:
    """Give the original rows of stored entries as text columns, with the entry's `id` and `fingerprint`; bytes that made no row are left out."""
    columns = ", ".join(f"json_extract_string(\"row\", {literal('$.' + quoted(name))}) AS {quoted(name)}" for name in contract.names)
    return f'SELECT {columns}, id AS _id, fingerprint AS _fingerprint FROM ({entries}) WHERE "row" IS NOT NULL'
