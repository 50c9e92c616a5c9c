"""Durations and sizes as people write them: `5m`, `2d`, `10GB`."""

from __future__ import annotations

import re

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_BYTES = {"B": 1} | {
    f"{prefix}{suffix}": base**power
    for power, prefix in enumerate("KMGT", start=1)
    for suffix, base in (("B", 1000), ("iB", 1024))
}  # fmt: skip
_COUNT = r"[0-9]{1,9}"
DURATION = rf"{_COUNT}\s*({'|'.join(_SECONDS)})"
"""The pattern of a duration."""
SIZE = rf"{_COUNT}\s*({'|'.join(_BYTES)})"
"""The pattern of a size."""


def duration_s(text: str) -> float:
    """Read a duration as seconds; a bare 0 is one.

    Raises:
        ValueError: If it is no duration.

    Examples:
        >>> duration_s("5m"), duration_s("250ms"), duration_s("0")
        (300.0, 0.25, 0.0)
    """
    return _measured(text, _SECONDS)


def size_bytes(text: str) -> int:
    """Read a size as bytes; KB, MB, GB and TB are powers of 1000, KiB, MiB, GiB and TiB of 1024; a bare 0 is one.

    Raises:
        ValueError: If it is no size.

    Examples:
        >>> size_bytes("10GB"), size_bytes("4 KiB")
        (10000000000, 4096)
    """
    return int(_measured(text, _BYTES))


def _measured(text: str, units: dict[str, float] | dict[str, int]) -> float:
    match = re.fullmatch(rf"(?P<count>{_COUNT})\s*(?P<unit>{'|'.join(units)})|(?P<none>0+)", text.strip(), re.ASCII)
    if match is None:
        raise ValueError(text)
    return 0.0 if match["none"] else int(match["count"]) * units[match["unit"]]


def spoken(seconds: float) -> str:
    """Write seconds as whole minutes, hours or days where there are several.

    Examples:
        >>> spoken(45), spoken(5400), spoken(200_000), spoken(0.2)
        ('45 s', '90 min', '55 h', '0 s')
    """
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 3 * length_s:
            return f"{int(seconds // length_s)} {unit}"
    return f"{int(seconds)} s"
