"""Whatever happens at a source and whenever it is run, the lake ends as the source is: in every mode, with every kind of delete."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.flow.scripted import Row, Script, lake_of, published

from limnos import Lake

CHECK = "checks: [range: {column: amount, min: 0}]"
amounts = st.sampled_from(["1.00", "2.50", "-1.00", "x"])
steps = st.lists(
    st.tuples(st.sampled_from(["insert", "update", "update", "move", "keep", "delete", "run", "truncate"]), st.integers(1, 4), amounts),
    min_size=4,
    max_size=16,
)
quick = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Story:
    """Apply steps to a script; the cursor of a row is a clock that only goes up."""

    def __init__(self, script: Script) -> None:
        self.script, self.clock, self.truncates = script, 0, 0

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def apply(self, what: str, key: int, amount: str) -> None:
        row = next((row for row in self.script.rows if row[0] == key), None)
        other = next((free for free in range(1, 9) if all(free != row[0] for row in self.script.rows)), 9)
        if what == "insert" and (row is None or not self.script.keyed):
            self.script.insert((key, f"n{self.tick()}", amount, self.clock))
        elif what == "update" and row is not None:
            self.script.update(row, (key, f"n{self.tick()}", amount, self.clock))
        elif what == "move" and row is not None:
            self.script.update(row, (other, row[1], amount, self.tick()))
        elif what == "keep" and row is not None and self.script.keyed:
            self.script.update(row, (key, row[1], amount, self.tick()), kept=("name",))
        elif what == "delete" and row is not None:
            self.script.delete(row)
        elif what == "truncate" and key == 1:
            self.script.truncate()


def good(rows: list[Row]) -> Counter[tuple[object, ...]]:
    return Counter(row for row in rows if row[2] not in {"x", "-1.00"})


def run(lake: Lake) -> None:
    (result,) = lake.run().tables
    assert result.error is None, result.error
    assert result.closes


def as_is(lake: Lake, script: Script, where: str = "TRUE") -> None:
    rows = lake.query(f'SELECT id, name, amount::VARCHAR, "at" FROM s.rows WHERE {where}').rows()
    assert Counter(tuple(row.values()) for row in rows) == good(script.rows)
    entries = [entry.row for entry in lake.quarantine.entries("s.rows", limit=100) if entry.row]
    # A bad row that came and went between two runs waits as one that is deleted.
    waiting = [row for row in entries if row.get("_deleted_at") is None]
    bad = Counter((str(row[0]), row[1], row[2]) for row in script.rows if row[2] in {"x", "-1.00"})
    assert Counter((row["id"], row["name"], row["amount"]) for row in waiting) == bad


@quick
@given(steps)
def test_hard_deletes(story: list[tuple[str, int, str]]) -> None:
    script = Script()
    with tempfile.TemporaryDirectory() as directory:
        lake, told = lake_of(Path(directory), script, promises=CHECK), Story(script)
        run(lake)
        for what, key, amount in [*story, ("run", 0, "")]:
            told.apply(what, key, amount)
            if what == "run":
                run(lake)
                as_is(lake, script)


@quick
@given(steps)
def test_without_a_key(story: list[tuple[str, int, str]]) -> None:
    script = Script(keyed=False)
    with tempfile.TemporaryDirectory() as directory:
        lake, told = lake_of(Path(directory), script, promises=CHECK), Story(script)
        run(lake)
        for what, key, amount in [*story, ("run", 0, "")]:
            told.apply(what, key, amount)
            if what == "run":
                run(lake)
                as_is(lake, script)


@quick
@given(steps)
def test_soft_deletes(story: list[tuple[str, int, str]]) -> None:
    script = Script()
    with tempfile.TemporaryDirectory() as directory:
        lake, told = lake_of(Path(directory), script, table="mode: cdc, deletes: soft", promises=CHECK), Story(script)
        run(lake)
        for what, key, amount in [*story, ("run", 0, "")]:
            told.apply(what, key, amount)
            if what == "run":
                run(lake)
                as_is(lake, script, "_deleted_at IS NULL")
        gone = published(lake, "id") and lake.query("SELECT id FROM s.rows WHERE _deleted_at IS NOT NULL").rows()
        here = {row[0] for row in script.rows}
        assert all(row["id"] not in here for row in gone)


@quick
@given(steps)
def test_history(story: list[tuple[str, int, str]]) -> None:
    script = Script()
    with tempfile.TemporaryDirectory() as directory:
        lake, told = lake_of(Path(directory), script, promises="history: scd2"), Story(script)
        versions = Counter[tuple[object, ...]]()
        run(lake)
        for what, key, amount in [*story, ("run", 0, "")]:
            told.apply(what, key, amount if amount != "x" else "3.00")
            if what == "run":
                run(lake)
                rows = lake.query('SELECT id, name, amount::VARCHAR, "at" FROM s.rows WHERE valid_to IS NULL').rows()
                assert Counter(tuple(row.values()) for row in rows) == Counter(script.rows)
                now = Counter(tuple(row) for row in published(lake, 'id, name, amount::VARCHAR, "at"'))
                assert not versions - now, "a version that was there is gone"
                versions = now


@quick
@given(steps)
def test_incremental(story: list[tuple[str, int, str]]) -> None:
    script = Script()
    with tempfile.TemporaryDirectory() as directory:
        lake = lake_of(Path(directory), script, table="mode: incremental, cursor: at", promises=CHECK)
        told = Story(script)
        run(lake)
        for what, key, amount in [*story, ("run", 0, "")]:
            if what in {"insert", "update"}:
                told.apply(what, key, amount)
            if what == "run":
                run(lake)
                as_is(lake, script)
