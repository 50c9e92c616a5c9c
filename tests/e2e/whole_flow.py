"""The shop of the crash tests over any lake and any state database, taken through every verb."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash import world

from limnos import Lake
from limnos.apps.cli.main import run
from limnos.model.run import TableStatus

LIMNOS = str(Path(sys.executable).with_name("limnos"))
PUBLISHED, UNCHANGED = TableStatus.PUBLISHED, TableStatus.UNCHANGED
KILLED_AT = "run.moved"
VERBS = (
    ("plan",),
    ("run", "--json"),
    ("check",),
    ("status", "--json"),
    ("why", "shop.rates", "--json"),
    ("history", "--json"),
    ("doctor",),
    ("quarantine", "list"),
    ("quarantine", "show", "shop.rates"),
    ("query", "SELECT * FROM system.events"),
    ("--debug", "query", "SELECT * FROM shop.nowhere"),
)
VICTIM = """
import os, signal, sys
from limnos import Lake
def observe(step):
    if step.name == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
Lake(".", observer=observe).run()
"""


@dataclass(slots=True)
class Shop:
    """A project whose lake and state are as `settings` says in limnos.yml; `said` gathers all that its commands wrote."""

    directory: Path
    settings: str
    said: list[str] = field(default_factory=list)

    def make(self) -> None:
        world.make(self.directory)
        self.rewrite("project: shop\n", f"project: shop\n{self.settings}")

    def rewrite(self, old: str, new: str) -> None:
        file = self.directory / "limnos.yml"
        file.write_text(file.read_text().replace(old, new, 1))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(arguments, cwd=self.directory, capture_output=True, text=True, check=False, timeout=120)
        self.said += [ended.stdout, ended.stderr]
        return ended

    def verb(self, *arguments: str) -> str:
        """Give a verb of the command line in this process, where no second start of Python is paid."""
        written = io.StringIO()
        with redirect_stdout(written), redirect_stderr(written):
            run(["-C", str(self.directory), *arguments])
        self.said.append(written.getvalue())
        assert self.said[-1]
        return self.said[-1]

    def statuses(self) -> list[TableStatus]:
        result = Lake(self.directory).run()
        assert all(table.closes for table in result.tables)
        return [table.status for table in result.tables]


def take(shop: Shop) -> None:
    """Run, run again, be killed, run, go back in time, release, and ask every verb."""
    shop.make()
    lake = Lake(shop.directory)
    assert {table.action for table in lake.plan().tables} == {"create"}
    assert shop.statuses() == [PUBLISHED] * 3
    first = world.seen(shop.directory)
    assert shop.statuses() == [UNCHANGED] * 3
    assert world.seen(shop.directory) == first
    assert lake.query("SELECT count(*) AS n, count(DISTINCT id) AS ids FROM shop.customers").rows() == [{"n": 59, "ids": 59}]

    world.change(shop.directory)
    assert shop.command(sys.executable, "-c", VICTIM, KILLED_AT).returncode == -signal.SIGKILL
    assert world.seen(shop.directory) == first
    history = [entry.as_json() for entry in lake.history()]
    assert shop.statuses() == [PUBLISHED] * 3
    assert world.seen(shop.directory) != first
    assert [entry.as_json() for entry in lake.history()][: len(history)] == history
    assert lake.query("SELECT count(*) AS n FROM system.events WHERE action = 'run.abandoned'").rows() == [{"n": 1}]
    past = lake.history("shop.orders")[0].snapshot
    assert sorted(map(repr, lake.query("SELECT * FROM shop.orders", as_of=past.at).rows())) == first["shop.orders"]

    _release(shop)
    assert [finding for finding in lake.doctor() if not finding.ok] == []
    assert [verb for verb in VERBS if "Traceback" in shop.verb(*verb)] == [VERBS[-1]]
    assert json.loads(shop.command(LIMNOS, "query", "SELECT max(id) AS last FROM shop.orders", "--format", "json").stdout) == [
        {"last": 1001}
    ]


def _release(shop: Shop) -> None:
    world.mend(shop.directory)
    lake = Lake(shop.directory)
    waiting = sum(count.rows for count in lake.quarantine.counts("shop.orders"))
    before = lake.query("SELECT count(*) AS n FROM shop.orders").rows()[0]["n"]
    released = lake.quarantine.release("shop.orders")
    assert (released.moved, released.kept) == (waiting, 0)
    assert lake.quarantine.counts("shop.orders") == ()
    assert lake.query("SELECT count(*) AS n FROM shop.orders").rows() == [{"n": before + waiting}]


def reveals(directory: Path, secrets: Mapping[str, str]) -> list[str]:
    """Name the files below a directory, limnos.yml aside, that hold one of the secrets."""
    return [
        f"{name} in {path}"
        for path in directory.rglob("*")
        if path.is_file() and path.name != "limnos.yml"
        for name, secret in secrets.items()
        if secret.encode() in path.read_bytes()
    ]
