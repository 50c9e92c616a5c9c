from __future__ import annotations

from collections.abc import Sequence

import pytest

from limnos.engines.duckdb import DuckEngine
from limnos.model.contract import RuleSpec, Severity
from limnos.quality.rules import KINDS
from limnos.quality.rules.formats import FORMATS
from limnos.testing.rule import PARENT, TABLE, RuleSuite, World

COUNTS = [RuleSpec("", arguments=said) for said in ({}, {"min": -1}, {"min": 1.5}, {"min": True}, {"max": "9"}, {"min": 3, "max": 2})]


def of(kind: str, *columns: str, severity: Severity | None = None, **arguments: object) -> RuleSpec:
    return RuleSpec(kind, columns, arguments, severity=severity)


def bounds(kind: str, *columns: str) -> list[RuleSpec]:
    return [RuleSpec(kind, columns, spec.arguments) for spec in COUNTS]


def any_of(*rules: RuleSpec) -> RuleSpec:
    return of("any_of", rules=[{"kind": one.kind, "columns": list(one.columns), "arguments": dict(one.arguments)} for one in rules])


RIGHT: dict[str, Sequence[RuleSpec]] = {
    "not_null": [
        of("not_null", "n"),
        of("not_null", "x", "s"),
        of("not_null", "s", missing=["", "N123", "a\n"]),
        of("not_null", "x", "m", missing=[0]),
        of("not_null", "x", missing=["nan", "inf"]),
    ],
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
    "rejected_values": [
        of("rejected_values", "s", values=["a", "é", "", "it's"]),
        of("rejected_values", "x", values=[0, float("nan")]),
        of("rejected_values", "n", values=[2**63 - 1]),
        of("rejected_values", "tz", values=["2013-06-01T07:59:59.999999+02:00"]),
    ],
    "compare": [
        *(of("compare", "n", "m", operator=operator) for operator in ("<", "<=", "=", "!=", ">=", ">")),
        of("compare", "x", "f", operator="<="),
        of("compare", "d", "x", operator="="),
        of("compare", "n", "x", operator=">"),
        of("compare", "d", "h", operator=">="),
        of("compare", "m", "d", operator="!="),
    ],
    "distinct_count": [of("distinct_count", name, min=2, max=3) for name in ("n", "x", "s", "t", "tz", "b")],
    "unique_ratio": [of("unique_ratio", name, min=0.51) for name in ("m", "x", "s", "d")]
    + [of("unique_ratio", "m", max=1, exclusive=True)],
    "mean": [of("mean", name, min=0.77, max=2.01) for name in ("m", "n", "x", "f", "d", "h")],
    "sum": [
        of("sum", "m", min=3, max=9),
        of("sum", "m", min=2, max=4, exclusive=True),
        of("sum", "n", max=2**63),
        of("sum", "d", min="1.49", max="3.00"),
        of("sum", "h", min="0.0000000002"),
        of("sum", "x", min=0.9),
        of("sum", "f", min=0.11),
    ],
    "stddev": [of("stddev", name, min=0.123, max=1.234) for name in ("m", "x", "f", "d", "n")],
    "minimum": [
        of("minimum", "n", min=0),
        of("minimum", "x", min=-1, max=1),
        of("minimum", "d", min="0.00"),
        of("minimum", "h", max=0, exclusive=True),
        of("minimum", "day", min="2013-05-31"),
        of("minimum", "tz", max="2013-06-01T00:00:00Z"),
    ],
    "maximum": [
        of("maximum", "n", max=2**53),
        of("maximum", "x", max=2.5),
        of("maximum", "f", min=0.11),
        of("maximum", "at", min="2013-06-01 00:00:00"),
    ],
    "entropy": [of("entropy", name, min=0.31, max=1.234) for name in ("m", "x", "s", "day", "b", "t")],
    "quantile": [of("quantile", name, q=q, min=0.03, max=2.2) for name in ("m", "x", "d", "f") for q in (0, 0.25, 0.5, 0.95, 1)],
    "correlation": [of("correlation", *pair, min=0.123) for pair in (("m", "d"), ("x", "m"), ("f", "x"))],
    "format": [of("format", "s", **{"as": form}) for form in sorted(FORMATS)],
    "monotonic": [
        of("monotonic", "m", order_by="n"),
        of("monotonic", "x", order_by=["m", "day"], direction="down"),
        of("monotonic", "n", order_by="m", strict=True, per="t"),
        of("monotonic", "s", order_by="x", per=["t", "m"]),
        of("monotonic", "tz", order_by="m", strict=True, direction="down"),
    ],
    "sequence": [
        of("sequence", "m"),
        of("sequence", "n", step=2),
        of("sequence", "m", per="t"),
        of("sequence", "day", per=["x"]),
        of("sequence", "day", step=2),
    ],
    "referenced_by": [
        of("referenced_by", "m", table=str(PARENT)),
        of("referenced_by", "n", table=str(PARENT), columns=["m"]),
        of("referenced_by", "x", "s", table=str(PARENT), columns=["x", "s"]),
    ],
    "matches_reference": [
        of("matches_reference", "m", table=str(PARENT), compare=["t"]),
        of("matches_reference", "m", table=str(PARENT), key="m", compare=["x", "s"], tolerance=0.6),
        of("matches_reference", "t", table=str(PARENT), compare="d", tolerance="150%"),
        of("matches_reference", "t", table=str(PARENT), compare={"m": "n", "d": "x"}, tolerance=1),
        of("matches_reference", table=str(PARENT), key="m", compare=["x"]),
        of("matches_reference", "m", table=str(PARENT)),
        of("matches_reference", "m", "t", table=str(PARENT), key=["n", "t"], compare={"tz": "tz", "x": "f"}),
    ],
    "aggregate_match": [
        of("aggregate_match", function="count", table=str(PARENT)),
        of("aggregate_match", function="count", table=str(PARENT), tolerance="50%"),
        of("aggregate_match", "s", function="count", table=str(PARENT), other_column="x"),
        of("aggregate_match", "m", function="sum", table=str(PARENT), tolerance=2),
        of("aggregate_match", "h", function="sum", table=str(PARENT)),
        of("aggregate_match", "x", function="mean", table=str(PARENT), other_column="f", tolerance=0.3),
        of("aggregate_match", "day", function="max", table=str(PARENT)),
        of("aggregate_match", "x", function="min", table=str(PARENT), tolerance="10%"),
        of("aggregate_match", "n", function="distinct_count", table=str(PARENT), other_column="s", tolerance=1),
    ],
    "row_change": [
        of("row_change", min=-1, max=2),
        of("row_change", max=0),
        of("row_change", min="-10%", max="50%"),
        of("row_change", min="+33.3 %"),
    ],
    "schema_match": [
        of("schema_match", columns={"n": "bigint", "d": "decimal(9,2)"}),
        of("schema_match", columns={"n": "int"}),
        of("schema_match", columns={"no_such": "int"}),
        of("schema_match", columns={"m": "int", "n": "long"}, order=True),
        of("schema_match", columns={"n": "long", "m": "int"}, order=True),
        of("schema_match", columns={"n": "long"}, extra="refuse"),
        of("schema_match", columns=["n", "m"]),
        of("schema_match", columns=["n", "no_such"]),
        of("schema_match", table=str(PARENT), extra="refuse", order=True),
    ],
    "query": [
        of("query", sql="SELECT * FROM suite.things WHERE m > 1"),
        of("query", sql="SELECT t.* FROM suite.things AS t JOIN suite.things AS u ON t.m = u.m AND t.n < u.n;"),
        of("query", sql="SELECT _file, _row FROM suite.things WHERE m = (SELECT max(m) FROM suite.things) -- the most"),
    ],
    "any_of": [
        any_of(of("range", "n", min=2), of("not_null", "s")),
        any_of(of("range", "x", max=1), of("accepted_values", "s", values=["a"]), of("compare", "n", "m", operator="=")),
        any_of(of("format", "s", **{"as": "date"}), of("length", "s", max=1)),
        any_of(RuleSpec("sql", (), {"expression": "m > 2"})),
    ],
}
WRONG: dict[str, Sequence[RuleSpec]] = {
    "not_null": [
        of("not_null"),
        of("not_null", "n", "n"),
        of("not_null", "n", missing=[]),
        of("not_null", "n", missing="N/A"),
        of("not_null", "n", missing=["N/A"]),
        of("not_null", "s", "n", missing=[""]),
    ],
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
WRONG |= {
    "rejected_values": [
        of("rejected_values", "n"),
        of("rejected_values", "n", values=["one"]),
        of("rejected_values", "n", "m", values=[1]),
    ],
    "compare": [
        of("compare", "n", "m"),
        of("compare", "n", "m", operator="=="),
        of("compare", "n", operator="<"),
        of("compare", "n", "m", "x", operator="<"),
        of("compare", "n", "n", operator="<"),
        of("compare", "n", "s", operator="<"),
        of("compare", "day", "at", operator="<"),
    ],
    **{
        kind: [
            of(kind, column),
            of(kind, column, min="many"),
            of(kind, column, min=3, max=2),
            of(kind, column, min=1, max=1, exclusive=True),
            of(kind, column, min=1, exclusive="yes"),
            of(kind, column, "m", min=1),
            of(kind, min=1),
            RuleSpec(kind, (column,), {"min": 1}, at_least=0.5),
        ]
        for kind, column in [*((one, "n") for one in ("distinct_count", "mean", "sum", "stddev", "minimum", "maximum")), ("entropy", "s")]
    },
    "quantile": [
        of("quantile", "m", min=1),
        of("quantile", "m", q=0.5),
        of("quantile", "s", q=0.5, min=1),
        *(of("quantile", "m", q=q, min=1) for q in (-0.1, 1.1, True, "0.5")),
    ],
    "correlation": [of("correlation", "m", min=0), of("correlation", "m", "s", min=0), of("correlation", "m", "n")],
    "format": [
        of("format", "s"),
        of("format", "s", **{"as": "emial"}),
        of("format", "n", **{"as": "email"}),
        of("format", "s", **{"as": "email", "region": "FR"}),
        of("format", "s", **{"as": "phone", "region": 33}),
    ],
    "monotonic": [
        of("monotonic", "m"),
        of("monotonic", "m", order_by="m"),
        of("monotonic", "m", order_by="no_such"),
        of("monotonic", "t", order_by="m"),
        of("monotonic", "m", order_by="n", direction="sideways"),
        of("monotonic", "m", order_by="n", strict=1),
        of("monotonic", "m", order_by="n", per=["x", "x"]),
    ],
    "sequence": [
        of("sequence", "s"),
        of("sequence", "x"),
        of("sequence", "m", step=0),
        of("sequence", "m", step=-1),
        of("sequence", "m", per="no_such"),
    ],
    "referenced_by": [
        of("referenced_by", "m"),
        of("referenced_by", "m", table="parents"),
        of("referenced_by", "m", table=str(TABLE)),
        of("referenced_by", "m", table=str(PARENT), columns=["m", "n"]),
    ],
    "matches_reference": [
        of("matches_reference", table=str(PARENT)),
        of("matches_reference", "m", compare=["x"]),
        of("matches_reference", "m", table=str(PARENT), compare=[]),
        of("matches_reference", "m", table=str(PARENT), compare=["no_such"]),
        of("matches_reference", "m", table=str(PARENT), compare=["x"], key=["m", "n"]),
        *(of("matches_reference", "m", table=str(PARENT), compare=["x"], tolerance=said) for said in (-1, "1", True, float("nan"))),
    ],
    "aggregate_match": [
        of("aggregate_match", table=str(PARENT)),
        of("aggregate_match", function="count"),
        of("aggregate_match", function="sum", table=str(PARENT)),
        of("aggregate_match", "s", function="sum", table=str(PARENT)),
        of("aggregate_match", "m", function="median", table=str(PARENT)),
        of("aggregate_match", "day", function="max", table=str(PARENT), tolerance=1),
        of("aggregate_match", "m", function="sum", table=str(PARENT), other_where="a) OR (b"),
        of("aggregate_match", "m", function="sum", table=str(PARENT), other_column=["a", "b"]),
    ],
    "row_change": [
        *(of("row_change", **said) for said in ({}, {"min": 1.5}, {"min": "10"}, {"min": "-10%", "max": 5}, {"min": 3, "max": 2})),
        RuleSpec("row_change", (), {"min": 1}, where="m > 1"),
    ],
    "schema_match": [
        of("schema_match"),
        of("schema_match", columns={}),
        of("schema_match", columns=[7]),
        of("schema_match", columns={"n": "lnog"}),
        of("schema_match", columns={"n": "long"}, table=str(PARENT)),
        of("schema_match", table=str(TABLE)),
        of("schema_match", columns={"n": "long"}, extra="deny"),
    ],
    "query": [of("query"), of("query", sql=" "), of("query", sql=7)],
    "any_of": [
        of("any_of"),
        of("any_of", rules=[]),
        of("any_of", rules=["not_null"]),
        of("any_of", rules=[{"kind": "unique", "columns": ["n"]}]),
        of("any_of", rules=[{"kind": "range", "columns": ["n"], "arguments": {"mni": 1}}]),
        of("any_of", rules=[{"kind": "not_null", "columns": ["n"], "severity": "warn"}]),
        of("any_of", rules=[{"kind": "not_null", "columns": ["no_such"]}]),
    ],
}
WITHOUT_WHERE = {"row_change", "schema_match"}


@pytest.mark.parametrize("kind", list(KINDS), scope="class")
class TestRules(RuleSuite):
    @pytest.fixture
    def world(self, kind: str) -> World:
        return World(KINDS[kind], DuckEngine(), RIGHT[kind], WRONG.get(kind, ()), where=kind not in WITHOUT_WHERE)
