"""The Python API: ``Detector.load(bundle).inspect(array)``. Also what ``waferlens inspect`` uses."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from waferlens.bundle.contents import BundleConfig, load_config, load_reference, load_thresholds
from waferlens.bundle.signature import verify_trusted
from waferlens.decision.decide import decide
from waferlens.decision.thresholds import Scores, Thresholds, p_values
from waferlens.engines.interface import Engine
from waferlens.engines.parity import default_engine
from waferlens.engines.runtimes import open_engine
from waferlens.errors import ImageContentError, ImageDepthError
from waferlens.images.formats import read_image
from waferlens.images.geometry import to_canonical_size
from waferlens.records import Inference, Inspection, Pixels


class Inspector:
    """A bundle ready to inspect images, one at a time. Not shared between threads.

    >>> from waferlens import Detector                                # doctest: +SKIP
    >>> detector = Detector.load("bundles/demo")                      # doctest: +SKIP
    >>> inspection = detector.inspect(array)                          # doctest: +SKIP
    >>> inspection.decision.kind, inspection.inference.score          # doctest: +SKIP
    """

    def __init__(
        self, engine: Engine, config: BundleConfig, thresholds: Thresholds, normal_scores: Scores
    ) -> None:
        """Parts arrive built; see ``load``. normal_scores: (n,) of held-out normals, for p-values."""
        self.engine = engine
        self.config = config
        self.thresholds = thresholds
        self._normal_scores = normal_scores

    @classmethod
    def load(
        cls, bundle: Path | str, *, engine: str | None = None, threads: int = 1, public_key: Path | None = None
    ) -> Self:
        """Verify a bundle's hashes, and its signature if a key is given; open ``engine``, or its own default.

        Raises BundleError when the bundle is not what was saved, EngineError when the engine cannot run it.
        """
        folder = Path(bundle)
        verify_trusted(folder, public_key)
        thresholds, reference = load_thresholds(folder), load_reference(folder)
        scores = reference.scores if thresholds.score_name == "score" else reference.reconstruction_errors
        running = open_engine(engine or default_engine(folder), folder, threads=threads)
        return cls(running, load_config(folder), thresholds, scores)

    def inspect(self, image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], name: str = "array") -> Inspection:
        """Infer and decide on one grey image.

        image: (H, W) uint8, or uint16 of the full 16-bit scale; cropped and resized as the recipe says.
        Raises ImageError when the recipe does not accept it.
        """
        if image.ndim != 2 or image.dtype not in (np.uint8, np.uint16):
            raise ImageDepthError(
                f"{name}: not a grey image",
                expected="(H, W) uint8 or uint16",
                found=f"{image.shape} {image.dtype}",
            )
        return self.inspect_pixels(to_canonical_size(image, self.config.images, name), name)

    def inspect_file(self, source: Path | bytes, name: str | None = None) -> Inspection:
        """The same for a file or its bytes (PNG, TIFF, JPEG, BMP). Raises ImageError."""
        label = name or (str(source) if isinstance(source, Path) else "image")
        return self.inspect_pixels(read_image(source, self.config.images, name=label), label)

    def inspect_pixels(self, pixels: Pixels, name: str) -> Inspection:
        """The same for canonical pixels (256, 256)."""
        started = time.perf_counter()
        outputs = self.engine.infer(pixels[None])
        elapsed = time.perf_counter() - started
        decided_on = float(getattr(outputs, self.thresholds.score_name)[0])
        if not np.isfinite(outputs.latent).all():
            raise ImageContentError(f"{name}: the network gave no finite answer", expected="finite numbers")
        return Inspection(
            name=name,
            inference=Inference(
                reconstruction=outputs.reconstruction[0, 0],
                heatmap=outputs.heatmap[0, 0],
                score=float(outputs.score[0]),
                reconstruction_error=float(outputs.reconstruction_error[0]),
                latent=outputs.latent[0],
            ),
            decision=decide(decided_on, self.thresholds),
            p_value=float(p_values(np.asarray([decided_on]), self._normal_scores)[0]),
            model_version=f"{self.config.name}-{self.config.version}",
            inference_time_ms=1e3 * elapsed,
        )
