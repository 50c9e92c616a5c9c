"""An interrupt from the keyboard stops what runs, at once and as itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

ENDLESS = "SELECT count(*) FROM range(1000000000) a, range(100000) b"
RUNS = {
    "run": "session.run(sql)",
    "run with input": "session.run(sql, rows=pa.table({'a': [1]}))",
    "stream": "session.stream(sql)",
    "write": "session.write(sql.replace('count(*)', 'count(*) AS n'), Layout(sys.argv[2], {'n': 1}))",
    "query": "stack.enter_context(engine.query(sql, {}, {}))",
}
SCRIPT = """
import os, signal, sys, threading
from contextlib import ExitStack
import pyarrow as pa
from limnos.engines.duckdb import DuckEngine
from limnos.model.data import Layout

sql, engine = sys.argv[1], DuckEngine()
try:
    with engine.session() as session, ExitStack() as stack:
        # The driver imports what it needs for inputs when it first meets one, and an interrupt in the middle of an import is lost in it.
        session.run("SELECT * FROM warm", warm=pa.table({"a": [1]}))
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        RUN
except KeyboardInterrupt:
    with engine.query("SELECT 1 AS n", {}, {}) as rows:
        print(rows.read_all().to_pylist())
"""


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_an_interrupt_stops_it_and_the_engine_goes_on(run: str, tmp_path) -> None:
    command = [sys.executable, "-c", SCRIPT.replace("RUN", run), ENDLESS, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.stdout, ended.stderr) == ("[{'n': 1}]\n", "")
