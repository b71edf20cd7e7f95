"""Which version has which role now, read from the record in one transaction."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from waferlens.lifecycle.states import Slot, State
from waferlens.storage.model_versions import StoredVersion, in_slot


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Which version has which role now; None: nobody. canary_share: of wafers, 0 outside a canary."""

    champion: StoredVersion | None
    challenger: StoredVersion | None
    previous: StoredVersion | None

    @property
    def canary_share(self) -> float:
        """Of wafers that the challenger decides on."""
        if self.challenger is None or self.challenger.state != State.CANARY:
            return 0.0
        return self.challenger.canary_share or 0.0


def roles_in(connection: Connection) -> Roles:
    """Who has which role, in an open transaction."""
    return Roles(
        champion=in_slot(connection, Slot.CHAMPION),
        challenger=in_slot(connection, Slot.CHALLENGER),
        previous=in_slot(connection, Slot.PREVIOUS),
    )
