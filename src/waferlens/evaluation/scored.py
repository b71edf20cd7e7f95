"""What one method said about one test set: the input of every metric, plot and table of this chapter.

Shape legend: N images, 256 x 256 pixels, 128 latents. Knows nothing of networks or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from waferlens.errors import MetricError
from waferlens.records import IMAGE_SIZE, LATENT_DIM, FloatArray

Scores = npt.NDArray[np.float64]
"""One number an image, (N,), float64; higher is more anomalous."""

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class ScoredImages:
    """The images of a test set with everything that one method answered.

    method: name used in tables. names: N unique image names. defective: (N,) bool.
    defect_types: N entries, None for a normal image.
    masks: (N, 256, 256) bool, True on the defect. has_mask: (N,) bool; True for normal images too (their
    mask is empty by definition), False for a defective image whose mask was not drawn.
    scores: (N,) float64, the calibrated score.
    reconstruction_errors: (N,) float64, a(x), the mean squared error.
    heatmaps: (N, 256, 256) float32, calibrated, higher is more anomalous.
    error_maps: (N, 256, 256) float32, squared error h(x).
    images, reconstructions: (N, 256, 256) float32 in [0, 1], as the network saw and rebuilt them.
    latents: (N, 128) float32. num_parameters: learned parameters of the method.
    Arrays may be memory maps; nothing is copied.

    Raises MetricError when a shape disagrees, a score is not finite or a normal image has mask pixels.
    """

    method: str
    names: tuple[str, ...]
    defective: BoolArray
    defect_types: tuple[str | None, ...]
    masks: BoolArray
    has_mask: BoolArray
    scores: Scores
    images: FloatArray
    num_parameters: int
    reconstruction_errors: Scores | None = None
    heatmaps: FloatArray | None = None
    error_maps: FloatArray | None = None
    reconstructions: FloatArray | None = None
    latents: FloatArray | None = None

    def __post_init__(self) -> None:
        n = len(self.names)
        if n == 0:
            raise MetricError(f"{self.method}: there is nothing to evaluate", expected="images", found="none")
        if len(set(self.names)) != n:
            raise MetricError(f"{self.method}: image names repeat", expected=f"{n} unique names")
        for field, shape in self._expected_shapes(n).items():
            value = getattr(self, field)
            if value is not None and np.shape(value) != shape:
                raise MetricError(
                    f"{self.method}: {field} has another shape than the image names call for",
                    expected=str(shape),
                    found=str(np.shape(value)),
                )
        self._require_finite("scores")
        self._require_finite("reconstruction_errors")
        self._require_labels_agree()

    @property
    def num_images(self) -> int:
        """N."""
        return len(self.names)

    @property
    def has_both_classes(self) -> bool:
        """Whether there is at least one normal and one defective image."""
        return bool(self.defective.any() and not self.defective.all())

    @staticmethod
    def _expected_shapes(n: int) -> dict[str, tuple[int, ...]]:
        per_image = ("defective", "defect_types", "has_mask", "scores", "reconstruction_errors")
        maps = ("masks", "images", "heatmaps", "error_maps", "reconstructions")
        return {
            **dict.fromkeys(per_image, (n,)),
            **dict.fromkeys(maps, (n, IMAGE_SIZE, IMAGE_SIZE)),
            "latents": (n, LATENT_DIM),
        }

    def _require_finite(self, field: str) -> None:
        values = getattr(self, field)
        if values is None:
            return
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise MetricError(
                f"{self.method}: {field} must be finite",
                expected="finite numbers",
                found=f"{values[bad[0]]} for {self.names[bad[0]]}, {bad.size} in all",
            )

    def _require_labels_agree(self) -> None:
        for index in np.flatnonzero(~self.defective):
            if not self.has_mask[index] or self.masks[index].any():
                raise MetricError(
                    f"{self.method}: a normal image has an empty mask by definition",
                    expected="has_mask True and no mask pixel",
                    found=f"{self.names[index]} with {int(self.masks[index].sum())} mask pixels",
                )
        for index in np.flatnonzero(self.defective & self.has_mask):
            if not self.masks[index].any():
                raise MetricError(
                    f"{self.method}: a drawn mask marks at least one pixel",
                    expected="mask pixels, or has_mask False",
                    found=f"an empty mask for {self.names[index]}",
                )
