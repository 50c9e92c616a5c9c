from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from limnos.errors import SchemaDrift
from limnos.flow.drift import meet_drift
from limnos.flow.resolve import Settled, again, references, settle
from limnos.model.bookkeeping import Bookkeeping
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
    told = {
        Drift.ACCEPT: "column id changes its type from long to string",
        Drift.QUARANTINE: "column id is string at the source now: a value that does not fit long goes to quarantine",
        Drift.BLOCK: "column id is string at the source now: a value that does not fit long holds the table back",
    }
    assert found.notes == (told[policy],)


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


def test_a_new_column_that_is_blocked_stops_the_table() -> None:
    more = replace(DESCRIBED, columns=(*DESCRIBED.columns, Column("extra", LONG)))
    with pytest.raises(SchemaDrift) as told:
        met(drift(add=Drift.BLOCK), more)
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


MORE = replace(DESCRIBED, columns=(*DESCRIBED.columns, Column("extra", LONG, required=True)))
TEXTUAL = replace(DESCRIBED, columns=(Column("id", TEXT), Column("name", TEXT)))
RENAMED = replace(DESCRIBED, columns=(Column("id", LONG), Column("title", TEXT)))


def test_a_new_column_that_goes_to_quarantine_is_no_column_and_has_no_rule() -> None:
    found = met(drift(add=Drift.QUARANTINE), MORE)
    assert list(kinds(found.contract)) == ["id", "name"]
    assert found.contract.drifted.refused == ("extra",)
    assert [rule.name for rule in found.contract.rules] == ["primary_key:id"]
    assert found.notes == ("column extra is new and not accepted: rows with a value in it go to quarantine",)
    assert found.contract.version != met(drift(), DESCRIBED).contract.version


def test_one_column_may_differ_from_the_policy_of_its_table() -> None:
    config = replace(CONFIG, drift=DriftPolicy(add=Drift.BLOCK, columns={"extra": DriftPolicy(add=Drift.ACCEPT)}))
    assert list(kinds(met(config, MORE).contract)) == ["id", "name", "extra"]
    with pytest.raises(SchemaDrift):
        met(config, replace(MORE, columns=(*MORE.columns, Column("other", LONG))))


def test_both_types_of_a_retyped_column_are_kept_under_a_name_that_is_told() -> None:
    found = met(drift(type=Drift.KEEP_BOTH), TEXTUAL)
    assert kinds(found.contract) == {"id": LONG, "name": TEXT, "id_as_string": TEXT}
    assert found.contract.drifted.beside == {"id_as_string": "id"}
    assert found.notes == ("column id is string at the source now: its values stand in id_as_string, and in id where they fit long",)
    assert meet_drift(found, ["id", "name"], {}, PUBLISHED, drift(type=Drift.KEEP_BOTH)).contract == found.contract


def test_the_column_beside_another_is_not_missed_when_the_source_goes_back_to_its_old_type() -> None:
    published = pa.schema([*PUBLISHED, ("id_as_string", TEXT)])
    for policy in (Drift.KEEP_BOTH, Drift.QUARANTINE):
        assert met(drift(type=policy), DESCRIBED, published).notes == ()


def test_a_source_that_has_a_column_of_that_name_already_is_told() -> None:
    clash = replace(TEXTUAL, columns=(*TEXTUAL.columns, Column("id_as_string", LONG)))
    with pytest.raises(SchemaDrift, match="no place of their own"):
        met(drift(type=Drift.KEEP_BOTH), clash)


@pytest.mark.parametrize("policy", [Drift.ACCEPT, Drift.KEEP_BOTH])
def test_a_wider_type_widens_the_column_where_retyping_is_accepted(policy: Drift) -> None:
    published = pa.schema([("id", pa.int32()), ("name", TEXT)])
    found = met(drift(type=policy), DESCRIBED, published)
    assert kinds(found.contract) == {"id": LONG, "name": TEXT}
    assert found.notes == ("column id changes its type from int to long",)


@pytest.mark.parametrize("policy", list(Drift))
def test_a_narrower_type_leaves_the_published_one(policy: Drift) -> None:
    narrow = replace(DESCRIBED, columns=(Column("id", pa.int32()), Column("name", TEXT)))
    found = met(drift(type=policy), narrow)
    assert kinds(found.contract) == {"id": LONG, "name": TEXT}
    assert found.notes == ("column id is int at the source now: narrower, so that every value fits long",)


def test_a_renamed_column_keeps_its_type_and_is_told() -> None:
    found = met(drift(rename=Drift.ACCEPT), RENAMED)
    assert kinds(found.contract) == {"id": LONG, "title": TEXT}
    assert found.contract.drifted.renamed == {"name": "title"}
    assert found.notes == ("column name is called title now: it has the same place and type",)


def test_a_renamed_column_that_blocks_says_how_to_accept_it() -> None:
    with pytest.raises(SchemaDrift, match="another name") as told:
        met(drift(rename=Drift.BLOCK, drop=Drift.ACCEPT), RENAMED)
    assert told.value.hint == "mend the source, or write tables: s.t: drift: {rename: accept}"


def test_a_declared_column_is_renamed_where_it_is_declared() -> None:
    with pytest.raises(SchemaDrift) as told:
        met(replace(drift(rename=Drift.ACCEPT), columns=(Column("name", TEXT),)), RENAMED)
    assert told.value.hint == "write title instead of name in its contract or under its columns"
    found = met(replace(drift(rename=Drift.ACCEPT), columns=(Column("title", TEXT),)), RENAMED)
    assert found.contract.drifted.renamed == {"name": "title"}


def test_a_column_that_is_gone_and_a_new_one_of_another_type_or_place_are_no_renaming() -> None:
    config = drift(rename=Drift.ACCEPT, drop=Drift.ACCEPT)
    for columns in ((Column("id", LONG), Column("title", LONG)), (Column("title", TEXT), Column("id", LONG))):
        found = met(config, replace(DESCRIBED, columns=columns))
        assert found.contract.drifted.renamed == {}
        assert "column name is gone from the source and stays empty" in found.notes


def test_a_column_that_seems_renamed_is_told_where_both_are_accepted() -> None:
    found = met(drift(drop=Drift.ACCEPT), RENAMED)
    assert found.notes == ("column name is gone from the source and stays empty (renamed to title?)", "column title is new: string")


def test_a_published_table_is_settled_again_without_its_source() -> None:
    promised = (RuleSpec("foreign_key", ("id",), {"references": "s.parent", "columns": ["id"]}),)
    contract = again(replace(CONFIG, rules=(RuleSpec("not_null", ("name",)),)), promised, PUBLISHED, Bookkeeping())
    assert kinds(contract) == {"id": LONG, "name": TEXT}
    assert [rule.kind for rule in contract.rules] == ["foreign_key", "not_null"]


def test_a_table_that_refers_to_itself_has_no_other_parent() -> None:
    own = RuleSpec("foreign_key", ("boss",), {"references": "s.t"})
    assert references(Contract(T, (), rules=(own,))) == frozenset()
