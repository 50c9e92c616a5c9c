"""Doctor: examine storage, state, ledger and sources, and say what to type where one is not well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from limnos.errors import LimnosError, UnknownName
from limnos.flow.parts import Parts
from limnos.model.run import Finding


def doctor(parts: Parts, source: str = "") -> tuple[Finding, ...]:
    """Examine the whole lake, or one source by its name; never raises for what it finds.

    Raises:
        UnknownName: If there is no such source.
    """
    names = [one.name for one in parts.project.sources]
    if source and source not in names:
        raise UnknownName.among("source", source, names, hint="limnos doctor")
    if source:
        return tuple(_source(parts, source))
    found = [
        _tried("state", lambda: _writable(parts)),
        _tried("ledger", lambda: f"{parts.ledger.verify():,} events, chain verified"),
        _tried("lake", parts.catalog.probe),
    ]
    open_runs = parts.ledger.open_runs()
    found.append(
        Finding(
            "runs",
            ok=not open_runs,
            detail=f"{len(open_runs)} runs started and never ended" if open_runs else "every run that started ended",
            hint="limnos run clears them away" if open_runs else "",
        )
    )
    for name in names:
        found.extend(_source(parts, name))
    return tuple(found)


def _tried(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, ok=True, detail=look())
    except LimnosError as error:
        return Finding(subject, ok=False, detail=f"{error.what}: {error.seen}", hint=error.hint)


def _writable(parts: Parts) -> str:
    with parts.ledger.begin():
        return f"{parts.state.shown} can be written"


def _source(parts: Parts, name: str) -> Iterator[Finding]:
    try:
        for finding in parts.source(name).findings():
            yield replace(finding, subject=f"{name}: {finding.subject}")
    except LimnosError as error:
        yield Finding(name, ok=False, detail=error.what, hint=error.hint)
