"""From posted bytes to a judgement that is never PASS by accident: what goes wrong becomes REVIEW with its reason.

The one exception is a full queue: it is said before any work is done, and the caller asks again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from waferlens.decision.decide import decide
from waferlens.decision.thresholds import Thresholds
from waferlens.errors import DeadlineMissed, EngineError, ImageError, Overloaded, WaferlensError
from waferlens.images.formats import read_image
from waferlens.inspection.facts import KnownModels, ModelFacts
from waferlens.inspection.lull import Lull
from waferlens.inspection.ports import InferencePool, Router
from waferlens.records import Decision, DecisionKind, Inference, Pixels

_SWAPS_OUTLIVED = 3


@dataclass(frozen=True, kw_only=True)
class Product:
    """A product that the service may inspect. num_points: of each wafer; None where any point is accepted."""

    num_points: int | None = None


@dataclass(kw_only=True)
class Judgement:
    """What is known of one image so far. Stages fill it; what is missing at the end was not reached.

    timings: milliseconds of each stage. began_ns: when it first began, since 1970.
    """

    facts: ModelFacts
    thresholds: Thresholds
    decision: Decision = field(
        default_factory=lambda: Decision(kind=DecisionKind.REVIEW, confidence=0.0, reason="not inspected")
    )
    failure: str | None = None
    pixels: Pixels | None = None
    inference: Inference | None = None
    p_value: float | None = None
    timings: dict[str, float] = field(default_factory=dict)
    began_ns: dict[str, int] = field(default_factory=dict)

    def fail(self, failure: str, reason: str) -> None:
        """REVIEW, for this reason."""
        self.failure = failure
        self.decision = Decision(kind=DecisionKind.REVIEW, confidence=0.0, reason=_printable(reason))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the milliseconds of the block to its stage."""
        self.began_ns.setdefault(stage, time.time_ns())
        started = time.perf_counter()
        try:
            yield
        finally:
            self.timings[stage] = self.timings.get(stage, 0.0) + 1e3 * (time.perf_counter() - started)


class FailSafe:
    """Decodes, infers, decides."""

    def __init__(
        self,
        pool: InferencePool,
        models: KnownModels,
        products: Mapping[str, Product],
        lull: Lull | None = None,
        router: Router | None = None,
    ) -> None:
        """products: by name; empty where every product and point is accepted. lull: is told of each inference.

        router: says which model decides on a wafer; None: always the pool's.
        """
        self._router = router
        self._pool, self._models, self._products = pool, models, products
        self._lull = lull or Lull()

    def judge(
        self, data: bytes, *, product: str | None, point: int, deadline: float, wafer_id: str = ""
    ) -> Judgement:
        """The judgement on one image file. Raises Overloaded and nothing else."""
        pool = self._pool if self._router is None else self._router.engine_for(wafer_id)
        version = pool.model_version
        judged = Judgement(facts=self._models.of(version), thresholds=self._models.thresholds_of(version))
        try:
            self._judge(judged, pool, data, product, point, deadline)
        except Overloaded:
            raise
        except ImageError as error:
            judged.fail("image", str(error))
        except DeadlineMissed as error:
            judged.fail("deadline", str(error))
        except EngineError as error:
            judged.fail("engine", str(error))
        except Exception as error:  # a fault of this program must not pass a wafer either
            judged.fail("internal", str(error) if isinstance(error, WaferlensError) else repr(error))
        return judged

    def _judge(
        self,
        judged: Judgement,
        pool: InferencePool,
        data: bytes,
        product: str | None,
        point: int,
        deadline: float,
    ) -> None:
        unknown = self._unknown(product, point)
        if unknown is not None:
            judged.fail(*unknown)
            return
        with judged.timed("preprocess"):
            judged.pixels = read_image(data, judged.facts.images, name="image")
        with judged.timed("inference"):
            inference = self._infer(judged, pool, judged.pixels, deadline)
        with judged.timed("decision"):
            decided_on = float(getattr(inference, judged.thresholds.score_name))
            if not math.isfinite(decided_on) or not np.isfinite(inference.latent).all():
                judged.fail("score", "the network gave no finite answer")
                return
            judged.inference = inference
            judged.p_value = judged.facts.p_value(decided_on)
            judged.decision = decide(decided_on, judged.thresholds)

    def _infer(self, judged: Judgement, pool: InferencePool, pixels: Pixels, deadline: float) -> Inference:
        """The answer of a pool, with the facts of the very model that gave it, also while models change."""
        for _ in range(_SWAPS_OUTLIVED):
            version = pool.model_version
            self._lull.begins()
            inference = pool.infer(pixels, deadline)
            if time.monotonic() > deadline:
                raise DeadlineMissed("the answer came too late")
            # A pool may name the model of each answer; if not, the model must have stayed the same.
            if inference.model_version or pool.model_version == version:
                version = inference.model_version or version
                judged.facts, judged.thresholds = self._models.of(version), self._models.thresholds_of(version)
                return inference
        raise EngineError("the model changed again and again during one image")

    def _unknown(self, product: str | None, point: int) -> tuple[str, str] | None:
        if not self._products:
            return None
        if product is None and len(self._products) == 1:
            product = next(iter(self._products))
        known = self._products.get(product or "")
        if known is None:
            return "product", f"unknown product; expected {', '.join(self._products)}; found {product}"
        if known.num_points is not None and point >= known.num_points:
            return "point", f"unknown inspection point; expected 0 to {known.num_points - 1}; found {point}"
        return None


def _printable(text: str) -> str:
    """One line that every database takes: what a hostile file brings into a message may be no text at all."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))[:500]
