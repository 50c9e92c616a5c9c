"""How far two numbers may be apart and still count as equal."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from limnos.quality.rules.declaration import Declaration

_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Allow a difference: a number, or a share of the number that is compared with."""

    size: float = 0.0
    share: bool = False

    @classmethod
    def read(cls, declaration: Declaration) -> Tolerance:
        """Read the argument `tolerance`: a number from 0, or a percentage such as `1%`.

        Raises:
            RuleInvalid: If it is neither.
        """
        said = declaration.spec.arguments.get("tolerance", 0)
        if isinstance(said, str) and (match := _SHARE.fullmatch(said.strip())):
            return cls(float(match[1]) / 100, share=True)
        if isinstance(said, bool) or not isinstance(said, int | float) or not math.isfinite(said) or said < 0:
            raise declaration.invalid("tolerance is no difference", str(said), "a number from 0, or a share such as 1%")
        return cls(float(said))

    def words(self) -> str:
        """Say it in words, empty where there is none.

        Examples:
            >>> Tolerance(0.01, share=True).words(), Tolerance().words()
            (' within 1%', '')
        """
        said = f"{self.size * 100:g}%" if self.share else f"{self.size:g}"
        return f" within {said}" if self.size else ""

    def sql(self, one: str, other: str) -> str:
        """Write the condition that two SQL numbers are equal; false or null where one of them is null and the other is not."""
        same = f"{one} IS NOT DISTINCT FROM {other}"
        if not self.size:
            return same
        first, second = (f"CAST({side} AS DOUBLE)" for side in (one, other))
        allowed = f"{self.size!r} * abs({second})" if self.share else repr(self.size)
        return f"({same} OR (abs({first} - {second}) <= {allowed} AND isfinite({first}) AND isfinite({second})))"

    def equal(self, one: Any, other: Any) -> bool:  # noqa: ANN401 numbers of any type
        """Tell the same in Python of two numbers that are not null."""
        first, second = float(one), float(other)
        same = first == second if isinstance(one, float) or isinstance(other, float) else one == other
        if same or (math.isnan(first) and math.isnan(second)):
            return True
        if not self.size or not (math.isfinite(first) and math.isfinite(second)):
            return False
        return abs(first - second) <= (self.size * abs(second) if self.share else self.size)
