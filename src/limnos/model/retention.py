"""How long published versions are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from limnos.model.data import Snapshot
from limnos.model.units import duration_s

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Retention:
    """Keep the last `versions` of a table, or where that is 0 those that were current within the last `age_s` seconds.

    What is younger than `grace_s` is kept in any case: a reader may still be at it, or a writer of another kind not be done with it.
    """

    versions: int = 0
    age_s: float = 30 * _DAY_S
    grace_s: float = _DAY_S

    def told(self, keep: str = "", grace: str = "") -> Retention:
        """Change what was said: `keep` is a number of versions or a duration, `grace` a duration.

        Raises:
            ValueError: If it is neither.

        Examples:
            >>> Retention().told("7d").age_s, Retention().told("5").versions
            (604800.0, 5)
        """
        counted = keep.strip().isdecimal() and keep.isascii()
        if counted and not int(keep):
            raise ValueError(keep)
        return Retention(
            int(keep) if counted else 0 if keep else self.versions,
            duration_s(keep) if keep and not counted else self.age_s,
            duration_s(grace) if grace else self.grace_s,
        )

    def outdated(self, versions: Sequence[Snapshot], now: datetime, needed: frozenset[str] = frozenset()) -> tuple[Snapshot, ...]:
        """Choose the versions that are kept no longer, of a table's versions, oldest first; the last one is current and always stays.

        A version counts until the next one was published, so a table can be asked as of any instant that is kept. `needed` names versions
        that stay by their metadata's location.
        """
        alive = [one for one in versions if not one.expired]
        safe = now - timedelta(seconds=self.grace_s)
        late = now - timedelta(seconds=self.age_s)
        counted = alive[: -self.versions] if self.versions else [one for one, after in pairwise(alive) if after.at <= late]
        old = {one.metadata_location for one, after in pairwise(alive) if after.at <= safe} - needed
        return tuple(one for one in counted if one.metadata_location in old)
