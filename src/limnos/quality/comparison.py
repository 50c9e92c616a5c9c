"""Compare two sides of a table, in a ladder of questions: sums by bucket, then the numbers of rows in the buckets that differ, then rows.

One scan of each side, whatever the number of differences; a bucket has some dozens of rows, so little is sent for each difference.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from limnos.model.casts import names
from limnos.model.comparison import Difference, Kind
from limnos.model.contract import RuleSpec, Severity
from limnos.model.digest import NUMBER, Ask, Blocks, Hash, Question, by_value, form
from limnos.model.names import quoted
from limnos.model.verdict import Dimension, Outcome, Verdict
from limnos.ports import Session
from limnos.quality.comparison_lake import LakeSide
from limnos.quality.comparison_sides import EngineSide, SourceSide

_ROWS_IN_A_BUCKET = 64
_PRIMES = (61, 251, 1021, 4093, 16381, 65521)


@dataclass(frozen=True, slots=True)
class Matter:
    """Say what is compared: the `key` that tells rows apart (none: the whole row does) and the `columns` (none: rows are only counted).

    `schema` has the types of both, `rows` is about how many there are, `limit` how many differences of each kind are shown; `blocks` choose
    the buckets where a source has an index to gain from it, `hash` is what both sides can compute.
    """

    schema: pa.Schema
    key: tuple[str, ...]
    columns: tuple[str, ...]
    rows: int
    limit: int = 20
    blocks: Blocks | None = None
    hash: Hash = Hash.MD5

    @property
    def by_value(self) -> bool:
        """Whether the key's own values choose the bucket."""
        return by_value([self.schema.field(name).type for name in self.key])

    @property
    def buckets(self) -> int:
        """How many buckets there are."""
        return next((prime for prime in _PRIMES if prime * _ROWS_IN_A_BUCKET >= self.rows), _PRIMES[-1])

    @property
    def question(self) -> Question:
        """The first question."""
        return Question(Ask.BUCKETS, self.key, self.columns, self.buckets, self.by_value, blocks=self.blocks, hash=self.hash)


@dataclass(frozen=True, slots=True)
class Found:
    """State what a comparison found; all rows are counted, some are shown."""

    source_rows: int
    lake_rows: int
    quarantined: int = 0
    missing: int = 0
    extra: int = 0
    changed: int = 0
    pending: int = 0
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Pending:
    """Hold the rows whose changes at the source are still to be merged; `everything` says that all of them were deleted at once."""

    rows: EngineSide
    everything: bool = False


def compare(
    session: Session,
    source: EngineSide | SourceSide,
    lake: EngineSide | LakeSide,
    matter: Matter,
    aside: EngineSide | None = None,
    pending: Pending | None = None,
) -> Found:
    """Compare both sides; `aside` has rows of the source that are known not to be in the lake, `pending` rows that are explained."""
    question = matter.question
    _both(session, source, lake, question, "buckets")
    counted = session.run(
        "SELECT coalesce(sum(s.rows), 0)::BIGINT, coalesce(sum(l.rows), 0)::BIGINT, coalesce(list(coalesce(s.bucket, l.bucket)) "
        "FILTER (WHERE s.rows IS DISTINCT FROM l.rows OR s.total IS DISTINCT FROM l.total), []) "
        "FROM source_buckets AS s FULL JOIN lake_buckets AS l ON s.bucket = l.bucket"
    )
    source_rows, lake_rows, differing = (column[0].as_py() for column in counted.columns)
    if not differing:
        return Found(source_rows, lake_rows)
    if not (matter.key or matter.columns):
        return _counted(session, source_rows, lake_rows, aside, pending)
    narrowed = replace(question, ask=Ask.NUMBERS, within=tuple(differing))
    _both(session, source, lake, narrowed, "numbers")
    if aside:
        aside.keep(session, replace(question, ask=Ask.NUMBERS), "aside_numbers")
    _differing(session, narrowed, known=aside is not None)
    explained = _explained(session, question, pending) if pending else 0
    totals = session.run(
        "SELECT coalesce(sum(aside), 0)::BIGINT AS quarantined, coalesce(sum(missing), 0)::BIGINT AS missing, "
        "coalesce(sum(extra), 0)::BIGINT AS extra, coalesce(sum(changed), 0)::BIGINT AS changed FROM differing"
    ).to_pylist()[0]
    totals["pending"] = explained
    return Found(source_rows, lake_rows, **totals, differences=_shown(session, source, lake, matter, narrowed))


def verdicts(found: Found, columns: Sequence[str]) -> tuple[Verdict, ...]:
    """Judge completeness, and accuracy where content was compared, by rows; what waits in quarantine is not held against the lake."""
    expected = found.source_rows - found.quarantined
    judged = [_verdict(Dimension.COMPLETENESS, expected, found.missing, (), "every row of the source must be in the lake")]
    if columns:
        wrong = found.extra + found.changed
        judged.append(_verdict(Dimension.ACCURACY, found.lake_rows, wrong, columns, "every row of the lake must be one of the source"))
    return tuple(judged)


def _verdict(dimension: Dimension, rows: int, failing: int, columns: Sequence[str], detail: str) -> Verdict:
    rule = RuleSpec("verify", tuple(columns), {"dimension": dimension.value}, Severity.WARN, name=f"verify:{dimension.value}")
    outcome = Outcome.FAIL if failing else Outcome.PASS if rows else Outcome.UNKNOWN
    denominator = max(rows, failing)
    numerator = denominator - failing
    return Verdict(
        rule.name, rule.kind, rule.columns, rule.version, Severity.WARN, dimension, outcome, numerator, denominator, detail=detail
    )


def _both(session: Session, source: EngineSide | SourceSide, lake: EngineSide | LakeSide, question: Question, name: str) -> None:
    """Ask both sides, at the same time where the source works by itself."""
    if isinstance(source, EngineSide):
        source.keep(session, question, f"source_{name}")
        lake.keep(session, question, f"lake_{name}")
        return
    with ThreadPoolExecutor(1, "limnos-verify") as pool:
        answer = pool.submit(lambda: list(source.ask(question)))
        lake.keep(session, question, f"lake_{name}")
        batches = answer.result()
    SourceSide(lambda _: iter(batches)).keep(session, question, f"source_{name}")


def _explained(session: Session, question: Question, pending: Pending) -> int:
    """Strike out what pending changes explain; gives how many rows that were."""
    pending.rows.keep(session, replace(question, ask=Ask.NUMBERS, within=()), "pending_numbers")
    mine = _same(question.key or (NUMBER,), "differing", "pending")
    where = "TRUE" if pending.everything else f"EXISTS (SELECT 1 FROM pending_numbers AS pending WHERE {mine})"
    rows = session.run(f"SELECT coalesce(sum(missing + extra + changed), 0)::BIGINT FROM differing WHERE {where}").column(0)[0].as_py()
    session.run(f"UPDATE differing SET missing = 0, extra = 0, changed = 0 WHERE {where}")
    return int(rows)


def _counted(session: Session, source_rows: int, lake_rows: int, aside: EngineSide | None, pending: Pending | None) -> Found:
    def known(side: EngineSide) -> int:
        return int(session.run(f"SELECT count(*) FROM {side.rows.relation}").column(0)[0].as_py())

    differ = abs(source_rows - lake_rows)
    waiting = min(known(aside), max(0, source_rows - lake_rows)) if aside else 0
    explained = min(differ - waiting, differ if pending.everything else known(pending.rows)) if pending else 0
    left = differ - waiting - explained
    missing, extra = (left, 0) if source_rows > lake_rows else (0, left)
    return Found(source_rows, lake_rows, waiting, missing, extra, pending=explained)


def _differing(session: Session, question: Question, *, known: bool) -> None:
    """Make the table of keys whose rows differ; without a key, a row's number is its key."""
    key = question.key or (NUMBER,)
    listed, grouped = names(key), dict[str, str]()
    for side in ("source", "lake", "aside"):
        grouped[side] = f"(SELECT {listed}, count(*) AS n, sum({NUMBER}) AS total FROM {side}_numbers GROUP BY {listed})"
    set_aside = grouped["aside"] if known else "(SELECT * FROM source WHERE FALSE)"
    session.run(
        f"CREATE TEMP TABLE differing AS WITH source AS {grouped['source']}, lake AS {grouped['lake']}, aside AS {set_aside}, joined AS ("
        f"SELECT {', '.join(f'coalesce(s.{quoted(one)}, l.{quoted(one)}) AS {quoted(one)}' for one in key)}, "
        "coalesce(s.n, 0) AS at_source, coalesce(l.n, 0) AS in_lake, s.total IS DISTINCT FROM l.total AS unlike "
        f"FROM source AS s FULL JOIN lake AS l ON {_same(key, 's', 'l')} WHERE s.n IS DISTINCT FROM l.n OR s.total IS DISTINCT FROM l.total"
        f"), known AS (SELECT joined.*, greatest(0, least(at_source - in_lake, coalesce(a.n, 0))) AS aside "
        f"FROM joined LEFT JOIN aside AS a ON {_same(key, 'joined', 'a')}) "
        "SELECT *, greatest(0, at_source - in_lake - aside) AS missing, greatest(0, in_lake - at_source) AS extra, "
        "CASE WHEN at_source = in_lake AND unlike THEN at_source ELSE 0 END AS changed FROM known"
    )


def _same(key: Sequence[str], one: str, other: str) -> str:
    return " AND ".join(f"{one}.{quoted(name)} IS NOT DISTINCT FROM {other}.{quoted(name)}" for name in key)


def _shown(
    session: Session, source: EngineSide | SourceSide, lake: EngineSide | LakeSide, matter: Matter, question: Question
) -> tuple[Difference, ...]:
    """Show the first differences of each kind, with the values of both sides where a key is on both, or where there is no key."""
    key = question.key or (NUMBER,)
    rows: list[tuple[Kind, dict[str, Any]]] = []
    for kind in Kind:
        chosen = f"SELECT {names(key)}, {kind} AS n FROM differing WHERE {kind} > 0 ORDER BY ALL LIMIT {int(matter.limit)}"
        rows += [(kind, row) for row in session.run(chosen).to_pylist()]
    looked_up = [row for kind, row in rows if kind is Kind.CHANGED or not question.key]
    keys = tuple(tuple(str(row[name]) for name in key) for row in looked_up if None not in row.values())
    values: dict[str, dict[tuple[str, ...], dict[str, Any]]] = {"source": {}, "lake": {}}
    if keys and question.columns:
        _both(session, source, lake, replace(question, ask=Ask.ROWS, keys=keys), "rows")
        for side, found in values.items():
            listed = session.run(f"SELECT * FROM {side}_rows").to_pylist()
            found.update({tuple(str(row[name]) for name in key): row for row in listed})
    return tuple(_difference(kind, row, values, matter) for kind, row in rows)


def _difference(kind: Kind, row: dict[str, Any], values: dict[str, dict[tuple[str, ...], dict[str, Any]]], matter: Matter) -> Difference:
    place = tuple(str(row[name]) for name in matter.key or (NUMBER,))
    there, here = (values[side].get(place, {}) for side in ("source", "lake"))
    said = {
        name: (_readable(there.get(name), matter.schema.field(name).type), _readable(here.get(name), matter.schema.field(name).type))
        for name in matter.columns
        if there.get(name) != here.get(name) or (not matter.key and name in {**there, **here})
    }
    return Difference(kind, {name: row[name] for name in matter.key}, row["n"], said)


def _readable(text: str | None, kind: pa.DataType) -> str | None:
    r"""Write a canonical text for people: the bits of a float are a number.

    Examples:
        >>> _readable("\\x3ff8000000000000", pa.float64()), _readable("2.50", pa.decimal128(5, 2))
        ('1.5', '2.50')
    """
    if text is None or form(kind) not in {"double", "float"} or not text.startswith("\\x"):
        return text
    return repr(struct.unpack(">d" if form(kind) == "double" else ">f", bytes.fromhex(text[2:]))[0])
