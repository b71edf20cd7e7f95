"""Saves a fitted detector as a bundle and reads the detector back. PyTorch's side of a bundle."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from waferlens.bundle.contents import BundleConfig, Samples, load_config
from waferlens.bundle.manifest import verify_bundle
from waferlens.errors import BundleError
from waferlens.models.detector import Detector, DetectorOptions, build_detector
from waferlens.training.run import Fitted

_BESIDE = ("usual_error", "discriminator", "feature_bank")
"""Parts of a detector that stand beside its network and error map; an older bundle has none of them."""


def save_model(bundle: Path, config: BundleConfig, fitted: Fitted, samples: Samples) -> None:
    """Everything but exports, card and manifest."""
    bundle.mkdir(parents=True, exist_ok=True)
    write_json(bundle / "config.json", config.model_dump(mode="json"))
    save_file(_contiguous(fitted.detector.network), bundle / "model.safetensors")
    # One entry: safetensors writes several in random order, and the same run must give the same bytes.
    about = {"learned_from": f"{len(fitted.calibration.scores)} held-out normals"}
    save_file(_calibration(fitted.detector), bundle / "calibration.safetensors", metadata=about)
    write_json(bundle / "thresholds.json", fitted.thresholds.as_dict())
    write_json(bundle / "history.json", fitted.history)
    pq.write_table(_reference_table(fitted), bundle / "reference.parquet")
    save_arrays({"train": samples.train, "held_out": samples.held_out}, bundle / "samples.safetensors")
    for path in bundle.glob("*.safetensors"):
        path.chmod(0o644)  # written for their owner alone, but an inspection service is another user


def load_detector(bundle: Path, *, verify: bool = True) -> Detector:
    """The detector in evaluation mode, on the CPU. Raises BundleError when a file is not what was saved."""
    if verify:
        verify_bundle(bundle)
    try:
        detector = build_detector(DetectorOptions.model_validate(load_config(bundle).detector))
    except ValidationError as error:
        raise BundleError(f"{bundle / 'config.json'} describes an unknown detector", found=str(error)) from error
    fills: dict[str, Callable[[dict[str, Tensor]], Any]] = {
        "model": detector.network.load_state_dict,
        "calibration": partial(_calibrate, detector),
    }
    for file, fill in fills.items():
        path = bundle / f"{file}.safetensors"
        try:
            fill(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise BundleError(f"{path} does not fit its config.json", found=str(error).splitlines()[0]) from error
    return detector.eval()


def _calibration(detector: Detector) -> dict[str, Tensor]:
    """What was learned from normal images beside the network."""
    learned = _contiguous(detector.error_map)
    for part in _BESIDE:
        module = getattr(detector, part)
        if module is not None:
            learned |= {f"{part}.{name}": value for name, value in _contiguous(module).items()}
    return learned


def _calibrate(detector: Detector, learned: dict[str, Tensor]) -> None:
    told: dict[str, dict[str, Tensor]] = {part: {} for part in ("", *_BESIDE)}
    for name, value in learned.items():
        part, _, rest = name.partition(".")
        told[part if rest else ""][rest or name] = value
    detector.error_map.load_state_dict(told[""])
    # An older bundle has no usual error: to it, the same is usual for all images.
    if told["usual_error"] and detector.usual_error is not None:
        detector.usual_error.load_state_dict(told["usual_error"])
    for part in ("discriminator", "feature_bank"):
        module = getattr(detector, part)
        if module is not None:
            module.load_state_dict(told[part])


def write_json(path: Path, content: Any) -> None:
    """Indented JSON with a final newline."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _contiguous(module: nn.Module) -> dict[str, Tensor]:
    """safetensors refuses channels-last strides; values are what matters."""
    return {name: value.contiguous().clone() for name, value in module.state_dict().items()}


def _reference_table(fitted: Fitted) -> pa.Table:
    calibration = fitted.calibration
    return pa.table(
        {
            "name": list(fitted.held_out_names),
            "score": calibration.scores,
            "reconstruction_error": calibration.reconstruction_errors,
            "latent": list(calibration.latents),
        }
    )
