"""A database under load keeps at least 90 % of its throughput beside a full load that is protected.

Each contender is the time that pgbench takes for 1,000 transactions, with two clients that never wait, while a table of the same server is
loaded again and again or not at all. The measured part begins when rows flow. Everything shares the same cores: server, pgbench and Limnos.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import Contender, main

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.e2e.services import Postgres, postgres

SECONDS = 8
WARM_UP_S = 4
SCALE = 10
ROWS = 1_000_000
PROJECT = """
version: 1
project: impact
sources:
  shop: {{type: postgres, url: secret://IMPACT_DSN, tables: {{lines: {{}}}}, protect: {{{protect}}}}}
"""
LOAD = """
import itertools, sys
from pathlib import Path
from limnos import Lake
for turn in itertools.count():
    home = Path(sys.argv[1]) / str(turn)
    home.mkdir()
    (home / "limnos.yml").write_text((Path(sys.argv[1]) / "limnos.yml").read_text())
    Lake(home)
    print("loading", flush=True)
    Lake(home).run()
"""
LINES = f"""
CREATE TABLE lines AS SELECT n AS id, n % 1000 AS part, (n % 9973) * 1.07::numeric(12,2) AS amount,
    date '2020-01-01' + n % 2000 AS day, 'line ' || n AS note FROM generate_series(1, {ROWS}) n
"""


def pgbench() -> float:
    """Give the seconds for 1,000 transactions."""
    command = ["pgbench", "-n", "-c", "2", "-j", "1", "-T", str(SECONDS), "-M", "prepared", os.environ["IMPACT_DSN"]]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"tps = ([0-9.]+)", said)
    assert found, said
    return 1000 / float(found[1])


def beside(protect: str) -> float:
    """Give the same while the table is loaded by another process."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        (Path(directory) / "limnos.yml").write_text(PROJECT.format(protect=protect))
        loader = subprocess.Popen([sys.executable, "-c", LOAD, directory], stdout=subprocess.PIPE, text=True)
        try:
            assert loader.stdout is not None
            assert loader.stdout.readline() == "loading\n"
            time.sleep(WARM_UP_S)
            seconds = pgbench()
            assert loader.poll() is None, "the load ended early"
            return seconds
        finally:
            loader.kill()
            loader.wait()


def prepare(server: Postgres) -> None:
    """Make the tables of pgbench and the one that is loaded."""
    subprocess.run(["pgbench", "-i", "-q", "-s", str(SCALE), server.dsn], check=True, capture_output=True)
    subprocess.run(["psql", "-q", server.dsn, "-c", LINES, "-c", "VACUUM ANALYZE"], check=True)


CONTENDERS = [
    Contender("beside a protected load", lambda: beside("max_rows_per_s: 20000, connections: 1"), ("limnos", "psycopg")),
    Contender("beside an adaptive load", lambda: beside("connections: 2, adaptive: true")),
    Contender("alone", pgbench),
]

if __name__ == "__main__":
    claim = "1,000 pgbench transactions beside a full load of a table of the same server"
    if "--one" in sys.argv:
        main(claim, CONTENDERS, base="alone", target=1.11)
    else:
        with postgres() as server:
            os.environ["IMPACT_DSN"] = server.dsn
            main(claim, CONTENDERS, base="alone", target=1.11, prepare=lambda: prepare(server))
