"""The conformance suite of `Catalog`; it needs pytest, which the tests of an adapter bring along."""

from __future__ import annotations

from limnos.testing.catalog.changes import RowChanges
from limnos.testing.catalog.columns import Columns
from limnos.testing.catalog.files import Files
from limnos.testing.catalog.publishing import Publishing
from limnos.testing.catalog.strangers import Strangers
from limnos.testing.catalog.upkeep import Upkeep
from limnos.testing.catalog.world import World

__all__ = ["CatalogSuite", "World"]


class CatalogSuite(Publishing, RowChanges, Files, Columns, Strangers, Upkeep):
    """Assert what every catalog promises; a test class inherits it and gives the fixture `world`."""
