"""The runtimes, each behind the same two methods. A runtime is imported when its engine is built, not before."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from waferlens.bundle.contents import (
    INPUT_NAME,
    ONNX,
    OPENVINO,
    OPENVINO_INT8,
    TORCHSCRIPT,
    BundleConfig,
    load_config,
    model_input,
)
from waferlens.engines.interface import Engine, Outputs
from waferlens.errors import EngineError, WaferlensError
from waferlens.records import IMAGE_SIZE, Pixels

ENGINES = ("pytorch", "torchscript", "onnxruntime", "openvino", "openvino-int8")
"""Every engine by name; ``pytorch`` is the reference that the others are held to."""


_EXPORTS = {
    "torchscript": TORCHSCRIPT,
    "onnxruntime": ONNX,
    "openvino": OPENVINO,
    "openvino-int8": OPENVINO_INT8,
}


def export_path(engine: str) -> str:
    """The file of this engine's export, relative to the bundle. ``pytorch`` has none."""
    return _EXPORTS[engine]


def open_engine(name: str, bundle: Path, *, threads: int = 1, device: str = "cpu") -> Engine:
    """Build the engine ``name`` for ``bundle``. Does not verify the bundle's hashes: loading it did.

    Raises EngineError for an unknown name, a missing or unreadable export, or a runtime that is not installed.
    """
    if name not in ENGINES:
        raise EngineError("unknown engine", expected=", ".join(ENGINES), found=name)
    config = load_config(bundle)
    with _failing_as_engine_error(name, "does not open its export"):
        if name in ("pytorch", "torchscript"):
            return TorchEngine(name, bundle, config, threads, device)
        if name == "onnxruntime":
            return OnnxEngine(bundle, config, threads)
        return OpenVinoEngine(name, bundle, config, threads)


class TorchEngine:
    """``pytorch`` (the detector itself, eager) and ``torchscript`` (its frozen trace)."""

    def __init__(self, name: str, bundle: Path, config: BundleConfig, threads: int, device: str) -> None:
        import torch

        self.name = name
        self._torch, self._config, self._device = torch, config, torch.device(device)
        torch.set_num_threads(threads)
        if name == "pytorch":
            from waferlens.bundle.model import load_detector

            self._model: Any = load_detector(bundle, verify=False).to(self._device)
        else:
            path = _existing(bundle / export_path(name))
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".torch.jit", category=DeprecationWarning)
                self._model = torch.jit.load(  # type: ignore[no-untyped-call]
                    str(path), map_location=self._device
                )

    def infer(self, pixels: Pixels) -> Outputs:
        """See ``Engine.infer``."""
        batch = self._torch.from_numpy(_checked(pixels, self._config)).to(self._device)
        with _failing_as_engine_error(self.name, "failed"), self._torch.inference_mode():
            return Outputs(*(output.cpu().numpy() for output in self._model(batch)))


class OnnxEngine:
    """``onnxruntime`` on the CPU, 32 bit."""

    name = "onnxruntime"

    def __init__(self, bundle: Path, config: BundleConfig, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._config = config
        self._session = onnxruntime.InferenceSession(
            str(_existing(bundle / export_path(self.name))), options, providers=["CPUExecutionProvider"]
        )

    def infer(self, pixels: Pixels) -> Outputs:
        """See ``Engine.infer``."""
        batch = _checked(pixels, self._config)
        with _failing_as_engine_error(self.name, "failed"):
            return Outputs(*self._session.run(list(Outputs._fields), {INPUT_NAME: batch}))


class OpenVinoEngine:
    """``openvino`` in 32 bit and ``openvino-int8`` with the network in 8 bit, on the CPU."""

    def __init__(self, name: str, bundle: Path, config: BundleConfig, threads: int) -> None:
        import openvino
        import openvino.properties as properties
        import openvino.properties.hint as hint

        self.name = name
        self._config = config
        path = _existing(bundle / export_path(name))
        settings = {
            # Where the processor has bf16, OpenVINO would use it unasked, and scores would differ by machine.
            hint.inference_precision: openvino.Type.f32,
            hint.performance_mode: hint.PerformanceMode.LATENCY,
            properties.inference_num_threads: threads,
        }
        # The batch axis stays free. Fixed to one image (OpenVINO 2026.4.1) the graph is a tenth faster, and wrong:
        # its answers change from call to call, to NaN within eight. The parity gate found it.
        self._request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()

    def infer(self, pixels: Pixels) -> Outputs:
        """See ``Engine.infer``. The arrays are the caller's own."""
        batch = _checked(pixels, self._config)
        with _failing_as_engine_error(self.name, "failed"):
            self._request.infer({0: batch}, share_inputs=True)
            outputs = (self._request.get_output_tensor(index).data for index in range(len(Outputs._fields)))
            return Outputs(*(np.array(output) for output in outputs))


@contextmanager
def _failing_as_engine_error(engine: str, what: str) -> Iterator[None]:
    """Whatever a runtime raises becomes an EngineError of one line; errors of this package pass."""
    try:
        yield
    except WaferlensError:
        raise
    except ImportError as error:
        raise EngineError(
            f"engine {engine} is not installed", expected="the 'train' or 'serve' extra", found=str(error)
        ) from error
    except Exception as error:  # runtimes raise classes of their own, mostly RuntimeError
        found = " ".join(str(error).split())[:200] or type(error).__name__
        raise EngineError(f"engine {engine} {what}", found=found) from error


def _checked(pixels: Pixels, config: BundleConfig) -> Any:
    if (
        pixels.ndim != 3
        or len(pixels) == 0
        or pixels.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE)
        or pixels.dtype not in (np.uint8, np.uint16)
    ):
        raise EngineError(
            "an engine cannot take this array",
            expected=f"(B >= 1, {IMAGE_SIZE}, {IMAGE_SIZE}) uint8 or uint16",
            found=f"{pixels.shape} {pixels.dtype}",
        )
    return model_input(pixels, config)


def _existing(path: Path) -> Path:
    if not path.exists():
        raise EngineError(f"{path} is missing", expected="an export; run `waferlens export BUNDLE`")
    return path
