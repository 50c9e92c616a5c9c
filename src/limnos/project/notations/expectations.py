"""Expectations by their names in Great Expectations, which dbt_expectations took over.

A value that is null is passed over; `mostly` is the least share of the others; a pattern is searched for.

Source: Great Expectations, "Expectations Gallery"; dbt_expectations, README.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from limnos.model.contract import RuleSpec
from limnos.model.names import quoted
from limnos.project.notations.translation import Arguments, Bounds, Tables, like, malformed, refused, searching, spelled, sql_rule
from limnos.project.shape import nearest

Expectation = Callable[[Arguments, Tables], RuleSpec]


def expectation(name: str, arguments: Arguments, tables: Tables) -> RuleSpec:
    """Translate one expectation, without `mostly` and conditions on rows.

    Raises:
        ProjectInvalid: If there is no such expectation, or an argument does not fit it.
        Unsupported: If it has no equal here.
    """
    if name in REFUSED:
        raise refused(name, arguments.place, REFUSED[name])
    if name not in EXPECTATIONS:
        raise malformed(f"No expectation is called {name}", arguments.place, seen=name, expected=nearest(name, (*EXPECTATIONS, *REFUSED)))
    return replace(EXPECTATIONS[name](arguments, tables), place=arguments.place)


def _bounds(arguments: Arguments) -> Bounds:
    strict = arguments.flag("strictly")
    low_strict, high_strict = (arguments.flag(name, default=strict) for name in ("strict_min", "strict_max"))
    bounds = Bounds(arguments.bound("min_value"), arguments.bound("max_value"), low_strict, high_strict)
    if bounds.low is None and bounds.high is None:
        raise malformed(f"{arguments.what} has no bound", arguments.place, expected="min_value, max_value or both")
    return bounds


def _between(kind: str, **more: object) -> Expectation:
    def made(arguments: Arguments, _: Tables) -> RuleSpec:
        column, bounds = arguments.need("column"), _bounds(arguments)
        if kind == "range" and None not in (bounds.low, bounds.high) and bounds.low_strict != bounds.high_strict:
            return sql_rule(bounds.sql(quoted(column)), arguments.place)
        try:
            said = bounds.arguments()
        except ValueError as error:
            raise arguments.refused("bounds that are both strict or both not") from error
        return RuleSpec(kind, (column,), {**more, **said})

    return made


def _counts(kind: str, *, of_column: bool) -> Expectation:
    def made(arguments: Arguments, _: Tables) -> RuleSpec:
        columns = (arguments.need("column"),) if of_column else ()
        return RuleSpec(kind, columns, _whole(arguments, _bounds(arguments)))

    return made


def _whole(arguments: Arguments, bounds: Bounds) -> dict[str, object]:
    try:
        return bounds.whole()
    except (ValueError, OverflowError) as error:
        raise malformed(f"{arguments.what} has no bound that a count can meet", arguments.place, expected="a number from 0") from error


def _equal(kind: str, operator: str = "=", *, of_column: bool = True) -> Expectation:
    def made(arguments: Arguments, _: Tables) -> RuleSpec:
        columns = (arguments.need("column"),) if of_column else ()
        value = arguments.number("value")
        bounds = Bounds.of(operator, value) if value is not None else None
        if bounds is None:
            raise malformed(f"{arguments.what} has no 'value'", arguments.place, expected="value: N")
        return RuleSpec(kind, columns, _whole(arguments, bounds))

    return made


def _plain(kind: str) -> Expectation:
    return lambda arguments, _: RuleSpec(kind, (arguments.need("column"),))


def _null(arguments: Arguments, _: Tables) -> RuleSpec:
    return sql_rule(f"{quoted(arguments.need('column'))} IS NULL", arguments.place)


def _set(kind: str) -> Expectation:
    def made(arguments: Arguments, _: Tables) -> RuleSpec:
        arguments.skip("parse_strings_as_datetimes")
        column = arguments.need("column")
        if not arguments.flag("quote_values", default=True):
            raise arguments.refused("values, not SQL")
        values = [value for value in arguments.values("value_set") if value is not None]
        if not values:
            raise malformed(f"{arguments.what} has no values", arguments.place, expected="value_set: [...]")
        return RuleSpec(kind, (column,), {"values": values})

    return made


def _regex(arguments: Arguments, _: Tables) -> RuleSpec:
    _plain_regex(arguments)
    return RuleSpec("regex", (arguments.need("column"),), {"pattern": searching(arguments.need("regex"))})


def _not_regex(arguments: Arguments, _: Tables) -> RuleSpec:
    _plain_regex(arguments)
    return sql_rule(f"NOT regexp_matches({quoted(arguments.need('column'))}, {spelled(arguments.need('regex'))})", arguments.place)


def _plain_regex(arguments: Arguments) -> None:
    arguments.skip("is_raw")
    if arguments.text("flags"):
        raise arguments.refused("a pattern without flags; (?i) may stand in it")


def _regexes(*, match: bool) -> Expectation:
    def made(arguments: Arguments, _: Tables) -> RuleSpec:
        _plain_regex(arguments)
        column = quoted(arguments.need("column"))
        every = arguments.text("match_on") == "all"
        found = [f"regexp_matches({column}, {spelled(pattern)})" for pattern in arguments.texts("regex_list")]
        joined = (" AND " if every else " OR ").join(found)
        return sql_rule(joined if match else f"NOT ({joined})", arguments.place)

    return made


def _like(arguments: Arguments, _: Tables) -> RuleSpec:
    return RuleSpec("regex", (arguments.need("column"),), {"pattern": like(arguments.need("like_pattern"))})


def _not_like(arguments: Arguments, _: Tables) -> RuleSpec:
    return sql_rule(f"{quoted(arguments.need('column'))} NOT LIKE {spelled(arguments.need('like_pattern'))}", arguments.place)


def _likes(*, match: bool) -> Expectation:
    def made(arguments: Arguments, _: Tables) -> RuleSpec:
        column = quoted(arguments.need("column"))
        every = arguments.text("match_on") == "all"
        found = [f"{column} LIKE {spelled(pattern)}" for pattern in arguments.texts("like_pattern_list")]
        joined = (" AND " if every else " OR ").join(found)
        return sql_rule(joined if match else f"NOT ({joined})", arguments.place)

    return made


def _length(arguments: Arguments, _: Tables) -> RuleSpec:
    value = arguments.number("value")
    column = arguments.need("column")
    return RuleSpec("length", (column,), _whole(arguments, Bounds(value, value) if value is not None else _bounds(arguments)))


def _compound(arguments: Arguments, _: Tables) -> RuleSpec:
    _ignoring(arguments, "any_value_is_missing", "any_value_is_null", "ignore_row_if")
    arguments.skip("quote_columns")
    return RuleSpec("unique", arguments.texts("column_list"))


def _ignoring(arguments: Arguments, *allowed: str) -> None:
    """Insist on passing over rows with any null, which is what rules do."""
    word = allowed[-1]
    said = arguments.text(word)
    if said and said not in allowed:
        raise arguments.refused(f"{word}: {allowed[0]}, or none")


def _pair(operator: str) -> Expectation:
    def made(arguments: Arguments, _: Tables) -> RuleSpec:
        _ignoring(arguments, "either_value_is_missing", "both_values_are_missing", "either_value_is_null", "ignore_row_if")
        columns = (arguments.need("column_A"), arguments.need("column_B"))
        orequal = operator == ">" and arguments.flag("or_equal")
        return RuleSpec("compare", columns, {"operator": ">=" if orequal else operator})

    return made


def _monotonic(direction: str) -> Expectation:
    def made(arguments: Arguments, _: Tables) -> RuleSpec:
        arguments.skip("parse_strings_as_datetimes")
        column = arguments.need("column")
        order = arguments.text("sort_column")
        strict = arguments.flag("strictly")
        per = arguments.take("group_by")
        if not order:
            raise arguments.refused("sort_column: a table has no order of its own")
        if per is not None and not (isinstance(per, list) and all(isinstance(one, str) for one in per)):
            raise arguments.wrong("group_by", "a list of columns")
        said: dict[str, object] = {"order_by": order, "direction": direction, "strict": strict}
        return RuleSpec("monotonic", (column,), said | ({"per": per} if per else {}))

    return made


def _count_match(arguments: Arguments, tables: Tables) -> RuleSpec:
    arguments.skip("column")
    other = arguments.text("other_table_name") or arguments.need("compare_model")
    return RuleSpec("aggregate_match", (), {"function": "count", "table": str(tables.find(other, arguments.place)), "tolerance": 0})


def _column_exists(arguments: Arguments, _: Tables) -> RuleSpec:
    if arguments.take("column_index") is not None:
        raise arguments.refused("no column_index")
    return RuleSpec("schema_match", (), {"columns": [arguments.need("column")], "extra": "allow"})


def _columns(word: str, extra: str, *, ordered: bool = False) -> Expectation:
    def made(arguments: Arguments, _: Tables) -> RuleSpec:
        exact = arguments.flag("exact_match", default=True) if word == "column_set" else True
        said: dict[str, object] = {"columns": list(arguments.texts(word)), "extra": extra if exact else "allow"}
        return RuleSpec("schema_match", (), said | ({"order": True} if ordered else {}))

    return made


def _typed(arguments: Arguments, _: Tables) -> RuleSpec:
    column, type_ = arguments.need("column"), arguments.text("type_") or arguments.need("column_type")
    known = {**_TYPES, **{name.lower(): kind for name, kind in _TYPES.items()}}
    if type_ not in known and type_.lower() not in known:
        raise arguments.refused(f"a type that has one meaning: {', '.join(sorted(set(_TYPES)))}")
    return RuleSpec("schema_match", (), {"columns": {column: known.get(type_) or known[type_.lower()]}, "extra": "allow"})


def _format(kind: str) -> Expectation:
    return lambda arguments, _: RuleSpec("format", (arguments.need("column"),), {"as": kind})


def _quantile(arguments: Arguments, tables: Tables) -> RuleSpec:
    quantile = arguments.number("quantile")
    if quantile is None:
        raise arguments.refused("quantile with min_value and max_value; each of several as one")
    return _between("quantile", q=quantile)(arguments, tables)


def _unique_share(arguments: Arguments, _: Tables) -> RuleSpec:
    column, bounds = arguments.need("column"), _bounds(arguments)
    try:
        return RuleSpec("unique_ratio", (column,), bounds.arguments())
    except ValueError as error:
        raise arguments.refused("bounds on a share") from error


_TYPES = {
    "BOOLEAN": "boolean",
    "BOOL": "boolean",
    "INTEGER": "int",
    "INT": "int",
    "BIGINT": "long",
    "DOUBLE": "double",
    "DOUBLE PRECISION": "double",
    "REAL": "float",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMPTZ": "timestamptz",
    "VARCHAR": "string",
    "TEXT": "string",
    "STRING": "string",
    "int64": "long",
    "int32": "int",
    "float64": "double",
    "float32": "float",
    "str": "string",
}
_DISTRIBUTION = "it compares distributions; no rule does"
_NO_KIND = "no rule measures that; write it as `query` under `checks`"
REFUSED: Mapping[str, str] = {
    "expect_column_kl_divergence_to_be_less_than": _DISTRIBUTION,
    "expect_column_chisquare_test_p_value_to_be_greater_than": _DISTRIBUTION,
    "expect_column_values_to_be_within_n_stdevs": _DISTRIBUTION,
    "expect_column_values_to_be_within_n_moving_stdevs": _DISTRIBUTION,
    "expect_column_value_z_scores_to_be_less_than": _DISTRIBUTION,
    **dict.fromkeys(("expect_column_values_to_match_json_schema", "expect_column_values_to_be_json_parseable"), _NO_KIND),
    **dict.fromkeys(("expect_column_values_to_match_strftime_format", "expect_column_values_to_be_dateutil_parseable"), _NO_KIND),
    **dict.fromkeys(("expect_column_pair_values_to_be_in_set", "expect_multicolumn_sum_to_equal"), _NO_KIND),
    **dict.fromkeys(("expect_select_column_values_to_be_unique_within_record", "expect_column_most_common_value_to_be_in_set"), _NO_KIND),
    **dict.fromkeys(
        ("expect_column_distinct_values_to_be_in_set", "expect_column_distinct_values_to_contain_set"),
        "write accepted_values; that all of them occur is checked by no rule",
    ),
    "expect_column_distinct_values_to_equal_set": "write accepted_values; that all of them occur is checked by no rule",
    "expect_column_most_common_value_to_be_in_set": _NO_KIND,
    "expect_column_values_to_be_in_type_list": "a column of the lake has one type",
    "expect_column_values_to_have_consistent_casing": _NO_KIND,
    **dict.fromkeys(("expect_table_column_count_to_equal", "expect_table_column_count_to_be_between"), "no rule counts columns"),
    "expect_table_column_count_to_equal_other_table": "no rule counts columns",
    "expect_table_columns_to_not_contain_set": "no rule names columns that must not be there",
    "expect_query_results_to_match_comparison": "it compares two systems; `limnos verify` does",
    "unexpected_rows_expectation": "its query gives the unexpected rows of a batch; write it as `query` under `checks`",
    "expect_table_aggregation_to_equal_other_table": "write it as `aggregate_match` under `checks`",
    "expect_table_row_count_to_equal_other_table_times_factor": "only equal counts",
    "expect_row_values_to_have_recent_data": "write it as `freshness` under `checks`: which row is judged is another one",
    "expect_row_values_to_have_data_for_every_n_datepart": _NO_KIND,
    "expect_grouped_row_values_to_have_recent_data": _NO_KIND,
    "expect_column_quantile_values_to_be_between": "quantile_ranges; each as one `quantile` under `checks`",
}
EXPECTATIONS: Mapping[str, Expectation] = {
    "expect_column_values_to_not_be_null": _plain("not_null"),
    "expect_column_values_to_be_null": _null,
    "expect_column_values_to_be_unique": _plain("unique"),
    "expect_column_values_to_be_in_set": _set("accepted_values"),
    "expect_column_values_to_not_be_in_set": _set("rejected_values"),
    "expect_column_values_to_be_between": _between("range"),
    "expect_column_values_to_match_regex": _regex,
    "expect_column_values_to_not_match_regex": _not_regex,
    "expect_column_values_to_match_regex_list": _regexes(match=True),
    "expect_column_values_to_not_match_regex_list": _regexes(match=False),
    "expect_column_values_to_match_like_pattern": _like,
    "expect_column_values_to_not_match_like_pattern": _not_like,
    "expect_column_values_to_match_like_pattern_list": _likes(match=True),
    "expect_column_values_to_not_match_like_pattern_list": _likes(match=False),
    "expect_column_value_lengths_to_be_between": _length,
    "expect_column_value_lengths_to_equal": _length,
    "expect_column_values_to_be_increasing": _monotonic("up"),
    "expect_column_values_to_be_decreasing": _monotonic("down"),
    "expect_column_values_to_be_of_type": _typed,
    "expect_compound_columns_to_be_unique": _compound,
    "expect_column_pair_values_to_be_equal": _pair("="),
    "expect_column_pair_values_a_to_be_greater_than_b": _pair(">"),
    "expect_column_pair_values_A_to_be_greater_than_B": _pair(">"),
    "expect_column_unique_value_count_to_be_between": _counts("distinct_count", of_column=True),
    "expect_column_distinct_count_to_equal": _equal("distinct_count"),
    "expect_column_distinct_count_to_be_greater_than": _equal("distinct_count", ">"),
    "expect_column_distinct_count_to_be_less_than": _equal("distinct_count", "<"),
    "expect_column_proportion_of_unique_values_to_be_between": _unique_share,
    "expect_column_mean_to_be_between": _between("mean"),
    "expect_column_sum_to_be_between": _between("sum"),
    "expect_column_min_to_be_between": _between("minimum"),
    "expect_column_max_to_be_between": _between("maximum"),
    "expect_column_stdev_to_be_between": _between("stddev"),
    "expect_column_median_to_be_between": _between("quantile", q=0.5),
    "expect_column_quantile_to_be_between": _quantile,
    "expect_table_row_count_to_be_between": _counts("row_count", of_column=False),
    "expect_table_row_count_to_equal": _equal("row_count", of_column=False),
    "expect_table_row_count_to_equal_other_table": _count_match,
    "expect_column_to_exist": _column_exists,
    "expect_table_columns_to_match_set": _columns("column_set", "refuse"),
    "expect_table_columns_to_contain_set": _columns("column_list", "allow"),
    "expect_table_columns_to_match_ordered_list": _columns("column_list", "refuse", ordered=True),
    "expect_column_values_to_be_valid_email": _format("email"),
    "expect_column_values_to_be_valid_ipv4": _format("ipv4"),
    "expect_column_values_to_be_valid_ipv6": _format("ipv6"),
    "expect_column_values_to_be_valid_uuid": _format("uuid"),
    "expect_column_values_to_be_valid_iban": _format("iban"),
}
