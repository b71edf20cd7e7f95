"""The detector: raw pixels to five outputs in one graph.

This module is what is trained, evaluated, exported and served. Nothing between the camera's pixels and the
score happens outside it, so an engine that reproduces it reproduces the decision.

    pixels ──Normalise──► image ──network──► reconstruction, latent ──UsualError──► usual
                            └─────────ErrorMap(image, reconstruction, usual)──► heatmap, score, error

A network that compares features (``FeatureVAE``) gives a third answer, how far they lie from those expected;
heatmap and score are then made of that. ``UsualError`` says how large an error is usual for such an image. Where
there is a ``Discriminator``, it says of every cell how much what the network expects and what it found look like
damage; where there is a ``FeatureBank``, how far it is from anything normal. Heatmap and score are means of these.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Tag, model_validator
from pydantic import Discriminator as ToldBy
from torch import Tensor, nn

from waferlens.models.discriminator import Discriminator, DiscriminatorOptions
from waferlens.models.error_map import ErrorMap, ErrorMapOptions
from waferlens.models.feature_bank import FeatureBank, FeatureBankOptions
from waferlens.models.feature_vae import FeatureVAE, FeatureVAEOptions
from waferlens.models.normalise import Normalise, NormaliseOptions
from waferlens.models.pixel_vae import PixelVAE, PixelVAEOptions
from waferlens.models.usual_error import UsualError


def _kind(options: Any) -> str:
    """A network that does not say its kind is a ``pixel-vae``."""
    told = options.get("kind", "pixel-vae") if isinstance(options, dict) else getattr(options, "kind", "")
    return str(told)


NetworkOptions = Annotated[
    Annotated[PixelVAEOptions, Tag("pixel-vae")] | Annotated[FeatureVAEOptions, Tag("feature-vae")],
    ToldBy(_kind),
]


class DetectorOptions(BaseModel, frozen=True, extra="forbid"):
    """Everything that fixes the graph, short of what is learned."""

    normalise: NormaliseOptions = NormaliseOptions()
    network: NetworkOptions = PixelVAEOptions()
    error_map: ErrorMapOptions = ErrorMapOptions()
    discriminator: DiscriminatorOptions = DiscriminatorOptions()
    feature_bank: FeatureBankOptions = FeatureBankOptions()

    @model_validator(mode="after")
    def _features_to_keep(self) -> DetectorOptions:
        if self.feature_bank.enabled is True and self.network.kind != "feature-vae":
            raise ValueError(f"a bank of features needs a feature-vae, not a {self.network.kind}")
        return self


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
    evidence: (B, F, 32, 32), what a network that compares features shows a discriminator. distance, suspicion:
    (B, 1, 32, 32), of a bank of features and of a discriminator; None where there is none.
    """

    reconstruction: Tensor
    latent: Tensor
    departure: Tensor | None
    usual: Tensor | None
    evidence: Tensor | None
    distance: Tensor | None
    suspicion: Tensor | None

    @property
    def judged(self) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
        """What ``ErrorMap`` takes beside the image, in its order."""
        return self.reconstruction, self.departure, self.usual, self.distance, self.suspicion


OUTPUT_NAMES: tuple[str, ...] = DetectorOutput._fields


class Detector(nn.Module):
    """Preprocessing, network, error map and score as one module. Parts arrive built."""

    def __init__(
        self,
        normalise: Normalise,
        network: nn.Module,
        error_map: ErrorMap,
        usual_error: UsualError | None = None,
        discriminator: Discriminator | None = None,
        feature_bank: FeatureBank | None = None,
    ) -> None:
        """usual_error: None for a network whose latent does not say how large an error is usual.

        discriminator, feature_bank: given exactly where the error map is one ``with_suspicion``, or
        ``with_distance``.
        """
        super().__init__()
        self.normalise = normalise
        self.network = network
        self.error_map = error_map
        self.usual_error = usual_error
        self.discriminator = discriminator
        self.feature_bank = feature_bank

    def forward(self, pixels: Tensor) -> DetectorOutput:
        """pixels: (B, 1, 256, 256), ``uint8`` or float32 in [0, 1]."""
        image = self.normalise(pixels)
        answer = self.answer(image)
        judged = self.error_map(image, *answer.judged)
        return DetectorOutput(
            answer.reconstruction, judged.heatmap, judged.score, judged.reconstruction_error, answer.latent
        )

    def answer(self, image: Tensor, *, alone: bool = False) -> Answer:
        """image: (B, 1, 256, 256), normalised. alone: ask the network, and neither bank nor discriminator."""
        reconstruction, latent, *more = self.network(image)
        departure, evidence, features = (*more, None, None, None)[:3]
        usual = None if self.usual_error is None else self.usual_error(latent)
        bank, judge = (None, None) if alone else (self.feature_bank, self.discriminator)
        distance = None if bank is None else bank(features)
        suspicion = None if judge is None else judge(image, reconstruction, evidence)
        return Answer(reconstruction, latent, departure, usual, evidence, distance, suspicion)

    @property
    def num_parameters(self) -> int:
        """Learned parameters of network and discriminator (calibration statistics are not parameters)."""
        parts = (self.network, self.discriminator)
        return sum(weight.numel() for part in parts if part is not None for weight in part.parameters())


def build_detector(options: DetectorOptions) -> Detector:
    """An untrained, uncalibrated detector of these options, in evaluation mode."""
    network, judged, bank = build_network(options.network), options.discriminator.enabled, options.feature_bank
    if judged == "auto" or bank.enabled == "auto":
        raise ValueError("what judges beside the network is decided by the number of training images")
    return Detector(
        Normalise(options.normalise),
        network,
        ErrorMap(options.error_map, network.num_departures, with_distance=bank.enabled, with_suspicion=judged),
        UsualError(network.num_departures),
        Discriminator(options.discriminator, network.num_evidence) if judged else None,
        FeatureBank(bank) if bank.enabled else None,
    ).eval()


def detector_around(network: nn.Module, options: DetectorOptions) -> Detector:
    """An uncalibrated detector with this network inside, in evaluation mode.

    Of ``options``, how to normalise and how to map errors are read. A network that compares features says in
    ``num_departures`` how many it gives. Nothing is usual for its latent and no discriminator beside it: baselines
    have neither.
    """
    error_map = ErrorMap(options.error_map, getattr(network, "num_departures", 1))
    return Detector(Normalise(options.normalise), network, error_map).eval()


def build_network(options: PixelVAEOptions | FeatureVAEOptions) -> PixelVAE | FeatureVAE:
    """An untrained network; a backbone has random weights until training or a bundle loads them."""
    return PixelVAE(options) if isinstance(options, PixelVAEOptions) else FeatureVAE(options)
