"""A small test set with known truth: gratings, square defects, a noisy heatmap that finds most of them."""

import numpy as np

from waferlens.evaluation.scored import ScoredImages

SIZE = 256


def grating(rng, period=16, shift=0.0):
    """A vertical line/space pattern with a little noise, (256, 256) float32 in [0, 1]."""
    columns = np.arange(SIZE) + shift
    image = 0.5 + 0.25 * np.sin(2 * np.pi * columns / period)[None, :] + rng.normal(0, 0.02, (SIZE, SIZE))
    return np.clip(image, 0, 1).astype(np.float32)


def square(row, column, side=20):
    """A (256, 256) mask with one square."""
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[row : row + side, column : column + side] = True
    return mask


def make_scored(seed=0, num_normal=20, strengths=(6.0, 5.0, 4.0, 3.0, 0.1, 0.0), method="example"):
    """Scored images whose defects stand ``strength`` noise deviations out of the heatmap."""
    rng = np.random.default_rng(seed)
    n = num_normal + len(strengths)
    masks = np.zeros((n, SIZE, SIZE), dtype=bool)
    images = np.stack([grating(rng) for _ in range(n)])
    heatmaps = rng.normal(0, 1, (n, SIZE, SIZE)).astype(np.float32)
    for offset, strength in enumerate(strengths):
        index = num_normal + offset
        masks[index] = square(30 + 25 * offset, 40 + 20 * offset, side=12 + 4 * offset)
        images[index][masks[index]] = np.clip(images[index][masks[index]] + 0.05 * strength, 0, 1)
        heatmaps[index][masks[index]] += strength
    reconstructions = np.stack([grating(rng) for _ in range(n)])
    errors = (images - reconstructions) ** 2
    return ScoredImages(
        method=method,
        names=tuple(f"image-{index:03d}.png" for index in range(n)),
        defective=np.arange(n) >= num_normal,
        defect_types=(None,) * num_normal + tuple("ab"[i % 2] for i in range(len(strengths))),
        masks=masks,
        has_mask=np.ones(n, dtype=bool),
        scores=heatmaps.reshape(n, -1).max(axis=1).astype(np.float64),
        reconstruction_errors=errors.reshape(n, -1).mean(axis=1).astype(np.float64),
        heatmaps=heatmaps,
        error_maps=errors,
        images=images,
        reconstructions=reconstructions,
        latents=rng.normal(0, 1, (n, 128)).astype(np.float32),
        num_parameters=1234,
    )
