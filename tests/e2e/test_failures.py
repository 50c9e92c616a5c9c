"""The world fails: storage full, read-only or damaged, two runs at once. Each ends in a clear error, and nothing half is published."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from limnos import Lake
from limnos.errors import RunInProgress, StateCorrupt
from limnos.ledger.lock import exclusive

LIMNOS = str(Path(sys.executable).with_name("limnos"))
PROJECT = """
version: 1
project: shop
sources:
  db: {type: sqlite, path: ../shop.db, namespace: shop, tables: {orders: {}}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "limnos.yml").write_text(PROJECT)
    with sqlite3.connect(tmp_path / "shop.db") as db:
        db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT)")
        db.executemany("INSERT INTO orders VALUES (?, ?)", [(i, os.urandom(400).hex()) for i in range(20_000)])
    db.close()
    return directory


def limnos(directory: Path, *arguments: str, within: str = "") -> subprocess.CompletedProcess[str]:
    command = [LIMNOS, "-C", str(directory), *arguments]
    if within:
        # A mount namespace of its own: the mounts of a test are seen by nobody else and end with it.
        quoted = " ".join(f"'{part}'" for part in command)
        command = ["unshare", "-rm", "sh", "-c", f"{within} && exec {quoted}"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def assert_four_parts(ended: subprocess.CompletedProcess[str], code: int) -> str:
    said = ended.stderr + ended.stdout
    assert ended.returncode == code, said
    assert "Traceback" not in said
    for part in ("at ", "seen ", "expected ", "hint: "):
        assert part in said, said
    return said


def rows(directory: Path) -> list[dict[str, Any]]:
    return Lake(directory).query("SELECT count(*) AS n, count(DISTINCT id) AS ids FROM shop.orders").rows()


@pytest.fixture
def mounts() -> None:
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("this machine allows no mount namespace (unshare -rm)")


@pytest.mark.usefixtures("mounts")
def test_a_full_disk_is_told_and_nothing_is_published(project: Path) -> None:
    (project / ".limnos").mkdir()
    full = f"mount -t tmpfs -o size=4m tmpfs {project}/.limnos"
    said = assert_four_parts(limnos(project, "run", within=full), 3)
    assert "space" in said.lower() or "full" in said.lower(), said
    assert not (project / ".limnos" / "lake").exists()
    assert limnos(project, "run").returncode == 0
    assert rows(project) == [{"n": 20_000, "ids": 20_000}]


@pytest.mark.usefixtures("mounts")
def test_a_full_disk_in_the_second_run_leaves_the_first_version(project: Path, tmp_path: Path) -> None:
    """The lake's directory is a mount of its own here, so that the state database stays on the large disk."""
    script = (
        f"mkdir -p {project}/.limnos/lake && mount -t tmpfs -o size=30m tmpfs {project}/.limnos/lake && "
        f"{LIMNOS} -C {project} run >/dev/null && "
        f"dd if=/dev/zero of={project}/.limnos/lake/ballast bs=1M count=20 2>/dev/null; "
        f"sqlite_update() {{ {sys.executable} -c \"import sqlite3; c = sqlite3.connect('{tmp_path}/shop.db'); "
        "c.execute('UPDATE orders SET note = note || id'); c.commit()\"; }; sqlite_update"
    )
    ended = limnos(project, "run", within=script)
    assert_four_parts(ended, 3)


@pytest.mark.usefixtures("mounts")
def test_a_read_only_lake_is_told(project: Path) -> None:
    assert limnos(project, "run").returncode == 0
    with sqlite3.connect(project.parent / "shop.db") as db:
        db.execute("UPDATE orders SET note = 'changed' WHERE id = 1")
    db.close()
    lake = project / ".limnos" / "lake"
    said = assert_four_parts(limnos(project, "run", within=f"mount --bind {lake} {lake} && mount -o remount,bind,ro {lake}"), 3)
    assert "read-only" in said.lower(), said
    assert rows(project) == [{"n": 20_000, "ids": 20_000}]
    assert Lake(project).query("SELECT note FROM shop.orders WHERE id = 1").rows() != [{"note": "changed"}]


@pytest.mark.usefixtures("mounts")
def test_a_read_only_state_database_is_told(project: Path) -> None:
    assert limnos(project, "run").returncode == 0
    state = project / ".limnos"
    assert_four_parts(limnos(project, "run", within=f"mount --bind {state} {state} && mount -o remount,bind,ro {state}"), 3)


@pytest.mark.parametrize("damage", ["garbage", "cut in half", "another program's"])
def test_a_damaged_state_database_is_told(project: Path, damage: str) -> None:
    assert limnos(project, "run").returncode == 0
    state = project / ".limnos" / "state.db"
    Lake(project).query("SELECT * FROM system.runs").rows()
    for suffix in ("-wal", "-shm"):
        state.with_name(state.name + suffix).unlink(missing_ok=True)
    whole = state.read_bytes()
    if damage == "garbage":
        state.write_bytes(b"not a database at all" * 1000)
    elif damage == "cut in half":
        state.write_bytes(whole[: len(whole) // 2])
    else:
        state.write_bytes(b"SQLite format 3\0" + b"\xff" * 8000)
    ended = limnos(project, "run")
    said = assert_four_parts(ended, 3)
    assert "state.db" in said
    with pytest.raises(StateCorrupt):
        Lake(project).run()


def test_two_runs_at_once_end_in_one_lake(project: Path) -> None:
    runs = [subprocess.Popen([LIMNOS, "-C", str(project), "run", "--json"], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    results = [json.loads(run.communicate(timeout=120)[0]) for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert sorted(result["tables"][0]["status"] for result in results) == ["published", "unchanged", "unchanged"]
    assert rows(project) == [{"n": 20_000, "ids": 20_000}]
    assert len(Lake(project).history("shop.orders")) == 1


def test_a_run_beside_another_is_told_who_holds_the_lake(project: Path) -> None:
    lake = Lake(project)
    with exclusive(lake._parts.state, "run somebody-else", wait_s=0), pytest.raises(RunInProgress) as told:
        Lake(project).run(wait_s=0.2)
    assert "somebody-else" in told.value.seen
    assert str(os.getpid()) in told.value.seen
    assert lake.run().exit_code() == 0


def test_a_failing_table_leaves_the_others_alone(project: Path) -> None:
    (project / "rates.csv").write_text("id,rate\n1,2\n")
    text = PROJECT + "  files: {type: files, format: csv, namespace: shop, tables: {rates: {path: rates.csv}, gone: {path: gone.csv}}}\n"
    (project / "limnos.yml").write_text(text)
    result = Lake(project).run()
    assert {str(table.table): str(table.status) for table in result.tables} == {
        "shop.orders": "published",
        "shop.rates": "published",
        "shop.gone": "failed",
    }
    assert result.exit_code() == 3
    assert [state.snapshot is None for state in Lake(project).status()] == [True, False, False]


def test_a_lake_can_be_thrown_away_and_made_again(project: Path) -> None:
    assert limnos(project, "run").returncode == 0
    shutil.rmtree(project / ".limnos")
    assert limnos(project, "run").returncode == 0
    assert rows(project) == [{"n": 20_000, "ids": 20_000}]
