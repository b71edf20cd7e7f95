"""The bound of escapes over the record: PASS images by score, what blind audits found among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from waferlens.errors import DataError, OptionsError
from waferlens.monitoring.escape import EscapeBound, Stratum, escape_bound
from waferlens.monitoring.options import WatchOptions
from waferlens.storage.alarms import AlarmKind, Finding
from waferlens.storage.database import Database
from waferlens.storage.watched import num_defects_found, strata_of_pass
from waferlens.wiring.watch import read_images


def find_escapes(
    database: Database, options: WatchOptions, since_ms: int, until_ms: int
) -> tuple[EscapeBound, list[Stratum], list[Finding]]:
    """The bound of escapes of a period. Audits are drawn alike from all PASS, so every stratum's chance is the
    same.

    Raises DataError when nothing passed.
    """
    images, _ = read_images(database, since_ms, until_ms)
    passed = images.score[images.passed]
    if not len(passed):
        raise DataError("nothing passed in this time", expected="at least one PASS", found="none")
    told = options.escapes
    cuts = np.quantile(passed, [1 - told.share_near - told.share_middle, 1 - told.share_near])
    with database.reading() as connection:
        counts = strata_of_pass(connection, since_ms, until_ms, map(float, cuts))
        num_found = num_defects_found(connection, since_ms, until_ms)
    strata = [
        Stratum(name=name, num_images=c.num_images, num_audits=c.num_audits, num_escapes=c.num_escapes)
        for name, c in zip(("low", "middle", "near the threshold"), counts, strict=True)
    ]
    try:
        bound = escape_bound(strata, num_found=num_found, target=told.target, confidence=told.confidence)
    except OptionsError as error:
        raise DataError("the bound of escapes cannot be computed", found=str(error)) from error
    findings = []
    if bound.num_escapes:
        findings.append(
            Finding(
                kind=AlarmKind.ESCAPES,
                key=f"{bound.num_escapes}",
                title=f"{bound.num_escapes} escapes in {bound.num_audits} blind audits; at most"
                f" {bound.rate_bound:.3%} of PASS images are defective",
                detail={
                    "num_audits": bound.num_audits,
                    "num_escapes": bound.num_escapes,
                    "bound": bound.rate_bound,
                },
                onset_ms=since_ms,
                at_ms=until_ms,
            )
        )
    return bound, strata, findings


def escape_figures(bound: EscapeBound, strata: Sequence[Stratum]) -> dict[str, Any]:
    """For the metrics and the station: the bound, and what was audited of each range of scores."""
    return vars(bound) | {"reached": bound.reached, "strata": [vars(stratum) for stratum in strata]}
