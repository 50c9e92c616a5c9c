"""A data lake that measures its own water.

Examples:
    >>> import limnos
    >>> "Lake" in limnos.__all__
    True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limnos.errors import LimnosError
    from limnos.flow.query import Result
    from limnos.lake import Lake, Quarantine
    from limnos.model.contract import Column, Contract, Partition, RuleSpec, Severity
    from limnos.model.data import Snapshot
    from limnos.model.decision import Decision, Principal
    from limnos.model.event import Event
    from limnos.model.extract import Extract
    from limnos.model.names import TableName
    from limnos.model.position import Position
    from limnos.model.run import Plan, RunResult, TableResult
    from limnos.model.verdict import Outcome, Verdict

_HOMES = {
    "Column": "model.contract",
    "Contract": "model.contract",
    "Decision": "model.decision",
    "Event": "model.event",
    "Extract": "model.extract",
    "Lake": "lake",
    "LimnosError": "errors",
    "Outcome": "model.verdict",
    "Partition": "model.contract",
    "Plan": "model.run",
    "Position": "model.position",
    "Principal": "model.decision",
    "Quarantine": "lake",
    "Result": "flow.query",
    "RuleSpec": "model.contract",
    "RunResult": "model.run",
    "Severity": "model.contract",
    "Snapshot": "model.data",
    "TableName": "model.names",
    "TableResult": "model.run",
    "Verdict": "model.verdict",
}

__all__ = [
    "Column",
    "Contract",
    "Decision",
    "Event",
    "Extract",
    "Lake",
    "LimnosError",
    "Outcome",
    "Partition",
    "Plan",
    "Position",
    "Principal",
    "Quarantine",
    "Result",
    "RuleSpec",
    "RunResult",
    "Severity",
    "Snapshot",
    "TableName",
    "TableResult",
    "Verdict",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 any public name
    """Import a public name when it is first used, so that `limnos --help` starts at once."""
    if name not in _HOMES:
        raise AttributeError(f"module 'limnos' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 start-up

    return getattr(import_module(f"limnos.{_HOMES[name]}"), name)
