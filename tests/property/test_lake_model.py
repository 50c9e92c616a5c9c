"""The whole lake against a plain model of it: any order of changes, runs, decisions and changes of mind ends alike in both."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from limnos import Lake
from limnos.model.names import TableName
from limnos.model.run import TableStatus

PROJECT = """
version: 1
project: m
sources:
  db: {{type: sqlite, path: m.db, namespace: m, tables: {{orders: {{}}}}}}
  family: {{type: sqlite, path: parents.db, namespace: m, tables: {{parents: {{}}}}}}
  files: {{type: files, namespace: m, tables: {{rates: {{path: rates.csv}}}}}}
tables:
  m.orders:
    checks:
      - unique: id
      - range: {{column: n, min: 0, severity: {severity}}}
      - foreign_key: {{column: parent, references: m.parents.id}}
  m.rates:
    columns: [{{name: id, type: long}}, {{name: rate, type: "decimal(6,2)"}}]
    checks: [{{range: {{column: rate, min: 0, severity: {severity}}}}}]
"""
ORDERS, RATES = "m.orders", "m.rates"
SEVERITIES = ("quarantine", "warn", "block")
order_rows = st.tuples(st.integers(1, 3), st.sampled_from([None, 1, 9]), st.sampled_from([5, -1, "x"]))
rate_line = st.sampled_from(["1,1.50", "2,2.00", "3,-1.00", "4,x", "5", "6,7,8"])


@dataclass
class Entry:
    """Hold a quarantined row as its texts, or as its line where it is none, with what it broke."""

    row: tuple[str | None, ...] | bytes
    reasons: frozenset[str]
    status: str = "open"


@dataclass
class Table:
    """Hold what a table should be."""

    published: list[tuple[Any, ...]] | None = None
    entries: list[Entry] = field(default_factory=list)
    rejected: set[Any] = field(default_factory=set)
    basis: object = None
    read: int = 0
    versions: list[tuple[int, Any, Counter[Any]]] = field(default_factory=list)

    def counted(self) -> Counter[Any]:
        return Counter(self.published or [])


def _texts(row: tuple[Any, ...]) -> tuple[str | None, ...]:
    return tuple(None if value is None else str(value) for value in row)


def broken_orders(rows: list[tuple[Any, ...]], parents: set[int]) -> list[set[str]]:
    """Name what each row breaks; a row of a wrong type is not judged by anything else, nor does it count for the others."""
    fits = [row for row in rows if not isinstance(row[2], str)]
    ids = Counter(row[0] for row in fits)
    found: list[set[str]] = []
    for row in rows:
        if row not in fits:
            found.append({"type:n"})
            continue
        said = {"unique:id"} if ids[row[0]] > 1 else set()
        said |= {"range:n"} if row[2] is not None and row[2] < 0 else set()
        said |= {"foreign_key:parent"} if row[1] is not None and row[1] not in parents else set()
        found.append(said)
    return found


def broken_rates(rows: list[Any]) -> list[set[str]]:
    found: list[set[str]] = []
    for row in rows:
        if isinstance(row, bytes):
            found.append({"malformed"})
        elif row[1] == "x":
            found.append({"type:rate"})
        else:
            found.append({"range:rate"} if row[1].startswith("-") else set())
    return found


class LakeMachine(RuleBasedStateMachine):
    @initialize(rows=st.lists(order_rows, min_size=2, max_size=4), lines=st.lists(rate_line, max_size=3))
    def lay_down(self, rows: list[tuple[Any, ...]], lines: list[str]) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="limnos-model-"))
        self.severity = "quarantine"
        self.orders = list(rows)
        self.parents = {1}
        self.lines = list(lines)
        self.tables = {ORDERS: Table(), RATES: Table()}
        self.lake_parents: set[int] | None = None
        self.parents_version = 0
        self._write("m.db", "orders (id INTEGER, parent INTEGER, n INTEGER)", self.orders)
        self._write("parents.db", "parents (id INTEGER PRIMARY KEY)", [(one,) for one in sorted(self.parents)])
        self._write_csv()
        self._write_project()
        self._run()

    def _write(self, file: str, shape: str, rows: list[tuple[Any, ...]]) -> None:
        with closing(sqlite3.connect(self.directory / file)) as db, db:
            db.execute(f"CREATE TABLE IF NOT EXISTS {shape}")
            name = shape.partition(" ")[0]
            db.execute(f"DELETE FROM {name}")
            db.executemany(f"INSERT INTO {name} VALUES ({','.join('?' * (1 + shape.count(',')))})", rows)

    def _write_csv(self) -> None:
        (self.directory / "rates.csv").write_text("\n".join(["id,rate", *self.lines]) + "\n")

    def _write_project(self) -> None:
        (self.directory / "limnos.yml").write_text(PROJECT.format(severity=self.severity))

    @property
    def lake(self) -> Lake:
        return Lake(self.directory)

    @rule(data=st.data(), rows=st.lists(order_rows, min_size=1, max_size=2))
    def change_the_orders(self, data: st.DataObject, rows: list[tuple[Any, ...]]) -> None:
        """Put rows in the place of one row or of none: an insert or an update."""
        start = data.draw(st.integers(0, len(self.orders)))
        self.orders[start : start + data.draw(st.integers(0, 1))] = rows
        self._write("m.db", "orders (id INTEGER, parent INTEGER, n INTEGER)", self.orders)
        self._run()

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def delete_an_order(self, data: st.DataObject) -> None:
        del self.orders[data.draw(st.integers(0, len(self.orders) - 1))]
        self._write("m.db", "orders (id INTEGER, parent INTEGER, n INTEGER)", self.orders)
        self._run()

    @rule(parents=st.sets(st.sampled_from([1, 9])))
    def change_the_parents(self, parents: set[int]) -> None:
        self.parents = parents
        self._write("parents.db", "parents (id INTEGER PRIMARY KEY)", [(one,) for one in sorted(parents)])
        self._run()

    @rule(line=rate_line)
    def add_a_rate(self, line: str) -> None:
        self.lines.append(line)
        self._write_csv()
        self._run()

    @rule(severity=st.sampled_from(SEVERITIES), run=st.booleans())
    def change_the_severity(self, severity: str, *, run: bool) -> None:
        self.severity = severity
        self._write_project()
        if run:
            self._run()

    def _run(self) -> None:
        result = {str(table.table): table for table in self.lake.run().tables}
        assert all(table.error is None for table in result.values()), result
        digest = hashlib.sha256((self.directory / "m.db").read_bytes()).hexdigest()
        assert all(table.closes for table in self.lake.check())
        if self.parents != self.lake_parents:
            self.lake_parents = set(self.parents)
            self.parents_version += 1
        rates = [tuple(line.split(",")) if line.count(",") == 1 else f"{line}\n".encode() for line in self.lines]
        self._expect(result[ORDERS], self.orders, broken_orders(self.orders, self.parents), (digest, self.severity, self.parents_version))
        self._expect(result[RATES], rates, broken_rates(rates), (tuple(self.lines), self.severity))

    def _expect(self, said: Any, rows: list[Any], broken: list[set[str]], basis: object) -> None:
        """Predict a table after a run, and compare what the run said of it."""
        table = self.tables[str(said.table)]
        ruled = {"range:n", "range:rate"}
        if table.basis == basis:
            assert (said.status, said.read, said.unchanged) == (TableStatus.UNCHANGED, table.read, table.read)
            return
        if self.severity == "block" and any(one & ruled for one in broken):
            assert (said.status, said.read, said.written) == (TableStatus.HELD, len(rows), 0)
            return
        causes = [one - ruled if self.severity == "warn" else one for one in broken]
        published = [_texts(row) for row, cause in zip(rows, causes, strict=True) if not cause]
        entries = [
            Entry(_texts(row) if isinstance(row, tuple) else row, frozenset(all_))
            for row, cause, all_ in zip(rows, causes, broken, strict=True)
            if cause
        ]
        before = table.counted(), Counter((entry.row, entry.reasons) for entry in table.entries if entry.status != "released")
        table.published, table.basis, table.read = published, basis, len(rows)
        for entry in entries:
            entry.status = "rejected" if entry.row in table.rejected else "open"
        table.entries = entries
        assert said.closes
        assert said.read == len(rows)
        if said.status is TableStatus.UNCHANGED:
            assert (table.counted(), Counter((entry.row, entry.reasons) for entry in entries)) == before
        else:
            assert said.status is TableStatus.PUBLISHED
            assert (said.written, said.quarantined) == (len(published), len(entries))
        assert len(published) + len(entries) == len(rows)

    @rule()
    def reject_all(self) -> None:
        for name, table in self.tables.items():
            open_ = [entry for entry in table.entries if entry.status == "open"]
            assert self.lake.quarantine.reject(name).moved == len(open_)
            for entry in open_:
                entry.status = "rejected"
                table.rejected.add(entry.row)

    @precondition(lambda self: self.tables[ORDERS].published is not None)
    @rule()
    def release_all_orders(self) -> None:
        table = self.tables[ORDERS]
        open_ = [entry for entry in table.entries if entry.status == "open"]
        rows = [tuple(None if text is None else int(text) if text.lstrip("-").isdigit() else text for text in entry.row) for entry in open_]
        there = [tuple(None if text is None else int(text) for text in row) for row in table.published or []]
        self._released(table, ORDERS, open_, broken_orders([*rows, *there], self.lake_parents or set()))

    @precondition(lambda self: self.tables[RATES].published is not None)
    @rule()
    def release_all_rates(self) -> None:
        table = self.tables[RATES]
        open_ = [entry for entry in table.entries if entry.status == "open"]
        self._released(table, RATES, open_, broken_rates([*(entry.row for entry in open_), *(table.published or [])]))

    def _released(self, table: Table, name: str, open_: list[Entry], broken: list[set[str]]) -> None:
        said = self.lake.quarantine.release(name)
        ruled = {"range:n", "range:rate"}
        held = self.severity == "block" and any(one & ruled for one in broken)
        kept = [held or bool(one - ruled if self.severity == "warn" else one) for one in broken[: len(open_)]]
        assert (said.moved, said.kept) == (kept.count(False), kept.count(True))
        for entry, stays in zip(open_, kept, strict=True):
            if not stays:
                entry.status = "released"
                assert table.published is not None
                table.published.append(entry.row)

    @invariant()
    def the_lake_is_as_the_model_says(self) -> None:
        lake = self.lake
        for name, table in self.tables.items():
            if table.published is None:
                continue
            found = Counter(_texts(tuple(row.values())) for row in lake.query(f"SELECT * FROM {name}").rows())
            assert found == table.counted(), name
            entries = self._entries(lake, name)
            assert Counter(entries) == Counter((entry.row, entry.reasons, entry.status) for entry in table.entries), name

    def _entries(self, lake: Lake, name: str) -> list[Any]:
        """Give the entries of the load that counts; what was decided of an earlier one stays on record beside them."""
        run_id = lake._parts.ledger.marks()[TableName.parse(name)].run_id
        found = [one for one in lake.quarantine.entries(name, status=None, limit=1000) if one.run_id == run_id]
        return [
            (
                tuple(one.row.values()) if one.row is not None else one.raw,
                frozenset(reason.rule for reason in one.reasons),
                one.status.value,
            )
            for one in found
        ]

    @invariant()
    def history_only_grows_and_the_ledger_verifies(self) -> None:
        lake = self.lake
        lake._parts.ledger.verify()
        for name, table in self.tables.items():
            if table.published is None:
                continue
            versions = [entry.snapshot for entry in lake.history(name)]
            assert [one.snapshot_id for one in versions[: len(table.versions)]] == [known for known, _, _ in table.versions]
            if len(versions) > len(table.versions):
                table.versions.append((versions[-1].snapshot_id, versions[-1].at, table.counted()))
            assert len(versions) == len(table.versions)

    def teardown(self) -> None:
        if hasattr(self, "directory"):
            for name, table in self.tables.items():
                for _, at, content in table.versions:
                    found = Counter(_texts(tuple(row.values())) for row in self.lake.query(f"SELECT * FROM {name}", as_of=at).rows())
                    assert found == content
            shutil.rmtree(self.directory)


TestLake = LakeMachine.TestCase
# A failure is a dozen short steps, which are read sooner than shrunk.
TestLake.settings = settings(
    max_examples=20,
    stateful_step_count=8,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
