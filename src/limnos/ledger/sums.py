"""The sums of data files, kept in the state database: a file never changes, so neither do they."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pyarrow as pa
import sqlalchemy as sa

from limnos.ledger.state import State, file_sums
from limnos.model.digest import FileSums
from limnos.model.names import TableName


@dataclass(frozen=True, slots=True)
class KeptSums:
    """Keep the sums of one table's files, of one form at a time."""

    state: State
    table: TableName

    def recall(self, form: str) -> Mapping[str, FileSums]:
        """Give what is kept in a form, by file."""
        query = sa.select(file_sums).where(file_sums.c.table_name == str(self.table), file_sums.c.form == form)
        with self.state.reading() as connection:
            return {row.file: FileSums(row.content, _read(row.sums)) for row in connection.execute(query)}

    def keep(self, form: str, found: Mapping[str, FileSums], live: Collection[str]) -> None:
        """Keep the sums of more files, and forget those of files that are not `live` or of another form."""
        mine = file_sums.c.table_name == str(self.table)
        rows = [
            {"table_name": str(self.table), "file": file, "form": form, "content": one.content, "sums": _written(one.sums)}
            for file, one in found.items()
        ]
        with self.state.begin() as transaction:
            connection = transaction.connection
            kept = connection.execute(sa.select(file_sums.c.file, file_sums.c.form).where(mine)).all()
            gone = [row.file for row in kept if row.form != form or row.file not in live or row.file in found]
            if gone:
                connection.execute(
                    file_sums.delete().where(mine, file_sums.c.file == sa.bindparam("gone")), [{"gone": one} for one in gone]
                )
            if rows:
                connection.execute(file_sums.insert(), rows)


def _written(sums: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, sums.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(sums)
    return sink.getvalue().to_pybytes()


def _read(written: bytes) -> pa.Table:
    with pa.ipc.open_stream(written) as reader:
        return reader.read_all()
