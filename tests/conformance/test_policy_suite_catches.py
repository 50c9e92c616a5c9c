"""Policies that break one promise each; a suite that lets one of them pass is worth nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from limnos.access.owner import OwnerPolicy, local_principal
from limnos.model.decision import Action, Decision, Principal
from limnos.model.names import TableName
from limnos.testing.policy import STRANGERS, Governed, PolicySuite

OWNER = Principal("ana")
_ticks = itertools.count()


class WrongPolicy(OwnerPolicy):
    """Answer right; each wrong one changes the answer."""

    def decide(self, principal: Principal, action: Action, table: TableName | None = None) -> Decision:
        return self.changed(super().decide(principal, action, table))

    def changed(self, decision: Decision) -> Decision:
        return decision


class AllowsEveryone(WrongPolicy):
    def changed(self, decision: Decision) -> Decision:
        return replace(decision, allowed=True)


class RefusesEveryone(WrongPolicy):
    def changed(self, decision: Decision) -> Decision:
        return replace(decision, allowed=False)


class BelievesRoles(WrongPolicy):
    def changed(self, decision: Decision) -> Decision:
        return replace(decision, allowed=decision.allowed or "owner" in decision.principal.roles)


class FoldsCase(WrongPolicy):
    def decide(self, principal: Principal, action: Action, table: TableName | None = None) -> Decision:
        return replace(super().decide(Principal(principal.name.lower()), action, table), principal=principal)


class Raises(WrongPolicy):
    def changed(self, decision: Decision) -> Decision:
        if "\x00" in decision.principal.name:
            raise ValueError(decision.principal.name)
        return decision


class GivesBlankReasons(WrongPolicy):
    def changed(self, decision: Decision) -> Decision:
        return replace(decision, reasons=(" ",))


class ForgetsTheTable(WrongPolicy):
    def changed(self, decision: Decision) -> Decision:
        return replace(decision, table=None)


class ChangesItsMind(WrongPolicy):
    def changed(self, decision: Decision) -> Decision:
        return replace(decision, reasons=(f"answer {next(_ticks)}",))


def _strangers(suite: PolicySuite, governed: Governed) -> None:
    for stranger in STRANGERS:
        suite.test_a_stranger_is_refused_everything_and_nothing_raises(governed, stranger, Action.READ)


TESTS: dict[type[OwnerPolicy], Callable[[PolicySuite, Governed], None]] = {
    AllowsEveryone: _strangers,
    RefusesEveryone: PolicySuite.test_what_is_allowed_is_allowed,
    BelievesRoles: _strangers,
    FoldsCase: PolicySuite.test_a_name_that_only_looks_like_an_allowed_one_is_refused,
    Raises: _strangers,
    GivesBlankReasons: lambda suite, governed: suite.test_every_answer_repeats_its_question_and_names_its_reasons(governed, Action.READ),
    ForgetsTheTable: lambda suite, governed: suite.test_every_answer_repeats_its_question_and_names_its_reasons(governed, Action.READ),
    ChangesItsMind: PolicySuite.test_the_same_question_has_the_same_answer,
}


@pytest.mark.parametrize("wrong", TESTS)
def test_the_suite_catches_a_policy_that(wrong: type[OwnerPolicy]) -> None:
    with pytest.raises((AssertionError, ValueError)):
        TESTS[wrong](PolicySuite(), Governed(wrong(OWNER), OWNER, Action.READ))


@pytest.mark.parametrize("test", TESTS.values())
def test_the_suite_lets_the_right_policy_pass(test: Callable[[PolicySuite, Governed], None]) -> None:
    test(PolicySuite(), Governed(OwnerPolicy(OWNER), OWNER, Action.READ))


def test_the_local_principal_has_a_name() -> None:
    assert local_principal().name.strip()
