from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limnos.errors import UnknownName
from limnos.flow.select import matching, parents_first
from limnos.model.names import TableName

A, B, C = TableName("s", "a"), TableName("s", "b"), TableName("t", "c")


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [([], [A, B, C]), (["s.*"], [A, B]), (["*"], [A, B, C]), (["s.a", "t.*"], [A, C]), (["s.a", "s.*"], [A, B]), (["?.c"], [C])],
)
def test_patterns_choose_tables_in_their_order_each_once(patterns: list[str], chosen: list[TableName]) -> None:
    assert list(matching([C, B, A], patterns)) == chosen


@pytest.mark.parametrize("pattern", ["s.x", "S.A", "u.*", ""])
def test_a_pattern_that_chooses_nothing_is_an_error_even_beside_one_that_does(pattern: str) -> None:
    with pytest.raises(UnknownName) as told:
        matching([A, B, C], ["s.a", pattern])
    assert told.value.seen == pattern


def test_the_nearest_table_is_named() -> None:
    with pytest.raises(UnknownName, match="did you mean") as told:
        matching([TableName("shop", "orders")], ["shop.ordres"])
    assert told.value.expected == "shop.orders (did you mean this?)"


def test_a_table_outside_the_choice_is_not_added_as_a_parent() -> None:
    assert parents_first({B: frozenset({A})}) == (B,)


tables = st.sampled_from([TableName("s", name) for name in "abcdef"])


@given(st.dictionaries(tables, st.frozensets(tables)))
def test_every_table_comes_once_whatever_refers_to_what(parents: dict[TableName, frozenset[TableName]]) -> None:
    assert sorted(parents_first(parents)) == sorted(parents)


@given(st.lists(tables, unique=True), st.data())
def test_without_a_cycle_every_parent_comes_first(order: list[TableName], data: st.DataObject) -> None:
    parents = {table: data.draw(st.frozensets(st.sampled_from(order[:at]))) if at else frozenset() for at, table in enumerate(order)}
    found = parents_first(parents)
    assert all(found.index(parent) < found.index(table) for table, some in parents.items() for parent in some)
