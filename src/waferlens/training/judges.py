"""Decides from the number of training images what judges beside the network.

A discriminator learns from what the network leaves of training images, damaged and not. Of a few dozen the network
leaves next to nothing, for it knows them by heart; what it leaves of new normal images then looks like damage. A
bank of normal features keeps what it is shown, and is the better judge there.
"""

from __future__ import annotations

from waferlens.models.detector import DetectorOptions


def settled_judges(options: DetectorOptions, num_training: int) -> DetectorOptions:
    """The options with discriminator and bank of features, where left to be decided, set to true or false."""
    judge, bank = options.discriminator, options.feature_bank
    if judge.enabled == "auto":
        judge = judge.model_copy(update={"enabled": num_training >= judge.at_least})
    if bank.enabled == "auto":
        over_features = options.network.kind == "feature-vae"
        bank = bank.model_copy(update={"enabled": over_features and num_training < bank.fewer_than})
    return options.model_copy(update={"discriminator": judge, "feature_bank": bank})
