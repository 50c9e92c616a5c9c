from __future__ import annotations

import subprocess
import sys

PROGRAM = """
from limnos.engines.duckdb import DuckEngine
with DuckEngine().session() as session:
    print(session.run("SELECT current_setting('enable_progress_bar') AS drawn").to_pylist())
"""


def test_the_engine_draws_nothing_where_python_looks_interactive() -> None:
    # A program without a file looks so to the engine.
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "[{'drawn': False}]\n"
