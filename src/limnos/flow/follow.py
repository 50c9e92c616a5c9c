"""Follow: keep the tables whose changes can be read as new as their sources, in small runs."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Iterable, Sequence

from limnos.errors import Unsupported, WorldError
from limnos.flow.parts import Parts
from limnos.flow.run import run, run_unless_idle
from limnos.model.decision import Action
from limnos.model.names import TableName
from limnos.model.project import Mode
from limnos.model.run import RunResult, TableStatus

_RECORD_IDLE_S = 60.0
_LONGEST_PAUSE_S = 30.0


def follow(
    parts: Parts,
    patterns: Sequence[str],
    *,
    wait_s: float,
    told: Callable[[RunResult | WorldError], None],
    stopped: Callable[[float], bool],
) -> None:
    """Load the chosen tables once, then merge the changes of those of mode `cdc` until `stopped`, which waits the seconds it is given.

    Each round is a run of its own: what it published stays, whatever happens later. A round without changes leaves no trace, but for one a
    minute that remembers how far the sources were read. A source or state database that fails is tried again, later each time.

    Raises:
        UnknownName: If a pattern matches nothing.
        Unsupported: If none of the chosen tables is of mode `cdc`.
    """
    parts.demand(Action.RUN)
    latency_s = {table.target: source.latency_s for source in parts.project.sources for table in source.tables if table.mode is Mode.CDC}
    chosen = _followed(parts, patterns, latency_s)
    rest_s = min(latency_s[table] for table in chosen) / 2
    names = [str(table) for table in chosen]
    first, recorded, failures = True, time.monotonic(), 0
    while True:
        started = time.monotonic()
        try:
            idle = not first and started - recorded < _RECORD_IDLE_S
            result = run(parts, patterns, wait_s=wait_s) if first else run_unless_idle(parts, names, wait_s=wait_s, idle=idle)
        except WorldError as error:
            told(error)
            failures += 1
        else:
            if result is not None:
                told(result)
                recorded, first = time.monotonic(), False
            failures = failures + 1 if result is not None and _failed(result) else 0
        pause_s = min(2.0**failures, _LONGEST_PAUSE_S) if failures else max(0.0, rest_s - (time.monotonic() - started))
        if stopped(pause_s):
            return


def _followed(parts: Parts, patterns: Sequence[str], known: Iterable[TableName]) -> tuple[TableName, ...]:
    """Choose among the tables that can be followed; a pattern may name none of them, for the first round loads every table."""
    chosen = tuple(
        table for table in sorted(known) if not patterns or any(fnmatch.fnmatchcase(str(table), pattern) for pattern in patterns)
    )
    if not chosen:
        raise Unsupported(
            "None of the chosen tables can be followed",
            subject=", ".join(patterns) or parts.project.name,
            seen="no table of mode cdc",
            expected="at least one table with `mode: cdc` under its source",
            hint="write `mode: cdc` in limnos.yml, or run without --follow",
        )
    return chosen


def _failed(result: RunResult) -> bool:
    return any(table.status is TableStatus.FAILED for table in result.tables)
