"""Rules that break one promise each; a suite that lets one of them pass is worth nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from limnos.engines.duckdb import DuckEngine
from limnos.model.contract import Contract, RuleSpec
from limnos.model.data import WrittenFile
from limnos.model.names import quoted
from limnos.model.subject import Subject
from limnos.ports import Rule, Session
from limnos.quality.rules.accepted_values import AcceptedValues
from limnos.quality.rules.aggregate_match import AggregateMatch
from limnos.quality.rules.aggregates import (
    Correlation,
    DistinctCount,
    Entropy,
    Maximum,
    Mean,
    Quantile,
    Stddev,
    Sum,
    UniqueRatio,
)
from limnos.quality.rules.any_of import AnyOf
from limnos.quality.rules.compare import Compare
from limnos.quality.rules.foreign_key import ForeignKey
from limnos.quality.rules.format import Format
from limnos.quality.rules.freshness import Freshness
from limnos.quality.rules.length import Length
from limnos.quality.rules.matches_reference import MatchesReference
from limnos.quality.rules.monotonic import Monotonic
from limnos.quality.rules.not_null import NotNull
from limnos.quality.rules.primary_key import PrimaryKey
from limnos.quality.rules.query import Query
from limnos.quality.rules.range import Range
from limnos.quality.rules.referenced_by import ReferencedBy
from limnos.quality.rules.regex import Regex
from limnos.quality.rules.rejected_values import RejectedValues
from limnos.quality.rules.row_change import RowChange
from limnos.quality.rules.row_count import RowCount
from limnos.quality.rules.schema_match import SchemaMatch
from limnos.quality.rules.sequence import Sequence as Sequence_
from limnos.quality.rules.sql import Sql
from limnos.quality.rules.unique import Unique
from limnos.testing.rule import PARENT, RuleSuite, World


class ForgetsWhere(NotNull):
    def applies(self) -> str:
        return "TRUE"


class TrustsOneFile(NotNull):
    def proven(self, files: Sequence[WrittenFile]) -> bool:
        return True


class CountsNulls(Length):
    def applies(self) -> str:
        return "TRUE"

    def failing(self) -> str:
        return f"coalesce({self.broken()}, FALSE)"


class CountsBytes(Length):
    def broken(self) -> str:
        return super().broken().replace("length(", "strlen(")


class LetsNaNPass(Range):
    def broken(self) -> str:
        return super().broken().replace("isnan", "FALSE AND isnan")


class SwapsTheBound(Range):
    def broken(self) -> str:
        return super().broken().replace("< CAST", "<= CAST").replace("> CAST", ">= CAST")


class ProvesFloatsToo(Range):
    def proven(self, files: Sequence[WrittenFile]) -> bool:
        return all(self._within(file) for file in files)


class KeepsTheFirstCopy(Unique):
    def failing_rows(self, subject: Subject) -> str:
        keys = ", ".join(quoted(name) for name in self.spec.columns)
        numbered = f"SELECT *, row_number() OVER (PARTITION BY {keys} ORDER BY _row) AS nth FROM {subject.relation} WHERE {self.applies()}"
        return f"SELECT _file, _row FROM ({numbered}) WHERE nth > 1"


class ComparesNullKeys(Unique):
    def applies(self) -> str:
        return f"(({self.spec.where}) IS TRUE)" if self.spec.where else "TRUE"


class OverlooksNullKeys(PrimaryKey):
    def failing_rows(self, subject: Subject) -> str:
        return super().failing_rows(subject).split(" UNION ALL ")[1]


class CallsNullAnOrphan(ForeignKey):
    def failing_rows(self, subject: Subject) -> str:
        return super().failing_rows(subject).replace(f"WHERE {self.applies()}", "WHERE TRUE")


class LooksAtOneColumn(ForeignKey):
    def failing_rows(self, subject: Subject) -> str:
        return super().failing_rows(subject).split(" AND child.")[0]


class ComparesTexts(AcceptedValues):
    def broken(self) -> str:
        return f"CAST({quoted(self.spec.columns[0])} AS VARCHAR) NOT IN ('0', '2.5', 'nan')"


class FindsItAnywhere(Regex):
    def broken(self) -> str:
        return super().broken().replace("regexp_full_match", "regexp_matches")


class IsOffByOne(RowCount):
    def measure(self, subject: Subject) -> str:
        return super().measure(replace(subject, rows=subject.rows + 1))


class ReadsDaysFromTheirStart(Freshness):
    def measure(self, subject: Subject) -> str:
        return super().measure(subject).replace(" + INTERVAL 1 DAY", "")


class IsTooPatient(Freshness):
    def measure(self, subject: Subject) -> str:
        return super().measure(replace(subject, now=subject.now - timedelta(hours=6)))


class CallsNullAFailure(Sql):
    def applies(self) -> str:
        return "TRUE"

    def failing(self) -> str:
        return f"({self.expression}) IS NOT TRUE"


class TakesAnyArgument(Length):
    @classmethod
    def build(cls, spec: RuleSpec, contract: Contract) -> Length:
        return super().build(replace(spec, arguments={"min": 1}), contract)


class ForgetsItsMissing(NotNull):
    def broken(self) -> str:
        return super().broken().split(" OR ")[0]


class ProvesSentinelsToo(NotNull):
    def proven(self, files: Sequence[WrittenFile]) -> bool:
        return all(file.null_counts.get(name) == 0 for file in files for name in self.spec.columns)


class ComparesTheOtherWay(Compare):
    def broken(self) -> str:
        return super().broken().replace("<=", "<")


class ComparesInSinglePrecision(Compare):
    def broken(self) -> str:
        return super().broken().replace("DOUBLE", "FLOAT")


class LetsOthersPass(RejectedValues):
    def broken(self) -> str:
        return f"NOT {super().broken()}"


class CountsAll(DistinctCount):
    def seen(self, over: Callable[..., str]) -> str:
        return super().seen(over).replace("DISTINCT ", "")


class FindsZeroInNothing(DistinctCount):
    def seen(self, over: Callable[..., str]) -> str:
        return over(f"count(DISTINCT {self.column})")


class DividesByRows(UniqueRatio):
    def seen(self, over: Callable[..., str]) -> str:
        return super().seen(over).replace(f"count({self.column})", "count(*)")


class AveragesEverything(Mean):
    def seen(self, over: Callable[..., str]) -> str:
        return f"avg({self.column})"


class AddsInDoubles(Sum):
    def seen(self, over: Callable[..., str]) -> str:
        return over(f"sum(CAST({self.column} AS DOUBLE))")


class IsOfThePopulation(Stddev):
    def seen(self, over: Callable[..., str]) -> str:
        return super().seen(over).replace("stddev_samp", "stddev_pop")


class LeavesInfinityOut(Stddev):
    def seen(self, over: Callable[..., str]) -> str:
        return over(f"stddev_samp({self.column})", f"isfinite({self.column})")


class LeavesNaNOut(Maximum):
    def seen(self, over: Callable[..., str]) -> str:
        return over(f"max({self.column})", f"NOT isnan({self.column})")


class CountsBits(Entropy):
    def seen(self, over: Callable[..., str]) -> str:
        return super().seen(over).replace(" * ln(2)", "")


class TakesAValueThatIsThere(Quantile):
    def seen(self, over: Callable[..., str]) -> str:
        return super().seen(over).replace("quantile_cont", "quantile_disc")


class CountsHalfPairs(Correlation):
    def seen(self, over: Callable[..., str]) -> str:
        return super().seen(over).replace(" IS NOT NULL", " IS NOT DISTINCT FROM NULL OR TRUE")


class JudgesNothing(Format):
    def prepare(self, session: Session, subject: Subject) -> None:
        super().prepare(session, replace(subject, relation=f"(SELECT * FROM {subject.relation} LIMIT 1)"))


class NeedsAllOf(AnyOf):
    def broken(self) -> str:
        return super().broken().replace(" AND (NOT", " OR (NOT")


class ForgetsGroups(Monotonic):
    def failing_rows(self, subject: Subject) -> str:
        return super().failing_rows(subject).replace('PARTITION BY "t" ', "")


class LetsEqualsPass(Monotonic):
    def failing_rows(self, subject: Subject) -> str:
        return super().failing_rows(subject).replace(">= ", "> ")


class LetsCopiesPass(Monotonic):
    def failing_rows(self, subject: Subject) -> str:
        return super().failing_rows(subject).replace("> 1 AS _wrong", "> 99 AS _wrong")


class BlamesTheFirst(Sequence_):
    def failing_rows(self, subject: Subject) -> str:
        return super().failing_rows(subject).rpartition(" ANTI JOIN ")[0]


class StepsByOne(Sequence_):
    def failing_rows(self, subject: Subject) -> str:
        return super().failing_rows(subject).replace("+ 2", "+ 1")


class LooksTheWrongWay(ReferencedBy):
    def failing_rows(self, subject: Subject) -> str:
        return super().failing_rows(subject).replace("ANTI JOIN", "SEMI JOIN")


class LooksAtTheKeyOnly(MatchesReference):
    def failing_rows(self, subject: Subject) -> str:
        return super().failing_rows(subject).split(' AND one."x"')[0]


class TakesNullForAnything(MatchesReference):
    def failing_rows(self, subject: Subject) -> str:
        return super().failing_rows(subject).replace('one."x" IS NOT DISTINCT FROM other."x"', '(one."x" = other."x") IS NOT FALSE')


class IsGenerous(AggregateMatch):
    def measure(self, subject: Subject) -> str:
        return super().measure(subject).replace("<= 2.0", "<= 3.0")


class TakesNothingForEqual(AggregateMatch):
    def measure(self, subject: Subject) -> str:
        return super().measure(subject).replace("IS NOT DISTINCT FROM", "=").replace(", 0) AS numerator", ", 1) AS numerator")


class CountsShrinkingOnly(RowChange):
    def measure(self, subject: Subject) -> str:
        return super().measure(replace(subject, rows=min(subject.rows, subject.previous_rows or 0)))


class IgnoresTypes(SchemaMatch):
    def measure(self, subject: Subject) -> str:
        return super().measure(subject).replace("WHERE want.type <> have.type", "WHERE FALSE")


class IgnoresOrder(SchemaMatch):
    def measure(self, subject: Subject) -> str:
        return super().measure(subject).replace("WHERE moved", "WHERE FALSE")


class FindsRowsBeyondWhere(Query):
    def failing_rows(self, subject: Subject) -> str:
        return super().failing_rows(subject).replace(f"WHERE {self.applies()}", "")


class Unshrunk(RuleSuite):
    generation = settings(RuleSuite.generation, max_examples=300, phases=[Phase.generate], database=None)


@dataclass(frozen=True)
class Wrong:
    rule: type[Rule]
    spec: RuleSpec
    caught_by: Callable[..., None]
    needs_files: bool = True


def any_of(*rules: RuleSpec) -> RuleSpec:
    return RuleSpec(
        "any_of", (), {"rules": [{"kind": one.kind, "columns": list(one.columns), "arguments": dict(one.arguments)} for one in rules]}
    )


AGREES, PROVES = RuleSuite.test_the_engine_finds_what_the_oracle_finds, RuleSuite.test_statistics_prove_nothing_that_a_scan_refutes
REFUSES = RuleSuite.test_what_does_not_fit_is_refused_with_its_place
WRONG = [
    Wrong(ForgetsWhere, RuleSpec("not_null", ("n",)), AGREES),
    Wrong(TrustsOneFile, RuleSpec("not_null", ("n",)), PROVES),
    Wrong(CountsNulls, RuleSpec("length", ("s",), {"min": 1}), AGREES),
    Wrong(CountsBytes, RuleSpec("length", ("s",), {"max": 1}), AGREES),
    Wrong(LetsNaNPass, RuleSpec("range", ("x",), {"min": 0}), AGREES),
    Wrong(SwapsTheBound, RuleSpec("range", ("m",), {"min": 1}), AGREES),
    Wrong(ProvesFloatsToo, RuleSpec("range", ("x",), {"min": 0}), PROVES),
    Wrong(KeepsTheFirstCopy, RuleSpec("unique", ("m",)), AGREES),
    Wrong(ComparesNullKeys, RuleSpec("unique", ("m",)), AGREES),
    Wrong(OverlooksNullKeys, RuleSpec("primary_key", ("m",)), AGREES),
    Wrong(CallsNullAnOrphan, RuleSpec("foreign_key", ("m",), {"references": str(PARENT), "columns": ["m"]}), AGREES),
    Wrong(LooksAtOneColumn, RuleSpec("foreign_key", ("m", "t"), {"references": str(PARENT), "columns": ["m", "t"]}), AGREES),
    Wrong(ComparesTexts, RuleSpec("accepted_values", ("x",), {"values": [0, 2.5, "nan"]}), AGREES),
    Wrong(FindsItAnywhere, RuleSpec("regex", ("s",), {"pattern": "a+"}), AGREES),
    Wrong(IsOffByOne, RuleSpec("row_count", (), {"max": 3}), AGREES),
    Wrong(ReadsDaysFromTheirStart, RuleSpec("freshness", ("day",), {"max": "6h"}), AGREES),
    Wrong(IsTooPatient, RuleSpec("freshness", ("tz",), {"max": "6h"}), AGREES),
    Wrong(CallsNullAFailure, RuleSpec("sql", (), {"expression": "n <= m"}), AGREES),
    Wrong(ForgetsItsMissing, RuleSpec("not_null", ("s",), {"missing": [""]}), AGREES),
    Wrong(ProvesSentinelsToo, RuleSpec("not_null", ("m",), {"missing": [0]}), PROVES),
    Wrong(ComparesTheOtherWay, RuleSpec("compare", ("m", "n"), {"operator": "<="}), AGREES),
    Wrong(ComparesInSinglePrecision, RuleSpec("compare", ("x", "f"), {"operator": "<="}), AGREES),
    Wrong(LetsOthersPass, RuleSpec("rejected_values", ("m",), {"values": [1]}), AGREES),
    Wrong(CountsAll, RuleSpec("distinct_count", ("m",), {"max": 3}), AGREES),
    Wrong(FindsZeroInNothing, RuleSpec("distinct_count", ("m",), {"max": 3}), AGREES),
    Wrong(DividesByRows, RuleSpec("unique_ratio", ("m",), {"min": 0.5}), AGREES),
    Wrong(AveragesEverything, RuleSpec("mean", ("m",), {"min": 1}), AGREES),
    Wrong(AddsInDoubles, RuleSpec("sum", ("h",), {"min": "0.0000000002"}), AGREES),
    Wrong(IsOfThePopulation, RuleSpec("stddev", ("m",), {"min": 1}), AGREES),
    Wrong(LeavesInfinityOut, RuleSpec("stddev", ("x",), {"min": 0}), AGREES),
    Wrong(LeavesNaNOut, RuleSpec("maximum", ("x",), {"max": 2.5}), AGREES),
    Wrong(CountsBits, RuleSpec("entropy", ("m",), {"min": 0.5}), AGREES),
    Wrong(TakesAValueThatIsThere, RuleSpec("quantile", ("m",), {"q": 0.5, "min": 1}), AGREES),
    Wrong(CountsHalfPairs, RuleSpec("correlation", ("x", "m"), {"min": 0}), AGREES),
    Wrong(JudgesNothing, RuleSpec("format", ("s",), {"as": "date"}), AGREES),
    Wrong(NeedsAllOf, any_of(RuleSpec("range", ("n",), {"min": 2}), RuleSpec("not_null", ("s",))), AGREES),
    Wrong(ForgetsGroups, RuleSpec("monotonic", ("m",), {"order_by": "n", "per": "t"}), AGREES),
    Wrong(LetsEqualsPass, RuleSpec("monotonic", ("m",), {"order_by": "n", "strict": True}), AGREES),
    Wrong(LetsCopiesPass, RuleSpec("monotonic", ("m",), {"order_by": "t", "strict": True}), AGREES),
    Wrong(BlamesTheFirst, RuleSpec("sequence", ("m",)), AGREES),
    Wrong(StepsByOne, RuleSpec("sequence", ("m",), {"step": 2}), AGREES),
    Wrong(LooksTheWrongWay, RuleSpec("referenced_by", ("m",), {"table": str(PARENT)}), AGREES),
    Wrong(LooksAtTheKeyOnly, RuleSpec("matches_reference", ("m",), {"table": str(PARENT), "compare": ["x"]}), AGREES),
    Wrong(TakesNullForAnything, RuleSpec("matches_reference", ("m",), {"table": str(PARENT), "compare": ["x"]}), AGREES),
    Wrong(IsGenerous, RuleSpec("aggregate_match", (), {"function": "count", "table": str(PARENT), "tolerance": 2}), AGREES),
    Wrong(TakesNothingForEqual, RuleSpec("aggregate_match", ("m",), {"function": "max", "table": str(PARENT)}), AGREES),
    Wrong(CountsShrinkingOnly, RuleSpec("row_change", (), {"max": 0}), AGREES),
    Wrong(IgnoresTypes, RuleSpec("schema_match", (), {"columns": {"n": "int"}}), AGREES),
    Wrong(IgnoresOrder, RuleSpec("schema_match", (), {"columns": ["m", "n"], "order": True}), AGREES),
    Wrong(FindsRowsBeyondWhere, RuleSpec("query", (), {"sql": "SELECT * FROM suite.things WHERE m > 1"}), AGREES),
    Wrong(TakesAnyArgument, RuleSpec("length", ("s",), {"min": 1}), REFUSES, needs_files=False),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.rule.__name__)
def test_a_wrong_rule_is_caught(wrong: Wrong, tmp_path: Path) -> None:
    world = World(wrong.rule, DuckEngine(), [wrong.spec], where=wrong.spec.kind not in {"row_change", "schema_match"})
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        wrong.caught_by(Unshrunk(), world, *([tmp_path] if wrong.needs_files else []))
