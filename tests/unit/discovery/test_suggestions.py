"""Rules are proposed where the evidence carries, and only there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from limnos.discovery.shapes import pattern
from limnos.discovery.suggestions import Evidence, propose
from limnos.model.bookkeeping import Bookkeeping
from limnos.model.contract import Column, Contract, RuleSpec, Severity
from limnos.model.data import Snapshot
from limnos.model.names import TableName
from limnos.model.profile import CandidateKey, ColumnProfile, Counted, Inclusion, Lengths, Suggestion, TableProfile, wilson
from limnos.model.types import parse_type

TABLE = TableName("shop", "orders")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def column(name: str = "c", kind: str = "long", **said: Any) -> ColumnProfile:
    return replace(ColumnProfile(name, kind, rows=1_000, nulls=0, distinct=50), **said)


def proposed(*columns: ColumnProfile, rules: tuple[RuleSpec, ...] = (), versions: int = 1, **said: Any) -> dict[str, Suggestion]:
    snapshots = [Snapshot(TABLE, at, 1_000 - at, NOW - timedelta(hours=versions - at), "run") for at in range(versions)]
    profile = TableProfile(TABLE, snapshots[-1], columns[0].rows, columns, **said)
    contract = Contract(TABLE, tuple(Column(one.name, parse_type(one.type)) for one in columns), rules=rules)
    found, _ = propose(Evidence(profile, contract, snapshots, NOW))
    return {one.rule.name: one for one in found}


def test_a_column_without_nulls_is_proposed_to_stay_so() -> None:
    found = proposed(column())
    assert list(found) == ["not_null:c"]
    assert (found["not_null:c"].numerator, found["not_null:c"].denominator) == (1_000, 1_000)
    assert found["not_null:c"].lower == wilson(1_000, 1_000)


def test_a_column_with_few_nulls_is_proposed_to_be_as_complete_as_the_lower_bound() -> None:
    rule = proposed(column(nulls=20))["not_null:c"].rule
    assert (rule.severity, rule.at_least) == (Severity.WARN, 0.969)
    assert rule.at_least <= wilson(980, 1_000) < 0.98
    assert proposed(column(nulls=101)) == {}


def test_nothing_is_proposed_of_few_rows_and_it_is_said_so() -> None:
    profile = TableProfile(TABLE, Snapshot(TABLE, 1, 99, NOW, "run"), 99, (column(rows=99),))
    found, notes = propose(Evidence(profile, Contract(TABLE, (Column("c", parse_type("long")),)), (), NOW))
    assert found == ()
    assert notes[0].startswith("too few rows: 99")


def test_what_is_declared_is_not_proposed_again() -> None:
    assert proposed(column(), rules=(RuleSpec("not_null", ("c",)),)) == {}
    assert proposed(column(), rules=(RuleSpec("primary_key", ("c",)),)) == {}
    assert (
        proposed(
            column(minimum="0", quantiles={50: "9"}, zero=1), rules=(RuleSpec("not_null", ("c",)), RuleSpec("range", ("c",), {"max": 9}))
        )
        == {}
    )


def flags(*counts: int, **said: Any) -> ColumnProfile:
    top = tuple(Counted("xyzuvw"[at], count) for at, count in enumerate(counts))
    return column(kind="string", distinct=len(counts), top=top, lengths=Lengths(1, 1.0, 1), **said)


def test_few_values_are_proposed_to_be_all_there_are_if_none_is_rare() -> None:
    found = proposed(flags(700, 200, 100))["accepted_values:c"]
    assert found.rule.arguments == {"values": ["x", "y", "z"]}
    assert "accepted_values:c" not in proposed(flags(900, 96, 4))
    assert "accepted_values:c" not in proposed(flags(1_000))
    assert "accepted_values:c" not in proposed(flags(700, 300, hidden=True))


def coded(*patterns: tuple[str, int], **said: Any) -> ColumnProfile:
    listed = tuple(Counted(*one) for one in patterns)
    return column(kind="string", patterns=listed, pattern_rows=1_000, lengths=Lengths(7, 7.0, 7), **said)


def test_one_form_is_proposed_as_a_pattern_with_the_share_to_expect() -> None:
    assert proposed(coded(("AA-9999", 1_000)))["regex:c"].rule.arguments == {"pattern": "[A-Z]{2}-[0-9]{4}"}
    most = proposed(coded(("AA-9999", 995), ("aa-9999", 5)))["regex:c"].rule
    assert most.at_least == 0.988
    assert "regex:c" not in proposed(coded(("AA-9999", 980), ("a", 20)))
    assert "regex:c" not in proposed(coded(("AA-9999", 1_000), approximate=("patterns",)))
    assert "regex:c" not in proposed(coded(("A+-9+", 1_000)))


@pytest.mark.parametrize(("form", "expected"), [("A.a", r"[A-Z]\.[a-z]"), ("(99) 9", r"\([0-9]{2}\) [0-9]"), ("\\|^$", r"\\\|\^\$")])
def test_what_a_form_holds_besides_letters_and_digits_stands_for_itself(form, expected) -> None:
    assert pattern(form) == expected


def test_a_sign_is_proposed_only_where_the_values_begin_near_zero() -> None:
    near = {"minimum": "1", "quantiles": {50: "100"}}
    assert proposed(column(**near))["range:c"].rule.arguments == {"min": 0}
    assert "range:c" not in proposed(column(minimum="983.8", quantiles={50: "1017"}, type="double"))
    assert "range:c" not in proposed(column(**near, type="double", nan=1))
    assert "range:c" not in proposed(column(minimum="-1", quantiles={50: "100"}, negative=1))


def test_the_key_is_proposed_and_other_identifiers_to_stay_unique() -> None:
    columns = [
        column(name, kind, distinct=1_000) for name, kind in (("price", "double"), ("title", "long"), ("id", "long"), ("code", "long"))
    ]
    keys = tuple(CandidateKey((one.name,)) for one in columns)
    found = proposed(*columns, keys=keys)
    assert "primary_key:id" in found
    assert "unique:code" in found
    assert not {"unique:price", "unique:title", "not_null:id"} & set(found)
    assert proposed(*columns, keys=(CandidateKey(("title", "price")),)).keys() == {f"not_null:{one.name}" for one in columns}


def test_a_reference_is_proposed_if_every_value_is_a_key_of_the_parent() -> None:
    parent = TableName("shop", "customers")
    whole = Inclusion("c", parent, "id", rows=1_000, filled=1_000, values=50, distinct=50, parent_values=60, named=True)
    rule = proposed(column(minimum="0", quantiles={50: "1"}), inclusions=(whole,))["foreign_key:c"].rule
    assert (rule.arguments, rule.severity) == ({"references": "shop.customers", "columns": ["id"]}, Severity.WARN)
    assert "range:c" not in proposed(column(minimum="0", quantiles={50: "1"}), inclusions=(whole,))
    assert "foreign_key:c" not in proposed(column(), inclusions=(replace(whole, rows=999),))
    assert "foreign_key:c" not in proposed(column(), inclusions=(replace(whole, declared=True),))
    assert "foreign_key:c" not in proposed(column(distinct=9), inclusions=(replace(whole, named=False, distinct=9),))


def test_volume_and_freshness_need_three_versions() -> None:
    at = column("at", "timestamptz", maximum="2026-11-22 10:00:00+00", minimum="2026-11-01 00:00:00+00")
    assert not {"row_count", "freshness:at"} & set(proposed(at, versions=2))
    found = proposed(at, versions=3)
    assert found["row_count"].rule.arguments == {"min": 499}
    assert found["freshness:at"].rule.arguments == {"max": "6h"}


def test_of_a_table_that_keeps_old_rows_no_key_is_proposed() -> None:
    at = column("valid_from", "timestamptz")
    snapshot = Snapshot(TABLE, 1, 1_000, NOW, "run")
    profile = TableProfile(TABLE, snapshot, 1_000, (column("id", distinct=1_000), at), (CandidateKey(("id",)),))
    contract = Contract(TABLE, tuple(Column(one.name, parse_type(one.type)) for one in profile.columns))
    names = [
        [one.rule.name for one in propose(Evidence(profile, contract, (), NOW, Bookkeeping(history=kept)))[0]] for kept in (False, True)
    ]
    assert names == [["primary_key:id", "not_null:valid_from"], ["not_null:id"]]


def test_a_table_of_old_events_is_not_asked_to_be_fresh() -> None:
    assert "freshness:at" not in proposed(column("at", "date", maximum="2013-12-31"), versions=3)
