"""Write values that no type of the lake holds as PostgreSQL prints them, with `DateStyle` ISO and `TimeZone` UTC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from limnos.sources.postgres.cells import Array

_DAY_US = 86_400_000_000
_SECOND_US = 1_000_000
# Days from 0000-03-01, where the leap day ends the year, to 2000-01-01.
_MARCH_DAYS = 730_425
_ERA_DAYS, _ERA_YEARS = 146_097, 400


def texts(known: Array, raw: NDArray[Any], odd: NDArray[np.bool_], write: Callable[[int], str]) -> Array:
    """Give a column as text: what its type holds as Arrow writes it, the odd values as PostgreSQL does."""
    found: list[str | None] = known.cast(pa.string()).to_pylist()
    for at in np.flatnonzero(odd).tolist():
        found[at] = write(int(raw[at]))
    return pa.array(found, pa.string())


def date(days: int) -> str:
    """Write days since 2000-01-01.

    Examples:
        >>> date(2**31 - 1), date(-(2**31)), date(0), date(-730_120), date(2_921_940)
        ('infinity', '-infinity', '2000-01-01', '0001-12-31 BC', '10000-01-01')
    """
    if days in {2**31 - 1, -(2**31)}:
        return "infinity" if days > 0 else "-infinity"
    day, era = _day(days)
    return day + era


def time(clock_us: int) -> str:
    """Write microseconds since midnight.

    Examples:
        >>> time(86_400_000_000), time(3_600_500_000)
        ('24:00:00', '01:00:00.5')
    """
    seconds, micros = divmod(clock_us, _SECOND_US)
    written = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{written}.{micros:06}".rstrip("0") if micros else written


def timestamp(instant_us: int, zone: str = "") -> str:
    """Write microseconds since 2000-01-01.

    Examples:
        >>> timestamp(2**63 - 1), timestamp(-(2**63)), timestamp(-63_082_281_600_000_001)
        ('infinity', '-infinity', '0001-12-31 23:59:59.999999 BC')
    """
    if instant_us in {2**63 - 1, -(2**63)}:
        return "infinity" if instant_us > 0 else "-infinity"
    days, clock_us = divmod(instant_us, _DAY_US)
    day, era = _day(days)
    return f"{day} {time(clock_us)}{zone}{era}"


def timestamptz(instant_us: int) -> str:
    """Write microseconds since 2000-01-01 00:00 UTC.

    Examples:
        >>> timestamptz(-63_082_281_600_000_001)
        '0001-12-31 23:59:59.999999+00 BC'
    """
    return timestamp(instant_us, "+00")


def _day(days: int) -> tuple[str, str]:
    """Write a day of the proleptic Gregorian calendar, and its era behind it.

    Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
    """
    era, day = divmod(days + _MARCH_DAYS, _ERA_DAYS)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    year += era * _ERA_YEARS + (month >= 10)
    month = month + 3 if month < 10 else month - 9
    written = f"{year if year > 0 else 1 - year:04}-{month:02}-{day + 1:02}"
    return written, "" if year > 0 else " BC"
