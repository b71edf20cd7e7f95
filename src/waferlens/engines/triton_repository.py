"""Writes model repositories for the Triton server from a verified bundle. Knows its configuration language.

OUT/
├── pytorch/            for production: the PyTorch backend on GPUs, dynamic batching
│   └── NAME/
│       ├── config.pbtxt
│       └── 2003001/model.pt
└── python/             the same graph behind the Python backend, for a server without the PyTorch backend
    └── NAME/
        ├── config.pbtxt
        └── 2003001/{model.pt,model.py}

A second bundle of the same name adds its version; the server then serves both (``keep`` of them), and whoever
infers asks for the one whose thresholds they use. Going over to it, and back, costs no reload.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from pydantic import BaseModel, Field

from waferlens.bundle.contents import TORCHSCRIPT, BundleConfig, load_config, read_json
from waferlens.bundle.manifest import sha256_of
from waferlens.bundle.signature import verify_trusted
from waferlens.engines.parity import PARITY_FILE
from waferlens.engines.triton_names import INPUT, OUTPUTS, version_number
from waferlens.errors import BundleError, OptionsError
from waferlens.records import IMAGE_SIZE, LATENT_DIM

PYTORCH, PYTHON = "pytorch", "python"
_MAPS = f"[ 1, {IMAGE_SIZE}, {IMAGE_SIZE} ]"
_DATA_TYPES = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}
_ONE = "[ 1 ]\n    reshape: { shape: [ ] }"
_SHAPES = (_MAPS, _MAPS, _ONE, _ONE, f"[ {LATENT_DIM} ]")


class TritonOptions(BaseModel, frozen=True, extra="forbid"):
    """What a configuration says about the machine.

    keep: versions that the server holds ready, the newest export last. max_batch: images in one call.
    max_queue: requests that may wait. timeout_ms: of a request that names none. gpus: of the PyTorch backend,
    one instance each, numbered as the server sees them. python_instances: processes of the Python backend, of
    ``python_threads`` threads. python_environment: absolute folder of the virtual environment that has PyTorch;
    None leaves it to the server's own Python.
    """

    keep: int = Field(default=2, ge=1, le=5)
    max_batch: int = Field(default=8, ge=1, le=256)
    max_queue: int = Field(default=64, ge=1)
    timeout_ms: int = Field(default=1000, ge=1)
    gpus: tuple[int, ...] = Field(default=(0,), min_length=1)
    python_instances: int = Field(default=1, ge=1)
    python_threads: int = Field(default=1, ge=1)
    python_environment: Path | None = None


def export_repositories(
    bundle: Path, out: Path, options: TritonOptions, *, public_key: Path | None = None
) -> dict[str, str]:
    """Verify a bundle and write both repositories; returns model, version, number and the two folders.

    Raises BundleError when the bundle is not what was saved or signed, or its TorchScript failed the parity gate.
    """
    manifest = verify_trusted(bundle, public_key)
    config = load_config(bundle)
    number = version_number(config.version)
    name = _checked_name(config.name)
    environment = options.python_environment
    if environment is not None and not environment.is_absolute():
        raise OptionsError("the Python environment", expected="an absolute path", found=str(environment))
    passed = {entry["engine"] for entry in read_json(bundle / PARITY_FILE)["engines"] if entry["passed"]}
    if "torchscript" not in passed:
        raise BundleError(f"{bundle}: TorchScript did not pass the parity gate", expected="an export that does")
    digest = str(manifest["files"][TORCHSCRIPT])
    for kind in (PYTORCH, PYTHON):
        model = out / kind / name
        _write_version(bundle, model / str(number), digest, kind)
        served = _served_before(model / "config.pbtxt", config)
        served.pop(str(number), None)
        kept = dict([*served.items(), (str(number), digest)][-options.keep :])
        _replace(model / "config.pbtxt", configuration(kind, config, kept, options))
    told = {"model": name, "version": config.version, "number": str(number)}
    return told | {kind: str(out / kind) for kind in (PYTORCH, PYTHON)}


def configuration(kind: str, config: BundleConfig, digests: dict[str, str], options: TritonOptions) -> str:
    """config.pbtxt of one repository. digests: of the graph of every version that is served, by its number."""
    data_type = _DATA_TYPES[config.input_type]
    outputs = ",\n".join(
        f'  {{\n    name: "{name}"\n    data_type: TYPE_FP32\n    dims: {shape}\n  }}'
        for name, shape in zip(OUTPUTS, _SHAPES, strict=True)
    )
    warm_ups = "".join(_warm_up(batch, data_type) for batch in sorted({1, options.max_batch}))
    return f"""# {config.name} {config.version}, written by `waferlens triton export`.
name: "{config.name}"
{_backend(kind)}
max_batch_size: {options.max_batch}
version_policy: {{ specific: {{ versions: [ {", ".join(digests)} ] }} }}
input [
  {{
    name: "{INPUT}"
    data_type: {data_type}
    dims: {_MAPS}
  }}
]
output [
{outputs}
]
{_instances(kind, options)}
# No delay: a batch forms of what waits anyway, and a single image on an idle server waits for nobody.
dynamic_batching {{
  max_queue_delay_microseconds: 0
  default_queue_policy {{
    timeout_action: REJECT
    default_timeout_microseconds: {1000 * options.timeout_ms}
    allow_timeout_override: true
    max_queue_size: {options.max_queue}
  }}
}}
# Nothing is ever answered from a cache.
response_cache {{ enable: false }}
{warm_ups}{_parameters(kind, digests, options)}"""


def _backend(kind: str) -> str:
    return 'platform: "pytorch_libtorch"' if kind == PYTORCH else 'backend: "python"'


def _instances(kind: str, options: TritonOptions) -> str:
    if kind == PYTORCH:
        gpus = ", ".join(map(str, options.gpus))
        return f"instance_group [ {{ count: 1 kind: KIND_GPU gpus: [ {gpus} ] }} ]"
    return f"instance_group [ {{ count: {options.python_instances} kind: KIND_CPU }} ]"


def _warm_up(batch: int, data_type: str) -> str:
    tensor = f"{{ data_type: {data_type} dims: {_MAPS} zero_data: true }}"
    return (
        f'model_warmup [ {{ name: "batch of {batch}" batch_size: {batch} count: 3 '
        f'inputs {{ key: "{INPUT}" value: {tensor} }} }} ]\n'
    )


def _parameters(kind: str, digests: dict[str, str], options: TritonOptions) -> str:
    told = {f"sha256_{number}": digest for number, digest in digests.items()}
    if kind == PYTORCH:
        told["INFERENCE_MODE"] = "true"
    else:
        told["threads"] = str(options.python_threads)
        if options.python_environment is not None:
            told["EXECUTION_ENV_PATH"] = str(options.python_environment)
    return "".join(
        f"parameters: {{ key: {json.dumps(key)} value: {{ string_value: {json.dumps(value)} }} }}\n"
        for key, value in told.items()
    )


def _checked_name(name: str) -> str:
    """A bundle's name becomes a folder and part of an address."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise BundleError(
            "this name cannot be served", expected="letters, digits, '.', '_', '-'", found=repr(name)
        )
    return name


def _write_version(bundle: Path, folder: Path, digest: str, kind: str) -> None:
    """Complete or not at all: a server that polls must never see half a version."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    shutil.copyfile(bundle / TORCHSCRIPT, temporary / "model.pt")
    if sha256_of(temporary / "model.pt") != digest:
        raise BundleError(f"{bundle / TORCHSCRIPT} changed while it was copied", expected=digest)
    if kind == PYTHON:
        shutil.copyfile(Path(__file__).with_name("triton_python_model.py"), temporary / "model.py")
    if folder.exists():
        shutil.rmtree(folder)
    temporary.replace(folder)


def _served_before(path: Path, config: BundleConfig) -> dict[str, str]:
    """Numbers and digests of an existing configuration, oldest first; none of a model that takes another type."""
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8")
    if f"data_type: {_DATA_TYPES[config.input_type]}" not in text.split("output [")[0]:
        return {}
    return dict(re.findall(r'key: "sha256_(\d+)" value: { string_value: "([0-9a-f]{64})" }', text))


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
