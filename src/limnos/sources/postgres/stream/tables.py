"""Ask what the change stream must know of each table: what tells its rows apart, and what changes its rows without a word in the log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg

from limnos.sources.postgres import catalog

# The transactions that last touched the columns' entries show even an ALTER that leaves every type as it was. What happens to single
# partitions is not in the log of the whole table: rows come and go with them.
_FACTS = """
SELECT c.oid::int8, c.relname, c.relkind IN ('r', 'p') AND c.relpersistence = 'p', c.relkind = 'p',
       (SELECT string_agg(DISTINCT l.relreplident::text, '') FROM pg_class l
        WHERE l.oid = c.oid AND c.relkind <> 'p' OR l.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf AND relid <> c.oid)),
       ARRAY(SELECT a.attname::text FROM pg_index i CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
             WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate AND k.place <= i.indnkeyatts ORDER BY k.place),
       ARRAY(SELECT a.attname::text FROM pg_index i CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
             WHERE i.indrelid = c.oid AND i.indisreplident AND k.place <= i.indnkeyatts ORDER BY k.place),
       ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum),
       ARRAY(SELECT a.atttypid::int8 FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum),
       ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> ''),
       EXISTS (SELECT FROM pg_partition_tree(c.oid) l JOIN pg_attribute a ON a.attrelid = l.relid AND a.attgenerated <> ''
               JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
               GROUP BY a.attname HAVING count(DISTINCT pg_get_expr(d.adbin, d.adrelid)) > 1),
       (SELECT md5(string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attisdropped, a.xmin,
                (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
                 WHERE a.attgenerated <> '' AND d.adrelid = a.attrelid AND d.adnum = a.attnum),
                (SELECT string_agg(e.oid || ' ' || e.enumlabel, ',' ORDER BY e.oid) FROM pg_enum e WHERE e.enumtypid = a.atttypid)),
                ';' ORDER BY a.attnum)) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0),
       (SELECT md5(string_agg(concat_ws(' ', p.oid, p.relfilenode), ';' ORDER BY p.oid)) FROM pg_class p
        WHERE c.relkind = 'p' AND p.oid IN (SELECT relid FROM pg_partition_tree(c.oid))),
       (SELECT coalesce(r.oid, p.oid)::int8 FROM pg_publication p
        LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = c.oid
        WHERE p.pubname = %s AND EXISTS (
            SELECT FROM pg_publication_tables t WHERE t.pubname = p.pubname AND t.schemaname = n.nspname AND t.tablename = c.relname)),
       (SELECT to_jsonb(r) ->> 'prqual' IS NOT NULL OR to_jsonb(r) ->> 'prattrs' IS NOT NULL FROM pg_publication p
        JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = c.oid WHERE p.pubname = %s)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class Streamed:
    """Describe a table as the change stream needs it.

    `logged` tells whether its changes are in the log at all, `identities` how its partitions (or itself) identify old rows: letters of
    `pg_class.relreplident`. `columns` are those that the log holds, with their types' ids; the `generated` ones it does not, and `uneven`
    says that partitions generate one differently. `membership` is the number of its entry in the publication, None if it has none;
    `partial` says that the publication leaves rows or columns out.
    """

    oid: int
    name: str
    logged: bool
    partitioned: bool
    identities: str
    primary: tuple[str, ...]
    index: tuple[str, ...]
    columns: tuple[tuple[str, int], ...]
    generated: frozenset[str]
    uneven: bool
    columns_digest: str
    partitions_digest: str
    membership: int | None
    partial: bool

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns that tell rows apart in the stream; none if an update or a delete would not say which row it is about."""
        every = tuple(name for name, _ in self.columns)
        if self.partitioned:
            return self.primary if self.primary and set(self.identities) <= set("df") else every if self.identities == "f" else ()
        return {"d": self.primary, "f": self.primary or every, "i": self.index}.get(self.identities, ())

    @property
    def keyless(self) -> bool:
        """Whether only the whole row tells it apart."""
        return "f" in self.identities and not self.primary

    @property
    def trace(self) -> dict[str, object]:
        """What must be the same at both ends of the stream, in a position's words."""
        return {"oid": self.oid, "columns": self.columns_digest, "partitions": self.partitions_digest, "published": self.membership}


def streamed(connection: psycopg.Connection[Any], schema: str, publication: str, names: Iterable[str]) -> dict[str, Streamed]:
    """Describe these tables, those that there are, by name."""
    found: dict[str, Streamed] = {}
    for oid, name, logged, partitioned, identities, primary, index, columns, types, generated, uneven, *rest in catalog.ask(
        connection, _FACTS, publication, publication, schema, list(names)
    ):
        columns_digest, partitions_digest, membership, partial = rest
        found[name] = Streamed(
            oid,
            name,
            logged,
            partitioned,
            identities or "",
            tuple(primary),
            tuple(index),
            tuple(zip(columns, types, strict=True)),
            frozenset(generated),
            uneven,
            columns_digest or "",
            partitions_digest or "",
            membership,
            bool(partial),
        )
    return found
