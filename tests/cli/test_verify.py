"""`limnos verify`, as it is typed and as it answers."""

from __future__ import annotations

import json


def test_verify_finds_a_loaded_lake_equal_and_names_each_difference_of_a_changed_source(loaded, limnos, same_as) -> None:
    equal = limnos("verify")
    (loaded / "in/customers.csv").write_text("id,name\n1,Ada Lovelace\n3,Edsger\n")
    changed = limnos("verify", "shop.customers")
    assert (equal.code, changed.code) == (0, 1)
    same_as("verify", equal.text() + changed.text())


def test_verify_by_key_names_the_columns_that_differ(loaded, limnos, same_as) -> None:
    project = (loaded / "limnos.yml").read_text()
    (loaded / "limnos.yml").write_text(project.replace("  shop.customers:\n", "  shop.customers:\n    key: id\n"))
    (loaded / "in/customers.csv").write_text("id,name\n1,Ada Lovelace\n3,Edsger\n")
    said = limnos("verify", "shop.customers")
    assert said.code == 1
    same_as("verify-key", said.text())


def test_verify_by_counts_does_not_look_at_the_content(loaded, limnos) -> None:
    (loaded / "in/customers.csv").write_text("id,name\n1,Ada Lovelace\n2,Grace\n")
    assert limnos("verify", "shop.customers", "--counts").code == 0
    assert limnos("verify", "shop.customers", "--columns", "id").code == 0
    said = limnos("verify", "shop.customers", "--columns", "id,name", "--limit", "0", "--json")
    (table,) = json.loads(said.out)["tables"]
    assert (said.code, table["missing"], table["extra"], table["differences"]) == (1, 1, 1, [])


def test_verify_counts_what_waits_in_quarantine_and_does_not_call_it_missing(loaded, limnos) -> None:
    (table,) = json.loads(limnos("verify", "shop.orders", "--json").out)["tables"]
    assert (table["equal"], table["source_rows"], table["lake_rows"], table["quarantined"]) == (True, 5, 2, 3)
    limnos("quarantine", "reject", "shop.orders", "--all")
    assert json.loads(limnos("verify", "shop.orders", "--json", "--counts").out)["tables"][0]["quarantined"] == 3


def test_verify_explains_what_it_cannot_compare(shop, limnos, same_as) -> None:
    never = limnos("verify", "shop.orders")
    limnos("run", "--quiet")
    wrong = limnos("verify", "shop.orders", "--columns", "amout")
    both = limnos("verify", "--columns", "id", "--counts")
    assert (never.code, wrong.code, both.code) == (2, 2, 2)
    same_as("verify-refused", never.text() + wrong.text() + both.text())


def test_verify_leaves_an_event_without_values_of_rows(loaded, limnos) -> None:
    (loaded / "in/customers.csv").write_text("id,name\n7,Konrad\n")
    limnos("verify", "shop.customers")
    (event,) = json.loads(limnos("query", "--json", "SELECT payload FROM system.events WHERE action = 'verify.finished'").out)
    assert json.loads(event["payload"])["tables"][0]["missing"] == 1
    assert "Konrad" not in event["payload"]
