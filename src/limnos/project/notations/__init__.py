"""Rules in other tools' notations: DQDL, dbt, Soda, Great Expectations."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from limnos.project.notations.translation import Imported, Tables, TablesOf, distinct

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FORMATS", "NAMELESS", "Imported", "Tables", "TablesOf", "distinct", "read_notation"]

FORMATS = ("dbt", "dqdl", "gx", "soda")
NAMELESS = ("dqdl", "gx")
"""The formats whose files do not name their table."""


def read_notation(form: str, text: str, name: str, tables_of: TablesOf) -> tuple[Imported, ...]:
    """Translate a file of one of `FORMATS`; `name` is what errors call it.

    `tables_of` gives the lake as it is seen from a table, by its name in the file (empty where the format has none).

    Raises:
        ProjectInvalid: If the file is not of that format.
    """
    # One file a format, and only the one that is asked for is loaded.
    read: Callable[[str, str, TablesOf], tuple[Imported, ...]] = getattr(import_module(f"{__name__}.{form}"), f"read_{form}")
    return read(text, name, tables_of)
