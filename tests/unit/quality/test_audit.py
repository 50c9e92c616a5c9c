from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from limnos.engines.duckdb import DuckEngine
from limnos.model.contract import Column, Contract, RuleSpec, Severity
from limnos.model.data import Layout, WrittenFile
from limnos.model.names import TableName, literal
from limnos.model.subject import Subject
from limnos.model.verdict import Outcome, Proof, Verdict
from limnos.ports import Session
from limnos.quality.audit import Audit, audit
from limnos.quality.rules import build_all

NOW = datetime(2013, 6, 1, tzinfo=UTC)
STAFF = TableName("shop", "staff")
COLUMNS = (Column("id", pa.int64()), Column("boss", pa.int64()), Column("pay", pa.float64()), Column("name", pa.string()))
QUARANTINE, WARN, BLOCK = Severity.QUARANTINE, Severity.WARN, Severity.BLOCK
BOSS = RuleSpec("foreign_key", ("boss",), {"references": str(STAFF), "columns": ["id"]})


@pytest.fixture
def session() -> Iterator[Session]:
    with DuckEngine().session() as opened:
        yield opened


class Staged:
    def __init__(self, session: Session, directory: Path, rows: Sequence[tuple[Any, ...]]) -> None:
        schema = Contract(STAFF, COLUMNS).schema
        table = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
        self.session = session
        self.files: Sequence[WrittenFile] = session.write(
            "SELECT * FROM rows", Layout(str(directory), dict(zip(schema.names, range(1, 5), strict=True))), rows=table
        )
        read = f"read_parquet([{', '.join(literal(file.path) for file in self.files)}], filename = true, file_row_number = true)"
        self.subject = Subject(f"(SELECT *, filename AS _file, file_row_number AS _row FROM {read})", len(rows), NOW)

    def audit(self, *specs: RuleSpec) -> Audit:
        return audit(self.session, build_all(Contract(STAFF, COLUMNS, rules=specs)), self.subject, self.files)

    def bad(self) -> dict[int, list[str]]:
        found = self.session.run("SELECT _row, list_transform(reasons, lambda one: one.rule) AS rules FROM limnos_bad ORDER BY _row")
        return {row["_row"]: row["rules"] for row in found.to_pylist()}


def outcome(verdict: Verdict) -> tuple[Outcome, int, int]:
    return verdict.outcome, verdict.numerator, verdict.denominator


def test_a_bad_row_is_listed_once_with_everything_it_breaks(session: Session, tmp_path: Path) -> None:
    staged = Staged(session, tmp_path, [(1, None, -1.0, ""), (1, None, 5.0, ""), (2, None, -5.0, "ok"), (3, None, 7.0, "")])
    found = staged.audit(
        RuleSpec("range", ("pay",), {"min": 0}),
        RuleSpec("unique", ("id",)),
        RuleSpec("length", ("name",), {"min": 1}, severity=WARN),
        RuleSpec("sql", (), {"expression": "id <> 2"}, severity=BLOCK),
    )
    assert [outcome(verdict) for verdict in found.verdicts] == [
        (Outcome.FAIL, 2, 4),
        (Outcome.FAIL, 2, 4),
        (Outcome.FAIL, 1, 4),
        (Outcome.FAIL, 3, 4),
    ]
    assert found.bad == 3
    assert staged.bad() == {0: ["range:pay", "unique:id", "length:name"], 1: ["unique:id", "length:name"], 2: ["range:pay", "sql"]}


def test_a_reason_says_what_was_promised_and_by_which_version(session: Session, tmp_path: Path) -> None:
    staged = Staged(session, tmp_path, [(1, None, -1.0, "it's")])
    spec = RuleSpec("range", ("pay",), {"min": 0}, name="it's pay")
    staged.audit(spec)
    (row,) = session.run("SELECT reasons FROM limnos_bad").to_pylist()
    assert row["reasons"] == [
        {"rule": "it's pay", "version": spec.version, "severity": "quarantine", "columns": ["pay"], "detail": "pay must be at least 0.0"}
    ]


def test_a_share_that_is_kept_quarantines_nothing_and_one_that_is_not_quarantines_all(session: Session, tmp_path: Path) -> None:
    staged = Staged(session, tmp_path, [(n, None, float(n), "") for n in range(4)])
    kept, missed = (RuleSpec("range", ("pay",), {"min": 1}, at_least=share) for share in (0.75, 0.76))
    assert staged.audit(kept).bad == 0
    found = staged.audit(missed)
    assert (found.bad, found.verdicts[0].outcome) == (1, Outcome.FAIL)


def test_a_row_within_tolerance_is_named_when_it_goes_for_another_reason(session: Session, tmp_path: Path) -> None:
    staged = Staged(session, tmp_path, [(None, None, -1.0, ""), (1, None, -1.0, ""), (2, None, 1.0, ""), (3, None, 1.0, "")])
    staged.audit(RuleSpec("not_null", ("id",)), RuleSpec("range", ("pay",), {"min": 0}, at_least=0.5))
    assert staged.bad() == {0: ["not_null:id", "range:pay"]}


def test_children_of_quarantined_rows_follow_them(session: Session, tmp_path: Path) -> None:
    chain = [(1, 99, 0.0, ""), *((n, n - 1, 0.0, "") for n in range(2, 30)), (100, None, 0.0, ""), (101, 100, 0.0, "")]
    staged = Staged(session, tmp_path, chain)
    found = staged.audit(BOSS)
    assert (found.bad, outcome(found.verdicts[0])) == (29, (Outcome.FAIL, 1, 30))
    assert set(staged.bad()) == set(range(29))


def test_a_child_of_a_row_that_breaks_another_rule_follows_it(session: Session, tmp_path: Path) -> None:
    staged = Staged(session, tmp_path, [(1, None, -1.0, ""), (2, 1, 1.0, ""), (3, None, 1.0, "")])
    staged.audit(RuleSpec("range", ("pay",), {"min": 0}), BOSS)
    assert staged.bad() == {0: ["range:pay"], 1: ["foreign_key:boss"]}


def test_a_reference_that_only_warns_is_judged_against_the_rows_that_stay(session: Session, tmp_path: Path) -> None:
    staged = Staged(session, tmp_path, [(1, None, -1.0, ""), (2, 1, 1.0, ""), (3, 2, 1.0, "")])
    warning = RuleSpec("foreign_key", ("boss",), BOSS.arguments, severity=WARN)
    found = staged.audit(RuleSpec("range", ("pay",), {"min": 0}), warning)
    assert outcome(found.verdicts[1]) == (Outcome.FAIL, 1, 2)
    assert staged.bad() == {0: ["range:pay"]}


@pytest.mark.parametrize(
    "spec",
    [
        RuleSpec("sql", (), {"expression": "no_such_column > 1"}),
        RuleSpec("sql", (), {"expression": "CAST(name AS INTEGER) > 1"}),
        RuleSpec("sql", (), {"expression": "sum(pay) > 1"}),
        RuleSpec("unique", ("id",), where="nonsense"),
        RuleSpec("row_count", (), {"min": 1}, where="nonsense = 1"),
        RuleSpec("foreign_key", ("id",), {"references": "shop.never_loaded", "columns": ["id"]}),
    ],
    ids=lambda spec: spec.kind,
)
def test_a_rule_that_does_not_run_is_an_error_and_the_others_are_judged(session: Session, tmp_path: Path, spec: RuleSpec) -> None:
    staged = Staged(session, tmp_path, [(1, None, -1.0, "a"), (2, None, 1.0, "b")])
    found = staged.audit(RuleSpec("range", ("pay",), {"min": 0}), spec, RuleSpec("regex", ("name",), {"pattern": "a"}))
    assert [verdict.outcome for verdict in found.verdicts] == [Outcome.FAIL, Outcome.ERROR, Outcome.FAIL]
    assert outcome(found.verdicts[1]) == (Outcome.ERROR, 0, 0)
    assert found.verdicts[1].detail
    assert found.verdicts[1].holds
    assert staged.bad() == {0: ["range:pay"], 1: ["regex:name"]}


def test_an_empty_table_is_unknown_to_every_rule_but_its_count(session: Session, tmp_path: Path) -> None:
    staged = Staged(session, tmp_path, [(1, None, 1.0, "")])
    empty = Subject(f"(SELECT * FROM {staged.subject.relation} WHERE FALSE)", 0, NOW)
    specs = (RuleSpec("not_null", ("id",)), RuleSpec("unique", ("id",)), RuleSpec("row_count", (), {"min": 1}))
    found = audit(session, build_all(Contract(STAFF, COLUMNS, rules=specs)), empty, ())
    assert [verdict.outcome for verdict in found.verdicts] == [Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.FAIL]


def test_the_rows_that_stay_are_counted(session: Session, tmp_path: Path) -> None:
    staged = Staged(session, tmp_path, [(1, None, -1.0, ""), (2, None, 1.0, "")])
    count = RuleSpec("row_count", (), {"min": 2})
    assert staged.audit(count).verdicts[0].outcome is Outcome.PASS
    found = staged.audit(count, RuleSpec("range", ("pay",), {"min": 0}))
    assert found.verdicts[0].outcome is Outcome.FAIL
    assert found.verdicts[0].severity is BLOCK
    assert found.verdicts[0].holds
    assert found.verdicts[0].detail == "the table must have at least 2 rows; it has 1"


def test_what_statistics_prove_says_so_and_what_they_cannot_is_scanned(session: Session, tmp_path: Path) -> None:
    staged = Staged(session, tmp_path, [(1, None, 1.0, "a"), (2, 1, float("nan"), "b")])
    found = staged.audit(
        RuleSpec("not_null", ("id",)),
        RuleSpec("range", ("boss",), {"min": 0}),
        RuleSpec("row_count", (), {"max": 5}),
        RuleSpec("range", ("pay",), {"min": 0}, severity=WARN),
        RuleSpec("not_null", ("name",), where="id > 0"),
    )
    assert [verdict.proof for verdict in found.verdicts] == [Proof.STATISTICS] * 3 + [Proof.SCAN] * 2
    assert [outcome(verdict) for verdict in found.verdicts] == [
        (Outcome.PASS, 2, 2),
        (Outcome.PASS, 1, 1),
        (Outcome.PASS, 1, 1),
        (Outcome.FAIL, 1, 2),
        (Outcome.PASS, 2, 2),
    ]


def test_a_table_without_rules_has_an_empty_list_of_bad_rows(session: Session, tmp_path: Path) -> None:
    staged = Staged(session, tmp_path, [(1, None, 1.0, "a")])
    assert staged.audit() == Audit((), 0)
    assert staged.bad() == {}


def test_names_that_would_break_out_of_sql_do_not(session: Session, tmp_path: Path) -> None:
    contract = Contract(
        STAFF, (Column('a" OR 1=1; --', pa.string()),), rules=(RuleSpec("not_null", ('a" OR 1=1; --',), name="'; DROP TABLE x; --"),)
    )
    relation = '(SELECT NULL::VARCHAR AS "a"" OR 1=1; --", \'f\' AS _file, 0 AS _row)'
    assert audit(session, build_all(contract), Subject(relation, 1, NOW), ()).bad == 1
