"""A production line in small: a pool that needs no network, and a whole service over it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from waferlens.decision.thresholds import Thresholds
from waferlens.errors import DeadlineMissed, Overloaded
from waferlens.images.options import ImageOptions
from waferlens.inspection.facts import ModelFacts
from waferlens.inspection.heatmap import HeatScale
from waferlens.records import Inference
from waferlens.settings.service import ServiceSettings
from waferlens.storage.accounts import Role
from waferlens.web.app import build_app
from waferlens.web.client import Client
from waferlens.web.server import serving
from waferlens.wiring.record import Record, open_record
from waferlens.wiring.serve import Service, start_service

VERSION = "vae-wafer-line-v1.0.0"


def facts(version: str = VERSION, review: float = 2.0, reject: float = 4.0) -> ModelFacts:
    return ModelFacts(
        version=version,
        product="line",
        images=ImageOptions(),
        thresholds=Thresholds(
            policy="normals",
            score_name="score",
            review=review,
            reject=reject,
            repeatability=0.1,
            num_normals=4,
            review_overkill_rate=0.05,
            reject_overkill_rate=0.001,
            review_extrapolated=True,
            reject_extrapolated=True,
        ),
        normal_scores=np.asarray([0.0, 0.5, 1.0, 1.5]),
        scale=HeatScale(top=10.0, review=2.0, reject=4.0),
        bundle=Path("line"),
    )


@dataclass
class BrightnessPool:
    """The score is the mean grey value over 50: dark passes, grey is in doubt, white is rejected."""

    model_version: str = VERSION
    ready: bool = True
    delay_seconds: float = 0.0
    broken: Exception | None = None
    score: float | None = None
    names_its_model: bool = False

    def infer(self, pixels: np.ndarray, deadline: float) -> Inference:
        if self.broken is not None:
            raise self.broken
        version = self.model_version
        time.sleep(self.delay_seconds)
        if time.monotonic() > deadline:
            raise DeadlineMissed("too late")
        full_scale = float(np.iinfo(pixels.dtype).max)
        grey = pixels.astype(np.float32) / full_scale
        score = float(grey.mean() * 255 / 50) if self.score is None else self.score
        return Inference(
            reconstruction=grey,
            heatmap=grey * 10,
            score=score,
            reconstruction_error=score / 100,
            latent=np.full(128, score, np.float32),
            model_version=version if self.names_its_model else "",
        )

    def swap(self, bundle: Path) -> None:
        self.model_version = bundle.name

    def close(self) -> None:
        self.ready = False


FULL = Overloaded("no room")


def png(grey: int = 20, side: int = 256, seed: int | None = None) -> bytes:
    """An image whose mean grey value is about ``grey``; PASS below 100, REVIEW below 200, then REJECT."""
    pixels = np.full((side, side), grey, np.uint8)
    if seed is not None:
        noise = np.random.default_rng(seed).integers(-9, 10, pixels.shape)
        pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def multipart(images: dict[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """The body of a whole wafer, one file a point, and its header."""
    parts = b"".join(
        b'--B\r\nContent-Disposition: form-data; name="%s"; filename="x"\r\n\r\n%s\r\n' % (name.encode(), data)
        for name, data in images.items()
    )
    return parts + b"--B--\r\n", {"Content-Type": "multipart/form-data; boundary=B"}


@contextmanager
def a_service(
    home: Path, pool: object | None = None, settings: ServiceSettings | None = None, record: Record | None = None
) -> Iterator[Service]:
    service = start_service(
        facts(), record or open_record(home), settings or ServiceSettings(), pool or BrightnessPool()
    )
    try:
        yield service
    finally:
        service.close()


@dataclass(frozen=True)
class Served:
    """A service that listens on loopback, with a key for every role."""

    url: str
    service: Service
    keys: dict[Role, str]

    def client(self, role: Role = Role.STATION) -> Client:
        return Client(self.url, self.keys[role])


@contextmanager
def listening(service: Service) -> Iterator[Served]:
    """The real server in a thread of this process."""
    keys = {role: service.record.accounts.create_key(f"a-{role}", role, "tests") for role in Role}
    with serving(build_app(service)) as url:
        yield Served(url=url, service=service, keys=keys)


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)
