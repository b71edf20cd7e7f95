"""What the tests of this chapter share; made by `evaluation_examples`."""

from dataclasses import replace

import numpy as np
import pytest
from evaluation_examples import grating, make_scored


@pytest.fixture(scope="session")
def scored():
    return make_scored()


@pytest.fixture(scope="session")
def normals_only(scored):
    keep = ~scored.defective
    return replace(
        scored,
        names=tuple(np.array(scored.names)[keep]),
        defect_types=(None,) * int(keep.sum()),
        **{
            field: getattr(scored, field)[keep]
            for field in (
                "defective",
                "masks",
                "has_mask",
                "scores",
                "reconstruction_errors",
                "heatmaps",
                "error_maps",
                "images",
                "reconstructions",
                "latents",
            )
        },
    )


@pytest.fixture(scope="session")
def training_images():
    rng = np.random.default_rng(7)
    return np.stack([grating(rng) for _ in range(24)])
