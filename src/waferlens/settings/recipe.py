"""A recipe: one product and layer in one TOML file. Each section belongs to the chapter that reads it.

A new product line needs no recipe: the default one that the package carries learns from a folder of normal
images. A recipe says only what differs from it; where it asks for a ``pixel-vae``, from the packaged ``pixel``.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from waferlens.decision.thresholds import ThresholdOptions
from waferlens.images.augment import AugmentationOptions
from waferlens.images.options import ImageOptions
from waferlens.models.detector import DetectorOptions, NetworkOptions
from waferlens.models.discriminator import DiscriminatorOptions
from waferlens.models.error_map import ErrorMapOptions
from waferlens.models.feature_bank import FeatureBankOptions
from waferlens.models.normalise import NormaliseOptions
from waferlens.models.pixel_vae import PixelVAEOptions
from waferlens.settings.checked import read_toml, wrong_entry
from waferlens.training.calibrate import CalibrationOptions
from waferlens.training.discriminator import DamageOptions
from waferlens.training.options import TrainingOptions
from waferlens.training.run import FitOptions


class Recipe(BaseModel, frozen=True, extra="forbid"):
    """Everything that is chosen about one product and layer before any image is seen."""

    name: str = Field("default", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="of the product and layer")
    description: str = ""
    images: ImageOptions = ImageOptions()
    normalise: NormaliseOptions = NormaliseOptions()
    network: NetworkOptions = PixelVAEOptions()
    error_map: ErrorMapOptions = ErrorMapOptions()
    discriminator: DiscriminatorOptions = DiscriminatorOptions()
    feature_bank: FeatureBankOptions = FeatureBankOptions()
    training: TrainingOptions = TrainingOptions()
    augmentation: AugmentationOptions = AugmentationOptions()
    damage: DamageOptions = DamageOptions()
    calibration: CalibrationOptions = CalibrationOptions()
    thresholds: ThresholdOptions = ThresholdOptions()

    def fit_options(self) -> FitOptions:
        """The parts that training reads."""
        return FitOptions(
            detector=DetectorOptions(
                normalise=self.normalise,
                network=self.network,
                error_map=self.error_map,
                discriminator=self.discriminator,
                feature_bank=self.feature_bank,
            ),
            training=self.training,
            augmentation=self.augmentation,
            damage=self.damage,
            calibration=self.calibration,
            thresholds=self.thresholds,
        )


def load_recipe(path: Path | None) -> Recipe:
    """The recipe in ``path``, or the package's default one.

    Raises OptionsError naming the file, the entry, what it must be and what it is.
    """
    if path is None:
        return load_packaged_recipe("default")
    return _over_default(read_toml(path), str(path))


def load_packaged_recipe(name: str) -> Recipe:
    """A recipe that travels inside the package: ``default``, ``pixel`` or ``demo``."""
    return _over_default(_packaged(name), f"the packaged recipe {name}")


def recipe_from(content: dict[str, Any], name: str) -> Recipe:
    """A recipe from parsed TOML or from a bundle's config.json; ``name`` is for the error message."""
    try:
        recipe = Recipe.model_validate(content)
        recipe.fit_options()  # rules over several sections
        return recipe
    except ValidationError as error:
        raise wrong_entry(error, content, name) from error


def with_training(
    recipe: Recipe, *, devices: int | None = None, epochs: int | None = None, damaged: int | None = None
) -> Recipe:
    """The recipe with some training options given on the command line. Raises OptionsError.

    damaged: images that the discriminator is shown; 0 leaves it out.
    """
    told = {name: value for name, value in (("devices", devices), ("epochs", epochs)) if value is not None}
    if not told and damaged is None:
        return recipe
    content = recipe.model_dump()
    content["training"] |= told
    if damaged == 0:
        content["discriminator"]["enabled"] = False
    elif damaged is not None:
        content["damage"]["num_images"] = damaged
    return recipe_from(content, "the command line")


def _over_default(told: dict[str, Any], name: str) -> Recipe:
    """A recipe's entries over those of the default recipe of its kind of network, section by section."""
    network = told.get("network")
    pixels = isinstance(network, dict) and network.get("kind") == "pixel-vae"
    content = _packaged("pixel" if pixels else "default")
    for section, entries in told.items():
        old = content.get(section)
        content[section] = {**old, **entries} if isinstance(old, dict) and isinstance(entries, dict) else entries
    return recipe_from(content, name)


def _packaged(name: str) -> dict[str, Any]:
    return tomllib.loads((files("waferlens.settings") / f"{name}.toml").read_text(encoding="utf-8"))
