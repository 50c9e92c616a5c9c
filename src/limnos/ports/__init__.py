"""Every seam of Limnos as a Protocol, one file for each; read this room first.

The way in is `Source` -> `Extract` -> `Session.write` -> `Rule` -> `Catalog.publish`; the way out is `Policy` -> `Engine.query` -> `Sink`;
each arrow leaves an `Event` in the ledger. A capability is declared and tested both ways: undeclared raises `Unsupported`.
"""

from __future__ import annotations

from collections.abc import Callable

from limnos.model.run import Step
from limnos.ports.catalog import Catalog, Transaction
from limnos.ports.engine import Engine, Session
from limnos.ports.policy import Policy
from limnos.ports.rule import Rule
from limnos.ports.sink import Sink
from limnos.ports.source import (
    Ahead,
    AheadReading,
    ChangeReading,
    ChangeSource,
    DigestReading,
    FollowableReading,
    IncrementalReading,
    PlacedReading,
    Reading,
    Source,
)

__all__ = [
    "Ahead",
    "AheadReading",
    "Catalog",
    "ChangeReading",
    "ChangeSource",
    "DigestReading",
    "Engine",
    "FollowableReading",
    "IncrementalReading",
    "Observer",
    "PlacedReading",
    "Policy",
    "Reading",
    "Rule",
    "Session",
    "Sink",
    "Source",
    "Transaction",
]

Observer = Callable[[Step], None]
"""Told each step boundary that a verb passes."""
