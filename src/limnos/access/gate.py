"""The SQL gate: what one SELECT reads and calls, judged on the engine's own parse tree.

What is not known to be harmless is refused: node kinds, functions and relations are allow-lists. The tree is that of DuckDB's
`json_serialize_sql`; this room gets it as plain values and knows no driver.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from limnos.access.functions import READING_FUNCTIONS, SCALAR_FUNCTIONS, TABLE_FUNCTIONS
from limnos.errors import QueryInvalid

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
Node: TypeAlias = "dict[str, Json]"

_HINT = "limnos explain query-invalid"
_CATALOGS = frozenset({"information_schema", "pg_catalog"})
_EXPRESSIONS = frozenset(
    "BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION LAMBDA LAMBDA_REF OPERATOR PARAMETER "
    "POSITIONAL_REFERENCE STAR SUBQUERY WINDOW".split()
)
_NODES = frozenset(
    "SELECT_NODE SET_OPERATION_NODE RECURSIVE_CTE_NODE CTE_NODE BASE_TABLE SUBQUERY JOIN TABLE_FUNCTION EXPRESSION_LIST EMPTY PIVOT "
    "ORDER_MODIFIER LIMIT_MODIFIER LIMIT_PERCENT_MODIFIER DISTINCT_MODIFIER ORDER_DEFAULT ASCENDING DESCENDING".split()
)


@dataclass(frozen=True, slots=True)
class TableReference:
    """Point at one use of a table in a query; `offset` counts characters from its start, -1 when the parser does not say."""

    namespace: str
    name: str
    offset: int

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}"


def references(tree: Node, sql: str, known: Iterable[str] = ()) -> tuple[TableReference, ...]:
    """List every use of a table in one SELECT, common table expressions resolved away; `known` only serves "did you mean".

    Raises:
        QueryInvalid: If it is not exactly one SELECT, or uses a relation, function or construct that is not on the allow-list.
    """
    if tree.get("error"):
        raise _unreadable(tree, sql)
    statements = tree.get("statements")
    if not isinstance(statements, list) or len(statements) != 1:
        count = len(statements) if isinstance(statements, list) else 0
        raise QueryInvalid(
            "A query is exactly one SELECT",
            subject="query",
            seen=f"{count} statements" if count else "nothing",
            expected="one SELECT",
            hint=_HINT,
        )
    walk = _Walk(sql, tuple(known))
    walk.visit(statements[0], frozenset())
    return tuple(walk.found)


def place(sql: str, offset: int) -> str:
    r"""Say where in a query an offset lies, both counted from 1.

    Examples:
        >>> place("SELECT\n  x", 9)
        'query, line 2, column 3'
    """
    if not 0 <= offset <= len(sql):
        return "query"
    before = sql[:offset]
    return f"query, line {before.count(chr(10)) + 1}, column {offset - (before.rfind(chr(10)) + 1) + 1}"


def _unreadable(tree: Node, sql: str) -> QueryInvalid:
    message = str(tree.get("error_message", ""))
    if tree.get("error_type") == "parser":
        position = str(tree.get("position", "-1"))
        offset = character(sql, int(position)) if position.isdecimal() else -1
        return QueryInvalid("The query is not SQL", subject=place(sql, offset), seen=message, expected="one SELECT", hint=_HINT)
    return QueryInvalid(
        "Only SELECT can be run here",
        subject="query",
        seen=" ".join(sql.split())[:60],
        expected="one SELECT (a PIVOT names its values: PIVOT (sum(x) FOR y IN (...)))",
        hint=_HINT,
    )


def character(sql: str, byte: int) -> int:
    """Turn the parser's offset in UTF-8 bytes into one in characters.

    Examples:
        >>> character("é1", 2)
        1
    """
    return len(sql.encode()[:byte].decode(errors="ignore"))


class _Walk:
    """Visit every node of a tree, each with the common table expressions that are in scope there."""

    def __init__(self, sql: str, known: Sequence[str]) -> None:
        self.found: list[TableReference] = []
        self._sql = sql
        self._known = known

    def visit(self, value: Json, scope: frozenset[str]) -> None:
        if isinstance(value, list):
            for each in value:
                self.visit(each, scope)
        elif isinstance(value, dict):
            self._visit_node(value, scope)

    def _visit_node(self, node: Node, scope: frozenset[str]) -> None:
        kind, expression = node.get("type"), node.get("class")
        if expression == "CONSTANT":
            return None
        allowed = expression in _EXPRESSIONS if expression is not None else not isinstance(kind, str) or kind in _NODES
        if not allowed:
            raise self._refused(
                node, f"{str(expression or kind).replace('_', ' ').lower()} is not part of a query here", expected="a plain SELECT"
            )
        if expression in ("FUNCTION", "WINDOW"):
            self._function(node, SCALAR_FUNCTIONS)
        elif expression is None and kind == "BASE_TABLE":
            self._table(node, scope)
        elif expression is None and kind == "TABLE_FUNCTION":
            return self._table_function(node, scope)
        elif expression is None and kind == "RECURSIVE_CTE_NODE":
            scope |= {self._common(str(node["cte_name"]), node)}
        if "cte_map" in node:
            scope = self._common_tables(node["cte_map"], scope)
        for key, child in node.items():
            if key not in ("cte_map", "cast_type"):
                self.visit(child, scope)
        return None

    def _common_tables(self, entries: Json, scope: frozenset[str]) -> frozenset[str]:
        """Give the scope with these common table expressions; each sees the ones before it, a recursive one itself."""
        listed = entries.get("map") if isinstance(entries, dict) else None
        for entry in listed if isinstance(listed, list) else ():
            if isinstance(entry, dict):
                self.visit(entry["value"], scope)
                scope |= {self._common(str(entry["key"]), entry)}
        return scope

    def _common(self, name: str, node: Node) -> str:
        # A dot is what makes the engine take a name for a file.
        if "." in name:
            raise self._refused(node, f"{name!r} cannot name a common table expression", expected="a name without a dot")
        return name.casefold()

    def _table(self, node: Node, scope: frozenset[str]) -> None:
        catalog, namespace, name = (str(node.get(key) or "") for key in ("catalog_name", "schema_name", "table_name"))
        if not catalog and not namespace and name.casefold() in scope:
            return
        if node.get("at_clause"):
            raise self._refused(node, "AT is not part of a query here", expected="limnos query --as-of")
        written = ".".join(part for part in (catalog, namespace, name) if part)
        if catalog or not namespace or namespace.casefold() in _CATALOGS:
            near = [known for known in self._known if known.casefold().rpartition(".")[2] == name.casefold()]
            near = near or difflib.get_close_matches(written, self._known, n=1)
            expected = f"{near[0]} (did you mean this?)" if near else "namespace.name, as `limnos status` lists them"
            raise self._refused(node, f"No table is called {written}", seen=written, expected=expected, hint="limnos status")
        self.found.append(TableReference(namespace, name, self._offset(node)))

    def _table_function(self, node: Node, scope: frozenset[str]) -> None:
        function = node.get("function")
        if not isinstance(function, dict):
            raise self._refused(node, "this table function is not part of a query here", expected="range, generate_series, unnest")
        self._function(function, TABLE_FUNCTIONS)
        for key, child in function.items():
            if key != "class":
                self.visit(child, scope)

    def _function(self, node: Node, allowed: frozenset[str]) -> None:
        name = str(node.get("function_name", ""))
        if name.casefold() in READING_FUNCTIONS and allowed is SCALAR_FUNCTIONS:
            self.found.append(TableReference(*READING_FUNCTIONS[name.casefold()], offset=-1))
        elif name.casefold() not in allowed:
            near = difflib.get_close_matches(name.casefold(), allowed, n=1)
            expected = f"{near[0]} (did you mean this?)" if near else "a function that only computes on its arguments"
            raise self._refused(node, f"The function {name} cannot be used in a query", seen=name, expected=expected)

    def _offset(self, node: Node) -> int:
        location = node.get("query_location")
        return character(self._sql, location) if isinstance(location, int) and location < len(self._sql.encode()) else -1

    def _refused(self, node: Node, what: str, *, seen: str = "", expected: str, hint: str = _HINT) -> QueryInvalid:
        return QueryInvalid(what, subject=place(self._sql, self._offset(node)), seen=seen, expected=expected, hint=hint)
