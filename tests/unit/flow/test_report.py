from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from limnos import Lake
from limnos.errors import UnknownName


def again(lake: Lake) -> Lake:
    return Lake(lake.project.root)


def test_a_table_that_never_ran_says_so(shop: Lake) -> None:
    assert [(str(state.table), state.snapshot, state.last_status) for state in shop.status()] == [
        ("shop.customers", None, "never run"),
        ("shop.orders", None, "never run"),
    ]
    trust = shop.why("shop.orders")
    assert not trust.trusted
    assert [finding.subject for finding in trust.findings if not finding.ok] == ["published", "last run", "rules"]


def test_status_counts_what_is_published_and_what_waits(loaded: Lake) -> None:
    customers, orders = loaded.status()
    assert customers.snapshot is not None
    assert orders.snapshot is not None
    assert (customers.snapshot.rows, customers.quarantined, customers.last_status) == (2, 0, "published")
    assert (orders.snapshot.rows, orders.quarantined, orders.source) == (1, 1, "files")


def test_one_finding_that_is_not_well_is_enough_for_no(loaded: Lake) -> None:
    assert loaded.why("shop.customers").trusted
    trust = loaded.why("shop.orders")
    assert not trust.trusted
    assert [finding.subject for finding in trust.findings if not finding.ok] == ["quarantine"]
    assert {verdict.rule: str(verdict.outcome) for verdict in trust.verdicts}["foreign_key:customer"] == "fail"


def test_an_unchanged_run_leaves_the_evidence_of_the_last_judgement(loaded: Lake) -> None:
    before = loaded.why("shop.orders").verdicts
    loaded.run()
    assert loaded.why("shop.orders").verdicts == before


def test_a_failed_run_is_told_and_the_published_version_stays(loaded: Lake) -> None:
    (loaded.project.root / "orders.csv").write_text("id\n1\n")
    assert again(loaded).run().exit_code() == 1
    state = next(state for state in loaded.status() if state.table.name == "orders")
    assert (state.last_status, state.detail) == ("failed", "The source of shop.orders lacks a column")
    assert state.snapshot is not None
    assert "last run" in [finding.subject for finding in loaded.why("shop.orders").findings if not finding.ok]


def test_history_names_the_run_or_the_release_that_made_each_version(loaded: Lake) -> None:
    (loaded.project.root / "limnos.yml").write_text(
        (loaded.project.root / "limnos.yml").read_text().replace("shop.customers.id}", "shop.customers.id, severity: warn}")
    )
    assert again(loaded).quarantine.release("shop.orders").moved == 1
    assert [(entry.action, entry.snapshot.rows, entry.read) for entry in loaded.history("shop.orders")] == [
        ("run", 1, 2),
        ("release", 2, None),
    ]
    assert [str(entry.snapshot.table) for entry in loaded.history()] == ["shop.customers", "shop.orders", "shop.orders"]


@pytest.mark.parametrize("ask", ["why", "history"])
def test_a_table_that_is_not_there_is_told_with_the_nearest(loaded: Lake, ask: str) -> None:
    with pytest.raises(UnknownName) as told:
        getattr(loaded, ask)("shop.ordres")
    assert told.value.expected == "shop.orders (did you mean this?)"


def test_a_ledger_that_was_changed_behind_its_back_is_found_by_why_and_doctor(loaded: Lake) -> None:
    with closing(sqlite3.connect(loaded.project.root / ".limnos" / "state.db")) as db, db:
        (table,) = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%event%'")]
        for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f'DROP TRIGGER "{trigger}"')
        assert db.execute(f"UPDATE {table} SET payload = replace(payload, '\"written\": 1', '\"written\": 2')").rowcount
    lake = again(loaded)
    assert [finding.subject for finding in lake.why("shop.customers").findings if not finding.ok] == ["ledger"]
    assert [finding.subject for finding in lake.doctor() if not finding.ok] == ["ledger"]


def test_the_last_comparison_with_the_source_is_evidence_for_the_version_that_it_looked_at(loaded: Lake) -> None:
    def told() -> tuple[bool, str]:
        (finding,) = (finding for finding in loaded.why("shop.customers").findings if finding.subject == "source")
        return finding.ok, finding.detail.partition(" UTC: ")[2] or finding.detail

    assert told() == (True, "never compared")
    loaded.verify()
    assert told() == (True, "2 rows, 1 columns, equal")
    (loaded.project.root / "customers.csv").write_text("id\n1\n7\n")
    loaded.verify("shop.customers")
    assert told() == (False, "2 rows, 1 columns, 2 rows differ")
    customers = loaded.status()[0]
    assert customers.compared is not None
    assert customers.compared.differing == 2
    again(loaded).run("shop.customers")
    assert told() == (True, "2 rows, 1 columns, 2 rows differ; an earlier version")
    rows = loaded.query(
        "SELECT table_name, lake_rows, missing + extra + changed AS differing FROM system.comparisons ORDER BY compared_at, table_name"
    ).rows()
    assert [row["differing"] for row in rows if row["table_name"] == "shop.customers"] == [0, 2]
