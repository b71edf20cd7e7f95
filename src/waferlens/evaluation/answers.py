"""The four questions of the exploration, answered in sentences that carry the computed figures.

The rules that turn a figure into a word ("periodic", "localised") stand here as named limits. Nothing is
said that the figures of `exploration` do not hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from waferlens.evaluation.departures import NOTABLE, Departures, Extent
from waferlens.evaluation.exploration import Exploration
from waferlens.evaluation.texture import Texture
from waferlens.evaluation.thresholding import Thresholding
from waferlens.evaluation.wording import percent
from waferlens.records import IMAGE_SIZE

PERIODIC_SHARE, PERIODIC_PROMINENCE = 0.10, 10.0
"""A period dominates when its peak holds a tenth of the power and stands ten times above its ring."""
ALIGNED, UNALIGNED = 0.7, 0.3
DIRECTED_COHERENCE, AXIS_ALIGNED_SHARE = 0.5, 0.44  # 0.44: twice what no preferred direction gives
LOCALISED_AREA, GLOBAL_AREA = 0.10, 0.50
USABLE_AUROC = 0.95
"""The case study's target for a detector: a threshold on brightness "works" when it provably reaches it."""

NUM_PIXELS = IMAGE_SIZE * IMAGE_SIZE

NO_DEFECTS = "Not answerable from these data: no defective image with a drawn mask was given."


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A question, its answer in a few words, and the evidence in sentences."""

    question: str
    short: str
    evidence: str


def answers(found: Exploration) -> tuple[Answer, ...]:
    """The four answers, in the order of the case study's section 3.2."""
    return (
        _texture_answer(found.texture),
        _difference_answer(found.departures),
        _extent_answer(found.extent),
        _threshold_answer(found.thresholding),
    )


def _texture_answer(texture: Texture) -> Answer:
    periodic = texture.peak_share >= PERIODIC_SHARE and texture.peak_prominence >= PERIODIC_PROMINENCE
    if np.isnan(texture.peak_share):
        short = "No texture: the images are constant."
    elif periodic:
        short = f"Lines at {texture.line_angle_deg:.0f}° with a period of {texture.period_px:.1f} pixels."
    else:
        short = f"No single period dominates; {_direction_words(texture)}."
    evidence = (
        f"Over {texture.num_images} normal images the strongest spectral peak (period {texture.period_px:.1f} "
        f"pixels, lines at {texture.line_angle_deg:.0f}° to the horizontal) holds "
        f"{percent(texture.peak_share, 0)} of the power and stands {texture.peak_prominence:.0f} times above the "
        f"median at its frequency. Spectral power varies as frequency to the power {texture.spectral_slope:.1f}. "
        f"Direction coherence is {texture.coherence:.2f}, and {percent(texture.axis_aligned_share, 0)} of the "
        "gradient energy lies along the image axes (22 % without preference). Two images correlate at "
        f"{texture.alignment:.2f} on average: {_alignment_words(texture)}."
    )
    return Answer(question="What is the dominant texture of normal images?", short=short, evidence=evidence)


def _direction_words(texture: Texture) -> str:
    if texture.coherence >= DIRECTED_COHERENCE:
        return "edges share one direction"
    if texture.axis_aligned_share >= AXIS_ALIGNED_SHARE:
        return "edges run along the image axes"
    return "edges have no strong direction"


def _alignment_words(texture: Texture) -> str:
    if texture.alignment >= ALIGNED:
        return "the scene is aligned, so each position has its own normal"
    if texture.alignment >= UNALIGNED:
        return "the scene is partly aligned"
    return "the scene is not aligned, so a model must know the pose"


def _difference_answer(departures: Departures | None) -> Answer:
    question = "How do defective images differ visually from normal ones?"
    if departures is None:
        return Answer(question=question, short="Unknown.", evidence=NO_DEFECTS)
    shares = {
        "brighter": float((departures.brightness > NOTABLE).mean()),
        "darker": float((departures.brightness < -NOTABLE).mean()),
        "changed in contrast": float((departures.contrast > NOTABLE).mean()),
        "richer in edges": float((departures.edges > NOTABLE).mean()),
        "poorer in edges": float((departures.edges < -NOTABLE).mean()),
    }
    hidden = float(
        (
            (np.abs(departures.brightness) <= NOTABLE)
            & (departures.contrast <= NOTABLE)
            & (np.abs(departures.edges) <= NOTABLE)
        ).mean()
    )
    leading = sorted(shares.items(), key=lambda item: -item[1])[:2]
    short = "Most often " + " and ".join(f"{name} ({percent(share, 0)})" for name, share in leading) + "."
    evidence = (
        f"Inside its mask, each of {len(departures.contrast)} defects was compared with "
        f"{departures.num_normals} normal images in the same mask. The median departure is "
        f"{np.median(departures.contrast):+.1f} standard deviations in contrast, "
        f"{np.median(departures.brightness):+.1f} in brightness and "
        f"{np.median(departures.edges):+.1f} in edge strength. Beyond {NOTABLE:.0f} standard deviations: "
        + ", ".join(f"{percent(share, 0)} {name}" for name, share in shares.items())
        + f"; {percent(hidden, 0)} reach it in none of these."
    )
    return Answer(question=question, short=short, evidence=evidence)


def _extent_answer(extent: Extent | None) -> Answer:
    question = "Are the defects localised or global?"
    if extent is None:
        return Answer(question=question, short="Unknown.", evidence=NO_DEFECTS)
    areas, median = extent.area_fractions, float(np.median(extent.area_fractions))
    if median < LOCALISED_AREA:
        short = f"Localised: half of them cover less than {percent(median, 1)} of the image."
    elif median < GLOBAL_AREA:
        short = f"Regional: half of them cover more than {percent(median, 0)} of the image."
    else:
        short = f"Global: half of them cover more than {percent(median, 0)} of the image."
    evidence = (
        f"Mask areas of {len(areas)} images run from {percent(areas.min(), 2)} to {percent(areas.max())} of the "
        f"image, median {percent(median, 2)} ({median * NUM_PIXELS:.0f} pixels); "
        f"{percent((areas < 0.01).mean(), 0)} cover less than 1 % and "
        f"{percent((areas > GLOBAL_AREA).mean(), 0)} more than half. "
        f"{percent((extent.num_regions == 1).mean(), 0)} are a single region; the most fragmented has "
        f"{extent.num_regions.max()}."
    )
    return Answer(question=question, short=short, evidence=evidence)


def _threshold_answer(thresholding: Thresholding | None) -> Answer:
    question = "Would simple thresholding of brightness work as a baseline?"
    if thresholding is None:
        reason = "Not answerable from these data: it takes normal and defective test images."
        return Answer(question=question, short="Unknown.", evidence=reason)
    best = thresholding.auroc[thresholding.best]
    if best.low > USABLE_AUROC:
        short = f"Yes: {thresholding.best} alone reaches an AUROC of {best.value:.3f}."
    elif best.high < USABLE_AUROC:
        short = f"No: the best statistic, {thresholding.best}, reaches an AUROC of only {best.value:.3f}."
    else:
        short = f"Undecided: {thresholding.best} reaches {best.value:.3f}; its interval holds {USABLE_AUROC}."
    listed = ", ".join(
        f"{name} {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
        for name, figure in sorted(thresholding.auroc.items(), key=lambda item: -item[1].value)
    )
    evidence = (
        "AUROC of the distance from the training median, with intervals widened (Bonferroni) so that they "
        f"hold for all {len(thresholding.auroc)} together, whichever is picked: {listed}. To work, a "
        f"statistic would have to lie above {USABLE_AUROC} with its whole interval."
    )
    return Answer(question=question, short=short, evidence=evidence)
