"""Suggest: rules that a published table keeps, as a change of limnos.yml."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from limnos.discovery.suggestions import Evidence, propose
from limnos.errors import LimnosError, StorageFailed
from limnos.flow.parts import Parts
from limnos.flow.profile import Profiled, measured
from limnos.flow.sourcing import bookkeeping_of, current_rows
from limnos.model.names import TableName
from limnos.model.profile import Suggestion, Suggestions
from limnos.model.subject import Subject
from limnos.model.verdict import Outcome
from limnos.project import load_project
from limnos.project.amend import amended
from limnos.project.read import FILE
from limnos.quality.audit import audit
from limnos.quality.rules import build


def suggest(parts: Parts, table: TableName, *, write: bool = False) -> Suggestions:
    """Propose rules for a table; `write` adds them to limnos.yml. What is proposed was judged by the rules' own code: the table keeps it.

    Raises:
        UnknownName: If there is no such table.
        Refused: If the policy refuses the table.
        ProjectInvalid: If limnos.yml is written in a way that the rules have to be added to by hand.
        StorageFailed: If limnos.yml cannot be written.
    """
    found = measured(parts, table)
    history = parts.catalog.history(table)
    proposed, notes = propose(Evidence(found.profile, found.contract, history, datetime.now(UTC), bookkeeping_of(parts, table)))
    kept = _kept(parts, found, proposed)
    path = parts.project.root / FILE
    old = path.read_text(encoding="utf-8")
    new = amended(old, table, [(one.rule, _evidence(one)) for one in kept], FILE) if kept else old
    diff = "".join(difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), FILE, FILE))
    if write and new != old:
        _write(path, old, new, parts.project.environment)
    return Suggestions(table, found.profile.rows, len(history), kept, notes, FILE, diff, written=write and new != old)


def _kept(parts: Parts, found: Profiled, proposed: Sequence[Suggestion]) -> tuple[Suggestion, ...]:
    """Judge the published version by what is proposed, as `check` would, and leave out what it does not keep."""
    if not proposed:
        return ()
    snapshot = found.profile.snapshot
    rules = [build(one.rule, found.contract) for one in proposed]
    with parts.engine.session() as session:
        relation = session.relation(parts.catalog.relation(snapshot), positions=True)
        pinned = parts.catalog.pin()
        named = {TableName.parse(str(one.rule.arguments["references"])) for one in proposed if "references" in one.rule.arguments}
        parents = {parent: current_rows(parts, session, parts.catalog.relation(pinned[parent])) for parent in named}
        verdicts = audit(session, rules, Subject(f"({relation})", snapshot.rows, datetime.now(UTC), parents), ()).verdicts
    return tuple(one for one, verdict in zip(proposed, verdicts, strict=True) if verdict.outcome is Outcome.PASS)


def _evidence(one: Suggestion) -> str:
    if one.rule.kind in ("row_count", "freshness"):
        return one.why
    return f"{one.numerator:,} of {one.denominator:,} rows, {_bound(one.lower)} or more to be expected; {one.why}"


def _bound(share: float) -> str:
    return f"{int(share * 10_000) / 10_000:.4f}"


def _write(path: Path, old: str, new: str, environment: str) -> None:
    """Put the new text in place of the old one in one step; it is taken back where the project is none with it."""
    try:
        _replace(path, new)
        try:
            load_project(path.parent, environment=environment)
        except LimnosError:
            _replace(path, old)
            raise
    except OSError as error:
        raise StorageFailed(
            "limnos.yml cannot be written",
            subject=str(path),
            seen=error.strerror or type(error).__name__,
            expected="a file that may be written",
            hint="add the rules by hand",
        ) from error


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.chmod(path.stat().st_mode & 0o777)
    os.replace(beside, path)  # noqa: PTH105 says that it replaces
