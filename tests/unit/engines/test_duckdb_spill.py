"""What does not fit in memory goes to a directory of its own, which does not outlive its process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from limnos.engines.duckdb import DuckEngine

SORT = "SELECT count(*) AS n FROM (SELECT DISTINCT hash(range) AS h FROM range(8000000)) WHERE h IS NOT NULL"
KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
from limnos.engines.duckdb import DuckEngine

def watch():
    while not any(Path(sys.argv[1]).glob("*/*")):
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=watch, daemon=True).start()
with DuckEngine(memory_bytes=100_000_000, temp_directory=sys.argv[1]).session() as session:
    session.run("SELECT count(*) FROM (SELECT DISTINCT hash(range) AS h FROM range(200000000))")
"""


def test_two_sessions_spill_apart_and_leave_nothing(tmp_path: Path) -> None:
    engine = DuckEngine(memory_bytes=100_000_000, temp_directory=str(tmp_path))
    with engine.session() as first, engine.session() as second:
        counts = [session.run(SORT).to_pylist() for session in (first, second)]
        assert len(list(tmp_path.iterdir())) == 2
    assert counts == [[{"n": 8_000_000}], [{"n": 8_000_000}]]
    assert not any(tmp_path.iterdir())


def test_what_a_killed_process_spilled_is_removed_by_the_next(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=300)
    assert any(tmp_path.iterdir())
    mine = tmp_path / f"limnos-spill-{os.getpid()}-0"
    mine.mkdir()
    DuckEngine(temp_directory=str(tmp_path))
    assert list(tmp_path.iterdir()) == [mine]
