"""Set aside what cannot be published: gather it as quarantine entries, each with the place in the source that it came from."""

from __future__ import annotations

import pyarrow as pa

from limnos.model.casts import RECORD, Casts, names, numbered
from limnos.model.contract import Contract
from limnos.model.conversion import as_text
from limnos.model.data import Relation
from limnos.model.extract import Extract
from limnos.model.names import literal, quoted
from limnos.ports import Session
from limnos.quality import quarantine

FAILED = "limnos_failed"
"""The temporary table of raw rows, with `_record`, in which a value does not fit its type."""
BAD = "limnos_bad"
"""The temporary table of staged rows that broke a rule, as an audit leaves it."""
_LOST, _ALIKE, _FOUND, _ORIGINS = "limnos_lost", "limnos_alike", "limnos_found", "limnos_origins"


def entries(
    session: Session, extract: Extract, contract: Contract, relation: Relation, stamp: quarantine.Stamp, *, failed: int, bad: int
) -> str:
    """Write the SELECT of all entries: the extract's rejects, the rows in `FAILED`, and the staged rows in `BAD`."""
    parts = [quarantine.of_rejects(extract.rejects, stamp)] if extract.rejected else []
    if failed:
        _look_up(session, extract, FAILED)
        origin = f"coalesce(o.origin, {key(contract, extract.schema, 'f')})"
        rows = f"SELECT f.*, {origin} AS _origin FROM {FAILED} AS f LEFT JOIN {_ORIGINS} AS o USING ({RECORD})"
        parts.append(quarantine.of_failed_conversions(rows, extract.schema, contract, stamp, origin="_origin"))
    if bad:
        parts.append(_of_bad(session, extract, contract, relation, stamp))
    return " UNION ALL ".join(f"({part})" for part in parts)


def _of_bad(session: Session, extract: Extract, contract: Contract, relation: Relation, stamp: quarantine.Stamp) -> str:
    staged = f"({session.relation(relation, positions=True)})"
    origin = key(contract, contract.schema, "one")
    if not (extract.scan and extract.origins):
        return quarantine.of_bad_rows(staged, BAD, contract, stamp, origin=origin)
    _locate(session, extract, contract, staged)
    _look_up(session, extract, _FOUND, f"{_FOUND}_origins")
    located = f"(SELECT t.*, o.origin AS _origin FROM {_FOUND} AS t LEFT JOIN {_FOUND}_origins AS o USING ({RECORD}))"
    return quarantine.of_bad_rows(located, BAD, contract, stamp, origin=f"coalesce(_origin, {origin})", row="one._raw")


def _locate(session: Session, extract: Extract, contract: Contract, staged: str) -> None:
    """Find the raw record of each bad row by value, reading the source once more; equal rows are paired in any order."""
    casts = Casts.of(extract.schema, contract)
    columns, theirs = names(contract.names), names(contract.names, "t")
    session.run(
        f"CREATE OR REPLACE TEMP TABLE {_LOST} AS SELECT t.*, hash({theirs}) AS _hash, row_number() OVER (PARTITION BY {theirs}) AS _copy "
        f"FROM {staged} AS t SEMI JOIN {BAD} AS b USING (_file, _row)"
    )
    texts = ", ".join(f"{literal(field.name)}, CAST({as_text(quoted(field.name), field.type)} AS VARCHAR)" for field in extract.schema)
    typed = f"SELECT {RECORD}, CAST(json_object({texts}) AS VARCHAR) AS _raw, {casts.select} FROM {numbered(extract.scan)} AS raw"
    # A statement of its own: within a larger one the engine may read the parts of a scan in any order, and number them so.
    session.run(
        f"CREATE OR REPLACE TEMP TABLE {_ALIKE} AS SELECT * FROM (SELECT *, hash({columns}) AS _hash FROM ({typed})) "
        f"WHERE _hash IN (SELECT _hash FROM {_LOST})"
    )
    ranked = f"SELECT *, row_number() OVER (PARTITION BY {columns} ORDER BY {RECORD}) AS _copy FROM {_ALIKE}"
    same = " AND ".join(f"l.{quoted(name)} IS NOT DISTINCT FROM r.{quoted(name)}" for name in contract.names)
    session.run(
        f"CREATE OR REPLACE TEMP TABLE {_FOUND} AS SELECT l.*, r.{RECORD}, r._raw FROM {_LOST} AS l "
        f"LEFT JOIN ({ranked}) AS r ON l._hash = r._hash AND l._copy = r._copy AND {same}"
    )


def _look_up(session: Session, extract: Extract, table: str, into: str = _ORIGINS) -> None:
    """Ask the source for the origins of the records in `table`, and keep them as a table of `_record` and `origin`."""
    found = session.run(f"SELECT DISTINCT {RECORD} FROM {table} WHERE {RECORD} IS NOT NULL ORDER BY 1").column(0).to_pylist()
    records = [record for record in found if record is not None] if extract.origins else []
    origins = list(extract.origins(records)) if extract.origins and records else []
    given = pa.table({RECORD: pa.array(records, pa.int64()), "origin": pa.array(origins, pa.string())})
    session.run(f"CREATE OR REPLACE TEMP TABLE {into} AS SELECT * FROM given", given=given)


def key(contract: Contract, schema: pa.Schema, alias: str) -> str:
    """Write the SQL of what a person can look a row up by where the source names no place: its table and its key."""
    key = [name for name in contract.key if name in schema.names]
    named = [f"{literal(name + '=')} || coalesce(CAST({alias}.{quoted(name)} AS VARCHAR), 'null')" for name in key]
    return f"concat_ws(' ', {', '.join([literal(contract.table.name), *named])})"
