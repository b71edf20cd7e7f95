"""Champion and challenger on the same images: decisions, scores, latency, and where they part. Knows no record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from waferlens.decision.intervals import clopper_pearson
from waferlens.evaluation.image_metrics import image_auroc
from waferlens.storage.challenger_scores import DROPPED, Compared

_QUANTILES = (0.05, 0.5, 0.95, 0.99)
_NUM_LISTED = 200


def comparison_report(images: Sequence[Compared], defective: Mapping[str, bool]) -> dict[str, Any]:
    """Everything that is known of two models from the same images, for JSON.

    defective: by inspection, what people settled. Differences are listed, escapes first: what the challenger
    would have passed although the champion did not.
    """
    both = [each for each in images if each.failure is None and each.score is not None]
    pairs = Counter((each.decision, str(each.challenger_decision)) for each in both)
    num_other = sum(num for (old, new), num in pairs.items() if old != new)
    return {
        "num_images": len(images),
        "num_compared": len(both),
        "num_dropped": sum(each.failure == DROPPED for each in images),
        "num_failed": sum(each.failure not in (None, DROPPED) for each in images),
        "decisions": [
            {"champion": old, "challenger": new, "num": num} for (old, new), num in sorted(pairs.items())
        ],
        "other_decisions": _rate(num_other, len(both)),
        "scores": {
            "champion": _quantiles([each.score for each in both]),
            "challenger": _quantiles([each.challenger_score for each in both]),
            "ks": _ks(both),
        },
        "inference_ms": {
            "champion": _quantiles([each.inference_ms for each in both]),
            "challenger": _quantiles([each.challenger_inference_ms for each in both]),
        },
        "auroc": _aurocs(both, defective),
        "differences": [
            {
                "inspection_id": each.inspection_id,
                "champion": each.decision,
                "challenger": each.challenger_decision,
                "champion_score": each.score,
                "challenger_score": each.challenger_score,
            }
            for each in sorted(both, key=_urgency)
            if each.decision != each.challenger_decision
        ][:_NUM_LISTED],
    }


def _urgency(each: Compared) -> tuple[bool, bool, str]:
    return each.challenger_decision != "PASS", each.decision != "REJECT", each.inspection_id


def _rate(num: int, of: int) -> dict[str, float] | None:
    if not of:
        return None
    low, high = clopper_pearson(num, of)
    return {"num": num, "rate": num / of, "low": low, "high": high}


def _quantiles(values: Sequence[float | None]) -> dict[str, float] | None:
    known = np.asarray([value for value in values if value is not None], dtype=np.float64)
    if not len(known):
        return None
    return {
        f"q{100 * q:g}": float(value) for q, value in zip(_QUANTILES, np.quantile(known, _QUANTILES), strict=True)
    }


def _ks(both: Sequence[Compared]) -> dict[str, float] | None:
    if not both:
        return None
    found = ks_2samp([each.score for each in both], [each.challenger_score for each in both])
    return {"d": float(found.statistic), "p_value": float(found.pvalue)}


def _aurocs(both: Sequence[Compared], defective: Mapping[str, bool]) -> dict[str, Any] | None:
    settled = [each for each in both if each.inspection_id in defective]
    labels = np.asarray([defective[each.inspection_id] for each in settled], dtype=bool)
    if not labels.any() or labels.all():
        return None
    found = {}
    for name, values in (
        ("champion", [each.score for each in settled]),
        ("challenger", [each.challenger_score for each in settled]),
    ):
        found[name] = image_auroc(np.asarray(values, dtype=np.float64), labels).as_dict()
    return {"num_normal": int((~labels).sum()), "num_defective": int(labels.sum()), **found}
