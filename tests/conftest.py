"""What several chapters' tests share: one tiny detector, trained and exported once a session.

Imports of the package stand inside the fixtures: a test that needs no network does not wait for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Trained:
    """A fitted tiny detector with everything that it was learned from."""

    images: object
    split: object
    options: object
    fitted: object


@pytest.fixture(scope="session")
def one_thread():
    """The tests share their machine, and thread counts must not change sums."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def normals(one_thread):
    """48 normal images of one inspection point on 48 wafers of the synthetic fab."""
    import tiny

    return tiny.normals(48)


@pytest.fixture(scope="session")
def trained(normals, tmp_path_factory) -> Trained:
    import tiny
    from waferlens.training.hardware import start_fabric
    from waferlens.training.run import fit

    options = tiny.fit_options(epochs=3, min_epoch_images=96)
    split = tiny.split_of(normals)
    fitted = fit(
        start_fabric(options.training),
        normals,
        split,
        options,
        roi=None,
        seed=5,
        folder=tmp_path_factory.mktemp("checkpoints"),
        run="f" * 64,
        watch=lambda progress: None,
        say=lambda text: None,
    )
    return Trained(normals, split, options, fitted)


@pytest.fixture(scope="session")
def saved(trained, tmp_path_factory) -> Path:
    """The trained detector as a bundle without exports. Tests that change a bundle copy it first."""
    import numpy as np

    import tiny
    from waferlens.bundle.contents import BundleConfig, Samples
    from waferlens.bundle.manifest import provenance, write_manifest
    from waferlens.bundle.model import save_model, write_json
    from waferlens.training.run import rows_of

    bundle = tmp_path_factory.mktemp("bundles") / "tiny"
    config = BundleConfig(
        name="vae-wafer-tiny",
        version="v0.1.0",
        seed=5,
        input_type="uint8",
        num_parameters=trained.fitted.detector.num_parameters,
        detector=trained.options.detector.model_dump(mode="json"),
        images=tiny.IMAGES,
        recipe={"name": "tiny"},
    )
    train, held_out = (
        trained.images.take(rows_of(trained.images, {image.name for image in part})[:8])
        for part in (trained.split.train, trained.split.validation)
    )
    save_model(bundle, config, trained.fitted, Samples(train=np.array(train), held_out=np.array(held_out)))
    write_json(bundle / "split.json", trained.split.as_dict())
    write_manifest(bundle, provenance(trained.split.fingerprint, 5, "waferlens train data --out tiny"))
    return bundle


@pytest.fixture(scope="session")
def exported(saved, tmp_path_factory) -> Path:
    """The same with every export, the gate's verdict and a new manifest. Some twenty seconds, once a session."""
    import shutil

    from waferlens.bundle.manifest import read_manifest, write_manifest
    from waferlens.engines.gate import export_all

    bundle = tmp_path_factory.mktemp("exported") / "tiny"
    shutil.copytree(saved, bundle)
    export_all(bundle, lambda text: None)
    write_manifest(bundle, read_manifest(bundle)["provenance"])
    return bundle


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory):
    """A real PostgreSQL server of the tests' own."""
    import postgresql as server_of_tests

    with server_of_tests.running(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """Whatever is stored is tested on both databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'record.db'}"
    return request.getfixturevalue("postgresql").new_database()


@pytest.fixture
def database(database_url):
    from waferlens.storage.database import migrate, open_database

    opened = open_database(database_url)
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def audit(database, tmp_path):
    from waferlens.storage.audit import AuditLog

    return AuditLog(database, tmp_path / "head.json")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """moto's server: an emulator, but real S3 requests over real HTTP."""
    import subprocess
    import sys
    import time

    log = (tmp_path_factory.mktemp("s3") / "log").open("w+")
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], stdout=log, stderr=log
    )
    try:
        address = None
        while address is None:
            assert server.poll() is None
            log.seek(0)
            found = [line for line in log.read().splitlines() if "Running on http" in line]
            address = found[0].split()[-1] if found else None
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait()
        log.close()


@pytest.fixture
def bucket(s3_server, monkeypatch):
    import os

    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    name = f"wafers-{os.urandom(4).hex()}"
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    client.create_bucket(Bucket=name)
    client.close()
    return f"s3://{name}/line-1?endpoint={s3_server}"
