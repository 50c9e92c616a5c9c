"""Propose rules that a table keeps, with the evidence; a rule that a few rows could break by chance is not proposed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from limnos.discovery.shapes import pattern
from limnos.discovery.spellings import words
from limnos.model.bookkeeping import Bookkeeping
from limnos.model.contract import Contract, RuleSpec, Severity
from limnos.model.data import Snapshot
from limnos.model.profile import ColumnProfile, Suggestion, TableProfile, wilson

LEAST_ROWS = 100
_VERSIONS = 3
_MOST_VALUES = 20
_TIMES_EACH = 5
_DIFFERENT = 20
_MOSTLY = 0.9
_ONE_SHAPE = 0.99
_NEAR_ZERO = Decimal("0.05")
_LOOSE = re.compile(r"[Aa9]\+")
_NUMBERS = ("int", "long", "float", "double", "decimal")
_IDENTIFYING = frozenset("id key code uuid guid number nr no num".split())
_FRESH_DAYS = 30


@dataclass(frozen=True, slots=True)
class Evidence:
    """Hold what rules are proposed from: a profile with all its values, the contract of today, and the versions, oldest first.

    `kept` are the columns that are no source's: of a table that keeps old rows, nothing follows for the keys of those that hold now.
    """

    profile: TableProfile
    contract: Contract
    history: Sequence[Snapshot]
    now: datetime
    kept: Bookkeeping = field(default_factory=Bookkeeping)


def propose(evidence: Evidence) -> tuple[tuple[Suggestion, ...], tuple[str, ...]]:
    """Propose rules that are not declared yet; also says where the evidence does not carry."""
    rows = evidence.profile.rows
    if rows < LEAST_ROWS:
        return (), (f"too few rows: {rows:,}, of which nothing follows for the next ones; at least {LEAST_ROWS} are asked for",)
    found = [one for proposer in _OF_TABLE for one in proposer(evidence)]
    key = {name for rule in (*evidence.contract.rules, *(one.rule for one in found)) if rule.kind == "primary_key" for name in rule.columns}
    for column in evidence.profile.columns:
        found += _of_column(column, evidence, key)
    declared = {(rule.kind, rule.columns) for rule in evidence.contract.rules}
    notes = [] if len(evidence.history) >= _VERSIONS else [_few_versions(len(evidence.history))]
    return tuple(one for one in found if (one.rule.kind, one.rule.columns) not in declared), tuple(notes)


def _few_versions(versions: int) -> str:
    seen = f"{versions} version{'s' if versions != 1 else ''}"
    return f"too few versions: {seen}; how many rows there are and how fresh they are is proposed from {_VERSIONS} on"


def _of_column(column: ColumnProfile, evidence: Evidence, key: set[str]) -> Iterator[Suggestion]:
    """Propose for one column; of what says the same of its values, only the first."""
    if column.name not in evidence.contract.names or column.name in evidence.kept.names:
        return
    ruled = {rule.kind for rule in evidence.contract.rules if rule.columns == (column.name,)}
    if column.name not in key:
        yield from _filled(column)
    if column.filled < LEAST_ROWS or column.name in key or ruled & {"accepted_values", "regex", "foreign_key"}:
        return
    if any(one.column == column.name and one.whole for one in evidence.profile.inclusions):
        return
    for proposer in _OF_VALUES:
        proposed = list(proposer(column))
        if proposed:
            yield from proposed
            return


def _filled(column: ColumnProfile) -> Iterator[Suggestion]:
    if column.nulls == 0:
        yield Suggestion(RuleSpec("not_null", (column.name,)), column.rows, column.rows, "no row is without a value")
    elif column.filled >= _MOSTLY * column.rows:
        share = math.floor(wilson(column.filled, column.rows) * 1000) / 1000
        rule = RuleSpec("not_null", (column.name,), severity=Severity.WARN, at_least=share)
        yield Suggestion(rule, column.filled, column.rows, "most rows have a value")


def _accepted(column: ColumnProfile) -> Iterator[Suggestion]:
    few = 1 < column.distinct <= _MOST_VALUES and len(column.top) == column.distinct
    if column.type != "string" or column.hidden or not few or column.lengths is None or column.lengths.most > LEAST_ROWS:
        return
    least = min(one.rows for one in column.top)
    if least >= _TIMES_EACH and column.filled >= LEAST_ROWS * column.distinct:
        rule = RuleSpec("accepted_values", (column.name,), {"values": sorted(one.value for one in column.top)}, severity=Severity.WARN)
        yield Suggestion(rule, column.filled, column.filled, f"{column.distinct} values, the rarest in {least:,} rows")


def _shaped(column: ColumnProfile) -> Iterator[Suggestion]:
    exact = column.patterns and "patterns" not in column.approximate and not any(_LOOSE.search(one.value) for one in column.patterns)
    if not exact or column.distinct < _DIFFERENT:
        return
    first = column.patterns[0]
    if first.rows < _ONE_SHAPE * column.pattern_rows or not first.value:
        return
    share = 1.0 if first.rows == column.pattern_rows else math.floor(wilson(first.rows, column.pattern_rows) * 1000) / 1000
    rule = RuleSpec("regex", (column.name,), {"pattern": pattern(first.value)}, severity=Severity.WARN, at_least=share)
    yield Suggestion(rule, first.rows, column.pattern_rows, f"{column.distinct:,} values of the form {first.value}")


def _long(column: ColumnProfile) -> Iterator[Suggestion]:
    if column.type != "string" or column.lengths is None or column.empty or column.distinct < _DIFFERENT:
        return
    fixed = column.lengths.least == column.lengths.most
    bounds: dict[str, object] = {"min": column.lengths.least, "max": column.lengths.most} if fixed else {"min": 1}
    rule = RuleSpec("length", (column.name,), bounds, severity=Severity.WARN)
    yield Suggestion(rule, column.filled, column.filled, f"{column.lengths.least} to {column.lengths.most} characters")


def _signed(column: ColumnProfile) -> Iterator[Suggestion]:
    """Propose that there are no negative values where the values seen begin near zero; what only never came near it may be so by chance."""
    if not column.type.startswith(_NUMBERS) or column.hidden or column.negative or column.nan or column.distinct < 2:
        return
    if column.minimum is None or Decimal(column.minimum) > _NEAR_ZERO * Decimal(column.quantiles[50]):
        return
    rule = RuleSpec("range", (column.name,), {"min": 0}, severity=Severity.WARN)
    yield Suggestion(rule, column.filled, column.filled, f"from {column.minimum} on; the sign is proposed, not the bound")


def _keys(evidence: Evidence) -> Iterator[Suggestion]:
    """Propose the key that is most likely meant for one, and that what is called an identifier stays one."""
    contract, profile = evidence.contract, evidence.profile
    if evidence.kept.names:
        return
    types = {column.name: column.type for column in profile.columns}
    keyed = contract.key or any(rule.kind == "primary_key" for rule in contract.rules)
    unique = {rule.columns for rule in contract.rules if rule.kind in ("primary_key", "unique")}
    proven = [key for key in profile.keys if not any(types[name] in ("float", "double") for name in key.columns)]
    for at, key in enumerate(sorted(proven, key=lambda key: (len(key.columns), not _identifying(key.columns)))):
        if key.columns in unique or key.declared or not set(key.columns) <= set(contract.names):
            continue
        whole = (profile.rows, profile.rows)
        if at == 0 and not keyed:
            severity = None if len(key.columns) == 1 else Severity.WARN
            yield Suggestion(RuleSpec("primary_key", key.columns, severity=severity), *whole, "no two rows alike, proven over all rows")
        elif len(key.columns) == 1 and _identifying(key.columns):
            yield Suggestion(RuleSpec("unique", key.columns), *whole, "no two rows alike, proven over all rows")


def _identifying(names: Sequence[str]) -> bool:
    return all(set(words(name)[-1:]) & _IDENTIFYING for name in names)


def _references(evidence: Evidence) -> Iterator[Suggestion]:
    proposed: set[str] = set()
    for one in sorted(evidence.profile.inclusions, key=lambda one: (not one.named, one.parent_values)):
        told = one.named or one.distinct >= _DIFFERENT
        if one.whole and told and not one.declared and one.filled >= LEAST_ROWS and one.column not in proposed:
            proposed.add(one.column)
            arguments = {"references": str(one.parent), "columns": [one.parent_column]}
            why = f"{one.distinct:,} values, all of them keys of {one.parent}{', and the names agree' if one.named else ''}"
            yield Suggestion(RuleSpec("foreign_key", (one.column,), arguments, severity=Severity.WARN), one.rows, one.filled, why)


def _counted(evidence: Evidence) -> Iterator[Suggestion]:
    if len(evidence.history) >= _VERSIONS and (least := min(one.rows for one in evidence.history) // 2):
        why = f"half of the fewest rows of {len(evidence.history)} versions"
        rule = RuleSpec("row_count", (), {"min": least}, severity=Severity.WARN)
        yield Suggestion(rule, len(evidence.history), len(evidence.history), why)


def _fresh(evidence: Evidence) -> Iterator[Suggestion]:
    """Propose how old the newest value may be: thrice its age when published, or thrice the usual time between versions."""
    if len(evidence.history) < _VERSIONS:
        return
    gaps = sorted(after.at - before.at for before, after in zip(evidence.history[:-1], evidence.history[1:], strict=True))
    for column in evidence.profile.columns:
        newest = _moment(column)
        if newest is None or not timedelta() <= evidence.profile.snapshot.at - newest <= timedelta(days=_FRESH_DAYS):
            continue
        most = 3 * max(evidence.profile.snapshot.at - newest, gaps[len(gaps) // 2], evidence.now - newest)
        hours = max(1, math.ceil(most / timedelta(hours=1)))
        rule = RuleSpec("freshness", (column.name,), {"max": f"{hours}h" if hours < 72 else f"{math.ceil(hours / 24)}d"})
        yield Suggestion(rule, 1, 1, f"the newest value was {column.maximum} when version {len(evidence.history)} was published")


def _moment(column: ColumnProfile) -> datetime | None:
    if column.type not in ("date", "timestamp", "timestamptz") or column.maximum is None:
        return None
    try:
        read = datetime.fromisoformat(column.maximum)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


_OF_TABLE: tuple[Callable[[Evidence], Iterator[Suggestion]], ...] = (_keys, _references, _counted, _fresh)
_OF_VALUES: tuple[Callable[[ColumnProfile], Iterator[Suggestion]], ...] = (_accepted, _shaped, _long, _signed)
"""A new kind of rule on values is proposed by one more function here; the first that proposes anything of a column has the word."""
