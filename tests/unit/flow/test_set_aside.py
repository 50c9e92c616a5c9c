from __future__ import annotations

from pathlib import Path

import pytest

from limnos import Lake
from limnos.model.state import QuarantineEntry

PROJECT = """
version: 1
project: p
sources:
  files: {type: files, namespace: s, tables: {t: {path: "t*.csv"}}}
tables:
  s.t:
    columns: [{name: id, type: long}, {name: n, type: "decimal(6,2)"}, {name: note, type: string}]
    checks: [{range: {column: n, min: 0}}, {not_null: [note]}]
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "limnos.yml").write_text(PROJECT)
    return tmp_path


def entries(directory: Path) -> list[QuarantineEntry]:
    lake = Lake(directory)
    (table,) = lake.run().tables
    assert table.closes
    found = lake.quarantine.entries("s.t", limit=100)
    assert len(found) == table.quarantined
    return list(found)


def test_each_way_out_of_the_table_names_the_line_and_keeps_the_text(directory: Path) -> None:
    (directory / "t.csv").write_text("id,n,note\n1,1,a\n2,2\n3,x,b\n4,-1.50,c\n5,5,d\n")
    found = {entry.origin: (entry.row or entry.raw, [reason.rule for reason in entry.reasons]) for entry in entries(directory)}
    assert found == {
        "t.csv:3": (b"2,2\n", ["malformed"]),
        "t.csv:4": ({"id": "3", "n": "x", "note": "b"}, ["type:n"]),
        "t.csv:5": ({"id": "4", "n": "-1.50", "note": "c"}, ["range:n"]),
    }


def test_a_row_that_broke_a_rule_keeps_the_text_of_the_source_and_not_that_of_its_type(directory: Path) -> None:
    (directory / "t.csv").write_text("id,n,note\n+1,-1.5000,a\n")
    (entry,) = entries(directory)
    assert entry.row == {"id": "+1", "n": "-1.5000", "note": "a"}


def test_equal_rows_each_have_a_line_of_their_own(directory: Path) -> None:
    (directory / "t1.csv").write_text("id,n,note\n1,-1,a\n2,2,b\n1,-1,a\n")
    (directory / "t2.csv").write_text("note,n,id\na,-1,1\n")
    found = entries(directory)
    assert sorted(entry.origin for entry in found) == ["t1.csv:2", "t1.csv:4", "t2.csv:2"]
    assert len({entry.id for entry in found}) == 3


def test_files_with_their_columns_in_another_order_never_mix_up_their_lines(directory: Path) -> None:
    """The engine reads such files as parts of one scan; it once numbered the parts in the order in which its threads came."""
    for number in range(6):
        row = f"{number},-1,a" if number % 2 else f"a,-1,{number}"
        good = "".join(f"{n},1,g\n" if number % 2 else f"g,1,{n}\n" for n in range(100, 100 + number))
        (directory / f"t{number}.csv").write_text(("id,n,note\n" if number % 2 else "note,n,id\n") + good + row + "\n")
    expected = {f"t{number}.csv:{number + 2}": str(number) for number in range(6)}
    for again in range(3):
        (directory / "t9.csv").write_text(f"id,n,note\n{again},0,a\n")
        assert entries_by_line(directory) == expected


def test_all_reasons_of_a_row_are_kept(directory: Path) -> None:
    (directory / "t.csv").write_text("id,n,note\nx,y,a\n1,-1,\n")
    assert [[reason.rule for reason in entry.reasons] for entry in entries(directory)] == [
        ["type:id", "type:n"],
        ["range:n", "not_null:note"],
    ]


def test_a_column_that_the_lake_does_not_have_yet_is_kept_with_a_row_that_does_not_fit(directory: Path) -> None:
    (directory / "t.csv").write_text("id,n,note,more\n1,x,a,kept\n2,2,b,too\n")
    (entry,) = entries(directory)
    assert entry.row == {"id": "1", "n": "x", "note": "a", "more": "kept"}


def test_many_bad_rows_over_many_lines_are_each_found(directory: Path) -> None:
    lines = [f'{i},{-i if i % 7 == 0 else i},"line\n{i}"' for i in range(1, 3000)]
    (directory / "t.csv").write_text("id,n,note\n" + "\n".join(lines) + "\n")
    found = entries_by_line(directory)
    assert found == {f"t.csv:{2 * i}": str(i) for i in range(1, 3000) if i % 7 == 0}


def entries_by_line(directory: Path) -> dict[str, str | None]:
    lake = Lake(directory)
    lake.run()
    return {entry.origin: entry.row["id"] for entry in lake.quarantine.entries("s.t", limit=10_000) if entry.row}
