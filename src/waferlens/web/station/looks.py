"""What a browser is sent of a look. This is where a blind one stays blind."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from waferlens.review.queue import Look
from waferlens.storage.review_stored import Purpose, StoredVerdict
from waferlens.web.access import caller
from waferlens.web.context import service_of
from waferlens.web.station.shell import shell_of


def look_answer(request: Request, look: Look) -> dict[str, Any]:
    """A look for the page's script.

    html: what stands beside the image. own: the person's standing verdict on it.
    """
    review = service_of(request).review
    standing = review.verdicts.standing_on(look.inspection.id)
    own = next((each for each in standing if each.item_id == look.item.id), None)
    others = [each for each in standing if each.item_id != look.item.id]
    here = f"/station/review/items/{look.item.id}"
    has_maps = look.inspection.score is not None and not look.hides_score
    return {
        "item": look.item.id,
        "hides_score": look.hides_score,
        "model": "" if look.hides_score else look.inspection.model_version,
        "own": None if own is None else _told(own),
        "pictures": {
            "image": f"{here}/image.png",
            "expected": f"{here}/expected.png" if has_maps else None,
            "deviation": f"{here}/deviation.png" if has_maps else None,
        },
        "html": _beside(request, look, others),
    }


def _beside(request: Request, look: Look, others: list[StoredVerdict]) -> str:
    arbitrates = look.item.purpose is Purpose.ARBITRATION and caller(request).name == look.item.claimed_by
    response = shell_of(request).fragment(
        request,
        "look.html.j2",
        look=look,
        inspection=None if look.hides_score else look.inspection,
        context=service_of(request).review.context.of(look),
        others=others if arbitrates else [],
    )
    return bytes(response.body).decode()


def _told(verdict: StoredVerdict) -> dict[str, Any]:
    return {
        "id": verdict.id,
        "choice": str(verdict.choice),
        "defect_class": verdict.defect_class,
        "saw_score": verdict.saw_score,
    }
