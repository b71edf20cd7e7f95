"""What the review is told: which share of the images goes where, how long a claim lasts, the defect classes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

CASE_STUDY_CLASSES = {
    "scratch": "a line that does not belong to the pattern",
    "particle": "foreign matter on the surface",
    "pattern_shift": "a part of the pattern lies where it should not",
    "bridge": "two structures are joined that should not be",
    "open": "a structure is interrupted",
}
"""The five types that a line's inspectors already name, with what each means."""


class ReviewOptions(BaseModel, frozen=True, extra="forbid"):
    """The policy of the review. Shares are drawn with a secret of the record, for each inspection anew."""

    include_reject: bool = Field(False, description="whether rejected images are looked at too, not only REVIEW")
    double_share: float = Field(0.1, ge=0, le=1, description="of doubtful images that two people look at")
    blind_share: float = Field(0.2, ge=0, le=1, description="of doubtful images shown without score and heatmap")
    audit_share: float = Field(0.002, ge=0, le=1, description="of passed images that are looked at again, blind")
    known_share: float = Field(
        0.02, ge=0, le=1, description="of looks beside which one of a known answer is asked"
    )
    arbiter: Literal["engineer", "anybody"] = Field(
        "engineer", description="who decides where people differ; nobody who has judged the image"
    )
    lease_seconds: float = Field(300.0, ge=1, le=86_400, description="until an item that was left waits again")
    held_at_once: int = Field(3, ge=1, le=20, description="items that one person may have: one seen, others ahead")
    undo_seconds: float = Field(900.0, ge=0, le=86_400, description="in which a verdict can be taken back")
    catch_up_days: float = Field(
        7.0, ge=0, description="at start, inspections of so many days that another program recorded are admitted"
    )
    similar_images: int = Field(
        20_000, ge=100, le=200_000, description="settled images that are searched for similar ones"
    )
    classes: dict[str, str] = Field(
        default_factory=lambda: dict(CASE_STUDY_CLASSES),
        description="defect classes of a new record, each with what it means; later the station manages them",
    )
