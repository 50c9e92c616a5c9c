"""The conformance suite of `Rule`; it needs pytest and hypothesis, which the tests of a rule bring along."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.resources import files as package_files
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limnos.errors import RuleInvalid, Unsupported
from limnos.model.contract import Column, Contract, RuleSpec, Severity
from limnos.model.data import Layout, WrittenFile
from limnos.model.names import TableName, literal
from limnos.model.place import Place
from limnos.model.subject import RuleShape, Subject
from limnos.model.types import parse_type, sql_type
from limnos.model.verdict import Outcome, Proof, Verdict
from limnos.ports import Engine, Rule, Session
from limnos.quality.audit import audit
from limnos.quality.rules.aggregate import Aggregate
from limnos.quality.rules.monotonic import Monotonic
from limnos.quality.rules.query import Query
from limnos.quality.rules.row_change import RowChange
from limnos.testing.other_database import returned

Row = Mapping[str, Any]
TABLE, PARENT = TableName("suite", "things"), TableName("suite", "parents")
NOW = datetime(2013, 6, 1, 12, 0, tzinfo=UTC)
_TYPES = {
    "n": "long",
    "m": "int",
    "x": "double",
    "f": "float",
    "d": "decimal(9,2)",
    "h": "decimal(38,10)",
    "s": "string",
    "b": "binary",
    "t": "boolean",
    "day": "date",
    "at": "timestamp",
    "tz": "timestamptz",
}
CONTRACT = Contract(TABLE, tuple(Column(name, parse_type(spelled)) for name, spelled in _TYPES.items()))
"""Generated: `n long, m int, x double, f float, d decimal(9,2), h decimal(38,10), s string, b binary, t boolean, day, at, tz`."""

_MOMENTS = [NOW - timedelta(days=days, hours=hours, microseconds=1) for days in (-1, 0, 1, 2) for hours in (0, 6, 11)]
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "n": st.integers(0, 4) | st.sampled_from([-(2**63), 2**53 + 1, 2**63 - 1]),
    "m": st.integers(0, 4),
    "x": st.sampled_from([0.0, -0.0, 0.5, 1.0, 2.5, float("nan"), float("inf"), float("-inf"), 5e-324]),
    "f": st.sampled_from([0.0, 0.10000000149011612, 1.5, float("nan"), float("inf")]),
    "d": st.sampled_from([Decimal("0.00"), Decimal("-0.01"), Decimal("1.50"), Decimal("9999999.99")]),
    "h": st.sampled_from([Decimal("0E-10"), Decimal("0.0000000001"), Decimal("-999999999999999999999999999.5"), Decimal("1E27")]),
    "s": st.sampled_from(["", "a", "A", "ab", "a\n", "é", "e\u0301", "\U0001f9ed", "\u0663", "a\x00", "N123"]) | st.text(max_size=3),
    "b": st.sampled_from([b"", b"\x00", b"a", b"\xff\xfe\x00"]),
    "t": st.booleans(),
    "day": st.sampled_from([moment.date() for moment in _MOMENTS]),
    "at": st.sampled_from([moment.replace(tzinfo=None) for moment in _MOMENTS]),
    "tz": st.sampled_from(_MOMENTS),
}
_ROW = st.fixed_dictionaries({name: st.none() | values for name, values in _VALUES.items()})
_ROWS = st.lists(_ROW, max_size=12)
_WHERES: tuple[tuple[str, Callable[[Row], bool]], ...] = (
    ("", lambda _: True),
    ("m > 1", lambda row: row["m"] is not None and row["m"] > 1),
    ("s IS NULL OR m < 3", lambda row: row["s"] is None or (row["m"] is not None and row["m"] < 3)),
    ("FALSE", lambda _: False),
)
_numbers = count()


@dataclass(frozen=True, slots=True)
class World:
    """Hold a rule, the engine that runs it, and declarations over `CONTRACT` that build it.

    `wrong` holds declarations that must be refused. Rules that look at other tables refer to `TABLE` or to `PARENT`, which has the same
    columns. `where` says whether the rule takes a condition on its rows.
    """

    rule: type[Rule]
    engine: Engine
    right: Sequence[RuleSpec]
    wrong: Sequence[RuleSpec] = field(default_factory=tuple[RuleSpec, ...])
    where: bool = True


@dataclass(frozen=True, slots=True)
class _Found:
    verdict: Verdict
    bad: frozenset[int]


class RuleSuite:
    """Assert what every rule promises; a test class inherits it and gives the fixture `world`."""

    generation: ClassVar[settings] = settings(
        max_examples=50, deadline=None, report_multiple_bugs=False, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
    )

    def test_it_declares_itself(self, world: World) -> None:
        for spec in world.right:
            rule = world.rule.build(spec, CONTRACT)
            assert isinstance(rule, Rule)
            assert rule.kind == world.rule.kind == spec.kind
            assert rule.promise()
            assert rule.spec.version == spec.version

    def test_it_has_a_page(self, world: World) -> None:
        page = package_files("limnos") / "pages" / "rules" / f"{world.rule.kind}.md"
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {world.rule.kind}\n")
        missing = {"What it does", "Why it matters", "Example", "Arguments", "How rows are counted", "Fix"} - _headings(text)
        assert not missing

    def test_what_does_not_fit_is_refused_with_its_place(self, world: World) -> None:
        place = Place("limnos.yml", 7)
        unknown = replace(world.right[0], arguments={**world.right[0].arguments, "mni": 1})
        nowhere = replace(world.right[0], columns=("no_such_column",))
        shares = [replace(world.right[0], at_least=share) for share in (-0.1, 1.5)]
        slips = [replace(world.right[0], where=text) for text in ("a) OR (b", "a; b", "a -- b", "'", " ")]
        for spec in [unknown, nowhere, *shares, *slips, *world.wrong]:
            with pytest.raises(RuleInvalid) as caught:
                world.rule.build(replace(spec, place=place), CONTRACT)
            assert str(place) in caught.value.subject
            assert caught.value.expected
            assert caught.value.hint

    def test_a_severity_that_is_not_named_is_the_contracts(self, world: World) -> None:
        for severity in (Severity.BLOCK, Severity.WARN):
            rule = world.rule.build(world.right[0], replace(CONTRACT, on_fail=severity))
            assert rule.spec.severity is severity or (rule.shape is RuleShape.TABLE and rule.spec.severity is not None)

    def test_what_another_shape_would_be_asked_is_refused(self, world: World) -> None:
        rule = world.rule.build(world.right[0], CONTRACT)
        subject = Subject("things", 0, NOW)
        asked: dict[RuleShape, Sequence[Callable[[], str]]] = {
            RuleShape.ROW: (lambda: rule.failing_rows(subject), lambda: rule.measure(subject)),
            RuleShape.SET: (rule.failing, lambda: rule.measure(subject)),
            RuleShape.TABLE: (rule.applies, rule.failing, lambda: rule.failing_rows(subject)),
        }
        for question in asked[rule.shape]:
            with pytest.raises(Unsupported):
                question()

    def test_the_engine_finds_what_the_oracle_finds(self, world: World, tmp_path: Path) -> None:
        beside = _ROWS if world.rule is RowChange or any(spec.others for spec in world.right) else st.just(list[Row]())
        wheres = _WHERES if world.where else _WHERES[:1]

        @self.generation
        @given(st.sampled_from(world.right), st.sampled_from(wheres), st.sampled_from([1.0, 0.5, 0.0]), _ROWS, beside)
        def agrees(spec: RuleSpec, where: tuple[str, Callable[[Row], bool]], at_least: float, rows: list[Row], parents: list[Row]) -> None:
            share = 1.0 if world.rule.shape is RuleShape.TABLE else at_least
            severity = Severity.BLOCK if world.rule.shape is RuleShape.TABLE else Severity.QUARANTINE
            declared = replace(spec, where=where[0], at_least=share, severity=spec.severity or severity)
            rule = world.rule.build(declared, CONTRACT)
            _agree(session, rule, where[1], rows, parents, tmp_path)

        with world.engine.session() as session:
            agrees()

    def test_statistics_prove_nothing_that_a_scan_refutes(self, world: World, tmp_path: Path) -> None:
        if not any(world.rule.build(spec, CONTRACT).proven(()) for spec in world.right):
            # What knows nothing of no file knows nothing of any.
            return

        @self.generation
        @given(st.sampled_from(world.right), _ROWS)
        def agree(spec: RuleSpec, rows: list[Row]) -> None:
            rule = world.rule.build(spec, CONTRACT)
            proven, scanned = (_judge(session, rule, rows, rows, tmp_path, statistics=known).verdict for known in (True, False))
            assert (proven.outcome, proven.numerator, proven.denominator) == (scanned.outcome, scanned.numerator, scanned.denominator)
            assert scanned.proof is Proof.SCAN or not rows

        with world.engine.session() as session:
            agree()


def _headings(text: str) -> set[str]:
    return {line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")}


def _agree(session: Session, rule: Rule, where: Callable[[Row], bool], rows: list[Row], parents: list[Row], directory: Path) -> None:
    found = _judge(session, rule, rows, parents, directory, statistics=True)
    held = _table(rows).to_pylist()
    chosen = [index for index, row in enumerate(held) if where(row)]
    judged = [held[index] for index in chosen]
    others = {PARENT: _table(parents).to_pylist(), TABLE: held}
    if isinstance(rule, Query):
        places = {row["_row"] for row in returned(rule.sql, others, CONTRACT.names)}
        failing = {index for index, place in enumerate(chosen) if place in places}
    else:
        before = {"previous_rows": len(parents)} if isinstance(rule, RowChange) else {}
        failing = rule.oracle(judged, others, NOW, **before)
    if rule.shape is RuleShape.TABLE:
        assert (found.verdict.outcome is Outcome.FAIL) == (failing == {-1})
        assert found.verdict.denominator in {0, 1}
        assert not found.bad
        return _measures(found.verdict, rule.known(judged)) if isinstance(rule, Aggregate) else None
    expected = {chosen[index] for index in failing}
    assert found.verdict.failing == len(expected)
    if rule.spec.columns:
        judges_nulls = rule.kind in {"not_null", "primary_key"}
        needed = (*rule.spec.columns, *rule.order) if isinstance(rule, Monotonic) else rule.spec.columns
        applicable = [index for index in chosen if judges_nulls or all(held[index][name] is not None for name in needed)]
        assert found.verdict.denominator == len(applicable)
    assert found.verdict.outcome is _outcome(found.verdict, rule.spec.at_least)
    quarantined = found.verdict.outcome is Outcome.FAIL and rule.spec.severity is Severity.QUARANTINE
    assert found.bad == (expected if quarantined else set())
    return None


def _measures(verdict: Verdict, known: Any) -> None:  # noqa: ANN401 a value of any type
    """Compare what was measured with what Python computed, as far as the order of adding floats lets them be the same."""
    assert (verdict.outcome is Outcome.UNKNOWN) == (known is None)
    number = float(known) if isinstance(known, int | float | Decimal) else math.nan
    assert verdict.value == (pytest.approx(number, rel=1e-9, abs=1e-9) if math.isfinite(number) else None)


def _outcome(verdict: Verdict, at_least: float) -> Outcome:
    if not verdict.denominator:
        return Outcome.UNKNOWN
    return Outcome.PASS if verdict.numerator >= at_least * verdict.denominator else Outcome.FAIL


def _judge(session: Session, rule: Rule, rows: list[Row], parents: list[Row], directory: Path, *, statistics: bool) -> _Found:
    """Audit rows that were written as Parquet, by one rule; `bad` holds indices into them."""
    relation, files = _written(session, rows, directory)
    parent = f"(SELECT * EXCLUDE (_index, _file, _row) FROM {_written(session, parents, directory)[0]})"
    subject = Subject(relation, len(rows), NOW, {PARENT: parent}, previous_rows=len(parents))
    found = audit(session, [rule], subject, files if statistics else ())
    bad = session.run(f"SELECT n._index FROM {relation} AS n JOIN limnos_bad AS bad ON n._file = bad._file AND n._row = bad._row")
    indices = [int(row["_index"]) for row in bad.to_pylist()]
    assert len(indices) == len(set(indices)) == found.bad
    return _Found(found.verdicts[0], frozenset(indices))


def _table(rows: Sequence[Row]) -> pa.Table:
    columns = {column.name: pa.array([row[column.name] for row in rows], column.type) for column in CONTRACT.columns}
    return pa.table(columns, schema=CONTRACT.schema)


def _written(session: Session, rows: Sequence[Row], directory: Path) -> tuple[str, Sequence[WrittenFile]]:
    """Write rows as they would be staged; gives the relation of a subject, with their place as `_index`, and the files."""
    if not rows:
        nothing = ", ".join(f"NULL::{sql_type(column.type)} AS {column.name}" for column in CONTRACT.columns)
        return f"(SELECT {nothing}, 0 AS _index, '' AS _file, 0 AS _row WHERE FALSE)", ()
    given_rows = _table(rows).append_column("_index", pa.array(range(len(rows))))
    layout = Layout(str(directory / f"t{next(_numbers)}"), {name: place for place, name in enumerate(given_rows.schema.names, 1)})
    files = session.write("SELECT * FROM given_rows", layout, given_rows=given_rows)
    paths = ", ".join(literal(file.path) for file in files)
    read = f"read_parquet([{paths}], filename = true, file_row_number = true)"
    return f"(SELECT * EXCLUDE (filename, file_row_number), filename AS _file, file_row_number AS _row FROM {read})", files
