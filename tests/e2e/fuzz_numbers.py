"""Make rows of all the kinds that a comparison writes as text out of a number; run as a script, compiled code hashes them.

python tests/e2e/fuzz_numbers.py numbers.c 500     the first 500 cases with what was compiled beside numbers.c
"""

from __future__ import annotations

import random
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from limnos.quality.comparison_compiled import Kind, Sums, compiled

BUCKETS = 7
TYPES = [
    pa.int32(),
    pa.int64(),
    pa.string(),
    pa.string(),
    pa.string(),
    pa.date32(),
    pa.decimal128(1, 0),
    pa.decimal128(12, 2),
    pa.decimal128(38, 10),
    pa.decimal128(38, 38),
    pa.timestamp("us", "UTC"),
    pa.float64(),
    pa.bool_(),
    pa.binary(),
]


def case(seed: int) -> pa.Table:
    """Make rows with a whole number `id` before columns of chance."""
    chance = random.Random(seed)
    kinds = [chance.choice(TYPES) for _ in range(chance.choice([1, 2, 3, 5, 60]))]
    nulls = chance.choice([0.0, 0.0, 0.1])
    count = chance.choice([1, 3, 40])
    columns: list[list[object]] = [[None if chance.random() < nulls else value(chance, kind) for _ in range(count)] for kind in kinds]
    schema = pa.schema([pa.field("id", pa.int64()), *(pa.field(f"c{at}", kind) for at, kind in enumerate(kinds))])
    ids = [chance.randrange(-(2**40), 2**40) for _ in range(count)]
    return pa.table([pa.array(column, field.type) for column, field in zip([ids, *columns], schema, strict=True)], schema=schema)


def value(chance: random.Random, kind: pa.DataType) -> object:
    """Make one value, often one at a bound."""
    if pa.types.is_integer(kind):
        most = 2 ** (kind.bit_width - 1)
        return chance.choice([0, -1, 9, 10, 99, 100, most - 1, -most, chance.randrange(-most, most)])
    if pa.types.is_decimal(kind):
        digits = chance.randint(1, kind.precision)
        number = chance.choice([0, 10**digits - 1, 10 ** (digits - 1), chance.randrange(10**digits)])
        return Decimal((chance.randrange(2), tuple(map(int, str(number))), -kind.scale))
    if pa.types.is_date(kind):
        return chance.choice([date.min, date.max, date(1970, 1, 1), date(2000, 2, 29), date.fromordinal(chance.randint(1, 3_652_059))])
    if pa.types.is_timestamp(kind):
        return datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=chance.randrange(-(10**15), 10**15))
    if pa.types.is_floating(kind):
        return chance.choice([0.0, -0.0, float("nan"), chance.gauss(0, 1e9)])
    if pa.types.is_boolean(kind):
        return chance.random() < 0.5
    text = chance.choice(["", "|", "1|", "é", "x" * chance.randint(1, 30), "ü|" * 300])
    return text.encode() if pa.types.is_binary(kind) else text


def main(source: str, count: int) -> None:
    """Hash the rows of many cases, those of texts and of numbers."""
    library = compiled(Path(source)).library
    assert library is not None
    kinds = {"string": Kind.FREE, "int64": Kind.INTEGER, "date32[day]": Kind.DAY}
    for seed in range(count):
        rows = case(seed)
        buckets = pa.array([number % BUCKETS for number in rows["id"].to_pylist()], pa.int64())
        cells = [column.combine_chunks() for column in rows.columns if str(column.type) in kinds or pa.types.is_decimal(column.type)]
        batch = pa.record_batch([buckets, *cells], names=[str(at) for at in range(len(cells) + 1)])
        sums = Sums(library, [kinds.get(str(cell.type), Kind.DECIMAL) for cell in cells], BUCKETS)
        assert sums.add([batch, batch.slice(1)])
        assert sum(sums.table()["n"].to_pylist()) == 2 * rows.num_rows - 1


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
