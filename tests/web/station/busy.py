"""A station with everything on it: the tiny detector, lots of the synthetic fab, defects, a queue, people."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

import line
from waferlens.images.synth.defects import DefectKind
from waferlens.images.synth.fab import FabOptions, SyntheticFab
from waferlens.images.synth.patterns import Family
from waferlens.images.synth.wafer import lot_name, wafer_name
from waferlens.inspection.facts import load_facts
from waferlens.inspection.places import MapOptions
from waferlens.review.policy import ReviewOptions
from waferlens.settings.service import ProductOptions, ServiceSettings, StationOptions, load_service_settings
from waferlens.storage.accounts import Role
from waferlens.wiring.engine import open_timed_engine
from waferlens.wiring.record import open_record
from waferlens.wiring.serve import Service, start_service

PASSWORD = "correct horse battery staple"
PEOPLE = {"ann": Role.INSPECTOR, "bea": Role.INSPECTOR, "eve": Role.ENGINEER, "ada": Role.ADMIN}
PRODUCT, NUM_POINTS = "tiny", 57
WAFERS = (100, 101, 125, 126, 127)
MARRED = {
    (100, 5): DefectKind.SCRATCH, (101, 9): DefectKind.PATTERN_SHIFT, (125, 12): DefectKind.PARTICLE,
    (126, 3): DefectKind.RESIDUE, (126, 21): DefectKind.RESIDUE, (127, 3): DefectKind.RESIDUE,
    (127, 30): DefectKind.SCRATCH,
}  # fmt: skip
SETTINGS = ServiceSettings(
    products={PRODUCT: ProductOptions(num_points=NUM_POINTS, map=MapOptions(sites_per_die=1))},
    review=ReviewOptions(audit_share=0.06, blind_share=0.4),
    station=StationOptions(idle_minutes=20),
)


def images() -> dict[tuple[int, int], bytes]:
    """PNG files by wafer and point: every third point of some wafers, and the marred ones."""
    fab = SyntheticFab(FabOptions(families=(Family.GRATING,)), seed=3)
    drawn = {}
    for wafer in WAFERS:
        for point in sorted({*range(0, NUM_POINTS, 3), *(p for w, p in MARRED if w == wafer)}):
            kind = MARRED.get((wafer, point))
            made = fab.render_kind(wafer, point, kind)
            file = io.BytesIO()
            Image.fromarray(made.pixels).save(file, "PNG")
            drawn[wafer, point] = file.getvalue()
    return drawn


def send(served: line.Served, drawn: dict[tuple[int, int], bytes], prefix: str = "") -> list[dict]:
    """Post them as a camera would; the answers."""
    camera = served.client(Role.STATION)
    answers = [
        camera.inspect(data, prefix + wafer_name(wafer), point, product=PRODUCT, lot_id=lot_name(wafer))
        for (wafer, point), data in drawn.items()
    ]
    camera.close()
    line.wait_until(lambda: served.service.renderer.num_pending() == 0, seconds=60)
    return answers


@contextmanager
def a_real_service(home: Path, bundle: Path, settings: ServiceSettings = SETTINGS) -> Iterator[Service]:
    service = start_service(load_facts(bundle), open_record(home), settings, open_timed_engine(bundle))
    try:
        for name, role in PEOPLE.items():
            service.record.accounts.create_user(name, role, PASSWORD, "tests")
        yield service
    finally:
        service.close()


@contextmanager
def a_demo_station(folder: Path) -> Iterator[line.Served]:
    """What ``waferlens demo`` left, served again."""
    home, bundle = folder / "service", folder / "bundle"
    service = start_service(
        load_facts(bundle), open_record(home), load_service_settings(home), open_timed_engine(bundle)
    )
    try:
        with line.listening(service) as served:
            yield served
    finally:
        service.close()
