"""The review pages: one image after the other, a key for each verdict, the next one already there.

The page is drawn once; its script asks for looks and sends verdicts. Of a look that hides its score the answers
hold nothing that the model made, and its pictures are asked for by the item, whose id leads nowhere else.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Request, Response

from waferlens.errors import NotAllowed
from waferlens.review.queue import Look
from waferlens.review.saying import Saying
from waferlens.storage.review_stored import Choice, Order
from waferlens.web.access import caller
from waferlens.web.context import service_of
from waferlens.web.station import looking
from waferlens.web.station.looks import look_answer
from waferlens.web.station.shell import shell_of

router = APIRouter(include_in_schema=False)

ItemId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
Items = Annotated[str, Form(max_length=3300, pattern=r"^([0-9a-f]{32}( |$))*$")]
Key = Annotated[str, Form(max_length=64)]


@router.get("/station/review")
def review(request: Request, order: Order = Order.OLDEST) -> Response:
    """The page of the queue."""
    return _page(request, order, arbitrations=False)


@router.get("/station/arbitration")
def arbitration(request: Request, order: Order = Order.OLDEST) -> Response:
    """The page of what people did not agree on. Raises NotAllowed."""
    service_of(request).review.queue.arbitrations(caller(request), limit=1)
    return _page(request, order, arbitrations=True)


@router.post("/station/review/next")
def next_look(
    request: Request,
    order: Annotated[Order, Form()],
    having: Items = "",
    put_off: Items = "",
    arbitrations: Annotated[bool, Form()] = False,
) -> dict[str, Any]:
    """The next look, claimed; ``look`` is null when nothing waits. waiting: how many more there are."""
    review = service_of(request).review
    look = review.queue.next_look(
        caller(request), order, having=having.split(), put_off=put_off.split(), arbitrations=arbitrations
    )
    waiting = review.queue.waiting()
    return {
        "look": None if look is None else look_answer(request, look),
        "waiting": waiting.num_arbitrations if arbitrations else waiting.num_looks,
    }


@router.get("/station/review/items/{item_id}")
def look_again(request: Request, item_id: ItemId) -> dict[str, Any]:
    """A look that the person has, or has judged."""
    return look_answer(request, _look(request, item_id))


@router.post("/station/review/items/{item_id}/verdict")
def give_verdict(
    request: Request,
    item_id: ItemId,
    choice: Annotated[Choice, Form()],
    key: Key,
    defect_class: Annotated[str, Form(max_length=64)] = "",
    note: Annotated[str, Form(max_length=2000)] = "",
    supersedes: Annotated[str, Form(pattern=r"^([0-9a-f]{32})?$")] = "",
) -> dict[str, Any]:
    """Keep a verdict. reveal: the same look with everything that was hidden until now, else null."""
    review, who = service_of(request).review, caller(request)
    saying = Saying(choice=choice, defect_class=defect_class or None, note=note)
    given = review.verdicts.give(who, item_id, saying, key=key, supersedes=supersedes or None)
    reveal = None if given.verdict.saw_score else look_answer(request, _look(request, item_id))
    return {"verdict": given.verdict.id, "replayed": given.replayed, "reveal": reveal}


@router.post("/station/review/undo")
def undo(request: Request, key: Key) -> dict[str, Any]:
    """Take the last act back. items: those that are asked again, the person first."""
    withdrawn = service_of(request).review.verdicts.undo(caller(request), key=key)
    return {"items": [each.item_id for each in withdrawn], "num_verdicts": len(withdrawn)}


@router.post("/station/review/items/{item_id}/keep")
def keep(request: Request, item_id: ItemId) -> dict[str, int]:
    """Somebody is still looking at it."""
    return {"until_ms": service_of(request).review.queue.keep(caller(request), item_id)}


@router.post("/station/review/items/{item_id}/release", status_code=204)
def release(request: Request, item_id: ItemId) -> None:
    """Somebody else may have it."""
    service_of(request).review.queue.release(caller(request), item_id)


@router.get("/station/review/items/{item_id}/image.png")
def image(request: Request, item_id: ItemId) -> Response:
    """The image of a look."""
    return looking.image(request, _look(request, item_id).inspection.id)


@router.get("/station/review/items/{item_id}/expected.png")
def expected(request: Request, item_id: ItemId) -> Response:
    """What a normal wafer would look like. Raises NotAllowed while the look is blind."""
    return looking.expected(request, _open_look(request, item_id).inspection.id)


@router.get("/station/review/items/{item_id}/deviation.png")
def deviation(request: Request, item_id: ItemId) -> Response:
    """How far the two depart. Raises NotAllowed while the look is blind."""
    return looking.deviation(request, _open_look(request, item_id).inspection.id)


def _page(request: Request, order: Order, *, arbitrations: bool) -> Response:
    service, who = service_of(request), caller(request)
    waiting = service.review.queue.waiting()
    return shell_of(request).page(
        request,
        "review.html.j2",
        order=str(order),
        arbitrations=arbitrations,
        waiting=waiting,
        may_arbitrate=service.review.queue.may_arbitrate(who),
        classes=service.review.taxonomy.in_use(),
        lease_seconds=service.review.options.lease_seconds,
        model_version=service.pool.model_version,
        scale=looking.scale_of_version(service, service.pool.model_version),
    )


def _look(request: Request, item_id: str) -> Look:
    return service_of(request).review.queue.look_at(caller(request), item_id)


def _open_look(request: Request, item_id: str) -> Look:
    look = _look(request, item_id)
    if look.hides_score:
        raise NotAllowed("what the model made of it is shown after the verdict", expected="a verdict first")
    return look
