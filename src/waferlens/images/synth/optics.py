"""How a station sees a surface: blur, light field, noise, quantisation. Knows reflectance and grey levels only.

Values are fractions of full scale in [0, 1]; images are (IMAGE_SIZE, IMAGE_SIZE) float32 until quantised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field
from scipy import ndimage

from waferlens.images.synth.fields import Stream, generator
from waferlens.records import IMAGE_SIZE, FloatArray, Pixels


class OpticsOptions(BaseModel, frozen=True, extra="forbid"):
    """The microscopes of the fab and their cameras."""

    num_stations: int = Field(3, ge=1, le=64, description="Distinct stations; a wafer is seen by one.")
    psf_sigma_px: float = Field(1.0, ge=0.3, le=6.0, description="Blur in focus, px; 0.21 lambda / NA.")
    defocus_sigma_px: float = Field(0.5, ge=0.0, le=6.0, description="Blur that defocus adds, px, 1 sigma.")
    gain_sigma: float = Field(0.06, ge=0.0, le=0.3, description="Gain from station to station, relative.")
    lamp_sigma: float = Field(0.03, ge=0.0, le=0.2, description="Lamp from image to image, relative.")
    tilt: float = Field(0.10, ge=0.0, le=0.5, description="Light at the border against centre, 1 sigma.")
    vignette: float = Field(0.12, ge=0.0, le=0.6, description="Light lost in the corners, relative, mean.")
    offset_sigma: float = Field(0.01, ge=0.0, le=0.1, description="Stray light of a station, full scale.")
    full_well_electrons: float = Field(8000.0, ge=100.0, le=1e6, description="Electrons at full scale.")
    read_noise: float = Field(0.006, ge=0.0, le=0.1, description="Read noise, full scale, 1 sigma.")
    bits: Literal[8, 16] = Field(8, description="Depth of the camera's samples, bits.")


@dataclass(frozen=True, kw_only=True)
class Station:
    """One microscope with its camera. light: (IMAGE_SIZE, IMAGE_SIZE), gain times tilt times vignette."""

    index: int
    light: FloatArray
    offset: float


def build_station(options: OpticsOptions, index: int, design_seed: int) -> Station:
    """Draw the fixed habits of one station."""
    rng = generator(design_seed, Stream.STATION, index)
    gain = 1.0 + options.gain_sigma * np.clip(rng.standard_normal(), -2.0, 2.0)
    tilt_x, tilt_y = options.tilt * np.clip(rng.standard_normal(2), -2.0, 2.0) / np.sqrt(2.0)
    centre_x, centre_y = rng.uniform(-0.25, 0.25, size=2)
    fall = options.vignette * rng.uniform(0.6, 1.4)
    axis = np.linspace(-1.0, 1.0, IMAGE_SIZE)
    x, y = axis[None, :], axis[:, None]
    vignette = 1.0 - fall * ((x - centre_x) ** 2 + (y - centre_y) ** 2) / 2.0
    light = (gain * (1.0 + tilt_x * x + tilt_y * y) * vignette).astype(np.float32)
    return Station(index=index, light=light, offset=float(abs(rng.standard_normal()) * options.offset_sigma))


@dataclass(frozen=True)
class Exposure:
    """One image about to be taken: the optics, the station, this image's blur in px and the lamp's level."""

    options: OpticsOptions
    station: Station
    blur_px: float
    lamp: float

    def expose(self, reflectance: FloatArray) -> FloatArray:
        """The noiseless picture of a surface, in fractions of full scale."""
        blurred = ndimage.gaussian_filter(reflectance, self.blur_px, mode="nearest", truncate=3.0)
        seen: FloatArray = blurred * self.station.light * np.float32(self.lamp) + np.float32(self.station.offset)
        return seen


def set_exposure(options: OpticsOptions, station: Station, rng: np.random.Generator) -> Exposure:
    """Draw focus and lamp for one image; defocus adds to the blur in quadrature."""
    defocus, lamp = np.clip(rng.standard_normal(2), -3.0, 3.0)
    blur = float(np.hypot(options.psf_sigma_px, options.defocus_sigma_px * defocus))
    return Exposure(options, station, blur, float(1.0 + options.lamp_sigma * lamp))


def noise_sigma(options: OpticsOptions, picture: FloatArray) -> FloatArray:
    """Standard deviation of each pixel's noise, full scale: shot noise of its electrons and read noise."""
    shot = np.maximum(picture, 0.0) / options.full_well_electrons
    sigma: FloatArray = np.sqrt(shot + np.float32(options.read_noise) ** 2)
    return sigma


def record(options: OpticsOptions, picture: FloatArray, rng: np.random.Generator) -> Pixels:
    """Add noise and quantise: uint8 or uint16 canonical pixels.

    Gaussian noise stands for Poisson, from which it cannot be told at thousands of electrons.
    """
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    noisy = picture + noise * noise_sigma(options, picture)
    top = 255 if options.bits == 8 else 65535
    levels = np.rint(np.clip(noisy, 0.0, 1.0) * np.float32(top))
    return levels.astype(np.uint8) if options.bits == 8 else levels.astype(np.uint16)
