from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.unit.flow.scripted import Entry, Script, lake_of, published

from limnos import Lake
from limnos.model.run import TableResult, TableStatus

A, B, C = (1, "a", "1.00", 1), (2, "b", "2.00", 2), (3, "c", "3.00", 3)
ALL = 'id, name, amount::VARCHAR, "at"'


def run(lake: Lake) -> TableResult:
    (result,) = lake.run().tables
    assert result.error is None, result.error
    assert result.closes
    return result


@pytest.fixture
def script() -> Script:
    script = Script()
    script.insert(A, B, C)
    return script


@pytest.fixture
def lake(tmp_path: Path, script: Script) -> Lake:
    lake = lake_of(tmp_path, script, promises="checks: [range: {column: amount, min: 0}]")
    run(lake)
    return lake


def test_the_first_run_reads_everything_and_the_next_only_changes(lake: Lake, script: Script) -> None:
    script.insert((4, "d", "4.00", 4))
    result = run(lake)
    assert (result.read, result.written, script.full_reads) == (1, 1, 1)
    assert [row[0] for row in published(lake)] == [1, 2, 3, 4]


def test_of_several_changes_of_a_row_the_last_one_counts(lake: Lake, script: Script) -> None:
    script.update(A, (1, "x", "1.00", 1))
    script.update((1, "x", "1.00", 1), (1, "y", "5.00", 1))
    script.delete(B)
    script.insert((2, "again", "2.00", 9))
    result = run(lake)
    assert (result.read, result.written, result.unchanged) == (4, 2, 2)
    assert published(lake, ALL) == [(1, "y", "5.00", 1), (2, "again", "2.00", 9), (3, "c", "3.00", 3)]


def test_a_delete_takes_the_row_out(lake: Lake, script: Script) -> None:
    script.delete(B)
    result = run(lake)
    assert (result.read, result.written) == (1, 1)
    assert [row[0] for row in published(lake)] == [1, 3]


def test_a_row_that_moves_to_another_key_leaves_none_behind(lake: Lake, script: Script) -> None:
    script.update(A, (9, "a", "1.00", 1))
    run(lake)
    assert [row[0] for row in published(lake)] == [2, 3, 9]


def test_a_truncation_takes_all_rows_out_and_later_ones_stay(lake: Lake, script: Script) -> None:
    script.insert((4, "d", "4.00", 4))
    script.truncate()
    script.insert((5, "e", "5.00", 5))
    result = run(lake)
    assert (result.read, result.written, result.unchanged) == (2, 1, 1)
    assert published(lake, ALL) == [(5, "e", "5.00", 5)]


def test_a_column_that_was_not_sent_keeps_its_value_from_the_lake(lake: Lake, script: Script) -> None:
    script.update(A, (1, "a", "7.00", 1), kept=("name",))
    run(lake)
    assert published(lake, ALL)[0] == (1, "a", "7.00", 1)


def test_a_column_that_was_not_sent_keeps_its_value_from_an_earlier_change(lake: Lake, script: Script) -> None:
    script.update(A, (1, "new", "1.00", 1))
    script.update((1, "new", "1.00", 1), (1, "new", "8.00", 1), kept=("name",))
    script.insert((4, None, "4.00", 4))
    script.update((4, None, "4.00", 4), (4, None, "4.50", 4), kept=("name",))
    run(lake)
    assert published(lake, ALL)[0] == (1, "new", "8.00", 1)
    assert (4, None, "4.50", 4) in published(lake, ALL)


def test_a_value_that_was_not_sent_and_is_nowhere_makes_the_table_be_read_anew(lake: Lake, script: Script) -> None:
    script.insert((4, "d", "x", 4))
    run(lake)
    script.update((4, "d", "x", 4), (4, "d", "4.00", 4), kept=("name",))
    result = run(lake)
    assert any("left out a value" in note for note in result.notes)
    assert (4, "d", "4.00", 4) in published(lake, ALL)


def test_a_bad_change_goes_to_quarantine_and_its_old_row_with_it(lake: Lake, script: Script) -> None:
    script.update(A, (1, "a", "-1.00", 1))
    script.update(B, (2, "b", "x", 2))
    result = run(lake)
    assert (result.read, result.quarantined, result.written) == (2, 2, 0)
    assert [row[0] for row in published(lake)] == [3]
    entries = lake.quarantine.entries("s.rows")
    assert {entry.row["amount"] for entry in entries if entry.row} == {"-1.00", "x"}


def test_a_good_change_supersedes_what_waited_of_its_row(lake: Lake, script: Script) -> None:
    script.update(A, (1, "a", "-1.00", 1))
    script.insert((7, "g", "x", 7))
    run(lake)
    script.update((1, "a", "-1.00", 1), (1, "a", "1.50", 1))
    script.delete((7, "g", "x", 7))
    run(lake)
    assert lake.quarantine.entries("s.rows") == ()
    assert published(lake, ALL)[0] == (1, "a", "1.50", 1)


def test_a_row_that_waits_can_be_released_beside_changes(lake: Lake, script: Script) -> None:
    script.insert((7, "g", "-7.00", 7))
    run(lake)
    (Path(lake.project.root) / "limnos.yml").write_text((Path(lake.project.root) / "limnos.yml").read_text().replace("min: 0", "min: -10"))
    again = lake_of_same(lake, script)
    assert again.quarantine.release("s.rows").moved == 1
    assert (7, "g", "-7.00", 7) in published(again, ALL)


def lake_of_same(lake: Lake, script: Script) -> Lake:
    from dataclasses import replace

    again = Lake(lake.project.root)
    again.__dict__["_parts"] = replace(again._parts, source=lambda _: script)
    return again


def test_nothing_that_changed_publishes_nothing(lake: Lake) -> None:
    before = lake.history("s.rows")
    result = run(lake)
    assert (result.status, result.read) == (TableStatus.UNCHANGED, 0)
    assert lake.history("s.rows") == before


def test_changes_that_cancel_each_other_publish_nothing(lake: Lake, script: Script) -> None:
    before = lake.history("s.rows")
    script.insert((4, "d", "4.00", 4))
    script.delete((4, "d", "4.00", 4))
    result = run(lake)
    assert (result.status, result.read, result.unchanged) == (TableStatus.UNCHANGED, 2, 2)
    assert lake.history("s.rows") == before


def test_a_stream_that_cannot_tell_has_the_table_read_anew(lake: Lake, script: Script) -> None:
    script.insert((4, "d", "4.00", 4))
    script.reload = "the slot is gone"
    result = run(lake)
    assert "read in full: the slot is gone" in result.notes
    assert [row[0] for row in published(lake)] == [1, 2, 3, 4]
    script.reload = ""
    script.delete(A)
    assert run(lake).read == 1


def test_a_changed_contract_has_the_table_read_anew(lake: Lake, script: Script) -> None:
    file = Path(lake.project.root) / "limnos.yml"
    file.write_text(file.read_text().replace("min: 0", "min: 2"))
    again = lake_of_same(lake, script)
    result = run(again)
    assert (result.read, result.quarantined) == (3, 1)


def test_the_source_is_told_only_what_was_published(lake: Lake, script: Script) -> None:
    assert script.acknowledged[-1]["rows"].value == {"at": 3}
    script.insert((4, "d", "4.00", 4))
    run(lake)
    assert script.acknowledged[-1]["rows"].value == {"at": 4}
    assert script.prepared == 2


def test_a_rule_that_blocks_holds_the_changes_back_and_they_come_again(tmp_path: Path, script: Script) -> None:
    lake = lake_of(tmp_path, script, promises="on_fail: block, checks: [range: {column: amount, min: 0}]")
    run(lake)
    script.insert((4, "d", "-4.00", 4))
    (held,) = lake.run().tables
    assert held.status is TableStatus.HELD
    assert script.acknowledged[-1]["rows"].value == {"at": 3}
    script.update((4, "d", "-4.00", 4), (4, "d", "4.00", 4))
    assert run(lake).read == 2
    assert len(published(lake)) == 4


def test_a_value_that_is_no_longer_unique_takes_the_published_row_to_quarantine_too(tmp_path: Path, script: Script) -> None:
    lake = lake_of(tmp_path, script, promises="checks: [unique: name]")
    run(lake)
    script.insert((4, "a", "4.00", 4))
    result = run(lake)
    assert (result.read, result.quarantined) == (1, 1)
    assert any("no longer unique" in note for note in result.notes)
    assert [row[0] for row in published(lake)] == [2, 3]
    assert len(lake.quarantine.entries("s.rows")) == 2


def test_deletes_that_are_ignored_leave_the_row(tmp_path: Path, script: Script) -> None:
    lake = lake_of(tmp_path, script, table="mode: cdc, deletes: ignore")
    run(lake)
    script.delete(B)
    script.insert((4, "d", "4.00", 4))
    result = run(lake)
    assert (result.read, result.written, result.unchanged) == (2, 1, 1)
    assert [row[0] for row in published(lake)] == [1, 2, 3, 4]


def test_soft_deletes_keep_the_row_with_the_instant(tmp_path: Path, script: Script) -> None:
    lake = lake_of(tmp_path, script, table="mode: cdc, deletes: soft")
    run(lake)
    script.insert((4, "d", "4.00", 4))
    script.delete((4, "d", "4.00", 4))
    script.delete(B)
    run(lake)
    rows = published(lake, "id, name, _deleted_at IS NULL")
    assert rows == [(1, "a", True), (2, "b", False), (3, "c", True), (4, "d", False)]
    script.insert((2, "back", "2.00", 2))
    run(lake)
    assert (2, "back", True) in published(lake, "id, name, _deleted_at IS NULL")


def test_soft_deletes_survive_a_full_reading(tmp_path: Path, script: Script) -> None:
    lake = lake_of(tmp_path, script, table="mode: cdc, deletes: soft")
    run(lake)
    script.delete(B)
    run(lake)
    script.delete(C)
    script.reload = "lost"
    run(lake)
    assert published(lake, "id, name, _deleted_at IS NULL") == [(1, "a", True), (2, "b", False), (3, "c", False)]


def test_a_truncation_marks_every_row_deleted(tmp_path: Path, script: Script) -> None:
    lake = lake_of(tmp_path, script, table="mode: cdc, deletes: soft")
    run(lake)
    script.truncate()
    script.insert((1, "again", "1.00", 1))
    run(lake)
    assert published(lake, "id, name, _deleted_at IS NULL") == [(1, "again", True), (2, "b", False), (3, "c", False)]


def test_history_keeps_every_version_of_a_row(tmp_path: Path, script: Script) -> None:
    lake = lake_of(tmp_path, script, promises="history: scd2")
    run(lake)
    script.update(A, (1, "x", "1.00", 1))
    script.update((1, "x", "1.00", 1), (1, "y", "1.00", 1))
    script.delete(B)
    result = run(lake)
    assert (result.read, result.written) == (3, 3)
    rows = published(lake, "id, name, valid_to IS NULL")
    assert Counter(rows) == Counter([(1, "a", False), (1, "x", False), (1, "y", True), (2, "b", False), (3, "c", True)])
    gaps = lake.query(
        "SELECT count(*) AS n FROM (SELECT valid_to, lead(valid_from) OVER (PARTITION BY id ORDER BY valid_from) AS next FROM s.rows) "
        "WHERE next IS NOT NULL AND next <> valid_to"
    ).rows()
    assert gaps == [{"n": 0}]


def test_history_of_a_table_that_is_read_in_full_opens_versions_only_for_what_changed(tmp_path: Path, script: Script) -> None:
    lake = lake_of(tmp_path, script, table="mode: full", promises="history: scd2")
    run(lake)
    script.update(A, (1, "x", "1.00", 1))
    script.delete(B)
    run(lake)
    rows = published(lake, "id, name, valid_to IS NULL")
    assert Counter(rows) == Counter([(1, "a", False), (1, "x", True), (2, "b", False), (3, "c", True)])
    script.insert((4, "d", "4.00", 4))
    run(lake)
    assert len(published(lake)) == 5


def test_a_table_without_a_key_counts_equal_rows(tmp_path: Path) -> None:
    script = Script(keyed=False)
    script.insert(A, A, B, (None, None, None, None))
    lake = lake_of(tmp_path, script)
    run(lake)
    script.delete(A)
    script.insert(B, C)
    script.delete((None, None, None, None))
    run(lake)
    assert published(lake, ALL) == sorted([A, B, B, C], key=repr)


def test_a_row_may_refer_to_a_published_row_of_its_own_table(tmp_path: Path, script: Script) -> None:
    lake = lake_of(tmp_path, script, promises="checks: [foreign_key: {column: at, references: s.rows.id}]")
    run(lake)
    script.insert((4, "d", "4.00", 2), (5, "e", "5.00", 4), (6, "f", "6.00", 99))
    result = run(lake)
    assert (result.read, result.written, result.quarantined) == (3, 2, 1)
    assert [row[0] for row in published(lake)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("words", [("mode: cdc, deletes: soft", ""), ("mode: cdc", "history: scd2"), ("mode: full", "history: scd2")])
def test_rows_that_nothing_tells_apart_cannot_be_kept(tmp_path: Path, words: tuple[str, str]) -> None:
    lake = lake_of(tmp_path, Script(keyed=False), table=words[0], promises=words[1])
    (result,) = lake.run().tables
    assert result.error is not None
    assert result.error["error"] == "unsupported"
    assert "key" in str(result.error["hint"])


def test_history_of_a_table_whose_key_is_all_its_columns(tmp_path: Path) -> None:
    script = Script(keyed=False)
    script.insert(A, B)
    lake = lake_of(tmp_path, script, table="mode: cdc, key: [id, name, amount, at]", promises="history: scd2")
    run(lake)
    script.delete(A)
    script.insert(C)
    run(lake)
    assert published(lake, "id, valid_to IS NULL") == [(1, False), (2, True), (3, True)]


def test_a_truncation_supersedes_what_waited(lake: Lake, script: Script) -> None:
    script.insert((7, "g", "-7.00", 7))
    run(lake)
    script.truncate()
    script.insert((8, "h", "-8.00", 8))
    run(lake)
    assert [entry.row["id"] for entry in lake.quarantine.entries("s.rows") if entry.row] == ["8"]


def test_rows_without_a_key_are_nobodys_successors(lake: Lake, script: Script) -> None:
    script.insert((None, "x", "1.00", 7), (None, "y", "2.00", 8))
    result = run(lake)
    assert (result.read, result.quarantined) == (2, 2)
    assert {entry.row["name"] for entry in lake.quarantine.entries("s.rows") if entry.row} == {"x", "y"}


def test_a_row_does_not_clash_with_its_own_version_of_before(tmp_path: Path, script: Script) -> None:
    lake = lake_of(tmp_path, script, promises="checks: [unique: name]")
    run(lake)
    script.update(A, (1, "a", "9.00", 1))
    result = run(lake)
    assert (result.written, result.quarantined, result.notes) == (1, 0, ())
    assert len(published(lake)) == 3


def test_what_is_remembered_of_the_quarantine_goes_down_with_what_is_superseded(lake: Lake, script: Script) -> None:
    script.update(A, bad := (1, "a", "-1.00", 1))
    run(lake)
    script.update(bad, A)
    run(lake)
    assert [mark.quarantined for mark in lake._parts.ledger.marks().values()] == [0]


def test_without_a_key_as_many_copies_leave_as_were_deleted(tmp_path: Path) -> None:
    script, bad = Script(keyed=False), (9, "z", "-1.00", 9)
    script.insert(A, A, A, B, bad, bad, bad)
    lake = lake_of(tmp_path, script, promises="checks: [range: {column: amount, min: 0}]")
    run(lake)
    script.delete(A)
    script.delete(A)
    script.delete(bad)
    run(lake)
    assert published(lake, ALL) == [A, B]
    assert len(lake.quarantine.entries("s.rows")) == 2


def test_a_column_that_was_not_sent_keeps_its_value_from_the_nearest_change_before(lake: Lake, script: Script) -> None:
    script.update(A, first := (1, "first", "1.00", 1))
    script.update(first, nearest := (1, "nearest", "1.00", 1))
    script.update(nearest, kept := (1, "nearest", "8.00", 1), kept=("name",))
    script.update(kept, (1, "later", "9.00", 1))
    script.update(B, second := (2, "before", "2.00", 2))
    script.update(second, (2, "before", "8.00", 2), kept=("name",))
    script.update(C, third := (3, "first", "3.00", 3))
    script.update(third, fourth := (3, "nearest", "3.00", 3))
    script.update(fourth, (3, "nearest", "8.00", 3), kept=("name",))
    run(lake)
    assert published(lake, ALL) == [(1, "later", "9.00", 1), (2, "before", "8.00", 2), (3, "nearest", "8.00", 3)]


def test_a_delete_tells_no_value_of_a_column_that_is_not_sent_after_it(lake: Lake, script: Script) -> None:
    script.update(A, (1, "new", "1.00", 1))
    script.log += [Entry("delete", (1, None, None, None)), Entry("update", (1, None, "8.00", 1), ("name",))]
    script.log += [Entry("delete", (2, None, None, None)), Entry("update", (2, None, "8.00", 2), ("name",))]
    run(lake)
    assert published(lake, ALL) == [(1, "new", "8.00", 1), (2, "b", "8.00", 2), C]


def test_a_truncation_is_forgotten_with_the_deletes_that_are_ignored(tmp_path: Path, script: Script) -> None:
    lake = lake_of(tmp_path, script, table="mode: cdc, deletes: ignore")
    run(lake)
    script.update(A, (1, "before", "1.00", 1))
    script.truncate()
    script.insert((4, "d", "4.00", 4))
    result = run(lake)
    assert (result.read, result.written) == (2, 2)
    assert published(lake, ALL) == [(1, "before", "1.00", 1), B, C, (4, "d", "4.00", 4)]


def test_without_a_key_a_row_that_was_never_published_takes_no_other_with_it(tmp_path: Path) -> None:
    script, misfit, alike = Script(keyed=False), (1, "a", "x", 1), (1, "a", None, 1)
    script.insert(misfit, alike)
    lake = lake_of(tmp_path, script)
    assert run(lake).quarantined == 1
    script.delete(misfit)
    run(lake)
    assert published(lake, ALL) == [alike]
    assert lake.quarantine.entries("s.rows") == ()
