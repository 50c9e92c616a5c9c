"""Make rows of a binary COPY out of a number, some of them broken, and decode them; run as a script, it does so with no byte to spare.

python tests/e2e/fuzz_rows.py rows.c 2000          the first 2,000 cases with what was compiled beside rows.c
python tests/e2e/fuzz_rows.py rows.c 1 beyond      a buffer that is said to be longer than it is, which a sanitizer has to notice
"""

from __future__ import annotations

import ctypes
import random
import struct
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa

from limnos.sources.postgres import native
from limnos.sources.postgres.cells import Rows
from limnos.sources.postgres.columns import Carrier, SourceColumn
from limnos.sources.postgres.decode import decode
from limnos.sources.postgres.wire import PADDING_BYTES

DECIMALS = [(1, 0), (4, 4), (12, 2), (15, 3), (16, 0), (19, 5), (38, 0), (38, 10), (38, 38)]
KINDS = "bool int2 int4 int8 oid float4 float8 date time timestamp timestamptz uuid text varchar bpchar bytea".split()
# Bounds of the types, and of what the lake holds of them.
DAY_US = 86_400_000_000
DAYS = [-730_119, -730_120, 2_921_939, 2_921_940, 0, 2**31 - 1, -(2**31)]
INSTANTS = [-730_119 * DAY_US, -730_119 * DAY_US - 1, 2_921_940 * DAY_US - 1, 2_921_940 * DAY_US, 0, 2**63 - 1, -(2**63)]


def carrier(kind: str, precision: int = 0, scale: int = 0) -> Carrier:
    typmod = (precision << 16 | scale) + 4 if kind == "numeric" else 9 if kind == "bpchar" else -1
    return SourceColumn("c", kind, typmod, required=False, description="", labels=()).carrier(None)


def rows(sent: Sequence[bytes], lengths: Sequence[int], padding: int = PADDING_BYTES) -> Rows:
    ends = np.cumsum(np.array([len(row) for row in sent], np.int64)) if sent else np.array([], np.int64)
    starts = ends - np.array(lengths, np.int64) + 2
    return Rows(np.frombuffer(b"".join(sent) + bytes(padding), np.uint8), starts, ends)


def case(seed: int, padding: int = PADDING_BYTES) -> tuple[Rows, list[Carrier]]:
    """Give the rows of a number; in every second case some bytes of them are others, or a row ends elsewhere."""
    chance = random.Random(seed)
    names = chance.choices([*KINDS, "numeric", "numeric", "numeric"], k=chance.randint(1, 9))
    carriers = [carrier(name, *chance.choice(DECIMALS)) for name in names]
    odd = chance.random() < 0.4
    nulls = chance.choice((0.0, 0.0, 0.3, 1.0))
    count = chance.choice((1, 2, 63, 64, 65, 130))
    sent = [_row(chance, carriers, nulls, odd=odd) for _ in range(count)]
    if seed % 2:
        for _ in range(chance.randint(0, 2)):
            _break(chance, sent)
    return rows(sent, [len(row) for row in sent], padding), carriers


def _row(chance: random.Random, carriers: list[Carrier], nulls: float, *, odd: bool) -> bytes:
    cells = (None if chance.random() < nulls else _cell(chance, each, odd=odd and chance.random() < 0.05) for each in carriers)
    return struct.pack(">h", len(carriers)) + b"".join(
        struct.pack(">i", -1) if cell is None else struct.pack(">i", len(cell)) + cell for cell in cells
    )


def _break(chance: random.Random, sent: list[bytes]) -> None:
    place = chance.randrange(len(sent))
    row = bytearray(sent[place])
    at = chance.randrange(len(row) or 1)
    if chance.random() < 0.3:
        del row[at:]
    elif chance.random() < 0.3:
        row[at:at] = chance.randbytes(chance.randint(1, 5))
    elif chance.random() < 0.5 and len(row) > 8:
        struct.pack_into(">i", row, chance.randrange(len(row) - 4), chance.choice([-2, -1, 0, 2**31 - 1, -(2**31), len(row)]))
    elif row:
        row[at] = chance.randrange(256)
    sent[place] = bytes(row)


def _cell(chance: random.Random, to: Carrier, *, odd: bool) -> bytes:
    bits = {"bool": 8, "int2": 16, "int4": 32, "int8": 64, "oid": 32, "float4": 32, "float8": 64, "uuid": 128}
    if to.wire == "numeric":
        return _numeric(chance, to, odd=odd)
    if to.wire in bits:
        size = bits[to.wire] // 8
        return chance.choice([chance.randbytes(size), bytes(size), b"\xff" * size, b"\x7f\xf0".ljust(size, b"\0")[:size]])
    if to.wire in {"text", "varchar", "bpchar"} and to.characters and chance.random() < 0.9:
        return b"abcde"
    if to.wire in {"text", "varchar", "bpchar"}:
        return ("é" * chance.choice((0, 1, 3, 16, 17, 40))).encode()
    if to.wire == "bytea":
        return chance.randbytes(chance.choice((0, 1, 15, 16, 31, 32, 33, 64, 70, 300)))
    if to.wire == "date":
        return struct.pack(">i", chance.choice(DAYS) if odd else chance.randint(DAYS[0], DAYS[2]))
    if to.wire == "time":
        return struct.pack(">q", DAY_US if odd else chance.randrange(DAY_US))
    return struct.pack(">q", chance.choice(INSTANTS) if odd else chance.randint(INSTANTS[0], INSTANTS[2]))


def _numeric(chance: random.Random, to: Carrier, *, odd: bool) -> bytes:
    if odd and chance.random() < 0.3:
        return struct.pack(">hhHH", 0, 0, chance.choice((0xC000, 0xD000, 0xF000)), 0)
    kind = to.type
    digits = chance.randint(1, kind.precision + (3 if odd else 0))
    number = chance.choice([0, 10**digits - 1, 10 ** (digits - 1), chance.randrange(10**digits)])
    return written(Decimal((chance.randrange(2), tuple(map(int, str(number))), -kind.scale - (odd and chance.randint(0, 2)))))


def written(value: Decimal) -> bytes:
    """Write a finite decimal as the server does: without groups of zeros at either end."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    scale = max(-exponent, 0)
    number = int("".join(map(str, digits))) * 10 ** max(exponent, 0) * 10 ** (-scale % 4)
    weight = -(-scale // 4) * -1 - 1
    groups: list[int] = []
    while number:
        number, group = divmod(number, 10_000)
        groups.insert(0, group)
        weight += 1
    while groups and not groups[-1]:
        groups.pop()
    head = struct.pack(">hhHH", len(groups), weight if groups else 0, 0x4000 if sign and groups else 0, scale)
    return head + struct.pack(f">{len(groups)}h", *groups)


def attempt(work: Callable[[], object]) -> object:
    """Give what comes of it, or its error as text."""
    try:
        return work()
    except (psycopg.Error, pa.ArrowException, ValueError, OverflowError) as error:
        return f"{type(error).__name__}: {error}"


def outcome(sent: Rows, carriers: list[Carrier], library: ctypes.CDLL | None) -> object:
    return attempt(lambda: [(str(column.type), _comparable(column)) for column in decode(sent, carriers, library).columns])


def _comparable(column: pa.Array) -> list[object]:
    """Give values that are equal if their bits are."""
    column.validate()
    storage = column.storage if isinstance(column, pa.ExtensionArray) else column
    if pa.types.is_floating(storage.type):
        storage = storage.view(pa.int32() if storage.type == pa.float32() else pa.int64())
    elif pa.types.is_temporal(storage.type):
        storage = storage.view(pa.int32() if storage.type.bit_width == 32 else pa.int64())
    elif pa.types.is_string(storage.type):
        storage = storage.view(pa.binary())
    return storage.to_pylist()


def messages(library: ctypes.CDLL, received: bytearray, filled: int) -> object:
    def found() -> list[object]:
        places, at = native.messages(library, received, filled)
        return [*places.tolist(), at]

    return attempt(found)


def main(source: Path, cases: int, *, beyond: bool) -> None:
    library = native.compiled(source).library
    assert library is not None
    for seed in range(cases):
        sent, carriers = case(seed, padding=0)
        whole = np.lib.stride_tricks.as_strided(sent.buffer[:-9].copy(), sent.buffer.shape) if beyond else sent.buffer.copy()
        attempt(partial(native.arrays, library, Rows(whole, sent.starts, sent.ends), carriers, lambda *_: None))
        received = bytearray(sent.buffer)
        messages(library, received, len(received))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), beyond="beyond" in sys.argv)
