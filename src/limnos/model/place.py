"""Where something was declared: a file and a line, so that an error can point there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Point at a declaration; `line` counts from 1, 0 means the whole file.

    Examples:
        >>> str(Place("limnos.yml", 12)), str(Place("limnos.yml", 0))
        ('limnos.yml:12', 'limnos.yml')
    """

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


NOWHERE = Place("(not from a file)")
