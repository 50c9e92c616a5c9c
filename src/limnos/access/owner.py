"""The policy of a lake with one owner: the owner may everything, everyone else nothing."""

from __future__ import annotations

import getpass
import os

from limnos.model.decision import Action, Decision, Principal
from limnos.model.names import TableName


def local_principal() -> Principal:
    """Name the user of the operating system that runs this process; a user id without a name gives `uid-<number>`."""
    try:
        return Principal(getpass.getuser())
    except (KeyError, OSError, ImportError):
        return Principal(f"uid-{os.getuid()}")


class OwnerPolicy:
    """Allow the owner everything and refuse everyone else.

    Examples:
        >>> OwnerPolicy(Principal("ana")).decide(Principal("eve"), Action.READ).reasons
        ('eve is not the owner',)
    """

    def __init__(self, owner: Principal) -> None:
        self._owner = owner.name

    def decide(self, principal: Principal, action: Action, table: TableName | None = None) -> Decision:
        """Answer one question; who is not the owner is refused."""
        if principal.name and principal.name == self._owner:
            return Decision(principal, action, table, allowed=True, reasons=(f"{principal.name} owns this lake",))
        return Decision(principal, action, table, allowed=False, reasons=(f"{principal.name or 'an unnamed principal'} is not the owner",))
