"""The quarantine's own table: `system.quarantine`, append-only, Iceberg like every other."""

from __future__ import annotations

from limnos.model.contract import Column, Contract
from limnos.model.names import TableName
from limnos.model.types import parse_type

QUARANTINE = Contract(
    TableName("system", "quarantine"),
    tuple(
        Column(name, parse_type(kind))
        for name, kind in (
            ("id", "string"),
            ("table_name", "string"),
            ("run_id", "string"),
            ("at", "timestamptz"),
            ("origin", "string"),
            ("fingerprint", "string"),
            ("row", "string"),
            ("raw", "binary"),
            ("reasons", "list<struct<rule:string,version:string,severity:string,columns:list<string>,detail:string>>"),
        )
    ),
)
