"""Profile the rows of a relation, column by column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from limnos.discovery.classification import classify
from limnos.discovery.distribution import distribute, forget, read, values
from limnos.discovery.inclusions import Parents
from limnos.model.names import TableName, quoted
from limnos.model.profile import NOT_PERSONAL, ColumnProfile, Inclusion
from limnos.ports import Session

_CLASSED = 1_000
_SAMPLE_ROWS = 200_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound what is counted in full.

    Of a table with more than `rows` rows, a column of more than `distinct` different values, as estimated, is read off a sample.
    """

    rows: int = 10_000_000
    distinct: int = 1_000_000


def profile_columns(
    session: Session, relation: str, schema: pa.Schema, rows: int, parents: Parents, *, limits: Limits, told: Mapping[str, Column]
) -> Iterator[tuple[ColumnProfile, Sequence[Inclusion]]]:
    """Profile each column of the schema, with the keys of other tables that it holds; `told` is what is known of some beforehand."""
    sampled = _sampled(session, relation, schema, rows, limits)
    for field in schema:
        distribute(session, "limnos_sample" if field.name in sampled else relation, field.name)
        found = read(session, field, relation if field.name in sampled else "")
        known = told.get(field.name, Column())
        column = _classified(session, found, field.type, known)
        yield column, tuple(parents.included(column, known.references))
    forget(session)


@dataclass(frozen=True, slots=True)
class Column:
    """Say what is known of a column: its declared class, what it is declared to refer to, and whether its values are never shown."""

    classification: str = ""
    references: frozenset[tuple[TableName, str]] = frozenset()
    masked: bool = False


def _sampled(session: Session, relation: str, schema: pa.Schema, rows: int, limits: Limits) -> frozenset[str]:
    """Draw a sample of the columns that have too many values to count each, and name them."""
    if rows <= limits.rows or not len(schema):
        return frozenset()
    estimates = ", ".join(f"approx_count_distinct({quoted(name)}) AS c{at}" for at, name in enumerate(schema.names))
    found = session.run(f"SELECT {estimates} FROM {relation}").to_pylist()[0]
    many = [name for at, name in enumerate(schema.names) if found[f"c{at}"] > limits.distinct]
    if many:
        columns = ", ".join(map(quoted, many))
        share = f"{min(100.0, 100 * _SAMPLE_ROWS / rows):.9f} PERCENT (bernoulli, 42)"
        session.run(f"CREATE OR REPLACE TEMP TABLE limnos_sample AS SELECT {columns} FROM {relation} USING SAMPLE {share}")
    return frozenset(many)


def _classified(session: Session, column: ColumnProfile, kind: pa.DataType, known: Column) -> ColumnProfile:
    """Give the declared class, or the one that name and values propose."""
    if known.classification or pa.types.is_nested(kind) or pa.types.is_binary(kind):
        classification, evidence = known.classification, "declared" if known.classification else ""
    else:
        proposed = classify(column.name, kind, values(session, _CLASSED))
        classification, evidence = (proposed.classification, proposed.evidence) if proposed else ("", "")
    hidden = known.masked or classification not in NOT_PERSONAL
    return replace(column, classification=classification, evidence=evidence, hidden=hidden)


def without_values(column: ColumnProfile) -> ColumnProfile:
    """Take out of a profile what is a value of a row, or may tell one."""
    kept: dict[str, Any] = {"minimum": None, "maximum": None, "mean": None, "stddev": None, "quantiles": {}, "top": ()}
    return replace(column, **kept, hidden=True)
