"""Writes the detector's graph for other runtimes. The only module that touches ``torch.jit``.

Every export takes the same pixels and gives the same five outputs in the same order as ``Detector.forward``.
TorchScript is deprecated in PyTorch but asked for by existing servers; it is kept to this one module.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import torch

from waferlens.bundle.contents import (
    INPUT_NAME,
    ONNX,
    OPENVINO,
    OPENVINO_INT8,
    TORCHSCRIPT,
    BundleConfig,
    model_input,
)
from waferlens.models.detector import OUTPUT_NAMES, Detector
from waferlens.records import IMAGE_SIZE, Pixels

_NOT_COMPUTED = ("Constant", "Parameter", "Result")


def example_pixels(config: BundleConfig, batch: int = 2) -> torch.Tensor:
    """A batch of the type that the bundle's exports take. Two images: a batch of one would be read as fixed."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch, 1, IMAGE_SIZE, IMAGE_SIZE)
    if config.input_type == "uint8":
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return torch.rand(shape, generator=generator)


def export_torchscript(bundle: Path, detector: Detector, config: BundleConfig) -> Path:
    """Trace, freeze (folds batch normalisation) and save; loads without this package."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", message=".torch.jit", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            detector.eval(), example_pixels(config), check_trace=False
        )
        frozen = torch.jit.freeze(traced)
        path = _prepared(bundle / TORCHSCRIPT)
        torch.jit.save(frozen, str(path))
    return path


def export_onnx(bundle: Path, detector: Detector, config: BundleConfig) -> Path:
    """One self-contained ONNX file with a free batch axis."""
    path = _prepared(bundle / ONNX)
    with _quiet("torch.onnx", "onnxscript", "onnx_ir"), torch.no_grad():
        torch.onnx.export(
            detector.eval(),
            (example_pixels(config),),
            path,
            dynamo=True,
            input_names=[INPUT_NAME],
            output_names=list(OUTPUT_NAMES),
            dynamic_shapes={"pixels": {0: torch.export.Dim.DYNAMIC}},
            external_data=False,
            verbose=False,
        )
    return path


def export_openvino(bundle: Path) -> Path:
    """OpenVINO's own format from the ONNX export (the route that keeps names and the free batch axis)."""
    import openvino

    path = _prepared(bundle / OPENVINO)
    openvino.save_model(openvino.convert_model(bundle / ONNX), path, compress_to_fp16=False)
    return path


def export_openvino_int8(bundle: Path, config: BundleConfig, samples: Pixels) -> Path:
    """Quantise the network (and only the network) to 8 bits, with ranges taken from normal training images.

    samples: (n, 256, 256) canonical pixels. Preprocessing, error map and score stay in 32 bits: they are cheap,
    and the error is a small difference of large numbers. So does the layer that reads the latent. Ranges are
    symmetric: with a zero point, transposed convolutions would fall back to 32 bits and lose the gain.
    """
    import nncf
    import openvino

    model = openvino.Core().read_model(bundle / OPENVINO)
    with _quiet("nncf"):
        quantised = nncf.quantize(
            model,
            nncf.Dataset([model_input(image[None], config) for image in samples]),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(samples),
            fast_bias_correction=True,
            ignored_scope=nncf.IgnoredScope(
                names=[*_outside_network(model), *_readers_of_latent(model)], validate=False
            ),
        )
    path = _prepared(bundle / OPENVINO_INT8)
    openvino.save_model(quantised, path, compress_to_fp16=False)
    return path


def _outside_network(model: object) -> list[str]:
    """Names of the operations before the first convolution and after the last that makes the expected image.

    A discriminator, which looks at a small difference of large numbers, comes after it.
    """
    operations = model.get_ordered_ops()  # type: ignore[attr-defined]
    expected = next(o for o in operations if o.get_friendly_name() == "reconstruction")
    upstream = _reached(expected, "inputs")
    convolutions = [
        o
        for o in operations
        if o.get_type_name() in ("Convolution", "ConvolutionBackpropData") and o.get_friendly_name() in upstream
    ]
    inside = _reached(convolutions[0], "outputs") & _reached(convolutions[-1], "inputs")
    # Weights are constants, never downstream of anything: naming one would leave its layer in 32 bits.
    computed = [o.get_friendly_name() for o in operations if o.get_type_name() not in _NOT_COMPUTED]
    return [name for name in computed if name not in inside]


def _readers_of_latent(model: object) -> list[str]:
    """Names of the operations that take the latent: its dimensions differ too much for one 8-bit scale."""
    operations = model.get_ordered_ops()  # type: ignore[attr-defined]
    latent = next(o for o in operations if o.get_friendly_name() == "latent")
    readers = [target.get_node() for target in latent.output(0).get_target_inputs()]
    return [o.get_friendly_name() for o in readers if o.get_type_name() not in _NOT_COMPUTED]


def _reached(operation: object, direction: str) -> set[str]:
    """Friendly names of everything downstream ('outputs') or upstream ('inputs') of an operation, and itself."""
    seen: set[str] = set()
    waiting = [operation]
    while waiting:
        current = waiting.pop()
        name = current.get_friendly_name()  # type: ignore[attr-defined]
        if name in seen:
            continue
        seen.add(name)
        for port in getattr(current, direction)():
            if direction == "inputs":
                waiting.append(port.get_source_output().get_node())
            else:
                waiting.extend(target.get_node() for target in port.get_target_inputs())
    return seen


def _prepared(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def _quiet(*loggers: str) -> Iterator[None]:
    """Keep exporters' notices and bars off the terminal (and out of ``--json``); their errors still raise."""
    before = {name: logging.getLogger(name).level for name in loggers}
    for name in loggers:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
