"""Reads the parts of a bundle that need no PyTorch: an inspection server has only these and an engine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file

from waferlens.decision.thresholds import Thresholds
from waferlens.errors import BundleError
from waferlens.images.options import ImageOptions
from waferlens.records import Pixels

FORMAT_VERSION: Literal[1] = 1
INPUT_NAME = "pixels"
TORCHSCRIPT = "exports/detector.torchscript.pt"
ONNX = "exports/detector.onnx"
OPENVINO = "exports/detector.openvino.xml"
OPENVINO_INT8 = "exports/detector.openvino-int8.xml"


class BundleConfig(BaseModel, frozen=True, extra="forbid"):
    """config.json: what rebuilds the detector and reads images for it."""

    format_version: Literal[1] = FORMAT_VERSION
    name: str
    version: str
    seed: int
    input_type: Literal["uint8", "float32"]
    num_parameters: int
    detector: dict[str, Any]
    images: ImageOptions
    recipe: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Held-out normals as the detector saw them: names, out-of-fold scores (n,), errors (n,), latents (n, Z)."""

    names: tuple[str, ...]
    scores: npt.NDArray[np.float64]
    reconstruction_errors: npt.NDArray[np.float64]
    latents: npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Samples:
    """A few normal images in canonical pixels: from training (for 8-bit ranges) and held out (for the gate)."""

    train: Pixels
    held_out: Pixels


def load_config(bundle: Path) -> BundleConfig:
    """config.json, checked. Raises BundleError."""
    content = read_json(bundle / "config.json")
    try:
        return BundleConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BundleError(
            f"{bundle / 'config.json'} does not fit this version of waferlens",
            expected=f"format {FORMAT_VERSION}",
            found=f"{where}: {first['msg']}",
        ) from error


def load_thresholds(bundle: Path) -> Thresholds:
    """thresholds.json, checked. Raises BundleError."""
    content = read_json(bundle / "thresholds.json")
    if not isinstance(content, dict):
        raise BundleError(f"{bundle / 'thresholds.json'} cannot be read", expected="an object")
    return Thresholds.from_dict(content)


def load_reference(bundle: Path) -> Reference:
    """Held-out normals, for p-values and drift. Raises BundleError."""
    path = bundle / "reference.parquet"
    try:
        table = pq.read_table(path)
        return Reference(
            names=tuple(table["name"].to_pylist()),
            scores=table["score"].to_numpy(),
            reconstruction_errors=table["reconstruction_error"].to_numpy(),
            latents=np.stack(table["latent"].to_numpy()),
        )
    except (OSError, KeyError, pa.ArrowException) as error:
        raise BundleError(f"{path} cannot be read", found=str(error)) from error


def load_samples(bundle: Path) -> Samples:
    """The few images that travel with a bundle. Raises BundleError."""
    path = bundle / "samples.safetensors"
    try:
        pixels = load_file(path)
        return Samples(train=pixels["train"], held_out=pixels["held_out"])
    except (OSError, SafetensorError, KeyError) as error:
        raise BundleError(f"{path} cannot be read", found=str(error)) from error


def read_json(path: Path) -> Any:
    """A JSON file of a bundle. Raises BundleError naming the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read", expected="a JSON file", found=str(error)) from error


def model_input(pixels: Pixels, config: BundleConfig) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    """Canonical pixels (B, 256, 256) to the array that an engine of this bundle takes; see ``input_array``."""
    return input_array(pixels, config.input_type)


def input_array(
    pixels: Pixels, input_type: Literal["uint8", "float32"]
) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    """Canonical pixels (B, 256, 256) to an engine's input of this type, (B, 1, 256, 256).

    A bundle learned from 8-bit images sees 16-bit ones rounded to 8 bits: finer steps than it ever saw carry
    nothing it could use. A bundle learned from 16-bit images sees both as [0, 1].
    """
    if input_type == "uint8":
        if pixels.dtype == np.uint16:
            pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
        return pixels.astype(np.uint8, copy=False)[:, None]
    full_scale = 255.0 if pixels.dtype == np.uint8 else 65535.0
    return (pixels.astype(np.float32) / np.float32(full_scale))[:, None]
