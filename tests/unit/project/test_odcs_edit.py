"""Rules are added to a contract as lines; what cannot take them is an error and not a lost rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from limnos.errors import ProjectInvalid, TargetExists
from limnos.model.contract import RuleSpec, Severity
from limnos.model.names import TableName
from limnos.project.odcs_edit import with_rules

ORDERS = TableName("shop", "orders")
RULES = (RuleSpec("unique", ("a",)), RuleSpec("range", ("a",), {"min": 0}, Severity.WARN, 0.9, "b > 1", "mine"))
HEAD = "apiVersion: {version}\nkind: DataContract\nid: c1\nversion: 1.0.0\nschema:\n"


def edited(root: Path, body: str, version: str = "v3.1.0", project: str = "version: 1\n") -> str:
    (root / "contracts").mkdir()
    (root / "limnos.yml").write_text(project, encoding="utf-8")
    (root / "contracts/orders.odcs.yaml").write_text(HEAD.format(version=version) + body, encoding="utf-8")
    return with_rules(root, ORDERS, RULES).after


@pytest.mark.parametrize(
    "body",
    [
        "  - name: orders\n    physicalName: shop.orders\n",
        "  - name: orders\n    physicalName: shop.orders",
        "- name: orders\n  physicalName: shop.orders\n  quality:\n  - metric: rowCount\n    mustBe: 1\n",
        "  - physicalName: shop.orders\n    quality:\n      - {metric: rowCount, mustBe: 1}\n    name: orders\n",
        "  - physicalName: shop.orders\n    name: orders\n    description: |\n      long\n\n      text\n\n",
        "  - physicalName: shop.orders\n    name: orders\n    description: >-\n      a\n      b\nstatus: active\n",
        "  - physicalName: shop.orders\n    name: orders\n    properties:\n      - {name: a,\n         physicalType: long}\n",
        "  - {physicalName: shop.y, name: y}\n  - physicalName: shop.orders\n    name: orders\n  - {physicalName: shop.x, name: x}\n",
        "   -  physicalName: shop.orders\n      name: orders\n      quality:\n\n        # 1\n        - {metric: rowCount, mustBe: 1}\n\n",
    ],
)
@pytest.mark.parametrize("version", ["v3.0.2", "v3.1.0"])
def test_lines_are_added_and_none_is_changed(tmp_path: Path, body: str, version: str) -> None:
    after = edited(tmp_path, body, version)
    before = (HEAD.format(version=version) + body).splitlines()
    assert [line for line in after.splitlines() if line in before] == before
    assert ("duplicateValues" in after) is (version == "v3.1.0"), "3.0 has no metric of that name"
    assert "engine: limnos" in after


@pytest.mark.parametrize(
    "body",
    [
        "  - {name: orders, physicalName: shop.orders}\n",
        "  - name: orders\n    physicalName: shop.orders\n    quality: [{metric: rowCount, mustBe: 1}]\n",
    ],
)
def test_a_contract_in_one_line_is_an_error(tmp_path: Path, body: str) -> None:
    with pytest.raises(ProjectInvalid, match="Nothing can be added to a contract in one line"):
        edited(tmp_path, body)


def test_a_draft_that_the_project_would_not_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "limnos.yml").write_text("version: 1\ncontracts: mine/*.yaml\n", encoding="utf-8")
    (tmp_path / "mine/x.yaml").write_text(HEAD.format(version="v3.1.0") + "  - {name: x, physicalName: shop.x}\n", encoding="utf-8")
    with pytest.raises(ProjectInvalid, match="A new contract would not be read"):
        with_rules(tmp_path, ORDERS, RULES)


def test_a_draft_does_not_take_the_place_of_another_tables_contract(tmp_path: Path) -> None:
    with pytest.raises(TargetExists):
        edited(tmp_path, "  - {name: x, physicalName: shop.x}\n")
