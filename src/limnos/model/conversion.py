"""Exact conversion of raw values to a contract's types, as SQL of the embedded engine.

A value either has an exact value of the target type, or the conversion fails and the row waits in quarantine with its original text:
nothing is rounded, cut, wrapped or guessed.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from limnos.model.types import canonical, sql_type


@dataclass(frozen=True, slots=True)
class Conversion:
    """Convert one column: `value` is the SQL of the target type (null where it fails), `fails` is true, never null, where a
    non-null raw value has no exact value; it is `FALSE` where nothing can fail."""

    value: str
    fails: str

    @property
    def certain(self) -> bool:
        """Whether no value can fail."""
        return self.fails == "FALSE"


def convert(expression: str, raw: pa.DataType, target: pa.DataType) -> Conversion:
    """Write the exact conversion of the SQL `expression` from the raw type to the target type.

    Examples:
        >>> convert('"n"', pa.int32(), pa.int64()).fails
        'FALSE'
    """
    if canonical(raw) == canonical(target):
        return Conversion(expression, "FALSE")
    cast = f"TRY_CAST({expression} AS {sql_type(target)})"
    return Conversion(cast, f"({expression} IS NOT NULL AND {cast} IS NULL)")
