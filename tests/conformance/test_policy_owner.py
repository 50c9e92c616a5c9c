from __future__ import annotations

import pytest

from limnos.access.owner import OwnerPolicy
from limnos.model.decision import Action, Principal
from limnos.testing.policy import Governed, PolicySuite


class TestOwnerPolicy(PolicySuite):
    @pytest.fixture(params=Action)
    def governed(self, request: pytest.FixtureRequest) -> Governed:
        owner = Principal("ana")
        return Governed(OwnerPolicy(owner), owner, request.param)
