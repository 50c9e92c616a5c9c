"""Engines that break one promise each; a suite that lets one of them pass is worth nothing."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from limnos.engines.duckdb import DuckEngine
from limnos.errors import QueryInvalid, Refused
from limnos.model.data import Layout, Relation, WrittenFile
from limnos.model.decision import Decision
from limnos.testing.engine import GOVERNED, RESULTS, EngineSuite, shop_in


class WrongEngine(DuckEngine):
    """Be right in all; each wrong one changes what it is given."""

    @contextmanager
    def query(
        self, sql: str, relations: Mapping[str, Relation | pa.Table], decisions: Mapping[str, Decision]
    ) -> Generator[pa.RecordBatchReader]:
        changed = {name: self.read(relation) for name, relation in relations.items()}
        with super().query(sql, changed, {name: self.decided(decision) for name, decision in decisions.items()}) as reader:
            yield reader

    def read(self, relation: Relation | pa.Table) -> Relation | pa.Table:
        return relation

    def decided(self, decision: Decision) -> Decision:
        return decision


class ForgetsMasks(WrongEngine):
    def decided(self, decision: Decision) -> Decision:
        return replace(decision, masks={})


class TakesMasksByExactCase(WrongEngine):
    def decided(self, decision: Decision) -> Decision:
        return replace(decision, masks={column: mask for column, mask in decision.masks.items() if column.islower()})


class ForgetsRowFilters(WrongEngine):
    def decided(self, decision: Decision) -> Decision:
        return replace(decision, row_filter="")


class AllowsEverything(WrongEngine):
    def decided(self, decision: Decision) -> Decision:
        return replace(decision, allowed=True)


class FindsColumnsByName(WrongEngine):
    def read(self, relation: Relation | pa.Table) -> Relation | pa.Table:
        bare = pa.schema([field.remove_metadata() for field in relation.schema])
        return replace(relation, schema=bare) if isinstance(relation, Relation) else relation


class ForgetsDeletes(WrongEngine):
    def read(self, relation: Relation | pa.Table) -> Relation | pa.Table:
        return replace(relation, deletes=()) if isinstance(relation, Relation) else relation


class ForgetsTypesOfEmptyTables(WrongEngine):
    def read(self, relation: Relation | pa.Table) -> Relation | pa.Table:
        if not isinstance(relation, Relation) or relation.files:
            return relation
        return replace(relation, schema=pa.schema([pa.field(field.name, pa.string()) for field in relation.schema]))


class RoundsSums(WrongEngine):
    @contextmanager
    def query(
        self, sql: str, relations: Mapping[str, Relation | pa.Table], decisions: Mapping[str, Decision]
    ) -> Generator[pa.RecordBatchReader]:
        with super().query(sql.replace("sum(x)", "sum(x::DOUBLE)"), relations, decisions) as reader:
            yield reader


class KnowsNoGate(DuckEngine):
    """Guard by settings alone: views over the files, external access off."""

    @contextmanager
    def query(
        self, sql: str, relations: Mapping[str, Relation | pa.Table], decisions: Mapping[str, Decision]
    ) -> Generator[pa.RecordBatchReader]:
        with duckdb.connect() as connection, self.session() as session:
            files: list[str] = []
            for name, relation in relations.items():
                assert isinstance(relation, Relation)
                files += relation.files
                decision = decisions[name]
                masked = ", ".join(f"{mask} AS {column}" for column, mask in decision.masks.items())
                chosen = f"* REPLACE ({masked})" if masked else "*"
                connection.execute("CREATE SCHEMA IF NOT EXISTS shop")
                rows = session.relation(relation)
                connection.execute(f"CREATE VIEW {name} AS SELECT {chosen} FROM ({rows}) WHERE {decision.row_filter or 'TRUE'}")
            connection.execute(f"SET allowed_paths = {files}; SET enable_external_access = false; SET lock_configuration = true")
            try:
                yield connection.execute(sql).to_arrow_reader()
            except duckdb.Error as error:
                raise QueryInvalid(
                    "no", subject="query", seen=re.sub(r"'[^']*'", "...", str(error)), expected="yes", hint="none"
                ) from error


class NamesCommonTables(DuckEngine):
    def tables_of(self, sql: str, known=()) -> frozenset[str]:
        return super().tables_of(sql, known) | {"a"}


class MiscountsWhatItWrites(DuckEngine):
    @contextmanager
    def session(self):
        with super().session() as session:
            yield Miscounting(session)


class Miscounting:
    def __init__(self, right) -> None:
        self.right = right

    def write(self, sql: str, layout: Layout, **inputs: pa.Table) -> tuple[WrittenFile, ...]:
        return tuple(replace(file, rows=file.rows + 1) for file in self.right.write(sql, layout, **inputs))


class LetsDriverErrorsOut(DuckEngine):
    @contextmanager
    def query(
        self, sql: str, relations: Mapping[str, Relation | pa.Table], decisions: Mapping[str, Decision]
    ) -> Generator[pa.RecordBatchReader]:
        try:
            with super().query(sql, relations, decisions) as reader:
                yield reader
        except QueryInvalid as error:
            raise ValueError(error.what) from error


class ShowsValuesInErrors(WrongEngine):
    def decided(self, decision: Decision) -> Decision:
        return replace(decision, masks={}, row_filter="CAST(email AS INTEGER) = 1") if decision.masks else decision

    @contextmanager
    def query(
        self, sql: str, relations: Mapping[str, Relation | pa.Table], decisions: Mapping[str, Decision]
    ) -> Generator[pa.RecordBatchReader]:
        try:
            with super().query(sql, relations, decisions) as reader:
                yield reader
        except QueryInvalid as error:
            error.seen = str(error.__cause__)
            raise


SUITE = EngineSuite()


def _results(engine: DuckEngine, directory: Path) -> None:
    for sql, expected in RESULTS:
        SUITE.test_a_result_is_what_a_person_computed(engine, shop_in(directory), sql, expected)


def _governed(engine: DuckEngine, directory: Path) -> None:
    for sql, expected in GOVERNED:
        SUITE.test_filters_and_masks_survive_every_shape_of_query(engine, shop_in(directory), sql, expected)


def _refusals(engine: DuckEngine, directory: Path) -> None:
    SUITE.test_what_no_decision_allows_is_refused(engine, shop_in(directory), "refusal")


def _attack(sql: str):
    def attack(engine: DuckEngine, directory: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            SUITE.test_an_attack_is_refused_or_shows_nothing(engine, shop_in(directory), sql, directory, patch)

    return attack


CASES = {
    "forgets masks": (ForgetsMasks, _governed),
    "takes masks by exact case": (
        TakesMasksByExactCase,
        lambda engine, directory: SUITE.test_a_mask_holds_whatever_the_case_of_its_column(engine, shop_in(directory)),
    ),
    "forgets row filters": (ForgetsRowFilters, _governed),
    "allows everything": (AllowsEverything, _refusals),
    "finds columns by name": (FindsColumnsByName, SUITE.test_columns_are_found_by_field_id),
    "forgets deletes": (ForgetsDeletes, SUITE.test_deleted_rows_are_not_read),
    "forgets the types of empty tables": (
        ForgetsTypesOfEmptyTables,
        lambda engine, _: SUITE.test_a_table_without_files_has_its_types(engine),
    ),
    "rounds sums": (RoundsSums, _results),
    "reads the file behind a view": (KnowsNoGate, _attack("SELECT * FROM read_parquet('{file}')")),
    "reads a file named as a table": (KnowsNoGate, _attack("SELECT * FROM '{file}'")),
    "runs text as a query": (KnowsNoGate, _attack("SELECT * FROM query('SELECT * FROM read_parquet(''{file}'')')")),
    "shows statistics below a mask": (KnowsNoGate, _attack("SELECT stats_min_value FROM parquet_metadata('{file}')")),
    "shows the views": (KnowsNoGate, _attack("SELECT sql FROM duckdb_views()")),
    "names common tables": (
        NamesCommonTables,
        lambda engine, _: SUITE.test_tables_are_named_as_written_without_common_table_expressions(engine),
    ),
    "miscounts what it writes": (MiscountsWhatItWrites, SUITE.test_a_session_writes_what_it_is_told_and_counts_it),
    "lets driver errors out": (
        LetsDriverErrorsOut,
        lambda engine, directory: SUITE.test_wrong_sql_is_told_in_four_parts(engine, shop_in(directory), "SELECT nothing FROM shop.orders"),
    ),
    "shows values in errors": (
        ShowsValuesInErrors,
        lambda engine, directory: SUITE.test_an_error_in_a_governed_query_shows_no_value(engine, shop_in(directory)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_suite_catches_an_engine_that(case: str, tmp_path: Path) -> None:
    wrong, test = CASES[case]
    with pytest.raises((AssertionError, pytest.fail.Exception, Refused, ValueError)):
        test(wrong(), tmp_path)


@pytest.mark.parametrize("case", CASES)
def test_the_suite_lets_the_right_engine_pass(case: str, tmp_path: Path) -> None:
    CASES[case][1](DuckEngine(), tmp_path)
