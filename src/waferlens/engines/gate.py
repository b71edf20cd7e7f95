"""Exports a bundle for every runtime, holds each to the reference, and names the default engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from waferlens.bundle.contents import load_config, load_reference, load_samples, load_thresholds
from waferlens.bundle.export import export_onnx, export_openvino, export_openvino_int8, export_torchscript
from waferlens.bundle.model import load_detector
from waferlens.engines.parity import PARITY_FILE, PREFERENCE, compare, gate_images, infer_each
from waferlens.engines.runtimes import ENGINES, open_engine
from waferlens.errors import ParityError


def export_all(bundle: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Write every export and parity.json; returns the latter's content.

    Raises ParityError when a 32-bit export does not reproduce the reference: such a bundle must not ship. An
    8-bit export that fails is recorded as failed and never the default.
    """
    config, samples = load_config(bundle), load_samples(bundle)
    detector = load_detector(bundle, verify=False)
    say("exporting TorchScript and ONNX")
    export_torchscript(bundle, detector, config)
    export_onnx(bundle, detector, config)
    say("exporting OpenVINO, 32 and 8 bit")
    export_openvino(bundle)
    export_openvino_int8(bundle, config, samples.train)
    say("holding every engine to the reference")
    return run_gate(bundle)


def run_gate(bundle: Path) -> dict[str, Any]:
    """Compare every engine with ``pytorch`` on this machine and write parity.json."""
    thresholds, reference = load_thresholds(bundle), load_reference(bundle)
    deviation = float(getattr(reference, f"{thresholds.score_name}s").std(ddof=1))
    pixels = gate_images(load_samples(bundle).held_out)
    expected = infer_each(open_engine("pytorch", bundle), pixels)
    results = [
        compare(open_engine(name, bundle), expected, pixels, thresholds, deviation)
        for name in ENGINES
        if name != "pytorch"
    ]
    failed = [result for result in results if not result.passed and not result.engine.endswith("int8")]
    if failed:
        raise ParityError(
            f"engine {failed[0].engine} does not reproduce the reference",
            expected=f"score differences within {failed[0].bound:g} normal deviations and the same decisions",
            found=f"{failed[0].max_difference:.2e}, {failed[0].num_other_decisions} other decisions",
        )
    passed = [result.engine for result in results if result.passed]
    content = {
        "default_engine": next(name for name in PREFERENCE if name in passed),
        "unit": "standard deviations of the held-out normals' scores; beyond 10 of them, tenths of the score",
        "engines": [result.as_dict() for result in results],
    }
    (bundle / PARITY_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return content
