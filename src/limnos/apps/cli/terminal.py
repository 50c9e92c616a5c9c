"""What every verb shares: where it runs, and how it speaks."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any, TypeVar

import click

from limnos.errors import LimnosError

if TYPE_CHECKING:
    from limnos.lake import Lake
    from limnos.ports import Observer

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


@dataclass(slots=True)
class Terminal:
    """Hold the global flags, and write: data to standard output, everything else to standard error."""

    environment: str = ""
    json: bool = False
    quiet: bool = False
    debug: bool = False

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Terminal:
        """Read the flags off a command line before it is parsed, so that a wrong one is also answered in the form that was asked for.

        Examples:
            >>> Terminal.of(["rnu", "--json"]).json
            True
        """
        flags = set(takewhile(lambda argument: argument != "--", arguments))
        return cls(json="--json" in flags, quiet="--quiet" in flags, debug="--debug" in flags)

    def lake(self, observer: Observer | None = None) -> Lake:
        """Open the project of the working directory."""
        from limnos.lake import Lake  # noqa: PLC0415 drivers are loaded only by verbs that need them

        return Lake(".", environment=self.environment, observer=observer)

    def data(self, text: str) -> None:
        """Write what was asked for."""
        click.echo(text)

    def value(self, value: Mapping[str, object] | Sequence[Mapping[str, object]]) -> None:
        """Write one JSON value."""
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))

    def note(self, text: str) -> None:
        """Say something beside the data; `--quiet` silences it."""
        if not self.quiet:
            click.echo(text, err=True)

    def complain(self, error: LimnosError) -> None:
        """Write an error in its four parts, as one JSON object with `--json`; nothing silences it."""
        click.echo(json.dumps(error.as_json(), ensure_ascii=False) if self.json else error.render(), err=True)


_FLAGS = {
    "--debug": "Show tracebacks.",
    "--quiet": "Write no progress, notes or hints.",
    "--json": "Write JSON, errors included.",
}


def speaking(command: _Decorated) -> _Decorated:
    """Add `--json`, `--quiet` and `--debug`; `Terminal.of` reads them."""
    for flag, says in _FLAGS.items():
        command = click.option(flag, is_flag=True, expose_value=False, help=says)(command)
    return command


pass_terminal = click.make_pass_decorator(Terminal, ensure=True)


def shown(value: object) -> str:
    r"""Write a value for people: no control character of the data reaches the terminal.

    Examples:
        >>> shown(None), shown("a\x1b[2Jb"), shown(True)
        ('NULL', 'a\\x1b[2Jb', 'true')
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    return "".join(char if unicodedata.category(char)[0] != "C" else char.encode("unicode_escape").decode() for char in str(value))


def columns(rows: Sequence[Sequence[object]], heads: Sequence[str] = (), *, right: Collection[int] = ()) -> list[str]:
    r"""Lay rows out in aligned columns; `right` holds the positions of those that align to the right.

    Examples:
        >>> print("\n".join(columns([("a", "1"), ("bcd", "1,000")], ("name", "rows"), right={1})))
        name   rows
        a         1
        bcd   1,000
    """
    texts = [list(heads)] if heads else []
    texts += [[shown(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]

    def cell(at: int, text: str) -> str:
        return text.rjust(widths[at]) if at in right else text.ljust(widths[at])

    return ["  ".join(cell(at, text) for at, text in enumerate(line)).rstrip() for line in texts]


def count(number: int | None) -> str:
    """Write a count with separators, and nothing for none.

    Examples:
        >>> count(336776), count(None)
        ('336,776', '-')
    """
    return "-" if number is None else f"{number:,}"


def ratio(score: float | None) -> str:
    """Write a score, cut and not rounded, so that only a perfect one reads 1.000; `-` is unknown.

    Examples:
        >>> ratio(0.99996), ratio(1.0), ratio(None)
        ('0.999', '1.000', '-')
    """
    return "-" if score is None else f"{math.floor(score * 1000) / 1000:.3f}"


def moment(at: datetime | None) -> str:
    """Write a time in UTC, to the second.

    Examples:
        >>> moment(datetime(2026, 11, 22, 9, 15, tzinfo=UTC))
        '2026-11-22T09:15:00Z'
    """
    return "-" if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
