"""Kill a run that merges changes, and an upkeep, at every step boundary; the same command again makes the lake of a run never killed."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import services

from limnos import Lake
from tests.crash import world

pytestmark = pytest.mark.e2e

VICTIMS = """
import os, signal, sys
import pyarrow.compute, pyarrow.ipc, pyarrow.parquet
import limnos.flow.run, limnos.flow.upkeep, limnos.flow.expire, limnos.tables.iceberg, limnos.engines.duckdb, limnos.sources.postgres
from limnos import Lake
for line in sys.stdin:
    directory, verb, fatal = line.rstrip().split("\\t")
    child = os.fork()
    if child == 0:
        sys.stdin.close()
        passed = []
        def observe(step):
            passed.append(f"{step.name} {step.table or ''}")
            if len(passed) == int(fatal) + 1:
                os.kill(os.getpid(), signal.SIGKILL)
        lake = Lake(directory, observer=observe)
        code = lake.run().exit_code() if verb == "run" else bool(lake.upkeep(keep="1", grace="0s")) - 1
        with open(os.path.join(directory, "passed"), "w") as file:
            file.write("\\n".join(passed))
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
PROJECT = """
version: 1
project: p
sources:
  s:
    type: postgres
    url: "{url}"
    tables: {{gone: {{mode: cdc}}, marked: {{mode: cdc, deletes: soft}}, kept: {{mode: cdc}}, above: {{mode: incremental, cursor: moved}}}}
tables:
  s.gone: {{checks: [range: {{column: amount, min: 0}}]}}
  s.marked: {{checks: [range: {{column: amount, min: 0}}]}}
  s.kept: {{history: scd2, checks: [range: {{column: amount, min: 0}}]}}
"""
TABLES = ("gone", "marked", "kept", "above")
CHANGES = (
    "UPDATE {} SET amount = 20, moved = 100 WHERE id = 2",
    "UPDATE {} SET amount = -3, moved = 100 WHERE id = 3",
    "UPDATE {} SET amount = 7, moved = 100 WHERE id = 7",
    "INSERT INTO {} VALUES (11, 11, 101), (12, -12, 101)",
)
CDC_CHANGES = ("DELETE FROM {} WHERE id = 4", "UPDATE {} SET id = 50 WHERE id = 5", "UPDATE {} SET id = 80, amount = 8 WHERE id = 8")


class Victims:
    """Fork a process for each verb, out of one that has imported everything."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", VICTIMS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def give(self, directory: Path, verb: str, fatal: int = -1) -> int:
        """Give a verb that dies at a boundary, or lives; gives its exit code."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{directory}\t{verb}\t{fatal}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate(timeout=30)


@dataclass
class Scene:
    """A source with changes waiting, and the lake before them, which can both be put back."""

    dsn: str
    home: Path
    victims: Victims

    @property
    def lake(self) -> Path:
        return self.home / "work"

    def execute(self, *statements: str) -> list[Any]:
        rows: list[Any] = []
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for statement in statements:
                found = connection.execute(statement)
                rows = found.fetchall() if found.description else []
        return rows

    def slots(self) -> dict[str, str]:
        found = "SELECT slot_name, confirmed_flush_lsn::text FROM pg_replication_slots WHERE database = current_database()"
        return dict(self.execute(found))

    def save(self) -> None:
        """Remember the lake, and how far the source was told."""
        for slot in self.slots():
            self.execute(f"SELECT pg_copy_logical_replication_slot('{slot}', '{slot}_saved')")
        shutil.copytree(self.lake, self.home / "saved")

    def put_back(self) -> None:
        self.drop_slots(kept="_saved")
        for slot in self.slots():
            self.execute(f"SELECT pg_copy_logical_replication_slot('{slot}', '{slot.removesuffix('_saved')}')")
        shutil.rmtree(self.lake)
        shutil.copytree(self.home / "saved", self.lake)

    def drop_slots(self, kept: str = "_") -> None:
        """Drop what the database holds of slots; a killed reader may hold one for a moment yet."""
        for slot in [one for one in self.slots() if not one.endswith(kept)]:
            for _ in range(100):
                self.execute(f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{slot}' AND active")
                with suppress(psycopg.errors.ObjectInUse):
                    self.execute(f"SELECT pg_drop_replication_slot('{slot}')")
                    break
                time.sleep(0.05)

    def seen(self) -> dict[str, Any]:
        """Give all that a reader can see, but for what differs from run to run."""
        lake = Lake(self.lake)
        found = {name: sorted(map(repr, lake.query(f"SELECT * FROM s.{name}").rows())) for name in TABLES}
        quarantine = "SELECT table_name, row, reasons, status FROM system.quarantine"
        found["quarantine"] = sorted(map(repr, lake.query(quarantine).rows()))
        found["marks"] = sorted(f"{table} {mark.quarantined}" for table, mark in lake._parts.ledger.marks().items())
        return found

    def told_no_more_than_published(self) -> bool:
        marks = Lake(self.lake)._parts.ledger.marks().values()
        published = [str(mark.position.value["lsn"]) for mark in marks if mark.position is not None and "lsn" in mark.position.value]
        told = [lsn for slot, lsn in self.slots().items() if not slot.endswith("_saved")]
        assert (len(published), len(told)) == (3, 1)
        return all(self.execute(f"SELECT '{told[0]}'::pg_lsn <= '{lsn}'::pg_lsn")[0][0] for lsn in published)

    def killed_at_every_boundary(self, verb: str) -> list[str]:
        """Kill the verb at each kind of boundary, and give it again each time; gives the boundaries."""
        before = self.seen()
        self.put_back()
        assert self.victims.give(self.lake, verb) == 0
        after, boundaries = self.seen(), (self.lake / "passed").read_text().splitlines()
        (self.lake / "passed").unlink()
        # A step that every table passes is fatal in the last of them, when the most is staged.
        for boundary, fatal in {boundary.split(" ")[0]: at for at, boundary in enumerate(boundaries)}.items():
            self.put_back()
            assert self.victims.give(self.lake, verb, fatal) == -signal.SIGKILL
            assert self.seen() in (before, after), boundary
            assert self.told_no_more_than_published(), boundary
            assert self.victims.give(self.lake, verb) == 0
            assert self.seen() == after, boundary
            assert world.strays(self.lake) == set(), boundary
            assert world.ended(self.lake)
            assert self.told_no_more_than_published(), boundary
        return boundaries


@pytest.fixture
def scene(postgres_server: services.Postgres, tmp_path: Path) -> Generator[Scene]:
    database, victims = f"kill_{secrets.token_hex(4)}", Victims()
    with psycopg.connect(postgres_server.dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {database}")
        scene = Scene(postgres_server.url(database), tmp_path, victims)
        scene.lake.mkdir()
        (scene.lake / "limnos.yml").write_text(PROJECT.format(url=scene.dsn))
        for table in TABLES:
            scene.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, amount int, moved int)")
            scene.execute(f"INSERT INTO {table} SELECT n, CASE WHEN n IN (7, 8) THEN -n ELSE n END, n FROM generate_series(1, 10) n")
        assert victims.give(scene.lake, "run") == 0
        yield scene
        victims.close()
        scene.drop_slots()
        admin.execute(f"DROP DATABASE {database} WITH (FORCE)")


def change(scene: Scene) -> None:
    for table in TABLES:
        scene.execute(*(one.format(table) for one in (*CHANGES, *(CDC_CHANGES if table != "above" else ()))))


def test_a_run_that_merges_is_killed_at_every_boundary(scene: Scene) -> None:
    change(scene)
    scene.save()
    boundaries = scene.killed_at_every_boundary("run")
    assert len(boundaries) >= 25
    assert {"table.staged s.kept", "table.staged s.above", "run.moved ", "run.marked ", "run.acknowledged "} <= set(boundaries)
    there = set(scene.execute("SELECT id, amount, moved FROM gone WHERE amount >= 0"))
    here = {tuple(row.values()) for row in Lake(scene.lake).query("SELECT * FROM s.gone").rows()}
    assert here == there


def test_an_upkeep_is_killed_at_every_boundary(scene: Scene) -> None:
    change(scene)
    for at in range(3):
        scene.execute(*(f"INSERT INTO {table} VALUES ({200 + at}, 1, {200 + at})" for table in TABLES))
        assert scene.victims.give(scene.lake, "run") == 0
    scene.save()
    boundaries = scene.killed_at_every_boundary("upkeep")
    assert {"upkeep.moved ", "upkeep.forget ", "upkeep.expire ", "upkeep.expired ", "upkeep.delete s.gone"} <= set(boundaries)
    assert any(one.snapshot.expired for one in Lake(scene.lake).history())
