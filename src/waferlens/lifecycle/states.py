"""The states of a model's rollout, and the moves between them. Knows no record and no registry.

                    ┌────────────── refused ◄──────────────┐
                    ▼                 ▲  ▲                 │ (a guardrail)
    registered ─► shadow ─► canary ───┘  │                 │
        │            └───────────────────┘                 │
        │                     canary ─► champion ─► previous ─► champion
        └─► champion (only while there is none)
    registered, refused, previous ─► archived ─► where it came from

A role (``Slot``) has one version at most: the champion decides, the challenger is tried (shadow or canary), the
previous is where a rollback goes. What has a role is in use and is never archived.
"""

from __future__ import annotations

from enum import StrEnum

from waferlens.errors import IllegalMove


class State(StrEnum):
    """Where a version is in its life."""

    REGISTERED = "registered"
    SHADOW = "shadow"
    CANARY = "canary"
    CHAMPION = "champion"
    PREVIOUS = "previous"
    ARCHIVED = "archived"
    REFUSED = "refused"


class Slot(StrEnum):
    """The three roles; also the aliases in the registry."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    PREVIOUS = "previous"


LEGAL: dict[State, frozenset[State]] = {
    State.REGISTERED: frozenset({State.SHADOW, State.CHAMPION, State.REFUSED, State.ARCHIVED}),
    State.SHADOW: frozenset({State.CANARY, State.REFUSED}),
    State.CANARY: frozenset({State.CHAMPION, State.REFUSED}),
    State.CHAMPION: frozenset({State.PREVIOUS, State.REFUSED}),
    State.PREVIOUS: frozenset({State.CHAMPION, State.ARCHIVED}),
    State.REFUSED: frozenset({State.SHADOW, State.ARCHIVED}),
    State.ARCHIVED: frozenset({State.REGISTERED, State.PREVIOUS, State.REFUSED}),
}


def check_move(version: str, old: State | None, new: State) -> None:
    """Raises IllegalMove unless a version may go from ``old`` (None: it is being registered) to ``new``."""
    allowed = frozenset({State.REGISTERED}) if old is None else LEGAL[old]
    if new not in allowed:
        raise IllegalMove(
            f"{version} cannot become {new}",
            expected=f"from {old or 'nothing'} to {' or '.join(sorted(allowed))}",
            found=str(new),
        )
