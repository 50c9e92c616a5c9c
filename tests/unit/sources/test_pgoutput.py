from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limnos.errors import SourceRefused
from limnos.model.changes import Changes
from limnos.sources.postgres.stream.follow import Followed, Follower
from limnos.sources.postgres.stream.pgoutput import Messages, Relation
from limnos.sources.postgres.stream.snapshot import Snapshot
from limnos.sources.postgres.stream.tables import Streamed

OID, OTHER = 16384, 70000
COLUMNS = (("id", 25), ("a", 25), ("b", 25))
NOTHING_SEEN, NOW = Snapshot(0, ()), Snapshot(1000, ())
KEPT = "\0kept"
Values = tuple[str | None, ...]


def _table(identities: str = "d", primary: tuple[str, ...] = ("id",)) -> Streamed:
    return Streamed(OID, "t", True, False, identities, primary, (), COLUMNS, frozenset(), False, "", "", 1, False)


def _begin(xid: int, lsn: int, at_us: int) -> bytes:
    return struct.pack(">cqqI", b"B", lsn, at_us - 946_684_800_000_000, xid & 0xFFFFFFFF)


def _commit(lsn: int) -> bytes:
    return struct.pack(">cBqqq", b"C", 0, lsn, lsn + 8, 0)


def _relation(oid: int = OID, columns: Sequence[tuple[str, int]] = COLUMNS, flags: int = 1) -> bytes:
    said = b"".join(struct.pack(">B", flags) + name.encode() + b"\0" + struct.pack(">Ii", kind, -1) for name, kind in columns)
    return struct.pack(">cI", b"R", oid) + b"public\0t\0d" + struct.pack(">h", len(columns)) + said


def _row(values: Values) -> bytes:
    cells = [
        b"n" if value is None else b"u" if value == KEPT else struct.pack(">cI", b"t", len(value.encode())) + value.encode()
        for value in values
    ]
    return struct.pack(">h", len(values)) + b"".join(cells)


def _insert(values: Values, oid: int = OID) -> bytes:
    return struct.pack(">cI", b"I", oid) + b"N" + _row(values)


def _update(new: Values, old: Values | None = None, form: bytes = b"K") -> bytes:
    return struct.pack(">cI", b"U", OID) + (form + _row(old) if old else b"") + b"N" + _row(new)


def _delete(old: Values, form: bytes = b"K") -> bytes:
    return struct.pack(">cI", b"D", OID) + form + _row(old)


def _truncate(*oids: int) -> bytes:
    return struct.pack(">cIB", b"T", len(oids), 0) + b"".join(struct.pack(">I", oid) for oid in oids)


def _messages(messages: Sequence[bytes]) -> Messages:
    """Lay messages down as a COPY does: the number of values, the length of the one, the value; and something behind the last."""
    rows = [struct.pack(">hi", 1, len(message)) + message for message in messages]
    starts = list(itertools.accumulate((len(row) for row in rows), initial=2))[:-1]
    return Messages.of(np.frombuffer(b"".join(rows) + b"padding", np.uint8), np.array(starts, np.int64))


def _follow(
    messages: Sequence[bytes],
    table: Streamed | None = None,
    cuts: Sequence[int] = (),
    snapshot: Snapshot = NOW,
    seen: Snapshot = NOTHING_SEEN,
) -> tuple[list[Changes], Follower]:
    table = table or _table()
    follower = Follower(snapshot, {OID: Followed(table, seen, tuple((name, "text") for name, _ in COLUMNS))})
    bounds = sorted({0, len(messages), *(cut % (len(messages) + 1) for cut in cuts)})
    batches = [_messages(messages[start:end]) for start, end in itertools.pairwise(bounds)]
    return list(follower.over(batches)), follower


def _rows(changes: Sequence[Changes]) -> list[tuple[Any, ...]]:
    found = [row for one in changes if one.rows is not None for row in one.rows.to_pylist()]
    assert [row["_seq"] for row in found] == sorted({row["_seq"] for row in found})
    return [(row["_op"], tuple(row["_kept"] or ()), row["id"], row["a"], row["b"]) for row in found]


def _one(*messages: bytes) -> list[bytes]:
    return [_begin(1, 100, 0), _relation(), *messages, _commit(100)]


TEXTS = st.one_of(st.none(), st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8))
KEYS = st.text("abc\u00e9", max_size=3)
CHANGE = st.one_of(
    st.tuples(st.just("insert"), KEYS, TEXTS, TEXTS),
    st.tuples(st.just("update"), KEYS, st.one_of(TEXTS, st.just(KEPT)), TEXTS),
    st.tuples(st.just("full"), KEYS, KEYS, TEXTS, st.one_of(TEXTS, st.just(KEPT))),
    st.tuples(st.just("move"), KEYS, KEYS, TEXTS),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("truncate")),
    st.tuples(st.just("elsewhere")),
    st.tuples(st.just("relation")),
)


def _naive(change: Sequence[Any]) -> tuple[list[bytes], list[tuple[Any, ...]]]:
    """Write one change as messages, and say what must come of it."""
    match change:
        case ["insert", key, a, b]:
            return [_insert((key, a, b))], [("insert", (), key, a, b)]
        case ["update", key, a, b]:
            kept = a == KEPT
            return [_update((key, a, b))], [("update", ("a",) if kept else (), key, None if kept else a, b)]
        case ["full", before, key, a, b]:
            now = "was" if b == KEPT else b
            pair = [("update", (), key, a, now)] if before == key else [("delete", (), before, "old", "was"), ("insert", (), key, a, now)]
            return [_update((key, a, b), (before, "old", "was"), b"O")], pair
        case ["move", before, key, a]:
            pair = [("update", (), key, a, None)] if before == key else [("delete", (), before, None, None), ("insert", (), key, a, None)]
            return [_update((key, a, None), (before, None, None))], pair
        case ["delete", key]:
            return [_delete((key, None, None))], [("delete", (), key, None, None)]
        case ["truncate"]:
            return [_truncate(OTHER, OID)], [("truncate", (), None, None, None)]
        case ["elsewhere"]:
            return [_relation(OTHER, (("x", 25),)), _insert(("1",), OTHER), _truncate(OTHER)], []
        case _:
            return [_relation()], []


@given(
    transactions=st.lists(st.tuples(st.integers(1, 60), st.lists(CHANGE, max_size=8)), max_size=8),
    cuts=st.lists(st.integers(0, 100), max_size=6),
)
def test_every_message_becomes_its_change_wherever_batches_end(transactions: list[tuple[int, list[Any]]], cuts: list[int]) -> None:
    snapshot, seen = Snapshot(40, (7, 11)), Snapshot(20, (11, 13))
    messages, expected, left_out = [_relation()], list[tuple[Any, ...]](), list[int]()
    for number, (xid, changes) in enumerate(transactions):
        lsn = 100 * (number + 1)
        messages.append(_begin(xid, lsn, number))
        now = xid < 40 and xid not in {7, 11}
        before = xid < 20 and xid not in {11, 13}
        if not now:
            left_out.append(lsn)
        for change in changes:
            written, said = _naive(change)
            messages += written
            expected += said if now and not before else []
        messages.append(_commit(lsn))
    given_, follower = _follow(messages, cuts=cuts, snapshot=snapshot, seen=seen)
    assert _rows(given_) == expected
    assert follower.left_out == (left_out[0] if left_out else None)


def test_without_a_key_each_update_is_a_delete_and_an_insert() -> None:
    whole = _table("f", ())
    same = _update(("1", "x", None), ("1", "x", None), b"O")
    changes, _ = _follow(_one(same), whole)
    assert _rows(changes) == [("delete", (), "1", "x", None), ("insert", (), "1", "x", None)]
    assert changes[0].identity == ("id", "a", "b")


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (_relation(columns=(*COLUMNS, ("c", 25))), "columns"),
        (_relation(columns=(("id", 23), *COLUMNS[1:])), "columns"),
        (_relation(flags=0), "identity"),
    ],
)
def test_a_table_that_looks_otherwise_in_mid_stream_is_to_be_read_anew(message: bytes, why: str) -> None:
    changes, _ = _follow(_one(_insert(("1", "x", "y")), message, _insert(("2", "x", "y")), _relation(), _insert(("3", "x", "y"))))
    assert [bool(one.reload) for one in changes] == [False, True]
    assert why in changes[1].reload


def test_a_shape_that_only_passed_over_changes_had_is_of_no_account() -> None:
    old = [_begin(1, 100, 0), _relation(columns=COLUMNS[:1]), _insert(("1",)), _commit(100)]
    new = [_begin(5, 200, 0), _relation(), _insert(("2", None, None)), _commit(200)]
    changes, _ = _follow([*old, *new], seen=Snapshot(3, ()))
    assert _rows(changes) == [("insert", (), "2", None, None)]


def test_a_moved_row_with_an_unsent_value_is_to_be_read_anew() -> None:
    (change,), _ = _follow(_one(_update(("2", KEPT, "y"), ("1", None, None))))
    assert "REPLICA IDENTITY FULL" in change.reload


@pytest.mark.parametrize("broken", [_insert(("1",)), _insert(("1", "x", "y")).replace(b"t", b"b"), _insert(("1", "x", "yyyy"))[:-8]])
def test_a_message_that_is_not_the_protocols_is_refused(broken: bytes) -> None:
    with pytest.raises(SourceRefused):
        _follow(_one(broken))


def test_transaction_ids_are_told_apart_across_their_wraparound() -> None:
    top = 3 << 32
    snapshot, seen = Snapshot(top + 10, (top + 5,)), Snapshot(top - 10, (top - 20,))
    ids = [top - 20, top - 15, top - 5, top + 3, top + 5, top + 12]
    messages = [_relation()]
    for number, xid in enumerate(ids):
        messages += [_begin(xid, number, 0), _insert((str(xid - top), None, None)), _commit(number)]
    changes, follower = _follow(messages, snapshot=snapshot, seen=seen)
    assert [row[2] for row in _rows(changes)] == ["-20", "-5", "3"]
    assert follower.left_out == 4
    assert snapshot.whole(np.array([xid % (1 << 32) for xid in ids])).tolist() == ids


def test_a_relation_message_names_columns_of_any_spelling() -> None:
    columns = (('b\u00e9 "t', 16), ("t", 25))
    assert Relation.parse(_relation(7, columns, 0)) == Relation(7, columns, frozenset())


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("bool", "t", "true"),
        ("bool", "f", "false"),
        ("inet", "::1", "::1/128"),
        ("inet", "10.0.0.0/8", "10.0.0.0/8"),
        ("inet", "1.2.3.4", "1.2.3.4/32"),
        ("text", "t", "t"),
    ],
)
def test_values_are_spelled_as_a_cast_to_text_spells_them(kind: str, value: str, text: str) -> None:
    followed = Followed(_table(), NOTHING_SEEN, (("id", "text"), ("a", kind), ("b", kind)))
    (change,) = Follower(NOW, {OID: followed}).over([_messages(_one(_insert(("1", value, None))))])
    assert change.rows is not None
    assert change.rows.to_pylist()[0]["a"] == text
    assert change.rows.to_pylist()[0]["b"] is None
