"""Something to see on every page of the station: lots, a queue, verdicts, known answers, an unnamed defect.

Everything goes the way of the line: images of the synthetic fab are inspected by the running service, and three
people who are right nine times of ten judge them through the queue. Run twice, it does nothing the second time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from waferlens.errors import WaferlensError
from waferlens.images.synth.defects import KNOWN_KINDS, DefectKind
from waferlens.images.synth.fab import FabOptions, SyntheticFab
from waferlens.images.synth.wafer import WAFERS_PER_LOT, lot_name, wafer_name
from waferlens.inspection.pictures import png_bytes
from waferlens.inspection.service import InspectionRequest
from waferlens.records import Label
from waferlens.review.draws import Draws
from waferlens.review.queue import Look
from waferlens.review.saying import Saying
from waferlens.settings.service import FILE_NAME
from waferlens.storage.accounts import Identity, Role
from waferlens.storage.review_stored import Choice, Order
from waferlens.wiring.serve import Service
from waferlens.wiring.told import Told

PASSWORD = "waferlens demo"
PEOPLE = {
    "ann": Role.INSPECTOR,
    "bea": Role.INSPECTOR,
    "cem": Role.INSPECTOR,
    "eve": Role.ENGINEER,
    "ada": Role.ADMIN,
}
NOVEL = DefectKind.RESIDUE
"""The kind that comes up in the last lot and has no class."""

_SETTINGS = """# Another program recorded the streamed days; a start of the service shall not queue their doubts.
catch_up_days = 0

# A young record of a small line: short baselines, its own volume. The budgets are the defaults.
[watch]
baseline_days = 1.0

[watch.drift]
wafers_per_group = 5
baseline_groups = 20
wafers_per_quarter = 14_400

[watch.novel]
images_per_month = 2_500
least_history = 250
"""

_FIRST_WAFER = 300_000  # of no part of a data set
_LOTS, _WAFERS, _POINTS = 3, 3, 24
_KNOWN_POINTS = 16
_MARRED_SHARE, _NOVEL_SHARE = 0.1, 0.3
_RIGHT, _UNSURE, _CONFIRMS = 0.9, 0.04, 0.8
_LOOKS_EACH = 16


@dataclass(frozen=True, kw_only=True)
class _Shot:
    wafer: int
    point: int
    kind: DefectKind | None
    known: bool


def write_settings(home: Path, fab_file: Path) -> None:
    """Settings of the demo's home, unless it has some: where its points lie, and larger shares than a line's.

    A few hundred images would show nothing of an audit of one in five hundred.
    """
    file = home / FILE_NAME
    if file.exists():
        return
    fab = fab_of(fab_file)
    sites = len(fab.options.families) * fab.options.sites_per_family
    file.write_text(
        f"[products.demo]\nnum_points = {fab.layout.num_points}\n\n"
        f"[products.demo.map]\nsites_per_die = {sites}\n\n"
        "[review]\ninclude_reject = true\n"
        "double_share = 0.5\nblind_share = 0.3\naudit_share = 0.1\nknown_share = 0.2\n" + _SETTINGS,
        encoding="utf-8",
    )


def fill_station(service: Service, fab_file: Path, told: Told) -> dict[str, str]:
    """Fill the record of a running service; facts that a newcomer wants to see.

    fab_file: ``fab.json`` of the data that the service's bundle learned from. Raises WaferlensError, OSError.
    """
    known_people = {name: Identity(name=name, role=role) for name, role in PEOPLE.items()}
    names = ", ".join(f"{name} ({role})" for name, role in PEOPLE.items())
    facts = {"sign in": f"as {names}; password: {PASSWORD}"}
    if not _create_people(service):
        return facts
    told.say("inspecting lots for the review station")
    fab = fab_of(fab_file)
    truths = dict(_inspect_all(service, fab, told))
    draws = Draws(b"the demo's people")
    inspectors = [who for who in known_people.values() if who.role is Role.INSPECTOR]
    num_verdicts = sum(_judge(service, who, truths, draws) for who in inspectors)
    _arbitrate(service, known_people["eve"], truths)
    return facts | {"reviewed": f"{num_verdicts} verdicts of {len(inspectors)} inspectors"}


def _create_people(service: Service) -> bool:
    """Whether they were not there before."""
    try:
        for name, role in PEOPLE.items():
            service.record.accounts.create_user(name, role, PASSWORD, "demo")
    except WaferlensError:
        return False
    return True


def fab_of(file: Path) -> SyntheticFab:
    """The fab whose images a data set holds. file: its ``fab.json``."""
    kept = json.loads(file.read_text(encoding="utf-8"))
    return SyntheticFab(FabOptions.model_validate(kept["options"]), kept["seed"])


def _shots(fab: SyntheticFab, draws: Draws) -> Iterator[_Shot]:
    """Three lots, the novel kind in the last one; then a wafer of known answers."""
    step = max(1, fab.layout.num_points // _POINTS)
    for lot in range(_LOTS):
        for number in range(_WAFERS):
            wafer = _FIRST_WAFER + lot * WAFERS_PER_LOT + number
            for point in range(0, step * _POINTS, step):
                yield _Shot(wafer=wafer, point=point, kind=_kind(draws, lot, wafer, point), known=False)
    for number in range(_KNOWN_POINTS):
        kind = KNOWN_KINDS[number // 2 % len(KNOWN_KINDS)] if number % 2 else None
        yield _Shot(wafer=_FIRST_WAFER + _LOTS * WAFERS_PER_LOT, point=number * step, kind=kind, known=True)


def _kind(draws: Draws, lot: int, wafer: int, point: int) -> DefectKind | None:
    address = (str(wafer), str(point))
    if lot == _LOTS - 1 and draws.chosen(_NOVEL_SHARE, "novel", *address):
        return NOVEL
    if not draws.chosen(_MARRED_SHARE, "marred", *address):
        return None
    return KNOWN_KINDS[int(draws.number("kind", *address) * len(KNOWN_KINDS))]


def _inspect_all(service: Service, fab: SyntheticFab, told: Told) -> Iterator[tuple[str, DefectKind | None]]:
    """Inspections with what is true of them; those of the last wafer become known answers."""
    eve = Identity(name="eve", role=Role.ENGINEER)
    shots = list(_shots(fab, Draws(b"the demo's defects")))
    for number, shot in enumerate(shots, start=1):
        inspection_id = _inspect(service, fab, shot)
        told.count(number, len(shots))
        if shot.known:
            truth = Label.NORMAL if shot.kind is None else Label.DEFECTIVE
            name = None if shot.kind is None else str(shot.kind)
            service.review.known.add(
                eve, inspection_id, truth, defect_class=name, source="made by the synthetic fab"
            )
        yield inspection_id, shot.kind


def _inspect(service: Service, fab: SyntheticFab, shot: _Shot) -> str:
    image = fab.render_kind(shot.wafer, shot.point, shot.kind)
    request = InspectionRequest(
        data=png_bytes(Image.fromarray(image.pixels)),
        wafer_id=wafer_name(shot.wafer),
        inspection_point=shot.point,
        station="camera-1",
        lot_id=lot_name(shot.wafer),
        arrived=time.monotonic(),
    )
    return service.inspections.inspect(request).inspection.id


def _judge(service: Service, who: Identity, truths: dict[str, DefectKind | None], draws: Draws) -> int:
    """Some looks of one person, who is right nine times of ten; how many verdicts."""
    num = 0
    while num < _LOOKS_EACH:
        look = service.review.queue.next_look(who, Order.OLDEST)
        if look is None:
            break
        saying = _opinion(look, who, truths, draws)
        key = f"demo-{look.item.id}"
        given = service.review.verdicts.give(who, look.item.id, saying, key=key)
        num += 1
        if not given.verdict.saw_score and draws.chosen(_CONFIRMS, "confirms", look.item.id):
            service.review.verdicts.give(
                who, look.item.id, saying, key=f"{key}-after", supersedes=given.verdict.id
            )
    return num


def _opinion(look: Look, who: Identity, truths: dict[str, DefectKind | None], draws: Draws) -> Saying:
    address = (look.inspection.id, who.name)
    if draws.chosen(_UNSURE, "unsure", *address):
        return Saying(choice=Choice.UNSURE, note="too faint to tell")
    kind = truths.get(look.inspection.id)
    defective = (kind is not None) is draws.chosen(_RIGHT, "right", *address)
    if not defective:
        return Saying(choice=Choice.PASS)
    return Saying(choice=Choice.REJECT, defect_class=str(kind) if kind in KNOWN_KINDS else None)


def _arbitrate(service: Service, who: Identity, truths: dict[str, DefectKind | None]) -> None:
    """Half of what people did not agree on, rightly; the other half waits."""
    for number in range(service.review.queue.waiting().num_arbitrations // 2):
        look = service.review.queue.next_look(who, Order.OLDEST, arbitrations=True)
        if look is None:
            return
        kind = truths.get(look.inspection.id)
        saying = (
            Saying(choice=Choice.PASS)
            if kind is None
            else Saying(choice=Choice.REJECT, defect_class=str(kind) if kind in KNOWN_KINDS else None)
        )
        service.review.verdicts.give(who, look.item.id, saying, key=f"demo-{look.item.id}-{number}")
