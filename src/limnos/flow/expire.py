"""Expire: let old versions of tables go, and delete the files that no kept version needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from limnos.errors import LimnosError
from limnos.flow.parts import Parts
from limnos.ledger.events import FAILED, STARTED, UPKEPT
from limnos.model.data import Snapshot
from limnos.model.names import TableName
from limnos.model.retention import Retention
from limnos.model.run_id import new_run_id


@dataclass(frozen=True, slots=True)
class Expiry:
    """Say which versions of a table go, and which files with them: path to bytes."""

    published: Snapshot
    versions: tuple[Snapshot, ...]
    files: Mapping[str, int]

    def as_json(self) -> Mapping[str, object]:
        """Give what the ledger keeps."""
        return {
            "versions": [one.snapshot_id for one in self.versions],
            "files": len(self.files),
            "bytes": sum(self.files.values()),
        }


def expiries(parts: Parts, published: Sequence[Snapshot], retention: Retention) -> Mapping[TableName, Expiry]:
    """Choose what goes of each table; tables of which nothing goes are left out.

    Besides those that `retention` keeps, the version of the last run stays, of which its verdicts and its comparison with the source speak,
    and those that a branch or tag names. Nothing is changed.
    """
    now = datetime.now(UTC)
    upkeeps = {event.run_id for event in parts.ledger.events(action=UPKEPT)}
    found: dict[TableName, Expiry] = {}
    for snapshot in published:
        history = parts.catalog.history(snapshot.table)
        ran = next((one.metadata_location for one in reversed(history) if one.run_id not in upkeeps), "")
        tagged = parts.catalog.tagged(snapshot)
        needed = {ran, *(one.metadata_location for one in history if one.snapshot_id in tagged)}
        versions = retention.outdated(history, now, frozenset(needed))
        files = parts.catalog.unused(snapshot, versions, now - timedelta(seconds=retention.grace_s))
        parts.step("upkeep.look", snapshot.table, f"{len(versions):,} versions, {len(files):,} files")
        if versions or files:
            found[snapshot.table] = Expiry(snapshot, versions, files)
    return found


def expire(parts: Parts, found: Mapping[TableName, Expiry]) -> None:
    """Let the versions go in one transaction, and delete their files after it; the caller holds the lock.

    A call that is killed before the transaction changed nothing; after it, the next upkeep deletes what is left.
    """
    if not found:
        return
    run_id = new_run_id()
    parts.ledger.append(STARTED, parts.project.name, {"verb": "upkeep"}, run_id=run_id)
    try:
        _let_go(parts, found, run_id)
    except LimnosError as error:
        parts.catalog.discard(run_id)
        parts.ledger.append(FAILED, parts.project.name, {"error": error.as_json()}, run_id=run_id)
        raise
    parts.step("upkeep.expired")
    for table, expiry in found.items():
        parts.catalog.remove(list(expiry.files))
        parts.step("upkeep.delete", table, f"{len(expiry.files):,} files")


def _let_go(parts: Parts, found: Mapping[TableName, Expiry], run_id: str) -> None:
    made = [parts.catalog.forget(one.published, one.versions, run_id) for one in found.values() if one.versions]
    parts.step("upkeep.forget", total=len(made))
    with parts.ledger.begin() as transaction:
        parts.catalog.publish([one for one in made if one is not None], transaction)
        for one in found.values():
            parts.catalog.expire(one.versions, run_id, transaction)
        parts.step("upkeep.expire")
        said = {str(table): one.as_json() for table, one in found.items()}
        parts.ledger.append(UPKEPT, parts.project.name, {"expired": said}, run_id=run_id, transaction=transaction)
