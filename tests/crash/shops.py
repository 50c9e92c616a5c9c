"""Projects over one table of a real server, whose loads are killed, and what can be seen of them afterwards."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql

from limnos import Lake
from limnos.model.chunk import LandedChunk
from limnos.model.data import LiveFile
from limnos.model.names import TableName
from limnos.model.run import RunResult, Step
from limnos.tables import chunks
from tests.crash import world

ROWS, CHUNKS, MOST = 9_000, 8, 490
CHUNK_BLOCKS, CHUNK_BYTES = 16, 256 * 1024
# Once vacuumed, a table takes new rows in the room of any page, and so into any chunk.
# Dates and amounts that no type of the lake holds, some in each chunk, and sizes that break a rule.
POSTGRES_TABLE = f"""
CREATE TABLE big WITH (autovacuum_enabled = off) AS SELECT n::int AS id, n % 500 AS size,
    (CASE WHEN n % 1111 = 5 THEN 'NaN' ELSE n / 4.0 END)::numeric(12,2) AS amount, repeat('x', 60) AS pad,
    CASE WHEN n % 700 = 1 THEN 'infinity'::date ELSE date '2024-01-01' + n % 365 END AS day FROM generate_series(1, {ROWS}) n;
ALTER TABLE big ADD PRIMARY KEY (id)
"""
PROJECT = """
version: 1
project: shop
sources:
  db: {{type: {kind}, url: secret://SHOP_DSN, namespace: shop, tables: {{big: {{{table}}}{more}}}}}
tables:
  shop.big: {{{kept}checks: [{{range: {{column: size, min: 0, max: {most}}}}}]}}
"""
VICTIM = """
import os, signal, sys
from importlib import import_module
from limnos import Lake

setattr(import_module(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
def observe(step):
    print(step.name, flush=True)
    if step.name == sys.argv[4] and step.done == int(sys.argv[5]):
        os.kill(os.getpid(), signal.SIGKILL)
print(Lake(".", observer=observe).run())
"""


@dataclass
class Shop:
    """A project over a table of a PostgreSQL database of its own; `small` says which constant makes chunks small."""

    home: Path
    url: str
    kind: str = "postgres"
    small: tuple[str, str, int] = ("limnos.sources.postgres.transfer", "CHUNK_BLOCKS", CHUNK_BLOCKS)
    current: str = ""
    most: int = MOST
    steps: list[Step] = field(default_factory=list)

    def declare(self, mode: str = "full", most: int = MOST, kept: str = "", cursor: str = "", more: str = "") -> None:
        self.most = most
        table = f"mode: {mode}{', cursor: ' + cursor if cursor else ''}"
        kept = f"{kept}, " if kept else ""
        (self.home / "limnos.yml").write_text(PROJECT.format(kind=self.kind, table=table, most=most, kept=kept, more=more))

    def perish(self, step: str, done: int = 0) -> list[str]:
        """Run in a process of its own that dies at a step; gives the steps it passed."""
        command = [sys.executable, "-c", VICTIM, *map(str, self.small), step, str(done)]
        ended = subprocess.run(command, cwd=self.home, capture_output=True, text=True, check=False, timeout=120)
        assert ended.returncode == -signal.SIGKILL, ended.stdout + ended.stderr
        return ended.stdout.split()

    def run(self) -> RunResult:
        self.steps.clear()
        return Lake(self.home, observer=self.steps.append).run()

    def read(self) -> int:
        """Say how many chunks the last run read."""
        return sum(step.name == "table.chunk" for step in self.steps)

    def execute(self, sql: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as writer:
            for statement in sql.split(";"):
                writer.execute(statement.encode())

    def held(self) -> Sequence[tuple[int, int, str, str, str]]:
        """Give all rows of the source: id, size, amount, day, pad."""
        with psycopg.connect(self.url) as reader:
            return reader.execute("SELECT id, size, amount::text, day::text, pad FROM big ORDER BY id").fetchall()

    def verify(self) -> None:
        """Compare the lake with the source, row by row, and see that each row that is not published waits once."""
        lake = Lake(self.home)
        wanted = self.held()
        good = [row for row in wanted if 0 <= row[1] <= self.most and row[2] != "NaN" and row[3] not in {"infinity", "0000-00-00"}]
        where = f" WHERE {self.current}" if self.current else ""
        rows = lake.query(f"SELECT id, size, amount::VARCHAR AS amount, day::VARCHAR AS day, pad FROM shop.big{where} ORDER BY id").rows()
        assert [tuple(row.values()) for row in rows] == good
        waiting = lake.query("SELECT CAST(json_extract(row, '$.id') AS INT) AS id FROM system.quarantine WHERE status = 'open'").rows()
        assert sorted(row["id"] for row in waiting) == sorted({row[0] for row in wanted} - {row[0] for row in good})
        assert world.strays(self.home) == set()
        assert not lake._parts.ledger.open_runs()

    def remembered(self) -> Sequence[tuple[LandedChunk, str]]:
        return chunks.find(Lake(self.home)._parts.state.engine)

    def files(self) -> Sequence[LiveFile]:
        """Describe the published files of the table."""
        catalog = Lake(self.home)._parts.catalog
        return catalog.files(catalog.pin()[TableName("shop", "big")])


MARIADB_TABLE = f"""
CREATE TABLE big (id int PRIMARY KEY, size int, amount decimal(12,2), pad varchar(100), day date) ENGINE = InnoDB;
INSERT INTO big SELECT seq, seq % 500, seq / 4.0, repeat('x', 60),
    IF(seq % 700 = 1, '0000-00-00', date '2024-01-01' + INTERVAL seq % 365 DAY) FROM seq_1_to_{ROWS};
ANALYZE TABLE big
"""


@dataclass
class MariaShop(Shop):
    """The same over a table of a MariaDB database, followed by its log."""

    kind: str = "mariadb"
    small: tuple[str, str, int] = ("limnos.sources.mysql.chunks", "CHUNK_BYTES", CHUNK_BYTES)

    def execute(self, sql: str) -> None:
        with self._connected() as writer, writer.cursor() as cursor:
            for statement in sql.split(";"):
                cursor.execute(statement)

    def held(self) -> Sequence[tuple[int, int, str, str, str]]:
        with self._connected() as reader, reader.cursor() as cursor:
            cursor.execute("SELECT id, size, CAST(amount AS CHAR), CAST(day AS CHAR), pad FROM big ORDER BY id")
            return cursor.fetchall()

    def _connected(self) -> pymysql.connections.Connection[Any]:
        at = urlsplit(self.url)
        words = {"host": at.hostname, "port": at.port, "user": at.username, "password": unquote(at.password or "")}
        return pymysql.connect(**words, database=at.path[1:], autocommit=True, sql_mode="")
