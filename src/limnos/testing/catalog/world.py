"""What the conformance suite of `Catalog` works with: two tables, and a catalog over an empty lake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog as IcebergCatalog

from limnos.ledger.events import FINISHED, Mark, StateLedger
from limnos.model.contract import Column, Contract
from limnos.model.data import Gone, Layout, Snapshot, Staged, WrittenFile
from limnos.model.names import TableName
from limnos.model.position import Position
from limnos.ports import Catalog, Engine

FISH = Contract(TableName("pond", "fish"), (Column("id", pa.int64()), Column("name", pa.string())))
WEED = Contract(TableName("pond", "weed"), (Column("id", pa.int64()), Column("name", pa.string())))
NAMES = ("plain", "a/b", "per%cent", "a=b", "naïve 😀", "sp ace", "q'uo\"te", "#hash?query&x", "..", "", None)
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class World:
    """Hold a catalog over an empty lake.

    `elsewhere` opens the same lake as another process would; `foreign` opens it as PyIceberg's own SQL catalog; `files` lists every
    file below the lake.
    """

    catalog: Catalog
    ledger: StateLedger
    engine: Engine
    elsewhere: Callable[[], tuple[Catalog, StateLedger]]
    foreign: Callable[[], IcebergCatalog]
    files: Callable[[], frozenset[str]]

    def write(self, layout: Layout, contract: Contract, rows: Sequence[Row]) -> tuple[WrittenFile, ...]:
        """Write rows where the catalog wants them."""
        with self.engine.session() as session:
            return session.write("SELECT * FROM rows", layout, rows=pa.Table.from_pylist(list(rows), schema=contract.schema))

    def stage(self, contract: Contract, rows: Sequence[Row], run_id: str, *, keep: bool = False) -> Staged:
        """Write and stage rows, instead of what is published or, with `keep`, added to it."""
        layout = self.catalog.layout(contract, run_id, replace=not keep)
        return self.catalog.stage(contract, self.write(layout, contract, rows), run_id, replace=not keep)

    def change(self, contract: Contract, rows: Sequence[Row], run_id: str, *, files: Iterable[str] = (), where: str = "FALSE") -> Staged:
        """Stage rows beside those that are there, less whole files and the rows of the others for which a condition holds."""
        gone = frozenset(files)
        with self.engine.session() as session:
            here = session.relation(self.catalog.relation(self.catalog.pin()[contract.table]), positions=True)
            found = session.run(f"SELECT _file AS file, _row AS row FROM ({here}) WHERE {where}")
        singles = found.filter(pc.invert(pc.is_in(found["file"], pa.array(gone, pa.string()))))
        layout = self.catalog.layout(contract, run_id, replace=False)
        return self.catalog.stage(contract, self.write(layout, contract, rows), run_id, replace=False, gone=Gone(gone, singles))

    def scanned(self, contract: Contract) -> list[dict[str, Any]]:
        """Read the published version as PyIceberg does."""
        return ordered(self.foreign().load_table(identifier(contract)).scan().to_arrow().to_pylist())

    def publish(self, *staged: Staged) -> tuple[Snapshot, ...]:
        """Publish as a run does: pointers, positions and event in one transaction."""
        with self.ledger.begin() as transaction:
            published = self.catalog.publish(staged, transaction)
            for one in staged:
                mark = Mark(Position("suite", {}), one.snapshot.run_id, basis="", read=one.snapshot.rows, quarantined=0)
                self.ledger.set_mark(one.table, mark, transaction)
            self.ledger.append(FINISHED, "pond", {}, run_id=staged[0].snapshot.run_id, transaction=transaction)
        return published

    def load(self, contract: Contract, rows: Sequence[Row], run_id: str, *, keep: bool = False) -> Snapshot:
        """Write, stage and publish."""
        return self.publish(self.stage(contract, rows, run_id, keep=keep))[0]

    def rows(self, snapshot: Snapshot, catalog: Catalog | None = None) -> list[dict[str, Any]]:
        """Read a published version."""
        relation = (catalog or self.catalog).relation(snapshot)
        with self.engine.session() as session:
            found = session.run(session.relation(relation)).to_pylist()
        assert len(found) == relation.rows == snapshot.rows
        return ordered(found)

    def seen(self) -> object:
        """Give all that anybody sees: pointers, history, positions and events, here and as another process finds them."""
        found = [_seen(self.catalog, self.ledger), _seen(*self.elsewhere())]
        assert found[0] == found[1]
        return found[0]


def _seen(catalog: Catalog, ledger: StateLedger) -> object:
    pinned = catalog.pin()
    return (
        pinned,
        {table: catalog.history(table) for table in (*pinned, FISH.table, WEED.table)},
        dict(ledger.marks()),
        tuple((event.seq, event.hash) for event in ledger.events()),
    )


def exists(foreign: IcebergCatalog, table: TableName) -> bool:
    """Whether another writer sees a table."""
    return foreign.table_exists((table.namespace, table.name))


def identifier(contract: Contract) -> tuple[str, str]:
    """Name a table as PyIceberg does."""
    return contract.table.namespace, contract.table.name


def ordered(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Put rows in an order of their own, for none is promised."""
    return sorted(map(dict, rows), key=lambda row: repr(row.get("id", row)))


def fish(*ids: int) -> list[dict[str, Any]]:
    """Make rows of `FISH`, their names by their numbers."""
    return ordered([{"id": at, "name": NAMES[at % 4]} for at in ids])
