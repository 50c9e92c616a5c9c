"""Tell which transactions an MVCC snapshot of PostgreSQL sees, and read places in its log."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limnos.sources.postgres.stream.pgoutput import Flags, Numbers

_CYCLE = 1 << 32


@dataclass(frozen=True, slots=True)
class Snapshot:
    """See transactions below `xmax` that were not `running`; ids have 64 bits, subtransactions count as their top one.

    Source: PostgreSQL documentation, "Transaction ID and Snapshot Information Functions".

    Examples:
        >>> Snapshot.parse("10:13:10,12").sees(np.array([9, 10, 11, 12, 13])).tolist()
        [True, False, True, False, False]
    """

    xmax: int
    running: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Read what the server prints: `xmin:xmax:xip,...`."""
        _, xmax, running = text.split(":")
        return cls(int(xmax), tuple(int(xid) for xid in running.split(",") if xid))

    def sees(self, xids: Numbers) -> Flags:
        """Tell which of these transactions, all of which committed, had done so before the snapshot."""
        seen: Flags = xids < self.xmax
        return seen & ~np.isin(xids, np.array(self.running, np.int64)) if self.running else seen

    def whole(self, xids: Numbers) -> Numbers:
        """Give ids of 32 bits their upper half; they are less than half a cycle away from this snapshot.

        Examples:
            >>> Snapshot(2**32 + 5, ()).whole(np.array([4, 2**32 - 1])).tolist()
            [4294967300, 4294967295]
        """
        away = (xids - self.xmax + _CYCLE // 2) % _CYCLE - _CYCLE // 2
        found: Numbers = away + self.xmax
        return found


def place(text: str) -> int:
    """Read a place in the log.

    Examples:
        >>> place("1/A0")
        4294967456
    """
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) | int(low, 16)


def spelled(lsn: int) -> str:
    """Write a place in the log as the server does.

    Examples:
        >>> spelled(4294967456)
        '1/A0'
    """
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
