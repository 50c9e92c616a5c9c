"""Each verb, as it is typed and as it answers."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limnos.apps.cli.explain import pages

NEEDED = {"table", "read", "written", "quarantined", "unchanged", "snapshot_id", "score", "seconds"}


def test_init_lays_down_a_project_once(limnos, same_as, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = limnos("init", "new")
    again = limnos("init", "new")
    assert (first.code, again.code) == (0, 2)
    assert (tmp_path / "new/limnos.yml").is_file()
    same_as("init", first.text() + again.text())


def test_plan_shows_and_changes_nothing(shop, limnos, same_as) -> None:
    before = sorted(path.name for path in shop.iterdir() if path.name != ".limnos")
    said = limnos("plan")
    assert said.code == 0
    assert limnos("history", "--json").out.strip() == "[]"
    assert sorted(path.name for path in shop.iterdir() if path.name != ".limnos") == before
    same_as("plan", said.text() + limnos("plan", "--json", "shop.customers").text())


def test_run_accounts_for_every_row_and_sets_bad_ones_aside(shop, limnos, same_as) -> None:
    first = limnos("run")
    again = limnos("run")
    assert (first.code, again.code) == (0, 0)
    same_as("run", first.text() + again.text())


def test_run_as_json_is_one_object_that_closes(shop, limnos) -> None:
    said = limnos("run", "--json")
    result = json.loads(said.out)
    assert result["run_id"]
    assert {table["table"] for table in result["tables"]} == {"shop.customers", "shop.orders"}
    for table in result["tables"]:
        assert table.keys() >= NEEDED
        assert table["read"] == table["written"] + table["quarantined"] + table["unchanged"]


def test_run_takes_patterns_and_names_the_nearest_for_a_wrong_one(shop, limnos) -> None:
    assert [table["table"] for table in json.loads(limnos("run", "--json", "*.customers").out)["tables"]] == ["shop.customers"]
    wrong = limnos("run", "shop.ordres")
    assert wrong.code == 2
    assert "shop.orders (did you mean this?)" in wrong.err


def test_strict_turns_quarantined_rows_into_1(shop, limnos) -> None:
    assert limnos("run", "--strict").code == 1


def test_quiet_leaves_only_the_data(shop, limnos) -> None:
    said = limnos("run", "--quiet")
    assert said.err == ""
    assert len(said.out.splitlines()) == 2


def test_a_gate_holds_a_table_back_and_readers_keep_the_last_version(loaded, limnos, same_as) -> None:
    project = (loaded / "limnos.yml").read_text()
    (loaded / "limnos.yml").write_text(project.replace("{range: {min: 0}}", "{range: {min: 0, severity: block}}"))
    (loaded / "in/orders.csv").write_text("id,customer,amount\n1,1,-5.00\n")
    said = limnos("run", "shop.orders")
    assert said.code == 1
    assert json.loads(limnos("query", "--json", "SELECT count(*) AS n FROM shop.orders").out) == [{"n": 2}]
    same_as("run-held", said.text())


def test_a_source_that_is_gone_exits_with_3_and_the_others_load(loaded, limnos) -> None:
    (loaded / "in/orders.csv").unlink()
    said = limnos("run")
    assert said.code == 3
    assert "hint: " in said.err
    assert "Traceback" not in said.err


def test_check_judges_by_todays_rules(loaded, limnos, same_as) -> None:
    good = limnos("check")
    project = (loaded / "limnos.yml").read_text()
    (loaded / "limnos.yml").write_text(project.replace("range: {min: 0}", "range: {min: 20}"))
    bad = limnos("check", "shop.orders", "--quiet")
    assert (good.code, bad.code) == (0, 1)
    same_as("check", good.text() + bad.text())


def test_quarantine_lists_and_shows_every_reason(loaded, limnos, same_as) -> None:
    shown = limnos("quarantine", "show", "shop.orders")
    assert "\x1b" not in shown.out
    entries = json.loads(limnos("quarantine", "show", "shop.orders", "--json").out)
    assert len(entries) == 3
    assert {reason["rule"] for entry in entries for reason in entry["reasons"]} >= {"range:amount"}
    text = limnos("quarantine", "list").text() + limnos("quarantine", "list", "--json").text() + shown.text()
    for number, entry in enumerate(entries, 1):
        text = text.replace(entry["id"], f"<entry {number}>")
    same_as("quarantine", text)


def test_a_mended_rule_releases_its_rows_and_a_second_release_moves_nothing(loaded, limnos, same_as) -> None:
    kept = limnos("quarantine", "release", "shop.orders", "--rule", "range:amount")
    project = (loaded / "limnos.yml").read_text()
    (loaded / "limnos.yml").write_text(project.replace("range: {min: 0}", "range: {min: -10}"))
    released = limnos("quarantine", "release", "shop.orders", "--rule", "range:amount")
    again = limnos("quarantine", "release", "shop.orders", "--rule", "range:amount", "--json")
    assert (kept.code, released.code) == (1, 0)
    assert json.loads(again.out)["moved"] == 0
    assert json.loads(limnos("query", "--json", "SELECT count(*) AS n FROM shop.orders").out) == [{"n": 3}]
    same_as("release", kept.text() + released.text())


def test_rejected_rows_are_closed_and_stay_in_the_record(loaded, limnos, same_as) -> None:
    said = limnos("quarantine", "reject", "shop.orders", "--all")
    assert said.code == 0
    assert json.loads(limnos("quarantine", "list", "--json").out) == []
    assert sum(count["rows"] for count in json.loads(limnos("quarantine", "list", "--status", "rejected", "--json").out)) >= 3
    same_as("reject", said.text())


def test_query_answers_in_every_format(loaded, limnos, tmp_path) -> None:
    sql = "SELECT id, amount, amount > 20 AS big FROM shop.orders ORDER BY id"
    rows = [{"id": 1, "amount": Decimal("12.50"), "big": False}, {"id": 5, "amount": Decimal("30.00"), "big": True}]
    assert limnos("query", sql).out == "id  amount  big\n 1   12.50  false\n 5   30.00  true\n"
    assert json.loads(limnos("query", sql, "--format", "json").out, parse_float=Decimal) == rows
    assert limnos("query", sql, "--json").out == limnos("query", sql, "--format", "json").out
    assert limnos("query", sql, "--format", "csv").out.splitlines() == ['"id","amount","big"', "1,12.50,false", "5,30.00,true"]
    for form in ("json", "csv", "parquet", "arrow"):
        file = tmp_path / f"rows.{form}"
        said = limnos("query", sql, "--format", form, "--output", str(file))
        assert (said.code, said.out) == (0, "")
    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == rows
    assert json.loads((tmp_path / "rows.json").read_text(), parse_float=Decimal) == rows


def test_query_writes_binary_rows_to_a_pipe(loaded) -> None:
    def piped(form: str) -> bytes:
        command = [sys.executable, "-c", "from limnos.apps.cli.main import main; main()", "query", "SELECT id FROM shop.orders ORDER BY id"]
        return subprocess.run([*command, "--format", form], capture_output=True, check=True).stdout

    assert pa.ipc.open_stream(piped("arrow")).read_all()["id"].to_pylist() == [1, 5]
    assert pq.read_table(io.BytesIO(piped("parquet")))["id"].to_pylist() == [1, 5]


def test_query_reads_a_version_of_the_past(loaded, limnos) -> None:
    (first,) = json.loads(limnos("history", "shop.orders", "--json").out)
    (loaded / "in/orders.csv").write_text("id,customer,amount\n1,1,12.50\n")
    assert limnos("run", "--quiet").code == 0
    counted = "SELECT count(*) AS n FROM shop.orders"
    assert json.loads(limnos("query", counted, "--json").out) == [{"n": 1}]
    assert json.loads(limnos("query", counted, "--json", "--as-of", first["at"]).out) == [{"n": 2}]


@pytest.mark.parametrize(
    "sql",
    ["DROP TABLE shop.orders", "SELECT * FROM read_csv('limnos.yml')", "SELECT 1; SELECT 2", "SELEC 1", "SELECT nope FROM shop.orders"],
)
def test_a_query_only_reads_what_is_published(sql, loaded, limnos) -> None:
    said = limnos("query", sql)
    assert (said.code, said.out) == (2, "")
    assert "hint: " in said.err


def test_status_why_history_and_doctor_tell_how_things_stand(loaded, limnos, same_as) -> None:
    said = [limnos("status"), limnos("why", "shop.orders"), limnos("history"), limnos("doctor")]
    assert said[0].code == 0
    assert said[3].code == 0
    same_as("state", "".join(one.text() for one in said))


@pytest.mark.parametrize("verb", [["status"], ["history"], ["doctor"], ["quarantine", "list"]])
def test_verbs_that_list_give_an_array(verb, loaded, limnos) -> None:
    assert isinstance(json.loads(limnos(*verb, "--json").out), list)


def test_the_ledger_is_read_in_sql(loaded, limnos) -> None:
    rows = json.loads(limnos("query", "--json", "SELECT table_name, read FROM system.runs ORDER BY table_name").out)
    assert rows == [{"table_name": "shop.customers", "read": 2}, {"table_name": "shop.orders", "read": 5}]
    assert json.loads(limnos("query", "--json", "SELECT count(*) AS n FROM system.quarantine").out) == [{"n": 3}]


def test_a_directory_is_named_before_the_verb(loaded, limnos, monkeypatch) -> None:
    monkeypatch.chdir("/")
    assert json.loads(limnos("-C", str(loaded), "query", "--json", "SELECT count(*) AS n FROM shop.orders").out) == [{"n": 2}]
    assert Path.cwd() == Path("/")


def test_explain_prints_every_page_and_lists_them(limnos) -> None:
    listed = json.loads(limnos("explain", "--json").out)
    assert {name for names in listed.values() for name in names} == set(pages())
    for name, (shelf, page) in pages().items():
        said = limnos("explain", name)
        assert said.out.strip() == page.read_text(encoding="utf-8").strip()
        assert json.loads(limnos("explain", name, "--json").out)["kind"] == shelf
