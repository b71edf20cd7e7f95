"""What follows for a wafer from the decisions on its points. A wafer is never better than what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from waferlens.records import DecisionKind

_NAMED = 8


@dataclass(frozen=True, kw_only=True)
class WaferDecision:
    """The wafer's own PASS, REVIEW or REJECT with its reason. num_expected: None where it is not known."""

    kind: DecisionKind
    reason: str
    num_points: int
    num_expected: int | None

    @property
    def complete(self) -> bool:
        """Whether every expected point was inspected; without a number to expect, whether any was."""
        return self.num_points >= (1 if self.num_expected is None else self.num_expected)


def decide_wafer(points: Mapping[int, DecisionKind], num_expected: int | None) -> WaferDecision:
    """REJECT if any point is; else REVIEW if any point is, or if a point is missing; else PASS.

    points: the last decision on each inspection point.
    """
    rejected, doubtful = (
        sorted(point for point, kind in points.items() if kind is wanted)
        for wanted in (DecisionKind.REJECT, DecisionKind.REVIEW)
    )
    missing = 0 if num_expected is None else num_expected - len(points)
    if rejected:
        kind, reason = DecisionKind.REJECT, f"rejected: {_listed(rejected)}"
    elif doubtful:
        kind, reason = DecisionKind.REVIEW, f"in review: {_listed(doubtful)}"
    elif missing > 0 or not points:
        kind, reason = (
            DecisionKind.REVIEW,
            f"inspected: {len(points)} of {num_expected or 'no known number of'} points",
        )
    else:
        kind, reason = DecisionKind.PASS, f"every one of {len(points)} points passed"
    return WaferDecision(kind=kind, reason=reason, num_points=len(points), num_expected=num_expected)


def _listed(points: list[int]) -> str:
    more = f" and {len(points) - _NAMED} more" if len(points) > _NAMED else ""
    return f"point{'s' if len(points) > 1 else ''} {', '.join(map(str, points[:_NAMED]))}{more}"
