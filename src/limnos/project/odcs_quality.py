"""The `quality` entries of an ODCS contract, as rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from limnos.errors import ProjectInvalid
from limnos.model.contract import RuleSpec, Severity
from limnos.model.names import literal, quoted
from limnos.project.checks import read_share
from limnos.project.nodes import Listed, Mapped, invalid, plain
from limnos.project.odcs_words import IMPLEMENTATION, OPERATORS
from limnos.project.shape import check


def quality_rule(node: Mapped, column: str) -> Iterator[RuleSpec]:
    """Read one entry about a column, or about the whole table where `column` is empty; `type: text` is documentation and gives none.

    Raises:
        ProjectInvalid: If it says what no rule can check.
    """
    kind = node.text("type") or "library"
    if kind == "text":
        return
    if kind == "custom" and node.text("engine") == "limnos":
        yield _own(node)
        return
    if kind != "library":
        raise _uncompiled(node, f"type: {kind}")
    if "metric" not in node.entries:
        raise invalid("A quality entry has no metric", node.place, seen="rule" if "rule" in node.entries else "", expected="metric: NAME")
    given = [word for word in OPERATORS if word in node.entries]
    if len(given) != 1:
        raise invalid(
            "A quality entry needs exactly one operator", node.place, seen=", ".join(given) or "none", expected=", ".join(OPERATORS)
        )
    spec = _row_count(node, given[0], column) if node.text("metric") == "rowCount" else _metric(node, given[0], column)
    severity = Severity.WARN if node.text("severity") in ("warning", "info") else None
    yield replace(spec, severity=severity, name=node.text("id") or spec.name, place=node.place)


def _own(node: Mapped) -> RuleSpec:
    """Read a rule in our own words: all that it says stands in `implementation`, its columns too."""
    implementation = node.entries.get("implementation", Mapped(node.place, {}))
    check(implementation, IMPLEMENTATION, "implementation")
    said = node.mapping("implementation")
    rule = RuleSpec(
        said.text("rule"),
        said.texts("columns"),
        plain(said.mapping("arguments")),
        severity=Severity(said.text("severity")) if "severity" in said.entries else None,
        at_least=read_share(said.text("at_least")),
        where=said.text("where"),
        name=said.text("name"),
        place=node.place,
    )
    if rule.kind == "foreign_key" and not {"references", "columns"} <= set(rule.arguments):
        raise invalid("A foreign key refers to nothing", node.place, expected="arguments: {references: shop.customers, columns: [id]}")
    return rule


def _uncompiled(node: Mapped, what: str) -> ProjectInvalid:
    return invalid(
        f"The quality entry {what!r} cannot be checked",
        node.place,
        seen=what,
        expected="a library metric, or a check under `tables:` in limnos.yml",
    )


def _row_count(node: Mapped, operator: str, column: str) -> RuleSpec:
    value = plain(node.entries[operator])
    numbers = value if isinstance(value, list) else [value]
    if column or not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise _uncompiled(node, f"rowCount {operator}" if not column else f"rowCount of the column {column}")
    match operator, numbers:
        case "mustBe", [count]:
            bounds = {"min": count, "max": count}
        case "mustBeGreaterThan", [count]:
            bounds = {"min": count + 1}
        case "mustBeGreaterOrEqualTo", [count]:
            bounds = {"min": count}
        case "mustBeLessThan", [count]:
            bounds = {"max": count - 1}
        case "mustBeLessOrEqualTo", [count]:
            bounds = {"max": count}
        case "mustBeBetween", [least, most]:
            bounds = {"min": least, "max": most}
        case _:
            raise _uncompiled(node, f"rowCount {operator}")
    return RuleSpec("row_count", (), bounds)


def _metric(node: Mapped, operator: str, column: str) -> RuleSpec:
    """Compile a metric that counts bad rows: none of them, or at most a percentage."""
    metric, arguments = node.text("metric"), node.mapping("arguments")
    columns: tuple[str, ...] = (column,) if column else arguments.texts("properties")
    if not columns or (len(columns) > 1 and metric != "duplicateValues"):
        raise _uncompiled(node, f"{metric} without a column" if not columns else f"{metric} of several columns")
    share = _share(node, operator)
    match metric:
        case "nullValues":
            return RuleSpec("not_null", columns, at_least=share)
        case "duplicateValues":
            return RuleSpec("unique", columns, at_least=share)
        case "missingValues":
            return _missing(node, next(iter(columns)), share)
        case _ if "validValues" in arguments.entries and "pattern" not in arguments.entries:
            return RuleSpec("accepted_values", columns, {"values": plain(arguments.entries["validValues"])}, at_least=share)
        case _ if "pattern" in arguments.entries and "validValues" not in arguments.entries:
            return RuleSpec("regex", columns, {"pattern": arguments.text("pattern")}, at_least=share)
        case _:
            raise _uncompiled(node, "invalidValues without exactly one of validValues and pattern")


def _missing(node: Mapped, column: str, share: float) -> RuleSpec:
    given = node.mapping("arguments").entries.get("missingValues")
    values = plain(given) if isinstance(given, Listed) else [None]
    texts = [value for value in values if value is not None]
    if not all(isinstance(value, str) for value in texts):
        raise _uncompiled(node, "missingValues that are not texts")
    if not texts:
        return RuleSpec("not_null", (column,), at_least=share)
    if None in values:
        return RuleSpec("not_null", (column,), {"missing": texts}, at_least=share)
    condition = f"coalesce({quoted(column)} NOT IN ({', '.join(literal(text) for text in texts)}), TRUE)"
    return RuleSpec("sql", (), {"expression": condition}, at_least=share, name=f"missing_values:{column}")


def _share(node: Mapped, operator: str) -> float:
    value = node.value(operator)
    if operator in ("mustBe", "mustBeLessOrEqualTo") and value == 0 and not isinstance(value, bool):
        return 1.0
    if operator == "mustBeLessOrEqualTo" and node.text("unit") == "percent" and isinstance(value, int | float) and 0 < value < 100:
        return (100 - value) / 100
    raise _uncompiled(node, f"{node.text('metric')} {operator} {node.text(operator)} {node.text('unit') or 'rows'}")
