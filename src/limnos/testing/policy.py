"""The conformance suite of `Policy`; it needs pytest, which the tests of an adapter bring along."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from limnos.model.decision import Action, Principal
from limnos.model.names import TableName
from limnos.ports import Policy

STRANGERS = (
    Principal("nobody-of-this-lake"),
    Principal(""),
    Principal(" "),
    Principal("*"),
    Principal("%"),
    Principal("root"),
    Principal("'; DROP TABLE principals; --"),
    Principal("\x00"),
    Principal("é" * 10_000),
    Principal("nobody-of-this-lake", roles=("*", "admin", "owner")),
)
TABLES = (None, TableName("shop", "orders"), TableName("system", "events"), TableName("no", "such_table"))


@dataclass(frozen=True, slots=True)
class Governed:
    """Hold a policy, with one request that it must allow."""

    policy: Policy
    principal: Principal
    action: Action
    table: TableName | None = None


class PolicySuite:
    """Assert what every policy promises; a test class inherits it and gives the fixture `governed`."""

    def test_it_is_a_policy(self, governed: Governed) -> None:
        assert isinstance(governed.policy, Policy)

    def test_what_is_allowed_is_allowed(self, governed: Governed) -> None:
        assert governed.policy.decide(governed.principal, governed.action, governed.table).allowed

    @pytest.mark.parametrize("stranger", STRANGERS, ids=range(len(STRANGERS)))
    @pytest.mark.parametrize("action", Action)
    def test_a_stranger_is_refused_everything_and_nothing_raises(self, governed: Governed, stranger: Principal, action: Action) -> None:
        for table in TABLES:
            assert not governed.policy.decide(stranger, action, table).allowed

    def test_a_name_that_only_looks_like_an_allowed_one_is_refused(self, governed: Governed) -> None:
        name = governed.principal.name
        for other in {f"{name} ", f" {name}", f"{name}\x00", f"{name}2", name[:-1], name.swapcase()} - {name}:
            assert not governed.policy.decide(Principal(other), governed.action, governed.table).allowed

    @pytest.mark.parametrize("action", Action)
    def test_every_answer_repeats_its_question_and_names_its_reasons(self, governed: Governed, action: Action) -> None:
        for principal in (governed.principal, *STRANGERS):
            for table in TABLES:
                decision = governed.policy.decide(principal, action, table)
                assert (decision.principal, decision.action, decision.table) == (principal, action, table)
                assert decision.reasons
                assert all(reason.strip() for reason in decision.reasons)

    def test_the_same_question_has_the_same_answer(self, governed: Governed) -> None:
        first, second = (governed.policy.decide(governed.principal, governed.action, governed.table) for _ in range(2))
        assert first == second

    def test_an_answer_can_be_kept_in_the_ledger(self, governed: Governed) -> None:
        kept = governed.policy.decide(governed.principal, governed.action, governed.table).as_json()
        assert json.loads(json.dumps(kept)) == kept
