"""Rules in other tools' notations: DQDL, dbt, Soda, Great Expectations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from limnos.project.notations.dbt import read_dbt
from limnos.project.notations.dqdl import read_dqdl, read_dqdl_rule
from limnos.project.notations.gx import read_gx
from limnos.project.notations.soda import read_soda
from limnos.project.notations.translation import Imported, Tables, distinct

__all__ = ["FORMATS", "NAMELESS", "Imported", "Tables", "distinct", "read_dqdl_rule", "read_notation"]

_Reader = Callable[[str, str, Callable[[str], Tables]], tuple[Imported, ...]]
NAMELESS = ("dqdl", "gx")
"""The formats whose files do not name their table."""
FORMATS: Mapping[str, _Reader] = {
    "dbt": read_dbt,
    "dqdl": lambda text, name, tables_of: read_dqdl(text, name, tables_of("")),
    "gx": lambda text, name, tables_of: read_gx(text, name, tables_of("")),
    "soda": read_soda,
}


def read_notation(form: str, text: str, name: str, tables_of: Callable[[str], Tables]) -> tuple[Imported, ...]:
    """Translate a file of one of `FORMATS`; `name` is what errors call it.

    `tables_of` gives the lake as it is seen from a table, by its name in the file (empty where the format has none).

    Raises:
        ProjectInvalid: If the file is not of that format.
    """
    return FORMATS[form](text, name, tables_of)
