"""Say in which form a table is: all that its rows depend on, as they are sent, beside their own versions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import psycopg

from limnos.sources.postgres import catalog
from limnos.sources.postgres.columns import Carrier
from limnos.sources.postgres.refusals import Address


def found(connection: psycopg.Connection[Any], table: catalog.Table, address: Address) -> dict[str, object]:
    """Tell the server, the table and its columns."""
    ((shape,),) = catalog.ask(connection, catalog.SHAPE, table.oid)
    ((allowed,),) = catalog.ask(connection, catalog.SERVER)
    server = list(catalog.ask(connection, catalog.IDENTITY)[0]) if allowed else [address.shown]
    return {"server": server, "oid": table.oid, "shape": shape}


@dataclass(frozen=True, slots=True)
class Sending:
    """Say how a table is sent; `relation` is its name in SQL."""

    table: catalog.Table
    relation: str
    carriers: tuple[Carrier, ...]

    def select(self, *more: Carrier) -> str:
        """Write the SELECT of all rows, with more behind their columns."""
        return f"SELECT {', '.join(carrier.sql for carrier in (*self.carriers, *more))} FROM {self.relation}"

    def basis(self, connection: psycopg.Connection[Any], address: Address) -> str:
        """Say on what chunks of the table can be compared."""
        ((files,),) = catalog.ask(connection, catalog.FILES, self.table.oid, self.table.oid)
        return json.dumps([found(connection, self.table, address), files, self.select()], sort_keys=True)
