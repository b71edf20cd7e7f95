"""A test set of which only scores, types, latents or heatmaps matter, small to write down in a test."""

import numpy as np

from waferlens.evaluation.scored import ScoredImages

SIZE = 256


def make_plain(types, scores=None, latents=None, heatmaps=None):
    """types: one entry an image, None for a normal one. latents: (N, at most 128), filled up with zeros."""
    n = len(types)
    blank = np.zeros((n, SIZE, SIZE), dtype=np.float32)
    defective = np.array([name is not None for name in types])
    if latents is not None:
        latents = np.pad(np.asarray(latents, dtype=np.float32), ((0, 0), (0, 128 - np.shape(latents)[1])))
    return ScoredImages(
        method="plain",
        names=tuple(f"image-{index:03d}" for index in range(n)),
        defective=defective,
        defect_types=tuple(types),
        masks=blank.astype(bool),
        has_mask=~defective,
        scores=np.arange(n, dtype=np.float64) if scores is None else np.asarray(scores, dtype=np.float64),
        images=blank,
        num_parameters=0,
        latents=latents,
        heatmaps=heatmaps,
    )


def shuffled(scored, seed=0):
    """The same images in another order."""
    order = np.random.default_rng(seed).permutation(scored.num_images)
    return make_plain(
        [scored.defect_types[index] for index in order],
        scored.scores[order],
        None if scored.latents is None else scored.latents[order],
        None if scored.heatmaps is None else scored.heatmaps[order],
    )


def blobs(num_normal=12, num_each=8, distance=30.0, seed=0):
    """(types, latents): normals around the origin, three types each ``distance`` away in its own direction."""
    rng = np.random.default_rng(seed)
    types = [None] * num_normal + [name for name in ("crack", "dent", "stain") for _ in range(num_each)]
    latents = rng.normal(0, 1, (len(types), 16))
    for number in range(3):
        start = num_normal + number * num_each
        latents[start : start + num_each, number] += distance
    return types, latents
