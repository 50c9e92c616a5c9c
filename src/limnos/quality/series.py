"""The series of scores: what was known of each table after every run, check and comparison."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeAlias

from limnos.model.names import TableName
from limnos.model.score import Judge, Observation, Scope, Score
from limnos.model.verdict import Dimension, Outcome, Verdict
from limnos.quality.score import dimensions, score

COMPARISON = "verify"
LOWEST_TENTH = "p10"

_KNOWN = frozenset({Outcome.PASS, Outcome.FAIL})
_Lake: TypeAlias = "dict[tuple[TableName, Judge], Evidence]"


@dataclass(slots=True)
class Evidence:
    """Hold what stands of a table: the verdicts on its rows, and those of the comparison of just this version."""

    judged: tuple[Verdict, ...] = ()
    compared: tuple[Verdict, ...] = ()
    snapshot_id: int | None = None

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """All verdicts that stand."""
        return (*self.judged, *self.compared)

    @property
    def rule_set(self) -> str:
        """Digest of the rules that judged, 12 hexadecimal digits; a comparison with the source is not one of them."""
        said = sorted(f"{verdict.rule}\0{verdict.version}" for verdict in self.judged)
        return hashlib.sha256("\n".join(said).encode()).hexdigest()[:12] if said else ""

    def hear(self, seen: Observation) -> None:
        """Take in what was found: a comparison of an earlier version says nothing of this one."""
        compared = tuple(verdict for verdict in seen.verdicts if verdict.kind == COMPARISON)
        if seen.anew:
            self.judged = tuple(verdict for verdict in seen.verdicts if verdict.kind != COMPARISON)
        if compared or seen.snapshot_id != self.snapshot_id:
            self.compared = compared
        self.snapshot_id = seen.snapshot_id


def evidence(seen: Iterable[Observation]) -> _Lake:
    """Give what stands of each table after all observations, which come in order of time."""
    found: _Lake = {}
    for one in seen:
        found.setdefault((one.table, one.judge), Evidence()).hear(one)
    return found


def series(seen: Iterable[Observation]) -> Iterator[Score]:
    """Give the scores after each observation, which come in order of time: of rules, columns, the table, and the lake.

    A rule's score is given where it was judged; those of columns and the table pool all verdicts that stand. The lake's are means over
    tables of equal weight, since a log of a billion rows would drown the customers; `p10` is the score that nine tables of ten reach.

    Source: Heinrich et al., "Requirements for Data Quality Metrics", JDIQ 9(2), 2018: sound aggregation.
    """
    lake: _Lake = {}
    for _, together in groupby(seen, lambda one: (one.at, one.run_id, one.judge)):
        last = None
        for last in together:
            yield from _of_table(lake, last)
        if last is not None:
            yield from _of_lake(lake, last)


def _of_table(lake: _Lake, seen: Observation) -> Iterator[Score]:
    key = (seen.table, seen.judge)
    now = lake.setdefault(key, Evidence())
    before = now.rule_set
    now.hear(seen)
    scribe = _Scribe(seen, now.rule_set, breaks=before not in {"", now.rule_set})
    for verdict in seen.verdicts:
        yield from scribe.scores(Scope.RULE, verdict.rule, [verdict], overall=False)
    for column in sorted({column for verdict in now.verdicts for column in verdict.columns}):
        yield from scribe.scores(Scope.COLUMN, column, [verdict for verdict in now.verdicts if column in verdict.columns])
    yield from scribe.scores(Scope.TABLE, "", now.verdicts)


@dataclass(frozen=True, slots=True)
class _Scribe:
    seen: Observation
    rule_set: str
    breaks: bool

    def scores(self, scope: Scope, subject: str, verdicts: Sequence[Verdict], *, overall: bool = True) -> Iterator[Score]:
        """Give a score for each dimension that is judged, and one for all of them."""
        known = dimensions(verdicts)
        one = self.seen
        whole = Score(
            at=one.at,
            run_id=one.run_id,
            judge=one.judge,
            table=one.table,
            snapshot_id=one.snapshot_id,
            scope=scope,
            subject=subject,
            dimension=None,
            numerator=None,
            denominator=None,
            value=score(verdicts),
            measured=tuple(known),
            rule_set=self.rule_set,
            breaks=self.breaks,
        )
        for dimension in dict.fromkeys(verdict.dimension for verdict in verdicts):
            pooled = [verdict for verdict in verdicts if verdict.dimension is dimension and verdict.outcome in _KNOWN]
            yield replace(
                whole,
                dimension=dimension,
                numerator=sum(verdict.numerator for verdict in pooled),
                denominator=sum(verdict.denominator for verdict in pooled),
                value=known.get(dimension),
                measured=(dimension,) if dimension in known else (),
            )
        if overall:
            yield whole


def _of_lake(lake: _Lake, seen: Observation) -> Iterator[Score]:
    verdicts = [now.verdicts for (_, judge), now in lake.items() if judge is seen.judge]
    by_dimension = [dimensions(one) for one in verdicts]
    known = {dimension: [one[dimension] for one in by_dimension if dimension in one] for dimension in Dimension}
    values = sorted(value for one in verdicts if (value := score(one)) is not None)
    measured = tuple(dimension for dimension, found in known.items() if found)
    whole = Score(seen.at, seen.run_id, seen.judge, None, None, Scope.LAKE, "", None, None, None, value=_mean(values), measured=measured)
    for dimension in measured:
        yield replace(whole, dimension=dimension, value=_mean(known[dimension]), measured=(dimension,))
    if values:
        yield replace(whole, subject=LOWEST_TENTH, value=values[math.ceil(len(values) / 10) - 1])
    yield whole


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 6) if values else None
