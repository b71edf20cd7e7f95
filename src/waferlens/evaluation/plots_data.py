"""Figures that need no scores: training curves and the grey values of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from waferlens.errors import DataError
from waferlens.evaluation.figures import (
    ACCENT_COLOUR,
    DEFECT_COLOUR,
    INK,
    MUTED,
    NORMAL_COLOUR,
    Picture,
    as_picture,
    label,
    legend,
    new_figure,
)
from waferlens.evaluation.scored import Scores
from waferlens.records import FloatArray

HISTORY_KEYS = ("epoch", "reconstruction", "kl", "total")
"""What each epoch of a training history must hold; `validation_reconstruction` and `beta` are drawn if there."""

NUM_GREY_BINS = 128


def training_figure(history: Sequence[Mapping[str, float]], *, caption: str = "") -> Picture:
    """Reconstruction, KL and total loss in one figure.

    The KL term has a panel of its own: it is a hundred times smaller once settled and would be a flat line.
    Losses in nats an image. Raises DataError when an epoch lacks one of HISTORY_KEYS.
    """
    for row in history:
        missing = [key for key in HISTORY_KEYS if key not in row]
        if missing:
            raise DataError(
                "a training history is incomplete", expected=", ".join(HISTORY_KEYS), found=f"no {missing[0]}"
            )
    figure, (losses, kl) = new_figure(height=3.3, columns=2)
    epochs = [row["epoch"] for row in history]
    losses.plot(epochs, _column(history, "total"), color=INK, linestyle="--", label="total, training")
    losses.plot(epochs, _column(history, "reconstruction"), color=NORMAL_COLOUR, label="reconstruction, training")
    if all("validation_reconstruction" in row for row in history):
        values = _column(history, "validation_reconstruction")
        losses.plot(epochs, values, color=ACCENT_COLOUR, linestyle=":", label="reconstruction, validation")
    kl.plot(epochs, _column(history, "kl"), color=DEFECT_COLOUR)
    if all("beta" in row for row in history):
        weight = kl.twinx()
        weight.plot(epochs, _column(history, "beta"), color=MUTED, linestyle=":", linewidth=1.2)
        weight.set_ylabel("weight β (dotted)", fontsize=9, color=MUTED)
        weight.tick_params(colors=MUTED, labelsize=8)
        weight.spines[:].set_visible(False)
    # While beta is near 0 nothing holds the latent: the first epochs' KL, and with it the total, may be a
    # thousand times the later ones. The losses are cut to where they settle, the KL is on a log axis.
    settled = _column(history, "reconstruction")
    low, high = min(settled), max(settled)
    losses.set_ylim(low - 0.05 * (high - low), high + 0.25 * (high - low) + 1e-9)
    kl.set_yscale("log")
    label(losses, title="Total and reconstruction loss", x="epoch", y="nats an image")
    label(kl, title="KL term (log scale)", x="epoch", y="nats an image")
    legend(losses)
    return as_picture(figure, alt=f"Training losses over {len(history)} epochs", caption=caption)


def _column(history: Sequence[Mapping[str, float]], key: str) -> list[float]:
    return [row[key] for row in history]


def grey_histogram(images: FloatArray) -> Scores:
    """(128,) share of pixels per bin of [0, 1], counted image by image."""
    counts = np.zeros(NUM_GREY_BINS)
    for image in images:
        counts += np.histogram(image, bins=NUM_GREY_BINS, range=(0, 1))[0]
    share: Scores = counts / max(counts.sum(), 1)
    return share


def intensity_figure(train_images: FloatArray, *, caption: str = "") -> Picture:
    """Grey values of the training set: all pixels together, and the spread over images."""
    figure, (pixels, per_image) = new_figure(height=2.9, columns=2)
    centres = (np.arange(NUM_GREY_BINS) + 0.5) / NUM_GREY_BINS
    pixels.fill_between(
        centres, grey_histogram(train_images), color=NORMAL_COLOUR, alpha=0.55, step="mid", linewidth=0
    )
    means = [float(np.mean(image)) for image in train_images]
    stds = [float(np.std(image)) for image in train_images]
    per_image.hist(means, bins=30, color=NORMAL_COLOUR, alpha=0.6, label="mean")
    per_image.hist(stds, bins=30, color=DEFECT_COLOUR, alpha=0.6, label="standard deviation")
    pixels.set_ylim(bottom=0)
    per_image.xaxis.set_major_locator(MaxNLocator(6))
    per_image.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    label(pixels, title="All pixels", x="grey value", y="share of pixels")
    label(per_image, title="Per image", x="grey value", y="images")
    legend(per_image)
    return as_picture(figure, alt="Histograms of grey values of the training set", caption=caption)


def class_intensity_figure(normal: FloatArray, defective: FloatArray, *, caption: str = "") -> Picture:
    """Grey values of normal and defective test images: the two histograms and their difference."""
    figure, (both, difference) = new_figure(height=2.9, columns=2)
    centres = (np.arange(NUM_GREY_BINS) + 0.5) / NUM_GREY_BINS
    normal_share, defect_share = grey_histogram(normal), grey_histogram(defective)
    both.step(centres, normal_share, where="mid", color=NORMAL_COLOUR, label=f"normal ({len(normal)})")
    both.step(centres, defect_share, where="mid", color=DEFECT_COLOUR, label=f"defective ({len(defective)})")
    difference.axhline(0, color=MUTED, linewidth=0.8)
    difference.fill_between(
        centres, defect_share - normal_share, color=DEFECT_COLOUR, alpha=0.5, step="mid", linewidth=0
    )
    label(both, title="Test images", x="grey value", y="share of pixels")
    label(difference, title="Defective minus normal", x="grey value", y="difference of shares")
    legend(both)
    return as_picture(figure, alt="Grey values of normal against defective images", caption=caption)
