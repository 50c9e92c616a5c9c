"""The list of functions knows each function of the engine: allowed, or left out on purpose."""

from __future__ import annotations

import duckdb
import pytest

from limnos.access.functions import SCALAR_FUNCTIONS, TABLE_FUNCTIONS

LEFT_OUT = """
can_cast_implicitly cast_to_type col_description combine create_sort_key current_connection_id current_query current_query_id
current_schemas current_setting current_transaction_id currval finalize format_pg_type format_type get_block_size get_type
getvariable icu_sort_key in_search_path inet_client_addr inet_client_port inet_server_addr inet_server_port is_histogram_other_bin
json_deserialize_sql json_serialize_plan json_serialize_sql make_type map_to_pg_oid nextval obj_description
parse_duckdb_log_message remap_struct replace_type setseed shobj_description sleep_ms st_crs st_setcrs stats sum_no_overflow
switch timetz_byte_comparable txid_current unpivot_list variant_bytes_to_variant variant_normalize variant_to_parquet_variant
vector_type version write_log
""".split()
FAMILIES = ("__internal_", "icu_collate_", "pg_", "has_")
EXTRA = {"unnest"}


def test_every_function_of_the_engine_is_allowed_or_left_out() -> None:
    sql = "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE function_type IN ('scalar', 'aggregate', 'macro')"
    functions = {name for (name,) in duckdb.sql(sql).fetchall()}
    unknown = {name for name in functions - SCALAR_FUNCTIONS - set(LEFT_OUT) if not name.startswith(FAMILIES)}
    assert unknown == set()
    assert functions >= SCALAR_FUNCTIONS - EXTRA


def test_what_is_left_out_is_not_allowed() -> None:
    assert SCALAR_FUNCTIONS.isdisjoint(LEFT_OUT)


def test_no_table_function_that_reads_is_allowed() -> None:
    assert {"generate_series", "json_each", "json_tree", "range", "unnest"} == TABLE_FUNCTIONS


@pytest.mark.parametrize("name", ["getenv", "query", "query_table", "read_parquet", "glob", "json_execute_serialized_sql"])
def test_what_reads_outside_the_query_is_not_a_scalar_function_either(name: str) -> None:
    assert name not in SCALAR_FUNCTIONS
