"""What is written for the Triton server: complete, verified, and in the words of its configuration."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from tritonclient.grpc import model_config_pb2

from waferlens.bundle.contents import TORCHSCRIPT, load_config, load_samples
from waferlens.bundle.manifest import read_manifest, sha256_of, write_manifest
from waferlens.bundle.signature import sign_bundle, write_keys
from waferlens.engines.triton_names import INPUT, OUTPUTS
from waferlens.engines.triton_repository import PYTHON, PYTORCH, TritonOptions, configuration, export_repositories
from waferlens.errors import BundleError, OptionsError

pytestmark = pytest.mark.slow
OPTIONS = TritonOptions()


def parsed(text: str):
    """As the server reads it: its own message type, from the client library."""
    from google.protobuf import text_format

    return text_format.Parse(text, model_config_pb2.ModelConfig())


@pytest.fixture
def bundle(exported, tmp_path) -> Path:
    return shutil.copytree(exported, tmp_path / "bundle")


@pytest.fixture
def out(exported, tmp_path) -> Path:
    export_repositories(exported, tmp_path / "out", OPTIONS)
    return tmp_path / "out"


def renamed(bundle, **entries):
    path = bundle / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    write_manifest(bundle, read_manifest(bundle)["provenance"])
    return bundle


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_both_repositories_hold_the_graph_of_the_bundle_and_nothing_else(exported, out):
    model = "vae-wafer-tiny"
    assert files_of(out) == {
        f"pytorch/{model}/config.pbtxt",
        f"pytorch/{model}/1000/model.pt",
        f"python/{model}/config.pbtxt",
        f"python/{model}/1000/model.pt",
        f"python/{model}/1000/model.py",
    }
    for graph in out.glob("*/*/*/model.pt"):
        assert sha256_of(graph) == read_manifest(exported)["files"][TORCHSCRIPT]


@pytest.mark.parametrize("kind", [PYTORCH, PYTHON])
def test_the_server_can_read_the_configuration(out, kind):
    config = parsed((out / kind / "vae-wafer-tiny" / "config.pbtxt").read_text())
    assert config.name == "vae-wafer-tiny"
    assert list(config.version_policy.specific.versions) == [1000]
    assert (config.max_batch_size, config.dynamic_batching.max_queue_delay_microseconds) == (8, 0)
    policy = config.dynamic_batching.default_queue_policy
    assert (policy.max_queue_size, policy.allow_timeout_override) == (64, True)
    assert not config.response_cache.enable
    (tensor,) = config.input
    assert (tensor.name, list(tensor.dims)) == (INPUT, [1, 256, 256])
    assert tensor.data_type == model_config_pb2.DataType.TYPE_UINT8
    assert [output.name for output in config.output] == list(OUTPUTS)
    assert sorted(warm.batch_size for warm in config.model_warmup) == [1, 8]
    (group,) = config.instance_group
    if kind == PYTORCH:
        assert config.platform == "pytorch_libtorch"
        assert group.kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
        assert list(group.gpus) == [0]
    else:
        assert config.backend == "python"
        assert group.kind == model_config_pb2.ModelInstanceGroup.KIND_CPU
        assert config.parameters["sha256_1000"].string_value == sha256_of(next(out.glob("python/*/1000/model.pt")))


def test_the_declared_outputs_are_those_of_the_graph(exported, out):
    config = parsed((out / PYTORCH / "vae-wafer-tiny" / "config.pbtxt").read_text())
    graph = torch.jit.load(next(out.glob("pytorch/*/1000/model.pt")))
    pixels = torch.from_numpy(load_samples(exported).held_out[:3])[:, None]
    with torch.inference_mode():
        outputs = graph(pixels)
    for index, (declared, output) in enumerate(zip(config.output, outputs, strict=True)):
        assert declared.name.endswith(f"__{index}"), "the PyTorch backend finds outputs by this number"
        dims = list(declared.reshape.shape) if declared.HasField("reshape") else list(declared.dims)
        assert list(output.shape) == [3, *dims]
        assert output.dtype == torch.float32


@pytest.mark.parametrize(("input_type", "expected"), [("uint8", "TYPE_UINT8"), ("float32", "TYPE_FP32")])
def test_sixteen_bit_bundles_take_floats(exported, input_type, expected):
    config = load_config(exported).model_copy(update={"input_type": input_type})
    assert (
        f"data_type: {expected}"
        in configuration(PYTORCH, config, {"1000": "0" * 64}, OPTIONS).split("output [")[0]
    )


def test_another_version_is_served_beside_the_one_before_it_and_older_ones_are_let_go(exported, bundle, out):
    config = out / PYTHON / "vae-wafer-tiny" / "config.pbtxt"

    def served():
        found = parsed(config.read_text())
        versions = list(found.version_policy.specific.versions)
        assert {f"sha256_{number}" for number in versions} <= set(found.parameters)
        return versions

    told = export_repositories(renamed(bundle, version="v2.3.1"), out, OPTIONS)
    assert (told["version"], told["number"]) == ("v2.3.1", "2003001")
    assert served() == [1000, 2003001]
    assert {path.name for path in config.parent.iterdir()} == {"1000", "2003001", "config.pbtxt"}
    export_repositories(exported, out, OPTIONS)
    assert served() == [2003001, 1000], "exporting again changes only who goes next"
    export_repositories(renamed(bundle, version="v2.4.0"), out, OPTIONS)
    assert served() == [1000, 2004000]
    export_repositories(bundle, out, TritonOptions(keep=1))
    assert served() == [2004000]
    assert not list(out.rglob("*.tmp"))


def test_a_version_that_takes_another_type_is_served_alone(bundle, out):
    export_repositories(renamed(bundle, version="v0.2.0", input_type="float32"), out, OPTIONS)
    config = parsed((out / PYTORCH / "vae-wafer-tiny" / "config.pbtxt").read_text())
    assert list(config.version_policy.specific.versions) == [2000]


def test_an_altered_or_unsigned_bundle_is_not_exported(bundle, tmp_path):
    private, public = write_keys(tmp_path / "keys")
    with pytest.raises(BundleError, match="is not signed"):
        export_repositories(bundle, tmp_path / "out", OPTIONS, public_key=public)
    sign_bundle(bundle, private)
    export_repositories(bundle, tmp_path / "out", OPTIONS, public_key=public)
    with (bundle / TORCHSCRIPT).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BundleError, match="is not what was saved"):
        export_repositories(bundle, tmp_path / "other", OPTIONS)
    assert not (tmp_path / "other").exists()


def test_a_graph_that_failed_the_gate_is_not_exported(bundle, tmp_path):
    path = bundle / "parity.json"
    parity = json.loads(path.read_text())
    for entry in parity["engines"]:
        entry["passed"] &= entry["engine"] != "torchscript"
    path.write_text(json.dumps(parity))
    write_manifest(bundle, read_manifest(bundle)["provenance"])
    with pytest.raises(BundleError, match="did not pass the parity gate"):
        export_repositories(bundle, tmp_path / "out", OPTIONS)


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", ".hidden", 'a"b', "a b"])
def test_a_name_that_would_leave_the_folder_or_the_address_is_refused(bundle, tmp_path, name):
    with pytest.raises(BundleError, match="this name cannot be served"):
        export_repositories(renamed(bundle, name=name), tmp_path / "out", OPTIONS)
    assert not (tmp_path / "out").exists()


def test_the_environment_must_be_absolute(exported, tmp_path):
    with pytest.raises(OptionsError, match="absolute"):
        export_repositories(exported, tmp_path, TritonOptions(python_environment=Path("venv")))


def test_the_model_file_needs_nothing_of_this_package_and_unpickles_nothing(out):
    text = next(out.glob("python/*/*/model.py")).read_text()
    assert not re.search(r"^\s*(import|from)\s+(waferlens|pickle|joblib|dill)", text, flags=re.MULTILINE)
    assert "torch.load" not in text
