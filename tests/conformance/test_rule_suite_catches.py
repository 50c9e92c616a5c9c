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
from limnos.ports import Rule
from limnos.quality.rules.accepted_values import AcceptedValues
from limnos.quality.rules.foreign_key import ForeignKey
from limnos.quality.rules.freshness import Freshness
from limnos.quality.rules.length import Length
from limnos.quality.rules.not_null import NotNull
from limnos.quality.rules.primary_key import PrimaryKey
from limnos.quality.rules.range import Range
from limnos.quality.rules.regex import Regex
from limnos.quality.rules.row_count import RowCount
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


class Unshrunk(RuleSuite):
    generation = settings(RuleSuite.generation, max_examples=300, phases=[Phase.generate], database=None)


@dataclass(frozen=True)
class Wrong:
    rule: type[Rule]
    spec: RuleSpec
    caught_by: Callable[..., None]
    needs_files: bool = True


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
    Wrong(TakesAnyArgument, RuleSpec("length", ("s",), {"min": 1}), REFUSES, needs_files=False),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.rule.__name__)
def test_a_wrong_rule_is_caught(wrong: Wrong, tmp_path: Path) -> None:
    world = World(wrong.rule, DuckEngine(), [wrong.spec])
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        wrong.caught_by(Unshrunk(), world, *([tmp_path] if wrong.needs_files else []))
