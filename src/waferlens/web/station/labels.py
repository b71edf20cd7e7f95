"""Defect classes and known answers, as engineers manage them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from waferlens.records import Label
from waferlens.web.access import caller
from waferlens.web.context import service_of
from waferlens.web.station.said import back_to
from waferlens.web.station.shell import shell_of

router = APIRouter(include_in_schema=False)

Name = Annotated[str, Form(max_length=64)]
Inspection = Annotated[str, Form(pattern=r"^[0-9a-f]{32}$")]
_HERE = "/station/classes"


@router.get("/station/classes")
def classes(request: Request) -> Response:
    """Both lists."""
    review = service_of(request).review
    return shell_of(request).page(
        request,
        "classes.html.j2",
        classes=review.taxonomy.all_classes(),
        known=review.known.all_answers(caller(request)),
    )


@router.post("/station/classes/add")
def add_class(request: Request, name: Name, description: Annotated[str, Form(max_length=500)] = "") -> Response:
    """A new class, or a retired one again."""
    added = service_of(request).review.taxonomy.add(caller(request), name, description)
    return back_to(_HERE, f"{added.name} may be given from now on.")


@router.post("/station/classes/retire")
def retire_class(request: Request, name: Name) -> Response:
    """A class is given no more."""
    service_of(request).review.taxonomy.retire(caller(request), name)
    return back_to(_HERE, f"{name} is given no more. Old verdicts keep it.")


@router.post("/station/known/add")
def add_known(
    request: Request,
    inspection_id: Inspection,
    truth: Annotated[Label, Form()],
    source: Annotated[str, Form(max_length=500)],
    defect_class: Name = "",
) -> Response:
    """The answer of an inspection is known."""
    service_of(request).review.known.add(
        caller(request), inspection_id, truth, defect_class=defect_class or None, source=source
    )
    return back_to(_HERE, "Its answer is known; it is asked among the others from now on.")


@router.post("/station/known/retire")
def retire_known(request: Request, inspection_id: Inspection) -> Response:
    """Nobody is asked about it any more."""
    service_of(request).review.known.retire(caller(request), inspection_id)
    return back_to(_HERE, "Nobody is asked about it any more.")
