"""`limnos profile` and `limnos suggest`, as they are typed and as they answer."""

from __future__ import annotations

import json
import re

import pytest

PEOPLE = "id,mail,code,team,day\n" + "".join(
    f"{number},p{number}@example.org,{'ABCD'[number % 4]}-{number % 90:03},{'red' if number % 3 else 'blue'},2026-11-{number % 20 + 1:02}\n"
    for number in range(400)
)
COLUMNS = """\
  shop.people:
    columns:
      - {name: id, type: long}
      - {name: mail, type: string}
      - {name: code, type: string}
      - {name: team, type: string}
      - {name: day, type: date}
"""


@pytest.fixture
def people(shop, limnos):
    """The small project with a table that has something to find."""
    (shop / "in/people.csv").write_text(PEOPLE)
    project = (shop / "limnos.yml").read_text().replace("      customers:", "      people: {path: in/people.csv}\n      customers:")
    (shop / "limnos.yml").write_text(project + COLUMNS)
    limnos("run", "--quiet")
    return shop


def test_profile_shows_a_table_on_one_screen(people, limnos, same_as, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    whole, one = limnos("profile", "shop.people"), limnos("profile", "shop.people", "--column", "code")
    assert (whole.code, one.code) == (0, 0)
    same_as("profile", whole.text() + one.text())


def test_profile_fits_the_terminal(people, limnos, monkeypatch) -> None:
    for width in (90, 120, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        shown = limnos("profile", "shop.people").out.split("\n\n")[1]
        assert max(map(len, shown.splitlines())) <= width


def test_profile_holds_back_what_is_personal_unless_it_is_asked_for(people, limnos, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    for typed in (["profile", "shop.people"], ["profile", "shop.people", "--json"], ["profile", "shop.people", "--column", "mail"]):
        assert "@example.org" not in limnos(*typed).out
        assert "@example.org" in limnos(*typed, "--personal").out
    found = json.loads(limnos("profile", "shop.people", "--json").out)
    mail = next(one for one in found["columns"] if one["name"] == "mail")
    assert (mail["classification"], mail["hidden"], mail["distinct"], mail["min"], mail["top"]) == ("email", True, 400, None, [])


def test_profile_finds_references_to_other_tables(loaded, limnos) -> None:
    found = json.loads(limnos("profile", "shop.orders", "--json").out)
    assert [(one["column"], one["references"], one["declared"]) for one in found["inclusions"]] == [("customer", "shop.customers.id", True)]


def test_profile_goes_back_in_time(people, limnos) -> None:
    before = json.loads(limnos("history", "shop.people", "--json").out)[0]["at"]
    (people / "in/people.csv").write_text("id,mail,code,team,day\n1,a@example.org,A-001,red,2026-11-01\n")
    limnos("run", "--quiet", "shop.people")
    assert json.loads(limnos("profile", "shop.people", "--json").out)["rows"] == 1
    assert json.loads(limnos("profile", "shop.people", "--json", "--as-of", before).out)["rows"] == 400


def test_profile_explains_what_it_cannot_find(people, limnos, same_as) -> None:
    said = limnos("profile", "shop.peple"), limnos("profile", "shop.people", "--column", "cod"), limnos("suggest", "shop.nothing")
    assert [one.code for one in said] == [2, 2, 2]
    same_as("profile-refused", "".join(one.text() for one in said))


def test_suggest_proposes_a_change_that_the_table_keeps(people, limnos, same_as) -> None:
    before = (people / "limnos.yml").read_text()
    told = limnos("suggest", "shop.people")
    assert (people / "limnos.yml").read_text() == before
    written = limnos("suggest", "shop.people", "--write")
    checked = limnos("check", "shop.people", "--strict")
    again = limnos("suggest", "shop.people")
    assert (told.code, written.code, checked.code, again.code) == (0, 0, 0, 0)
    assert not re.search(r"^[+-]", again.out, re.MULTILINE)
    same_as("suggest", told.text() + checked.text() + again.text())
    assert "@example.org" not in told.out + written.out


def test_suggest_says_that_rows_are_too_few(loaded, limnos) -> None:
    said = limnos("suggest", "shop.customers", "--json")
    found = json.loads(said.out)
    assert (found["rules"], found["diff"], said.code) == ([], "", 0)
    assert found["notes"][0].startswith("too few rows: 2,")


def test_suggest_keeps_the_rights_of_the_file(people, limnos) -> None:
    (people / "limnos.yml").chmod(0o640)
    limnos("suggest", "shop.people", "--write", "--quiet")
    assert (people / "limnos.yml").stat().st_mode & 0o777 == 0o640
    assert not (people / ".limnos.yml.new").exists()
