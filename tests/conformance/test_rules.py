from __future__ import annotations

from collections.abc import Sequence

import pytest

from limnos.engines.duckdb import DuckEngine
from limnos.model.contract import RuleSpec, Severity
from limnos.quality.rules import KINDS
from limnos.testing.rule import PARENT, TABLE, RuleSuite, World

COUNTS = [RuleSpec("", arguments=said) for said in ({}, {"min": -1}, {"min": 1.5}, {"min": True}, {"max": "9"}, {"min": 3, "max": 2})]


def of(kind: str, *columns: str, severity: Severity | None = None, **arguments: object) -> RuleSpec:
    return RuleSpec(kind, columns, arguments, severity=severity)


def bounds(kind: str, *columns: str) -> list[RuleSpec]:
    return [RuleSpec(kind, columns, spec.arguments) for spec in COUNTS]


RIGHT: dict[str, Sequence[RuleSpec]] = {
    "not_null": [of("not_null", "n"), of("not_null", "x", "s")],
    "unique": [of("unique", name) for name in ("n", "x", "s", "tz")] + [of("unique", "m", "t"), of("unique", "x", "d", "b")],
    "primary_key": [of("primary_key", "m"), of("primary_key", "x"), of("primary_key", "m", "s")],
    "foreign_key": [
        of("foreign_key", "m", references=str(PARENT), columns=["m"]),
        of("foreign_key", "n", references=str(PARENT), columns=["m"]),
        of("foreign_key", "x", "s", references=str(PARENT), columns=["x", "s"]),
        of("foreign_key", "m", references=str(TABLE), columns=["n"]),
        of("foreign_key", "m", references=str(TABLE), columns=["n"], severity=Severity.WARN),
    ],
    "accepted_values": [
        of("accepted_values", "s", values=["a", "é", "", "it's"]),
        of("accepted_values", "n", values=[1, 2, 2**63 - 1]),
        of("accepted_values", "x", values=[0, 2.5, float("nan")]),
        of("accepted_values", "f", values=[1.5]),
        of("accepted_values", "d", values=["1.5", 0]),
        of("accepted_values", "t", values=[True]),
        of("accepted_values", "day", values=["2013-06-01"]),
        of("accepted_values", "tz", values=["2013-06-01T07:59:59.999999+02:00"]),
    ],
    "range": [
        of("range", "n", min=1),
        of("range", "n", min=0, max=2**53, exclusive=True),
        of("range", "m", max=2),
        of("range", "x", min=0),
        of("range", "x", max=2.5, exclusive=True),
        of("range", "x", min=0, max=2),
        of("range", "f", min=0.1, max="1.5"),
        of("range", "d", min="-0.01", exclusive=True),
        of("range", "day", min="2013-05-31"),
        of("range", "at", max="2013-06-01 06:00:00"),
        of("range", "tz", min="2013-06-01T02:00:00+02:00", max="2013-06-01T12:00:00Z"),
    ],
    "length": [of("length", "s", min=1), of("length", "s", max=1), of("length", "b", min=1, max=2), of("length", "s", max=0)],
    "regex": [of("regex", "s", pattern=text) for text in (r"[aA]+", r"a.?", r"N\d{3}", r"\w*", r"(?i)É|a\s", r"it's|.*")],
    "row_count": [of("row_count", min=1), of("row_count", max=3), of("row_count", min=2, max=6)],
    "freshness": [of("freshness", name, max=age) for name in ("day", "at", "tz") for age in ("6h", "1d", "1w", "30 s")],
    "sql": [
        of("sql", expression="n <= m"),
        of("sql", expression="x > 0.5 OR m IS NULL"),
        of("sql", expression="NOT (m = 1 AND n <> 2)"),
        of("sql", expression="x <> x OR m + 1 * 2 >= 4"),
        RuleSpec("sql", (), {"expression": "d IS NOT NULL"}),
    ],
}
WRONG: dict[str, Sequence[RuleSpec]] = {
    "not_null": [of("not_null"), of("not_null", "n", "n")],
    "unique": [of("unique")],
    "primary_key": [of("primary_key")],
    "foreign_key": [
        of("foreign_key", "n"),
        of("foreign_key", "n", references="parents", columns=["n"]),
        of("foreign_key", "n", references=str(PARENT), columns=["n", "m"]),
        of("foreign_key", "n", references=str(PARENT), columns="n"),
        of("foreign_key", "n", references=str(TABLE), columns=["nn"]),
    ],
    "accepted_values": [
        of("accepted_values", "n"),
        of("accepted_values", "n", values=[]),
        of("accepted_values", "n", values=[1, None]),
        of("accepted_values", "n", values=["one"]),
        of("accepted_values", "d", values=["1.005"]),
        of("accepted_values", "b", values=["a"]),
        of("accepted_values", "n", "m", values=[1]),
    ],
    "range": [
        of("range", "n"),
        of("range", "s", min="a"),
        of("range", "n", min=0.5),
        of("range", "n", max=2**63),
        of("range", "x", min="nan"),
        of("range", "d", min="0.001"),
        of("range", "n", min=3, max=2),
        of("range", "n", min=2, max=2, exclusive=True),
        of("range", "n", min=1, exclusive="no"),
        of("range", "at", min="2013-06-01T00:00:00Z"),
        of("range", "tz", min="2013-06-01T00:00:00"),
        of("range", "n", min=True),
    ],
    "length": [of("length", "n", min=1), *bounds("length", "s")],
    "regex": [
        of("regex", "n", pattern="a"),
        of("regex", "s"),
        *(of("regex", "s", pattern=text) for text in ("(", "(?=a)", r"(a)\1", "(?<!a)b", "a++", r"\pL", "(?P<x>a)(?P=x)", "(?>a)")),
    ],
    "row_count": [*bounds("row_count"), of("row_count", "n", min=1), RuleSpec("row_count", (), {"min": 1}, at_least=0.5)],
    "freshness": [
        of("freshness", "day"),
        of("freshness", "n", max="6h"),
        *(of("freshness", "day", max=text) for text in ("6", "-1h", "1 y")),
    ],
    "sql": [of("sql"), of("sql", expression=""), of("sql", expression="a) OR (b"), of("sql", expression="1 = 1; SELECT 2")],
}


@pytest.mark.parametrize("kind", list(KINDS), scope="class")
class TestRules(RuleSuite):
    @pytest.fixture
    def world(self, kind: str) -> World:
        return World(KINDS[kind], DuckEngine(), RIGHT[kind], WRONG[kind])
