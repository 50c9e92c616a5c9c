"""A profile is that of the rows a reader sees: after deletes, new columns, under a policy; what is suggested is kept by them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.flow.scripted import Script, lake_of

from limnos import Lake
from limnos.access.owner import OwnerPolicy
from limnos.errors import ProjectInvalid, Refused, UnknownName
from limnos.model.decision import Action, Decision, Principal
from limnos.model.names import TableName
from limnos.model.profile import ColumnProfile, TableProfile

PEOPLE = """
version: 1
project: shop
sources:
  db: {type: database, url: "sqlite:///URL", namespace: shop, tables: {people: {mode: incremental, cursor: id, key: id}, teams: {}}}
"""


def columns(found: TableProfile) -> Mapping[str, ColumnProfile]:
    return {column.name: column for column in found.columns}


@pytest.fixture
def shop(tmp_path: Path) -> Lake:
    """300 people in three teams."""
    (tmp_path / "limnos.yml").write_text(PEOPLE.replace("URL", f"{tmp_path}/shop.db"))
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database, database:
        database.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, team TEXT, age INTEGER)")
        database.execute("CREATE TABLE teams (team TEXT PRIMARY KEY)")
        database.executemany("INSERT INTO teams VALUES (?)", [("red",), ("blue",), ("green",)])
        rows = [(at, ("red", "blue", "green")[at % 3], at % 90) for at in range(300)]
        database.executemany("INSERT INTO people VALUES (?, ?, ?)", rows)
    lake = Lake(tmp_path)
    assert lake.run().exit_code() == 0
    return lake


def change(lake: Lake, *statements: str) -> None:
    with closing(sqlite3.connect(lake.project.root / "shop.db")) as database, database:
        for statement in statements:
            database.execute(statement)
    assert lake.run().exit_code() == 0


def test_rows_that_position_deletes_took_out_are_not_profiled(tmp_path: Path) -> None:
    script = Script()
    script.insert(*[(at, f"n{at % 4}", f"{at}.50", at) for at in range(40)])
    lake = lake_of(tmp_path, script, table="mode: cdc", promises="")
    lake.run()
    for at in (0, 39):
        script.delete(script.rows[[row[0] for row in script.rows].index(at)])
    script.update(script.rows[0], (1, None, "7.25", 1))
    lake.run()
    (table,) = {entry.snapshot.table for entry in lake.history()}
    assert lake._parts.catalog.relation(lake.history()[-1].snapshot).deletes
    found = lake.profile(str(table))
    seen = columns(found)
    amounts = sorted(float(str(row[2])) for row in script.rows)
    assert (found.rows, seen["id"].rows, seen["id"].minimum, seen["id"].maximum) == (38, 38, "1", "38")
    assert (seen["name"].nulls, seen["name"].distinct) == (1, 4)
    assert seen["name"].top[0].rows == 10
    assert seen["amount"].mean == pytest.approx(sum(amounts) / 38)
    assert [float(str(seen["amount"].minimum)), float(str(seen["amount"].maximum))] == [amounts[0], amounts[-1]]
    assert [key.columns for key in found.keys if key.declared] == [("id",)]


def test_a_column_that_older_files_do_not_have_is_null_there(shop: Lake) -> None:
    change(shop, "ALTER TABLE people ADD COLUMN mark TEXT", "INSERT INTO people VALUES (300, 'red', 5, 'X-1'), (301, 'red', 5, 'X-1')")
    mark = columns(shop.profile("shop.people"))["mark"]
    assert (mark.rows, mark.nulls, mark.distinct, mark.minimum, mark.top[0].rows) == (302, 300, 1, "X-1", 2)


def test_a_version_is_profiled_as_it_was(shop: Lake) -> None:
    before = shop.history("shop.people")[-1].snapshot.at
    change(shop, "INSERT INTO people VALUES (1000, 'red', 5)")
    assert [shop.profile("shop.people", as_of=at).rows for at in (before, None)] == [300, 301]


def test_one_column_is_profiled_as_with_all_others(shop: Lake) -> None:
    whole, alone = shop.profile("shop.people"), shop.profile("shop.people", column="team")
    assert alone.columns == (columns(whole)["team"],)
    assert alone.inclusions == whole.inclusions
    with pytest.raises(UnknownName, match="No column of shop\\.people is called tem"):
        shop.profile("shop.people", column="tem")


def test_a_table_without_rows_has_a_profile_and_no_suggestion(shop: Lake) -> None:
    change(shop, "DELETE FROM teams")
    found = shop.profile("shop.teams")
    assert (found.rows, found.keys, columns(found)["team"].distinct, columns(found)["team"].minimum) == (0, (), 0, None)
    assert shop.suggest("shop.teams").rules == ()


class Strict(OwnerPolicy):
    """Let the owner read people under a filter and a mask, and no teams."""

    def decide(self, principal: Principal, action: Action, table: TableName | None = None) -> Decision:
        decision = super().decide(principal, action, table)
        if table == TableName("shop", "teams"):
            return replace(decision, allowed=False)
        return replace(decision, row_filter="team <> 'red'", masks={"age": "NULL"})


def test_a_profile_shows_no_more_than_the_policy_does(shop: Lake) -> None:
    shop.__dict__["_parts"] = replace(shop._parts, policy=Strict(shop._parts.principal))
    found = shop.profile("shop.people", personal=True)
    seen = columns(found)
    assert (found.rows, [one.value for one in seen["team"].top]) == (200, ["blue", "green"])
    assert (seen["age"].hidden, seen["age"].minimum, seen["age"].top) == (True, None, ())
    assert found.inclusions == ()
    assert found.notes == ("only the rows that the policy shows",)
    with pytest.raises(Refused):
        shop.profile("shop.teams")


def test_what_is_suggested_is_kept_by_the_table_and_by_the_project(shop: Lake) -> None:
    told = shop.suggest("shop.people", write=True)
    assert {"foreign_key:team", "accepted_values:team", "range:age", "not_null:team", "not_null:age"} >= {
        one.rule.name for one in told.rules
    }
    assert {"foreign_key:team", "range:age", "not_null:age"} <= {one.rule.name for one in told.rules}
    written = Lake(shop.project.root)
    (checked,) = written.check("shop.people")
    assert {verdict.rule for verdict in checked.verdicts} >= {one.rule.name for one in told.rules}
    assert {verdict.outcome for verdict in checked.verdicts} == {"pass"}
    assert written.suggest("shop.people").rules == ()
    assert written.run().exit_code() == 0


def test_a_rule_that_the_whole_table_does_not_keep_is_not_suggested(shop: Lake) -> None:
    change(shop, "INSERT INTO people VALUES (400, 'ré1', 5)")
    (told,) = [one for one in shop.suggest("shop.people").rules if one.rule.kind == "not_null" and one.rule.columns == ("team",)]
    assert (told.numerator, told.denominator) == (301, 301)
    for one in shop.suggest("shop.people").rules:
        assert one.numerator <= one.denominator <= 301
        assert 0 < one.lower < 1


def test_a_change_that_makes_no_project_is_taken_back(shop: Lake) -> None:
    path = shop.project.root / "limnos.yml"
    path.write_text(f"{path.read_text()}verify: {{shop.nowhere: {{}}}}\n")
    before = path.read_text()
    with pytest.raises(ProjectInvalid):
        shop.suggest("shop.people", write=True)
    assert path.read_text() == before
