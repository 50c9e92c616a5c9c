"""Scores: the series of what is known of each table's quality, read from the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from limnos.flow.parts import Parts
from limnos.ledger.events import CHECKED, COMPARED, FINISHED
from limnos.ledger.readings import tables_of
from limnos.model.event import Event
from limnos.model.names import TableName
from limnos.model.run import TableStatus
from limnos.model.score import Judge, Observation, Score
from limnos.model.verdict import Verdict
from limnos.quality.series import Evidence, evidence, series

_UTC: pa.DataType = pa.timestamp("us", tz="UTC")
SCORES = pa.schema(
    [
        ("judged_at", _UTC),
        ("run_id", pa.string()),
        ("judge", pa.string()),
        ("table_name", pa.string()),
        ("snapshot_id", pa.int64()),
        ("scope", pa.string()),
        ("subject", pa.string()),
        ("dimension", pa.string()),
        ("numerator", pa.int64()),
        ("denominator", pa.int64()),
        ("score", pa.float64()),
        ("measured", pa.list_(pa.string())),
        ("coverage", pa.float64()),
        ("rule_set", pa.string()),
        ("breaks", pa.bool_()),
    ]
)

_SAID = {TableStatus.PUBLISHED.value, TableStatus.UNCHANGED.value}


def evidence_of(parts: Parts) -> Mapping[TableName, Evidence]:
    """Give what stands of each published table, by what its runs and comparisons found."""
    return {table: now for (table, judge), now in evidence(observations(parts.ledger.events())).items() if judge is Judge.RUN}


def scores_table(parts: Parts) -> pa.Table:
    """Give all scores as `system.scores`."""
    return pa.Table.from_pylist([_row(one) for one in series(observations(parts.ledger.events()))], schema=SCORES)


def observations(events: Iterable[Event]) -> Iterator[Observation]:
    """Read what runs, checks and comparisons found out about published tables; a run that published nothing of a table says nothing."""
    for event in events:
        if event.action in {FINISHED, CHECKED, COMPARED}:
            yield from _of_event(event)


def _of_event(event: Event) -> Iterator[Observation]:
    for said in tables_of(event):
        verdicts = tuple(Verdict.from_json(one) for one in said["verdicts"])
        # What a run compared stands in its own event as well.
        silent = event.run_id if event.action == COMPARED else said.get("status") not in _SAID if event.action == FINISHED else False
        if silent or said["error"]:
            continue
        yield Observation(
            at=event.at,
            run_id=event.run_id,
            judge=Judge.CHECK if event.action == CHECKED else Judge.RUN,
            table=TableName.parse(said["table"]),
            snapshot_id=said["snapshot_id"],
            verdicts=verdicts,
            anew=event.action == CHECKED or (event.action == FINISHED and said["status"] == TableStatus.PUBLISHED.value),
        )


def _row(one: Score) -> Mapping[str, Any]:
    return {
        "judged_at": one.at,
        "run_id": one.run_id,
        "judge": one.judge.value,
        "table_name": str(one.table) if one.table else None,
        "snapshot_id": one.snapshot_id,
        "scope": one.scope.value,
        "subject": one.subject,
        "dimension": one.dimension.value if one.dimension else None,
        "numerator": one.numerator,
        "denominator": one.denominator,
        "score": one.value,
        "measured": [dimension.value for dimension in one.measured],
        "coverage": one.coverage,
        "rule_set": one.rule_set,
        "breaks": one.breaks,
    }
