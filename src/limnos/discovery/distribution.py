"""Measure a column by its distribution: each different value, with the number of its rows.

All numbers of a profile can be read off it, exactly. To make one costs little more than to estimate its size, and less where values
repeat, as the measurements of ADR 0023 show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from limnos.discovery.shapes import loose, shape
from limnos.model.names import quoted
from limnos.model.profile import ColumnProfile, Counted, Lengths
from limnos.model.types import type_name
from limnos.ports import Session

DISTRIBUTION = "limnos_distribution"
PERCENTS = (5, 25, 50, 75, 95)
MOST_SHOWN = 20
_CUT = 200
_SHAPED = 20_000
_NUMBERS = ("int", "long", "float", "double", "decimal")
_RANKED = (*_NUMBERS, "date", "time", "timestamp", "timestamptz")
_ORDERED = (*_RANKED, "string", "uuid", "boolean")


def distribute(session: Session, relation: str, column: str) -> None:
    """Make the temporary table of a column's distribution, `v` and `n`, in place of the one before."""
    session.run(f"CREATE OR REPLACE TEMP TABLE {DISTRIBUTION} AS SELECT {quoted(column)} AS v, count(*) AS n FROM {relation} GROUP BY ALL")


def forget(session: Session) -> None:
    """Drop the distribution: that of long texts is large."""
    session.run(f"DROP TABLE IF EXISTS {DISTRIBUTION}")


def read(session: Session, field: pa.Field[Any], whole: str = "") -> ColumnProfile:
    """Read all that a profile says of one column off its distribution; its class is left open.

    Where the distribution is that of a sample, `whole` is the relation that it was taken of: what one pass can count is counted there.
    """
    spelled = type_name(field.type)
    kind = spelled.partition("(")[0]
    nested = pa.types.is_nested(field.type)
    rows_of = f"(SELECT {quoted(field.name)} AS v, CAST(1 AS BIGINT) AS n FROM {whole})" if whole else DISTRIBUTION
    found = session.run(f"SELECT {', '.join(_counts(kind, nested=nested, sampled=bool(whole)))} FROM {rows_of}").to_pylist()[0]
    rows, nulls, distinct = int(found["n_rows"]), int(found["n_nulls"]), int(found["n_distinct"])
    mean, stddev = _spread(session, rows_of, kind) if kind in _NUMBERS and distinct else (None, None)
    patterns, looked, sampled = _patterns(session) if kind == "string" and distinct else ((), 0, False)
    return ColumnProfile(
        name=field.name,
        type=spelled,
        rows=rows,
        nulls=nulls,
        distinct=distinct,
        single=int(found["n_single"]),
        nan=int(found.get("n_nan", 0)),
        infinite=int(found.get("n_infinite", 0)),
        negative=int(found.get("n_negative", 0)),
        zero=int(found.get("n_zero", 0)),
        empty=int(found.get("n_empty", 0)),
        minimum=found.get("low"),
        maximum=found.get("high"),
        mean=mean,
        stddev=stddev,
        quantiles=_quantiles(session, kind) if kind in _RANKED else {},
        lengths=Lengths(found["shortest"], found["length"], found["longest"]) if found.get("longest") is not None else None,
        top=_top(session, rows if whole else 0) if not nested and kind != "binary" else (),
        patterns=patterns,
        pattern_rows=looked,
        approximate=("distinct", "single", "quantiles", "top", "patterns") if whole else ("patterns",) if sampled else (),
    )


def values(session: Session, most: int) -> Sequence[str]:
    """Give some of the different values as text, the same ones each time."""
    sql = f"SELECT CAST(v AS VARCHAR) AS v FROM {DISTRIBUTION} WHERE v IS NOT NULL ORDER BY hash(v) LIMIT {most}"
    return [str(value) for value in session.run(sql).column("v").to_pylist()]


def _counts(kind: str, *, nested: bool, sampled: bool) -> Sequence[str]:
    parts = [
        "CAST(coalesce(sum(n), 0) AS BIGINT) AS n_rows",
        f"{_rows('v IS NULL')} AS n_nulls",
        f"{'approx_count_distinct(v)' if sampled else 'count(v)'} AS n_distinct",
        f"{'0' if sampled else 'count(v) FILTER (WHERE n = 1)'} AS n_single",
    ]
    number = "NOT isnan(v)" if kind in ("float", "double") else "TRUE"
    if not nested and kind in _ORDERED:
        parts += [f"{_shown(f'{each}(v) FILTER (WHERE {number})')} AS {name}" for each, name in (("min", "low"), ("max", "high"))]
    if kind in ("float", "double"):
        parts += [f"{_rows('isnan(v)')} AS n_nan", f"{_rows('isinf(v)')} AS n_infinite"]
    if kind in _NUMBERS:
        parts += [f"{_rows('v < 0')} AS n_negative", f"{_rows('v = 0')} AS n_zero"]
    if kind in ("string", "binary"):
        size = "length(v)" if kind == "string" else "octet_length(v)"
        parts += [f"min({size}) AS shortest", f"max({size}) AS longest"]
        parts += [f"sum(CAST({size} AS HUGEINT) * n)::DOUBLE / sum(n) FILTER (WHERE v IS NOT NULL) AS length"]
        parts += [f"{_rows(f'{size} = 0')} AS n_empty"]
    return parts


def _rows(condition: str) -> str:
    return f"CAST(coalesce(sum(n) FILTER (WHERE {condition}), 0) AS BIGINT)"


def _shown(value: str) -> str:
    return f"left(CAST({value} AS VARCHAR), {_CUT})"


def _spread(session: Session, rows_of: str, kind: str) -> tuple[float | None, float | None]:
    """Give mean and standard deviation of the finite values, in double precision; nothing where they do not fit it."""
    finite = "isfinite(v)" if kind in ("float", "double") else "v IS NOT NULL"
    # Whole numbers are added up exactly: near the ends of their range a double does not tell them apart.
    total = "CAST(sum(CAST(v AS HUGEINT) * n) AS DOUBLE)" if kind in ("int", "long") else "fsum(CAST(v AS DOUBLE) * n)"
    found = session.run(
        f"WITH rows AS (SELECT v, n FROM {rows_of} WHERE {finite}), "
        f"middle AS (SELECT {total} / sum(n) AS mean, CAST(coalesce(sum(n), 0) AS BIGINT) AS n FROM rows), "
        "apart AS (SELECT CAST(v AS DOUBLE) - middle.mean AS v, rows.n AS n FROM rows, middle) "
        "SELECT mean, (SELECT fsum(n * v * v) FROM apart) / (n - 1) AS variance FROM middle"
    ).to_pylist()[0]
    mean, variance = _finite(found["mean"]), _finite(found["variance"])
    return mean, variance**0.5 if mean is not None and variance is not None else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and value - value == 0 else None


def _quantiles(session: Session, kind: str) -> dict[int, str]:
    number = "NOT isnan(v)" if kind in ("float", "double") else "v IS NOT NULL"
    ranked = (
        "SELECT v, CAST(sum(n) OVER (ORDER BY v ROWS UNBOUNDED PRECEDING) AS BIGINT) AS upto, CAST(sum(n) OVER () AS BIGINT) AS n "
        f"FROM {DISTRIBUTION} WHERE {number}"
    )
    chosen = ", ".join(f"CAST(min(v) FILTER (WHERE upto * 100 >= n * {percent}) AS VARCHAR) AS q{percent}" for percent in PERCENTS)
    found = session.run(f"SELECT {chosen} FROM ({ranked})").to_pylist()[0]
    return {percent: str(found[f"q{percent}"]) for percent in PERCENTS if found[f"q{percent}"] is not None}


def _top(session: Session, rows: int) -> tuple[Counted, ...]:
    """Give the most frequent values, nothing where none is; with `rows`, the counts of a sample are stretched to so many."""
    n = f"CAST(round(n * {rows} / (SELECT sum(n) FROM {DISTRIBUTION})) AS BIGINT)" if rows else "n"
    chosen = f"d.v IS NOT NULL AND (SELECT max(n) > 1 FROM {DISTRIBUTION} WHERE v IS NOT NULL)"
    return _listed(session, f"SELECT {_shown('v')} AS v, {n} AS n FROM {DISTRIBUTION} AS d WHERE {chosen} ORDER BY d.n DESC, d.v")


def _listed(session: Session, sql: str) -> tuple[Counted, ...]:
    return tuple(Counted(str(row["v"]), int(row["n"])) for row in session.run(f"{sql} LIMIT {MOST_SHOWN}").to_pylist())


def _patterns(session: Session) -> tuple[tuple[Counted, ...], int, bool]:
    """Give the most frequent forms, how many rows were looked at, and whether those are a sample; loose forms where there are too many."""
    distinct = int(session.run(f"SELECT count(v) AS n FROM {DISTRIBUTION}").to_pylist()[0]["n"])
    step = max(1, -(-distinct // _SHAPED))
    chosen = f"v IS NOT NULL AND hash(v) % {step} = 0" if step > 1 else "v IS NOT NULL"
    forms = "limnos_forms"
    session.run(
        f"CREATE OR REPLACE TEMP TABLE {forms} AS SELECT form AS v, CAST(sum(n) AS BIGINT) AS n "
        f"FROM (SELECT {shape('v')} AS form, n FROM {DISTRIBUTION} WHERE {chosen}) GROUP BY form"
    )
    looked = int(session.run(f"SELECT CAST(coalesce(sum(n), 0) AS BIGINT) AS n FROM {forms}").to_pylist()[0]["n"])
    exact = _listed(session, f"SELECT {_shown('v')} AS v, n FROM {forms} ORDER BY n DESC, {forms}.v")
    if sum(one.rows for one in exact) >= 0.9 * looked:
        return exact, looked, step > 1
    summed = f"SELECT {_shown(loose('v'))} AS v, CAST(sum(n) AS BIGINT) AS n FROM {forms} GROUP BY 1 ORDER BY n DESC, 1"
    return _listed(session, summed), looked, step > 1
