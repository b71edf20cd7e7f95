"""How fast could it be? Operations of a detector, and the rate at which this machine multiplies matrices."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from waferlens.models.detector import Detector
from waferlens.models.error_map import ErrorMap
from waferlens.models.normalise import Normalise
from waferlens.records import IMAGE_SIZE

_SIDE = 1024


def count_operations(detector: Detector) -> int:
    """Floating-point operations (two a multiply-add) of one image: layers with weights and smoothing products."""
    counted = 0

    def count(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        nonlocal counted
        counted += 2 * _multiply_adds(module, output)

    layers = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    hooks = [m.register_forward_hook(count) for m in detector.modules() if isinstance(m, layers)]
    with torch.inference_mode():
        detector(torch.zeros((1, 1, IMAGE_SIZE, IMAGE_SIZE), dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    smoothings = sum(
        1
        for m in detector.modules()
        if isinstance(m, ErrorMap) or (isinstance(m, Normalise) and m.options.flat_field)
    )
    return counted + smoothings * 2 * 2 * IMAGE_SIZE**3


def _multiply_adds(module: nn.Module, output: Tensor) -> int:
    weights = module.weight
    assert isinstance(weights, Tensor)
    if isinstance(module, nn.Linear):
        return weights.numel()
    if isinstance(module, nn.ConvTranspose2d):
        # Every input position meets the whole kernel once; the output is stride^2 times larger.
        return weights.numel() * output[0, 0].numel() // (module.stride[0] * module.stride[1])
    return weights.numel() * output[0, 0].numel()


def measure_rate(threads: int, seconds: float = 0.5) -> float:
    """Operations a second of a 1024^3 float32 matrix product on this machine: the best of repeated runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        a, b = torch.rand(_SIDE, _SIDE), torch.rand(_SIDE, _SIDE)
        out, best = torch.empty(_SIDE, _SIDE), float("inf")
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            started = time.perf_counter()
            torch.mm(a, b, out=out)
            best = min(best, time.perf_counter() - started)
        return 2 * _SIDE**3 / best
    finally:
        torch.set_num_threads(before)
