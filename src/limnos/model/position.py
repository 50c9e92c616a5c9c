"""How far a source was read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """Remember how far a source was read, or what it looked like; equal positions mean an unchanged source.

    `kind` names how to read `value`, which holds JSON values only.

    Examples:
        >>> Position.from_json(Position("files", {"a.csv": "9f86"}).as_json())
        Position(kind='files', value={'a.csv': '9f86'})
    """

    kind: str
    value: Mapping[str, object]

    @property
    def content(self) -> Position:
        """The same position without its volatile `stat` entries (sizes, times, inodes), which only spare a second hashing.

        Examples:
            >>> Position("files", {"a.csv": {"sha256": "9f86", "stat": [1, 2]}}).content
            Position(kind='files', value={'a.csv': {'sha256': '9f86'}})
        """
        return Position(self.kind, {key: _proof(value) for key, value in self.value.items() if key != "stat"})

    @property
    def place(self) -> str:
        """Say where in its source's log it is, for a person; empty where it is in none.

        Examples:
            >>> Position("postgres-log", {"lsn": "0/15D68C8", "slot": "limnos"}).place
            'LSN 0/15D68C8'
        """
        said = self.value
        if "lsn" in said:
            return f"LSN {said['lsn']}"
        return f"GTID {said['gtid']}" if said.get("gtid") else f"{said['file']}:{said['pos']}" if {"file", "pos"} <= said.keys() else ""

    def as_json(self) -> str:
        """Write it as canonical JSON: sorted keys, no spaces."""
        return json.dumps({"kind": self.kind, "value": self.value}, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Position:
        """Read what `as_json` wrote."""
        said = json.loads(text)
        return cls(said["kind"], said["value"])


def _proof(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _proof(inner) for key, inner in value.items() if key != "stat"}
    return value
