from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from limnos.errors import RuleInvalid
from limnos.model.contract import Column, Contract, RuleSpec, Severity
from limnos.model.names import TableName
from limnos.model.place import Place
from limnos.project import load_project
from limnos.quality.rules import KINDS, build, build_all
from limnos.quality.rules.expression import fault

CONTRACT = Contract(TableName("shop", "orders"), (Column("id", pa.int64()), Column("day", pa.date32())))
PAGES = Path(__file__).parents[3] / "src/limnos/pages/rules"

PROJECT = """version: 1
project: pages
lake: lake
state: state.db
sources:
  shop:
    type: files
    path: "*.csv"
    format: csv
    tables: {SHOP}
  registry: {type: files, path: "*.csv", format: csv, tables: {products: {}, rates: {}}}
  archive: {type: files, path: "*.csv", format: csv, tables: {orders: {}}}
"""
SHOP = "customers deliveries invoices order_lines orders payments products rates readings shipments"
TYPES = {
    **dict.fromkeys(("amount", "balance"), pa.decimal128(12, 2)),
    **dict.fromkeys(("discount", "rate", "delay", "temperature", "meter", "distance", "air_time"), pa.float64()),
    **dict.fromkeys(("order_id", "number", "minute", "stock", "year", "hour"), pa.int64()),
    **dict.fromkeys(("day", "born"), pa.date32()),
    **dict.fromkeys(("created_at", "shipped_at", "read_at"), pa.timestamp("us")),
}


def test_a_misspelled_kind_is_answered_with_the_nearest() -> None:
    with pytest.raises(RuleInvalid, match="No rule is called uniqe") as caught:
        build(RuleSpec("uniqe", ("id",), place=Place("limnos.yml", 9)), CONTRACT)
    assert caught.value.expected == "unique (did you mean this?)"
    assert caught.value.subject == "limnos.yml:9: shop.orders uniqe:id"


@pytest.mark.parametrize(
    ("spec", "seen", "expected"),
    [
        (RuleSpec("range", ("idd",), {"min": 0}), "idd", "id (did you mean this?)"),
        (RuleSpec("range", ("id",), {"mni": 0}), "mni", "min (did you mean this?)"),
        (RuleSpec("unique", ("id",), {"min": 0}), "min", "no argument at all"),
        (RuleSpec("not_null", ("id",), {"mising": [""]}), "mising", "missing (did you mean this?)"),
        (RuleSpec("range", ("id",), {"min": "0.5"}), "0.5", "a value of type long"),
        (RuleSpec("freshness", ("id",), {"max": "6h"}), "long", "date, timestamp or timestamptz"),
    ],
)
def test_what_does_not_fit_is_shown_beside_what_would(spec: RuleSpec, seen: str, expected: str) -> None:
    with pytest.raises(RuleInvalid) as caught:
        build(spec, CONTRACT)
    assert (caught.value.seen, caught.value.expected) == (seen, expected)


def test_two_rules_of_one_name_are_refused() -> None:
    twice = CONTRACT.with_rules((RuleSpec("unique", ("id",)), RuleSpec("unique", ("id",), severity=Severity.WARN)))
    with pytest.raises(RuleInvalid, match="Two rules are called unique:id"):
        build_all(twice)


def test_a_table_rule_never_quarantines_and_freshness_warns_by_itself() -> None:
    specs = (RuleSpec("row_count", (), {"min": 1}), RuleSpec("freshness", ("day",), {"max": "1d"}))
    assert [rule.spec.severity for rule in build_all(CONTRACT.with_rules(specs))] == [Severity.BLOCK, Severity.WARN]


@pytest.mark.parametrize("text", ["a <= b", "name = 'it''s; -- (odd'", '"a;b" IS NULL', "x IN (1, 2)", "f([1, {'a': 2}])", "a - -1 = 2"])
def test_one_expression_is_let_through(text: str) -> None:
    assert fault(text) == ""


@pytest.mark.parametrize(
    "text", ["", " ", "a)", "(a", "a) OR (b", "[a)", "a;", "'a", '"a', "a -- b", "a /* b", "$$a$$", "$x$ ; $x$", "a\x00"]
)
def test_what_could_leave_its_parentheses_is_not(text: str) -> None:
    assert fault(text)


@pytest.mark.parametrize("kind", [*KINDS, "type"])
def test_the_example_of_a_page_is_a_project_whose_rules_build(kind: str, tmp_path: Path) -> None:
    example = (PAGES / f"{kind}.md").read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    tables = "{" + ", ".join(f"{name}: {{}}" for name in SHOP.split()) + "}"
    (tmp_path / "limnos.yml").write_text(PROJECT.replace("{SHOP}", tables) + example, encoding="utf-8")
    built = []
    for table, config in load_project(tmp_path).tables.items():
        said = {column.name for column in config.columns}
        named = {name for rule in config.rules for name in (*rule.columns, *_inside(rule.arguments))} - said
        guessed = tuple(Column(name, TYPES.get(name, pa.string())) for name in sorted(named))
        built += build_all(Contract(table, (*config.columns, *guessed), rules=config.rules))
    assert {rule.kind for rule in built} == ({kind} - {"type"})


def _inside(arguments: Mapping[str, object]) -> Iterator[str]:
    """Name the columns of this table that stand in the arguments of a rule."""
    for word in ("order_by", "per", "compare"):
        value = arguments.get(word, ())
        yield from [value] if isinstance(value, str) else map(str, value)
    for rule in arguments.get("rules", ()):
        yield from rule["columns"]
