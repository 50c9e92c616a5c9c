"""Pending: what happened at a source since the position that is published, so that a comparison can leave it out.

The source is compared as it is now, the lake as it was published. A row whose change stands in the source's own log between the two is
explained by it: the next run merges it. Whatever else differs is a difference.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import pyarrow as pa

from limnos.errors import LimnosError
from limnos.flow.feed import Feed, Feeds, scan
from limnos.flow.parts import Parts
from limnos.flow.sourcing import Candidate, Opened, candidates
from limnos.ledger.events import Mark
from limnos.model.casts import Casts
from limnos.model.changes import ENVELOPE, OPERATION, Operation
from limnos.model.contract import Contract
from limnos.model.data import Snapshot
from limnos.model.names import TableName, literal, quoted
from limnos.model.position import Position
from limnos.model.project import Mode
from limnos.ports import Session
from limnos.quality.comparison import Pending
from limnos.quality.comparison_sides import EngineSide, written, written_rows

_PENDING = "limnos_pending"
_ATTEMPTS, _PAUSE_S = 5, 0.5


@dataclass(frozen=True, slots=True)
class Standing:
    """Hold versions and positions that were published together, and the sources as they are at one later point in time.

    `feeds` has what happened between the two for tables of mode `cdc`, `untold` why that is not known.
    """

    pinned: Mapping[TableName, Snapshot]
    marks: Mapping[TableName, Mark]
    chosen: tuple[Candidate, ...]
    feeds: Mapping[TableName, Feed] = field(default_factory=dict[TableName, Feed])
    untold: Mapping[TableName, str] = field(default_factory=dict[TableName, str])


def standing(parts: Parts, stack: ExitStack, patterns: Sequence[str]) -> Standing:
    """Pin what is published, then open the sources of the chosen tables.

    A run that publishes meanwhile may have its source forget the log in between, or be reading it just now: then all is taken anew.

    Raises:
        UnknownName: If a pattern matches nothing.
    """
    attempt = 0
    while True:
        attempt += 1
        pinned, marks = _published(parts)
        own = stack.enter_context(ExitStack())
        found = _told(Standing(pinned, marks, candidates(Opened(parts, own), patterns)), own)
        if not found.untold or attempt == _ATTEMPTS or (attempt > 1 and parts.ledger.marks() == marks):
            return found
        own.close()
        time.sleep(_PAUSE_S)


def _published(parts: Parts) -> tuple[Mapping[TableName, Snapshot], Mapping[TableName, Mark]]:
    """Give versions and positions that belong together: a run moves both in one transaction."""
    marks = parts.ledger.marks()
    while True:
        pinned, again = parts.catalog.pin(), parts.ledger.marks()
        if again == marks:
            return pinned, marks
        marks = again


def _told(found: Standing, stack: ExitStack) -> Standing:
    """Read the changes of all tables that are followed."""
    wanted: dict[str, dict[str, Position]] = {}
    followed = [one for one in found.chosen if one.error is None and one.table.mode is Mode.CDC and one.table.target in found.pinned]
    for one in followed:
        mark = found.marks.get(one.table.target)
        if mark is not None and mark.position is not None:
            wanted.setdefault(one.source.name, {})[one.table.name] = mark.position
    drained, feeds, untold = Feeds(stack, wanted), dict[TableName, Feed](), dict[TableName, str]()
    for one in followed:
        if one.table.name not in wanted.get(one.source.name, {}):
            continue
        try:
            feed = drained.of(one)
        except LimnosError as error:
            untold[one.table.target] = error.what
        else:
            feeds[one.table.target] = feed
            if feed.reload:
                untold[one.table.target] = feed.reload
    return replace(found, feeds=feeds, untold=untold)


def pending(session: Session, feed: Feed, contract: Contract, digits: frozenset[str]) -> Pending | str:
    """Write the changes of a table as canonical texts; gives the reason instead where they do not tell which rows they happened to."""
    if not set(contract.key or contract.names) <= set(feed.identity):
        return "its changes do not tell the key of the rows that they happened to"
    columns = ", ".join(f"{quoted(name)} VARCHAR" for name in (*contract.names, OPERATION))
    session.run(f"CREATE TEMP TABLE {_PENDING} ({columns})")
    for file, schema in zip(feed.files, feed.schemas, strict=True):
        raw = pa.schema([one for one in schema if one.name not in ENVELOPE.names])
        if not set(contract.names) <= set(raw.names):
            return "its columns changed"
        texts = written(Casts.of(raw, contract), raw, digits)
        session.run(f"INSERT INTO {_PENDING} SELECT {texts}, {OPERATION} FROM ({scan([file], schema)})")
    truncations = session.run(f"SELECT count(*) FROM {_PENDING} WHERE {OPERATION} = {literal(Operation.TRUNCATE)}").column(0)[0].as_py()
    return Pending(EngineSide(written_rows(_PENDING, contract.schema)), everything=bool(truncations))
