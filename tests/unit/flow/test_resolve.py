from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from limnos.errors import SchemaDrift
from limnos.flow.resolve import Settled, again, meet_drift, references, settle
from limnos.model.contract import Column, Contract, Drift, DriftPolicy, RuleSpec
from limnos.model.names import TableName
from limnos.model.project import SourceTable, TableConfig

T, PARENT = TableName("s", "t"), TableName("s", "parent")
TABLE = SourceTable("t", T)
LONG, TEXT = pa.int64(), pa.string()
DESCRIBED = Contract(T, (Column("id", LONG, required=True), Column("name", TEXT)), key=("id",))
PUBLISHED = pa.schema([("id", LONG), ("name", TEXT)])
CONFIG = TableConfig(T)


def drift(**policy: Drift) -> TableConfig:
    return replace(CONFIG, drift=DriftPolicy(**policy))


def settled(config: TableConfig = CONFIG, described: Contract | None = DESCRIBED, published: pa.Schema | None = None) -> Settled:
    return settle(TABLE, config, described, published, {T: T})


def met(config: TableConfig, described: Contract, published: pa.Schema | None = PUBLISHED) -> Settled:
    types = {column.name: column.type for column in described.columns}
    return meet_drift(settled(config, described, published), list(types), types, published, config)


def kinds(contract: Contract) -> dict[str, pa.DataType]:
    return {column.name: column.type for column in contract.columns}


def test_what_nobody_declared_is_what_the_source_says() -> None:
    contract = settled().contract
    assert kinds(contract) == {"id": LONG, "name": TEXT}
    assert [rule.name for rule in contract.rules] == ["primary_key:id"]


def test_a_declared_column_replaces_the_source_s_and_keeps_its_place() -> None:
    config = replace(CONFIG, columns=(Column("id", pa.int32()),))
    assert kinds(settled(config).contract) == {"id": pa.int32(), "name": TEXT}


def test_a_whole_contract_leaves_nothing_to_the_source_but_what_was_accepted_before() -> None:
    config = replace(CONFIG, columns=(Column("id", LONG),), declared=True)
    assert list(kinds(settled(config).contract)) == ["id"]
    assert list(kinds(settled(config, published=PUBLISHED).contract)) == ["id", "name"]


@pytest.mark.parametrize(("policy", "kind"), [(Drift.QUARANTINE, LONG), (Drift.BLOCK, LONG), (Drift.ACCEPT, TEXT)])
def test_a_published_type_stays_unless_retyping_is_accepted(policy: Drift, kind: pa.DataType) -> None:
    described = Contract(T, (Column("id", TEXT), Column("name", TEXT)))
    found = met(drift(type=policy), described)
    assert found.contract.column("id").type == kind
    assert found.notes == (("column id changes its type from long to string",) if policy is Drift.ACCEPT else ())


def test_a_declared_key_comes_before_that_of_the_source() -> None:
    assert settled(replace(CONFIG, key=("name",))).contract.key == ("name",)
    assert settled().contract.key == ("id",)


def test_a_declared_rule_replaces_the_promised_one_of_its_name() -> None:
    promised = replace(DESCRIBED, key=(), rules=(RuleSpec("range", ("id",), {"min": 0}),))
    found = settled(replace(CONFIG, rules=(RuleSpec("range", ("id",), {"min": 5}),)), promised)
    assert [rule.arguments for rule in found.contract.rules if rule.kind == "range"] == [{"min": 5}]
    assert [rule.arguments for rule in found.source_rules] == [{"min": 0}]


def test_a_foreign_key_of_the_source_points_at_the_lake_table_and_one_that_cannot_is_told() -> None:
    rules = tuple(RuleSpec("foreign_key", (name,), {"references": f"s.{name}"}) for name in ("parent", "far"))
    lake_parent = TableName("other", "parents")
    found = settle(TABLE, CONFIG, replace(DESCRIBED, rules=rules), None, {PARENT: lake_parent})
    assert references(found.contract) == {lake_parent}
    assert found.notes == ("foreign_key:far is not checked: s.far is not in the lake",)


def test_a_required_column_is_not_null_once() -> None:
    described = Contract(T, (Column("a", LONG, required=True), Column("b", LONG, required=True)), rules=(RuleSpec("not_null", ("a",)),))
    assert [rule.name for rule in settled(described=described).contract.rules] == ["not_null:a", "not_null:b"]


def test_the_first_load_takes_every_column_without_a_note() -> None:
    assert met(CONFIG, DESCRIBED, None).notes == ()


def test_a_new_column_is_accepted_and_told_once() -> None:
    more = replace(DESCRIBED, columns=(*DESCRIBED.columns, Column("extra", LONG)))
    found = met(CONFIG, more)
    assert list(kinds(found.contract)) == ["id", "name", "extra"]
    assert found.notes == ("column extra is new: long",)
    again_met = meet_drift(found, list(kinds(more)), kinds(more), PUBLISHED, CONFIG)
    assert again_met == found


def test_a_column_that_a_whole_contract_does_not_know_is_told_at_the_first_load() -> None:
    config = replace(CONFIG, columns=(Column("id", LONG),), declared=True)
    assert met(config, DESCRIBED, None).notes == ("column name is new: string",)


@pytest.mark.parametrize("policy", [Drift.BLOCK, Drift.QUARANTINE])
def test_a_new_column_that_is_not_accepted_stops_the_table(policy: Drift) -> None:
    more = replace(DESCRIBED, columns=(*DESCRIBED.columns, Column("extra", LONG)))
    with pytest.raises(SchemaDrift) as told:
        met(drift(add=policy), more)
    assert (told.value.seen, told.value.expected) == ("a column extra", "the columns id, name")


def test_a_column_that_is_gone_stops_the_table_and_the_renamed_one_is_named() -> None:
    renamed = replace(DESCRIBED, columns=(Column("id", LONG), Column("names", TEXT)))
    with pytest.raises(SchemaDrift) as told:
        met(CONFIG, renamed)
    assert told.value.seen == "no column name (renamed to names?)"


def test_a_column_that_is_gone_and_accepted_is_told() -> None:
    less = replace(DESCRIBED, columns=(Column("id", LONG),))
    assert met(drift(drop=Drift.ACCEPT), less).notes == ("column name is gone from the source and stays empty",)


def test_a_declared_column_that_is_not_there_is_missing_from_the_first_load_on() -> None:
    config = replace(CONFIG, columns=(Column("nmae", TEXT),))
    with pytest.raises(SchemaDrift) as told:
        met(config, DESCRIBED, None)
    assert told.value.seen == "no column nmae (renamed to name?)"


def test_a_published_table_is_settled_again_without_its_source() -> None:
    promised = (RuleSpec("foreign_key", ("id",), {"references": "s.parent", "columns": ["id"]}),)
    contract = again(T, replace(CONFIG, rules=(RuleSpec("not_null", ("name",)),)), promised, PUBLISHED)
    assert kinds(contract) == {"id": LONG, "name": TEXT}
    assert [rule.kind for rule in contract.rules] == ["foreign_key", "not_null"]


def test_a_table_that_refers_to_itself_has_no_other_parent() -> None:
    own = RuleSpec("foreign_key", ("boss",), {"references": "s.t"})
    assert references(Contract(T, (), rules=(own,))) == frozenset()
