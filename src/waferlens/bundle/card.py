"""The model card of a bundle: what it is, what it learned from, what it is not. Figures only, no promises."""

from __future__ import annotations

from typing import Any

from waferlens.bundle.contents import BundleConfig
from waferlens.decision.thresholds import Thresholds


def model_card(
    config: BundleConfig,
    thresholds: Thresholds,
    metrics: dict[str, Any],
    parity: dict[str, Any],
    provenance: dict[str, Any],
) -> str:
    """Markdown for people."""
    engines = "\n".join(
        f"| {entry['engine']} | {entry['max_difference']:.1e} | {entry['bound']:g} | "
        f"{entry['num_other_decisions']} of {entry['num_images']} | {'yes' if entry['passed'] else 'NO'} |"
        for entry in parity["engines"]
    )
    return f"""# {config.name} {config.version}

A `{config.detector["network"]["kind"]}` detector of {config.num_parameters:,} parameters for 256x256 grey images,
trained on normal images alone. {config.recipe.get("description", "")}

## Learned from

- {metrics["num_training_images"]:,} normal images for training, {metrics["num_held_out_images"]:,} held out for
  early stopping, calibration and thresholds.
- Data fingerprint `{provenance["data_fingerprint"][:16]}`, seed {config.seed}.
- Best epoch {metrics["best_epoch"] + 1} of {metrics["num_epochs"]}: reconstruction loss on held-out normals
  {metrics["validation_reconstruction"]:,.1f} nats per image.
{_damage(config)}{_bank(config)}
## Decides

On `{thresholds.score_name}`: PASS below {thresholds.review:.4g}, REJECT from {thresholds.reject:.4g}, REVIEW
between. Policy `{thresholds.policy}`: {_policy(thresholds)}

Confidence is the probability that the same place, imaged again, gets the same decision (deviation of the score on
re-imaging: {thresholds.repeatability:.3g}).

## Runs on

Default engine: **{parity["default_engine"]}**. Score differences are in standard deviations of normal scores.

| engine | largest difference | bound | other decisions | passed |
| --- | --- | --- | --- | --- |
{engines}

## Is not

No real defect was seen in training, calibration or choice of thresholds: what share of defects it misses is not
known from this bundle. `waferlens evaluate` measures it on labelled images, with intervals.
"""


def _damage(config: BundleConfig) -> str:
    """What the discriminator was shown, a line; nothing where there is none."""
    if not config.detector.get("discriminator", {}).get("enabled", False):
        return ""
    num_images = config.recipe["damage"]["num_images"]
    return (
        f"- {num_images:,} training images with random damage, shown to the discriminator. "
        "None of it is a real defect.\n"
    )


def _bank(config: BundleConfig) -> str:
    """What is kept of normal images, a line; nothing where there is no bank of features."""
    bank = config.detector.get("feature_bank", {})
    if bank.get("enabled", False) is not True:
        return ""
    return f"- A bank of {bank['size']:,} feature vectors of normal images judges beside the network.\n"


def _policy(thresholds: Thresholds) -> str:
    if thresholds.policy == "fixed":
        return "both numbers were given by the recipe."
    notes = [
        f"{rate:.2%} of new normal images reach {name}{' (extrapolated)' if extrapolated else ''}"
        for name, rate, extrapolated in (
            ("REVIEW or REJECT", thresholds.review_overkill_rate, thresholds.review_extrapolated),
            ("REJECT", thresholds.reject_overkill_rate, thresholds.reject_extrapolated),
        )
        if rate is not None
    ]
    return f"{'; '.join(notes)}. Learned from {thresholds.num_normals:,} held-out normal images."
