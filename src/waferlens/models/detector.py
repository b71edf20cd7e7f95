"""The detector: raw pixels to five outputs in one graph.

This module is what is trained, evaluated, exported and served. Nothing between the camera's pixels and the
score happens outside it, so an engine that reproduces it reproduces the decision.

    pixels ──Normalise──► image ──network──► reconstruction, latent ──UsualError──► usual
                            └─────────ErrorMap(image, reconstruction, usual)──► heatmap, score, error

A network that compares features (``FeatureVAE``) gives a third answer, how far they lie from those expected;
heatmap and score are then made of that. ``UsualError`` says how large an error is usual for such an image.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Discriminator, Tag
from torch import Tensor, nn

from waferlens.models.error_map import ErrorMap, ErrorMapOptions
from waferlens.models.feature_vae import FeatureVAE, FeatureVAEOptions
from waferlens.models.normalise import Normalise, NormaliseOptions
from waferlens.models.pixel_vae import PixelVAE, PixelVAEOptions
from waferlens.models.usual_error import UsualError


def _kind(options: Any) -> str:
    """A network that does not say its kind is a ``pixel-vae``."""
    told = options.get("kind", "pixel-vae") if isinstance(options, dict) else getattr(options, "kind", "")
    return str(told)


NETWORK_KINDS = ("pixel-vae", "feature-vae")
NetworkOptions = Annotated[
    Annotated[PixelVAEOptions, Tag("pixel-vae")] | Annotated[FeatureVAEOptions, Tag("feature-vae")],
    Discriminator(_kind),
]


class DetectorOptions(BaseModel, frozen=True, extra="forbid"):
    """Everything that fixes the graph, short of what is learned."""

    normalise: NormaliseOptions = NormaliseOptions()
    network: NetworkOptions = PixelVAEOptions()
    error_map: ErrorMapOptions = ErrorMapOptions()


class DetectorOutput(NamedTuple):
    """The five outputs, in the order that every export keeps.

    reconstruction: (B, 1, 256, 256) in [0, 1], what a normal wafer would look like here.
    heatmap: (B, 1, 256, 256) in deviations of normal images; may be negative.
    score: (B,) calibrated, higher is more anomalous, never clipped.
    reconstruction_error: (B,) the case study's a(x), mean squared error.
    latent: (B, Z) posterior mean.
    """

    reconstruction: Tensor
    heatmap: Tensor
    score: Tensor
    reconstruction_error: Tensor
    latent: Tensor


class Answer(NamedTuple):
    """What the network makes of an image, before it is judged.

    reconstruction: (B, 1, 256, 256). latent: (B, Z). departure: (B, M, 32, 32), of a network that compares
    features. usual: (B, M, 32, 32), what the error of such an image is divided by; None where nothing tells it.
    """

    reconstruction: Tensor
    latent: Tensor
    departure: Tensor | None
    usual: Tensor | None


OUTPUT_NAMES: tuple[str, ...] = DetectorOutput._fields


class Detector(nn.Module):
    """Preprocessing, network, error map and score as one module. Parts arrive built."""

    def __init__(
        self,
        normalise: Normalise,
        network: nn.Module,
        error_map: ErrorMap,
        usual_error: UsualError | None = None,
    ) -> None:
        """usual_error: None for a network whose latent does not say how large an error is usual."""
        super().__init__()
        self.normalise = normalise
        self.network = network
        self.error_map = error_map
        self.usual_error = usual_error

    def forward(self, pixels: Tensor) -> DetectorOutput:
        """pixels: (B, 1, 256, 256), ``uint8`` or float32 in [0, 1]."""
        image = self.normalise(pixels)
        answer = self.answer(image)
        judged = self.error_map(image, answer.reconstruction, answer.departure, answer.usual)
        return DetectorOutput(
            answer.reconstruction, judged.heatmap, judged.score, judged.reconstruction_error, answer.latent
        )

    def answer(self, image: Tensor) -> Answer:
        """image: (B, 1, 256, 256), normalised."""
        reconstruction, latent, *departure = self.network(image)
        usual = None if self.usual_error is None else self.usual_error(latent)
        return Answer(reconstruction, latent, departure[0] if departure else None, usual)

    @property
    def num_parameters(self) -> int:
        """Learned parameters of the network (calibration statistics are not parameters)."""
        return sum(parameter.numel() for parameter in self.network.parameters())


def build_detector(options: DetectorOptions) -> Detector:
    """An untrained, uncalibrated detector of these options, in evaluation mode."""
    detector = detector_around(build_network(options.network), options)
    detector.usual_error = UsualError(detector.error_map.num_maps)
    return detector.eval()


def detector_around(network: nn.Module, options: DetectorOptions) -> Detector:
    """An uncalibrated detector with this network inside, in evaluation mode; ``options.network`` is not read.

    A network that compares features says in ``num_departures`` how many it gives. Nothing is usual for its latent:
    baselines have none that would tell.
    """
    error_map = ErrorMap(options.error_map, getattr(network, "num_departures", 1))
    return Detector(Normalise(options.normalise), network, error_map).eval()


def build_network(options: PixelVAEOptions | FeatureVAEOptions) -> PixelVAE | FeatureVAE:
    """An untrained network; a backbone has random weights until training or a bundle loads them."""
    return PixelVAE(options) if isinstance(options, PixelVAEOptions) else FeatureVAE(options)
