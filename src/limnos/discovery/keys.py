"""Find the columns that identify a row, and prove it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import prod

from limnos.model.names import quoted
from limnos.model.profile import CandidateKey, ColumnProfile
from limnos.ports import Session

_KEYED = ("int", "long", "string", "date", "time", "timestamp", "timestamptz", "uuid", "decimal")
_LONGEST = 36
_ALMOST = 0.9
# Of a large table, how many different values there are is an estimate.
_ENOUGH = 0.95
_FEW = 20_000
_TRIED = 200
_PROVED = 4


def find_keys(session: Session, relation: str, columns: Sequence[ColumnProfile], declared: tuple[str, ...]) -> tuple[CandidateKey, ...]:
    """Give the single columns that identify a row, and the declared key; where there are none, a pair or triple that does.

    Of pairs and triples of whole numbers, times, dates, and texts of at most 36 characters, all without nulls, those that could only just
    tell the rows apart are tried first, and only a few of them over all rows: there may be more keys than the one that is found.
    """
    rows = columns[0].rows if columns else 0
    if rows == 0:
        return ()
    single = [column for column in columns if column.unique or (_nearly(column) and _identify(session, relation, (column.name,)))]
    found = [CandidateKey((column.name,), declared=declared == (column.name,)) for column in single]
    if len(declared) > 1 and _filled(declared, columns) and _identify(session, relation, declared):
        found.append(CandidateKey(declared, declared=True))
    if found:
        return tuple(found)
    session.run(f"CREATE OR REPLACE TEMP TABLE limnos_few AS SELECT * FROM {relation} LIMIT {_FEW}")
    possible = [column for column in columns if _possible(column)]
    for size in (2, 3):
        tried = _not_refuted(session, _tightest(possible, size, rows))
        proven = next((names for names in tried[:_PROVED] if _identify(session, relation, names)), None)
        if proven:
            return (CandidateKey(proven),)
    return ()


def _nearly(column: ColumnProfile) -> bool:
    return "distinct" in column.approximate and column.nulls == 0 and column.distinct >= _ALMOST * column.rows


def _filled(names: Sequence[str], columns: Sequence[ColumnProfile]) -> bool:
    return set(names) <= {column.name for column in columns if column.nulls == 0}


def _possible(column: ColumnProfile) -> bool:
    kind, _, scale = column.type.partition("(")
    whole = kind in _KEYED and (kind != "decimal" or scale.endswith(",0)"))
    return whole and column.nulls == 0 and column.distinct > 1 and (column.lengths is None or column.lengths.most <= _LONGEST)


def _tightest(columns: Sequence[ColumnProfile], size: int, rows: int) -> Sequence[tuple[str, ...]]:
    """Give the combinations that have enough different values, those with the fewest first."""
    counted = ((prod(column.distinct for column in chosen), chosen) for chosen in combinations(columns, size))
    enough = sorted((most, tuple(column.name for column in chosen)) for most, chosen in counted if most >= _ENOUGH * rows)
    return [names for _, names in enough[:_TRIED]]


def _not_refuted(session: Session, tried: Sequence[tuple[str, ...]]) -> Sequence[tuple[str, ...]]:
    """Leave out what is no key even of a few rows."""
    if not tried:
        return ()
    counts = ", ".join(f"count(DISTINCT ({_listed(names)})) = count(*) AS k{at}" for at, names in enumerate(tried))
    kept = session.run(f"SELECT {counts} FROM limnos_few").to_pylist()[0]
    return [names for at, names in enumerate(tried) if kept[f"k{at}"]]


def _identify(session: Session, relation: str, names: Sequence[str]) -> bool:
    twice = f"SELECT 1 FROM {relation} GROUP BY {_listed(names)} HAVING count(*) > 1 LIMIT 1"
    return session.run(twice).num_rows == 0


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names))
