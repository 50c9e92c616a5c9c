"""What rules find in other tables, in the version before, in free SQL, and beside the rows that are judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from limnos.engines.duckdb import DuckEngine
from limnos.model.contract import Column, Contract, RuleSpec, Severity
from limnos.model.names import TableName
from limnos.model.subject import Subject
from limnos.model.verdict import Outcome, Verdict
from limnos.ports import Session
from limnos.quality.audit import audit
from limnos.quality.rules import build_all

NOW = datetime(2013, 6, 1, tzinfo=UTC)
ORDERS, LINES = TableName("shop", "orders"), TableName("shop", "lines")
COLUMNS = (Column("id", pa.int64()), Column("amount", pa.decimal128(9, 2)), Column("note", pa.string()))
LINE_ROWS = "(SELECT * FROM (VALUES (1, 1.50, 'a'), (2, 2.50, 'b'), (2, 9.99, 'c')) AS v(order_id, price, note))"
WARN = Severity.WARN
Judge = Callable[..., tuple[list[Verdict], set[int]]]


@pytest.fixture
def session() -> Iterator[Session]:
    with DuckEngine().session() as opened:
        yield opened


@pytest.fixture
def judge(session: Session) -> Judge:
    def judged(
        rows: Sequence[tuple[Any, ...]],
        *specs: RuleSpec,
        previous_rows: int | None = None,
        beside: str = "",
        parents: Mapping[TableName, str] | None = None,
    ) -> tuple[list[Verdict], set[int]]:
        contract = Contract(ORDERS, COLUMNS, ("id",), specs)
        table = pa.Table.from_pylist([dict(zip(contract.names, row, strict=True)) for row in rows], contract.schema)
        session.run(
            "CREATE OR REPLACE TEMP TABLE staged AS SELECT *, 'f' AS _file, row_number() OVER () - 1 AS _row FROM given", given=table
        )
        others = {LINES: LINE_ROWS} if parents is None else parents
        found = audit(session, build_all(contract), Subject("staged", len(rows), NOW, others, beside, previous_rows), ())
        bad = session.run("SELECT _row FROM limnos_bad").column(0).to_pylist()
        return list(found.verdicts), set(bad)

    return judged


ROWS = [(1, 1, "a"), (2, 2, "b"), (3, 3, None)]


def query(sql: str, **more: Any) -> RuleSpec:
    return RuleSpec("query", (), {"sql": sql}, **more)


@pytest.mark.parametrize(
    ("sql", "bad"),
    [
        ("SELECT * FROM shop.orders WHERE id > 1", {1, 2}),
        ("SELECT id FROM shop.orders WHERE id > 1 ORDER BY id LIMIT 1;", {1}),
        ("SELECT order_id AS id FROM shop.lines GROUP BY 1 HAVING count(*) > 1", {1}),
        ("SELECT o._file, o._row FROM shop.orders AS o JOIN shop.lines AS l ON l.order_id = o.id -- twice", {0, 1}),
        ("WITH few AS (SELECT * FROM shop.orders) SELECT * FROM few WHERE note IS NULL", {2}),
        ("SELECT 99 AS id", set()),
        ("SELECT * FROM shop.orders WHERE FALSE", set()),
    ],
)
def test_a_query_names_rows_by_their_place_or_key(judge: Judge, sql: str, bad: set[int]) -> None:
    (verdict,), found = judge(ROWS, query(sql))
    assert found == bad
    assert (verdict.outcome, verdict.failing, verdict.denominator) == (Outcome.FAIL if bad else Outcome.PASS, len(bad), 3)


def test_a_query_fails_only_rows_that_it_applies_to(judge: Judge) -> None:
    (verdict,), found = judge(ROWS, query("SELECT * FROM shop.orders", where="id < 3", at_least=0.5))
    assert (verdict.outcome, verdict.numerator, verdict.denominator, found) == (Outcome.FAIL, 0, 2, {0, 1})


@pytest.mark.parametrize(
    ("severity", "held"), [(None, Severity.BLOCK), (Severity.QUARANTINE, Severity.BLOCK), (WARN, WARN), (Severity.BLOCK, Severity.BLOCK)]
)
@pytest.mark.parametrize(("count", "outcome"), [(3, Outcome.PASS), (4, Outcome.FAIL)])
def test_a_query_that_names_no_row_judges_the_table(
    judge: Judge, severity: Severity | None, held: Severity, count: int, outcome: Outcome
) -> None:
    sql = f"SELECT * FROM (SELECT count(*) FROM shop.orders) AS measured(value) WHERE NOT value = {count}"
    (verdict, other), found = judge(ROWS, query(sql, severity=severity), RuleSpec("not_null", ("note",)))
    assert (verdict.outcome, verdict.numerator, verdict.denominator) == (outcome, int(outcome is Outcome.PASS), 1)
    assert verdict.holds == (outcome is Outcome.FAIL and severity is not WARN)
    if outcome is Outcome.FAIL:
        assert verdict.severity is held
    assert (other.outcome, found) == (Outcome.FAIL, {2})


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT * FROM read_csv('{file}')", "read_csv"),
        ("SELECT * FROM '{file}'", "No table is called"),
        ("SELECT * FROM read_text('{file}')", "read_text"),
        ("SELECT * FROM staged", "No table is called staged"),
        ("SELECT * FROM temp.staged", "temp.staged"),
        ("SELECT * FROM shop.secrets", "shop.secrets"),
        ("SELECT * FROM information_schema.tables", "information_schema"),
        ("COPY shop.orders TO '{file}'", "Only SELECT"),
        ("DROP TABLE shop.orders", "Only SELECT"),
        ("SELECT * FROM shop.orders; DELETE FROM staged", ""),
        ("SELECT * FROM shop.orders) AS x; DELETE FROM staged; SELECT * FROM (SELECT 1", ""),
        ("SELECT getenv('HOME') AS id", "getenv"),
        ("SELECT nonsense FROM shop.orders", "nonsense"),
        ("SELECT CAST(note AS INTEGER) AS id FROM shop.orders", "Could not convert"),
    ],
)
def test_a_query_that_may_not_run_is_an_error_and_leaves_the_rest(
    judge: Judge, session: Session, tmp_path: Path, sql: str, why: str
) -> None:
    file = tmp_path / "secret.csv"
    file.write_text("id\n1\n", encoding="utf-8")
    (verdict, other), found = judge(ROWS, query(sql.format(file=file)), RuleSpec("not_null", ("note",)))
    assert (verdict.outcome, verdict.numerator, verdict.denominator) == (Outcome.ERROR, 0, 0)
    assert why in verdict.detail
    assert verdict.holds
    assert (other.outcome, found) == (Outcome.FAIL, {2})
    assert session.run("SELECT count(*) FROM staged").column(0)[0].as_py() == 3
    assert file.read_text(encoding="utf-8") == "id\n1\n"
    assert list(tmp_path.iterdir()) == [file]


def test_a_name_with_a_dot_is_no_way_to_a_file(judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret.csv").write_text("id\n1\n", encoding="utf-8")
    (verdict,), _ = judge(ROWS, query("SELECT * FROM secret.csv"))
    assert verdict.outcome is Outcome.ERROR


@pytest.mark.parametrize(
    "spec",
    [
        RuleSpec("referenced_by", ("id",), {"table": str(LINES), "columns": ["order_id"]}),
        RuleSpec("matches_reference", ("id",), {"table": str(LINES), "key": ["order_id"], "compare": ["note"]}),
        RuleSpec("aggregate_match", (), {"function": "count", "table": str(LINES)}),
        RuleSpec("schema_match", (), {"table": str(LINES)}),
        query("SELECT order_id AS id FROM shop.lines"),
    ],
    ids=lambda spec: spec.kind,
)
def test_another_table_that_is_not_there_is_an_error(judge: Judge, spec: RuleSpec) -> None:
    (verdict,), _ = judge(ROWS, spec, parents={})
    assert verdict.outcome is Outcome.ERROR
    assert "shop.lines" in verdict.detail


def test_rows_without_a_child_are_named(judge: Judge) -> None:
    _, found = judge(ROWS, RuleSpec("referenced_by", ("id",), {"table": str(LINES), "columns": ["order_id"]}))
    assert found == {2}


@pytest.mark.parametrize(
    ("arguments", "bad"),
    [
        ({"compare": {"amount": "price"}}, {0, 1, 2}),
        ({"compare": {"amount": "price"}, "tolerance": 0.5}, {2}),
        ({"compare": {"amount": "price"}, "tolerance": "25%"}, {0, 2}),
        ({"compare": {"amount": "price", "note": "note"}, "tolerance": "34%"}, {2}),
        ({"compare": ["note"]}, {2}),
    ],
)
def test_rows_are_compared_with_the_reference_within_a_tolerance(judge: Judge, arguments: dict[str, object], bad: set[int]) -> None:
    (verdict,), found = judge(ROWS, RuleSpec("matches_reference", ("id",), {"table": str(LINES), "key": "order_id", **arguments}))
    assert (found, verdict.dimension.value) == (bad, "accuracy")


@pytest.mark.parametrize(
    ("arguments", "outcome", "value"),
    [
        ({"function": "count"}, Outcome.PASS, 0.0),
        ({"function": "count", "other_where": "order_id = 2"}, Outcome.FAIL, 1.0),
        ({"function": "count", "other_where": "order_id = 2", "tolerance": "50%"}, Outcome.PASS, 1.0),
        ({"function": "count", "other_where": "order_id = 2", "tolerance": "49%"}, Outcome.FAIL, 1.0),
        ({"function": "sum", "other_column": "price"}, Outcome.FAIL, pytest.approx(-7.99)),
        ({"function": "sum", "other_column": "price", "other_where": "FALSE"}, Outcome.FAIL, None),
        ({"function": "distinct_count", "other_column": "order_id"}, Outcome.FAIL, 1.0),
        ({"function": "median", "other_column": "price"}, None, None),
    ],
)
def test_aggregates_of_two_tables_are_compared(
    judge: Judge, arguments: dict[str, object], outcome: Outcome | None, value: float | None
) -> None:
    columns = () if arguments["function"] == "count" else ("amount",)
    spec = RuleSpec("aggregate_match", columns, {"table": str(LINES), **arguments})
    if outcome is None:
        with pytest.raises(Exception, match="none of the words"):
            judge(ROWS, spec)
        return
    (verdict,), _ = judge(ROWS, spec)
    assert (verdict.outcome, verdict.value) == (outcome, value)


@pytest.mark.parametrize(
    ("before", "arguments", "outcome"),
    [
        (None, {"min": 0}, Outcome.UNKNOWN),
        (0, {"min": 0}, Outcome.PASS),
        (0, {"min": "0%"}, Outcome.UNKNOWN),
        (4, {"min": -1}, Outcome.PASS),
        (5, {"min": -1}, Outcome.FAIL),
        (4, {"min": "-25%"}, Outcome.PASS),
        (4, {"min": "-24.9%"}, Outcome.FAIL),
        (2, {"max": "50%"}, Outcome.PASS),
        (2, {"max": "+49%"}, Outcome.FAIL),
    ],
)
def test_the_change_of_rows_is_judged_against_the_version_before(
    judge: Judge, before: int | None, arguments: dict[str, object], outcome: Outcome
) -> None:
    (verdict,), _ = judge(ROWS, RuleSpec("row_change", (), arguments), previous_rows=before)
    assert verdict.outcome is outcome
    assert (verdict.value is None) == (outcome is Outcome.UNKNOWN)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"columns": {"id": "long", "amount": "decimal(9,2)", "note": "string"}, "extra": "refuse", "order": True}, ""),
        ({"columns": {"id": "int", "no_such": "int"}}, "; id is BIGINT and not INTEGER, no_such is missing"),
        ({"columns": ["amount", "id"], "order": True}, "; amount has another place, id has another place"),
        ({"columns": ["note"], "extra": "refuse"}, "; id is one more, amount is one more"),
        ({"table": str(LINES)}, "; order_id is missing, price is missing"),
    ],
)
def test_a_schema_that_differs_is_told_column_by_column(judge: Judge, arguments: dict[str, object], told: str) -> None:
    (verdict,), _ = judge(ROWS, RuleSpec("schema_match", (), arguments))
    assert verdict.outcome is (Outcome.FAIL if told else Outcome.PASS)
    assert verdict.detail.partition(";")[2].strip() == told.removeprefix("; ")


BESIDE = "(SELECT * FROM (VALUES (10, 5.00, 'p', 'b', 0), (20, 6.00, 'q', 'b', 1)) AS v(id, amount, note, _file, _row))"


@pytest.mark.parametrize(
    ("rows", "kind", "bad"),
    [
        ([(15, 5, "x"), (30, 7, "x")], "monotonic", set()),
        ([(15, 7, "late"), (30, 7, "x")], "monotonic", {0}),
        ([(5, 9, "late"), (30, 5, "back")], "monotonic", {0, 1}),
        ([(5, 4, "late")], "monotonic", set()),
        ([(1, 7, "x"), (2, 8, "x")], "sequence", set()),
        ([(1, 8, "x")], "sequence", {0}),
        ([(1, 4, "x")], "sequence", set()),
    ],
)
def test_rows_that_come_are_judged_beside_those_that_are_there(judge: Judge, rows: list[tuple[Any, ...]], kind: str, bad: set[int]) -> None:
    if kind == "monotonic":
        _, found = judge(rows, RuleSpec("monotonic", ("amount",)), beside=BESIDE)
    else:
        numbered = [(number, 0, note) for _, number, note in rows]
        _, found = judge(numbered, RuleSpec("sequence", ("id",)), beside=BESIDE.replace("(10,", "(5,").replace("(20,", "(6,"))
    assert found == bad


def test_aggregates_are_computed_in_one_statement_and_their_values_kept(session: Session) -> None:
    class Counting:
        statements = 0

        def run(self, sql: str, **inputs: Any) -> pa.Table:
            self.statements += "struct_pack" in sql
            return session.run(sql, **inputs)

    counting = Counting()
    session.run(
        "CREATE TEMP TABLE staged AS SELECT *, 'f' AS _file, id AS _row FROM (VALUES (1, 2.0, 'a'), (2, 4.0, 'b')) AS v(id, amount, note)"
    )
    specs = (
        RuleSpec("mean", ("amount",), {"min": 3, "max": 3}),
        RuleSpec("stddev", ("amount",), {"max": 1}),
        RuleSpec("maximum", ("id",), {"min": 2}, where="note = 'b'"),
        RuleSpec("maximum", ("id",), {"min": 2}, where="note = 'c'", name="none"),
    )
    found = audit(counting, build_all(Contract(ORDERS, COLUMNS, rules=specs)), Subject("staged", 2, NOW), ())  # type: ignore[arg-type]
    assert counting.statements == 1
    assert [verdict.outcome for verdict in found.verdicts] == [Outcome.PASS, Outcome.FAIL, Outcome.PASS, Outcome.UNKNOWN]
    assert [verdict.value for verdict in found.verdicts] == [3.0, pytest.approx(2**0.5), 2.0, None]
    assert found.verdicts[0].as_json()["value"] == 3.0
    assert found.verdicts[1].detail == f"the stddev of amount must be at most 1.0; it is {2**0.5}"


def test_an_aggregate_that_does_not_run_leaves_the_others(judge: Judge) -> None:
    verdicts, _ = judge(ROWS, RuleSpec("mean", ("id",), {"min": 1}, where="nonsense"), RuleSpec("sum", ("id",), {"max": 6}))
    assert [verdict.outcome for verdict in verdicts] == [Outcome.ERROR, Outcome.PASS]
