"""Recover: clear away what a run that died left behind."""

from __future__ import annotations

from limnos.flow.parts import Parts
from limnos.ledger.events import ABANDONED


def recover(parts: Parts) -> tuple[str, ...]:
    """Delete the files of each run that started and never ended, and record that; gives their run ids. The caller holds the lock.

    Files of remembered chunks stay, for a load to go on from them.
    """
    parts.catalog.sweep()
    died = parts.ledger.open_runs()
    for run_id in died:
        parts.step("run.recover", detail=run_id)
        count = parts.catalog.discard(run_id)
        parts.step("run.discarded", detail=run_id)
        parts.ledger.append(ABANDONED, parts.project.name, {"files": count}, run_id=run_id)
    return died
