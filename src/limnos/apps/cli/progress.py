"""Progress of a run: a moving line on a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

import click

from limnos.model.run import Step
from limnos.ports import Observer

# Only the steps that a person waits for have words; the others exist for the crash tests.
WORDS = {
    "table.ahead": "reading ahead",
    "table.open": "reading",
    "table.write": "writing",
    "table.chunk": "writing",
    "table.audit": "judging",
    "table.quarantine": "setting bad rows aside",
    "run.publish": "publishing",
}


@contextmanager
def watching(*, quiet: bool) -> Generator[Observer]:
    """Give an observer that shows what is being done while the block runs."""
    if quiet:
        yield _ignore
    elif sys.stderr.isatty():
        with _moving() as show:
            yield lambda step: _tell(step, show)
    else:
        yield lambda step: _tell(step, lambda text: click.echo(text, err=True))


def _ignore(step: Step) -> None:
    """Keep silent."""


def _tell(step: Step, show: Callable[[str], None]) -> None:
    if words := WORDS.get(step.name):
        share = f" {step.done:,} of {step.total:,}" if step.total else ""
        show(f"{step.table}: {words}{share}" if step.table else words)


@contextmanager
def _moving() -> Generator[Callable[[str], None]]:
    from rich.console import Console  # noqa: PLC0415 only drawn on a terminal
    from rich.status import Status  # noqa: PLC0415 only drawn on a terminal

    with Status("starting", console=Console(stderr=True)) as status:
        yield status.update
