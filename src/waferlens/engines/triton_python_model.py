"""The model file of a Triton repository for the Python backend. Copied beside the graph; imports nothing of
waferlens.

It loads TorchScript with ``torch.jit.load``, which builds no Python objects, after comparing the file's hash
with the configuration's. Images go through the graph one by one: on a CPU a batch gains little, and PyTorch
rounds differently in a batch, so that an image's answer would depend on its neighbours.
"""

# mypy: ignore-errors
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """What the backend looks for in this file."""

    def initialize(self, args):
        """Load the graph once for each instance. Raises RuntimeError when the file is not the one exported."""
        config = json.loads(args["model_config"])
        graph = Path(args["model_repository"]) / args["model_version"] / "model.pt"
        with graph.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        expected = config["parameters"][f"sha256_{args['model_version']}"]["string_value"]
        if found != expected:
            raise RuntimeError(f"{graph} is not what was exported; expected {expected}; found {found}")
        torch.set_num_threads(int(config["parameters"]["threads"]["string_value"]))
        self.device = "cpu"
        if args["model_instance_kind"] == "GPU":
            self.device = f"cuda:{args['model_instance_device_id']}"
        self.graph = torch.jit.load(str(graph), map_location=self.device)
        self.input = config["input"][0]["name"]
        self.outputs = [output["name"] for output in config["output"]]

    def execute(self, requests):
        """One response a request; an image that fails is its request's error and nobody else's."""
        return [self.answer(request) for request in requests]

    def answer(self, request):
        """The five outputs of a request's images, (B, ...)."""
        try:
            pixels = pb_utils.get_input_tensor_by_name(request, self.input).as_numpy()
            with torch.inference_mode():
                each = [
                    self.graph(torch.from_numpy(pixels[i : i + 1]).to(self.device)) for i in range(len(pixels))
                ]
            tensors = [
                pb_utils.Tensor(name, np.concatenate([part.cpu().numpy() for part in parts]))
                for name, parts in zip(self.outputs, zip(*each, strict=True), strict=True)
            ]
        except Exception as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        return pb_utils.InferenceResponse(output_tensors=tensors)
