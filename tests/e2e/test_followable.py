"""Tables whose changes a log does not tell are named before a run: by plan, by doctor, and in a drafted project."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from pathlib import Path

import psycopg
import pymysql
import pytest
from tests.e2e.services import MariaDB, Postgres

from limnos import Lake

pytestmark = pytest.mark.e2e

PROJECT = """
version: 1
project: p
sources:
  s: {{type: {kind}, url: secret://FOLLOWED_DSN, tables: {{told: {{mode: cdc}}, untold: {{mode: cdc}}}}}}
"""


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Generator[str]:
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        with psycopg.connect(postgres_server.url(name), autocommit=True) as writer:
            writer.execute("CREATE TABLE told (id int PRIMARY KEY)")
            writer.execute("CREATE UNLOGGED TABLE untold (id int PRIMARY KEY)")
        yield postgres_server.url(name)
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def mariadb_url(mariadb_server: MariaDB) -> Generator[str]:
    name = f"t{uuid.uuid4().hex[:12]}"
    where = {"host": mariadb_server.host, "port": mariadb_server.port, "user": mariadb_server.user, "password": mariadb_server.password}
    with pymysql.connect(**where, autocommit=True) as owner, owner.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        cursor.execute(f"CREATE TABLE {name}.told (id int PRIMARY KEY)")
        cursor.execute(f"CREATE TABLE {name}.untold (id int PRIMARY KEY) ENGINE = MyISAM")
        yield mariadb_server.url(name)
        cursor.execute(f"DROP DATABASE {name}")


@pytest.fixture(params=["postgres", "mariadb"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    kind = str(request.param)
    monkeypatch.setenv("FOLLOWED_DSN", request.getfixturevalue(f"{kind}_url"))
    return kind


def test_plan_and_doctor_name_the_table_before_a_run_does(kind: str, tmp_path: Path) -> None:
    (tmp_path / "limnos.yml").write_text(PROJECT.format(kind=kind))
    lake = Lake(tmp_path)
    told, untold = lake.plan().tables
    assert told.error is None
    assert untold.error is not None
    assert untold.action == "stop"
    (found,) = [one for one in lake.doctor("s") if one.subject.endswith("table untold") and not one.ok]
    assert found.detail == f"{untold.error['what']}: {untold.error['seen']}"
    assert found.hint == untold.error["hint"]
    ran = {one.table.name: one for one in lake.run().tables}
    assert ran["told"].error is None
    assert ran["untold"].error == untold.error


def test_a_draft_proposes_change_streams_only_where_there_are_some_and_says_why(kind: str, tmp_path: Path) -> None:
    Lake.init(tmp_path / "p", source="secret://FOLLOWED_DSN")
    lines = (tmp_path / "p" / "limnos.yml").read_text().splitlines()
    told, untold = (next(line.strip() for line in lines if line.strip().startswith(f"{name}:")) for name in ("told", "untold"))
    assert told == "told: {mode: full}  # or {mode: cdc}"
    assert untold == "untold: {mode: full}"
    why = {"postgres": "unlogged or temporary", "mariadb": "engine MyISAM"}[kind]
    (note,) = [line for line in lines if "not for mode: cdc" in line]
    assert why in note
