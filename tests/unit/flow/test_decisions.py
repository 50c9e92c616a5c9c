from __future__ import annotations

from limnos import Lake
from limnos.model.state import EntryStatus


def reload(lake: Lake, orders: str) -> Lake:
    (lake.project.root / "orders.csv").write_text("id,customer\n" + orders)
    lake.run("shop.orders")
    return lake


def rows(lake: Lake, status: EntryStatus) -> list[str | None]:
    last = lake.history("shop.orders")[-1].snapshot.run_id
    entries = lake.quarantine.entries("shop.orders", status=status)
    return sorted(str(entry.row["id"]) for entry in entries if entry.row and entry.run_id == last)


def test_a_rejected_row_that_comes_again_unchanged_is_rejected_and_another_one_waits(loaded: Lake) -> None:
    assert loaded.quarantine.reject("shop.orders").moved == 1
    reload(loaded, "1,1\n2,9\n3,8\n")
    assert (rows(loaded, EntryStatus.REJECTED), rows(loaded, EntryStatus.OPEN)) == (["2"], ["3"])
    reload(loaded, "1,1\n2,7\n3,8\n")
    assert (rows(loaded, EntryStatus.REJECTED), rows(loaded, EntryStatus.OPEN)) == ([], ["2", "3"])


def test_a_rejected_row_that_breaks_nothing_any_more_is_published(loaded: Lake) -> None:
    loaded.quarantine.reject("shop.orders")
    (loaded.project.root / "customers.csv").write_text("id\n1\n2\n9\n")
    loaded.run()
    assert loaded.query("SELECT id FROM shop.orders ORDER BY id").rows() == [{"id": 1}, {"id": 2}]


def test_a_load_supersedes_what_the_one_before_left_open(loaded: Lake) -> None:
    reload(loaded, "1,1\n3,8\n")
    assert [count.rows for count in loaded.quarantine.counts(status=EntryStatus.SUPERSEDED)] == [1]
    assert [count.rows for count in loaded.quarantine.counts()] == [1]


def test_nothing_is_released_while_a_rule_that_blocks_is_broken(loaded: Lake) -> None:
    project = loaded.project.root / "limnos.yml"
    project.write_text(project.read_text().replace("shop.customers.id}", "shop.customers.id, severity: block}"))
    said = Lake(loaded.project.root).quarantine.release("shop.orders")
    assert (said.moved, said.kept, said.snapshot_id) == (0, 1, None)
    assert len(loaded.history("shop.orders")) == 1
