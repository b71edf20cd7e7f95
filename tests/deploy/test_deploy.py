"""What `deploy` holds is read by the programs that it is for, and agrees with itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from deploy_files import DEPLOY, self_signed, variables

from programs import haproxy
from waferlens.cli.main import app

UNITS = sorted((DEPLOY / "systemd").iterdir())
ENVIRONMENTS = sorted((DEPLOY / "env").glob("*.env"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


@pytest.fixture
def certificate(tmp_path) -> Path:
    return self_signed(tmp_path / "api.pem")


@pytest.mark.slow
@pytest.mark.parametrize("environment", ["env/haproxy.env", "haproxy.compose.env"])
def test_haproxy_accepts_its_configuration(environment, certificate):
    told = variables(DEPLOY / environment)
    # Names of other containers resolve only beside them.
    told = {name: re.sub(r"^[a-z][a-z0-9-]*:", "127.0.0.1:", value) for name, value in told.items()}
    told |= {"HAPROXY_CERTIFICATE": str(certificate), "WAFERLENS_MODEL": "vae-wafer"}
    files = [part for name in ("haproxy.cfg", "api.cfg") for part in ("-f", str(DEPLOY / "haproxy" / name))]
    ran = subprocess.run(
        [haproxy(), "-c", *files], env=os.environ | told, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "WARNING" not in ran.stderr


@pytest.mark.parametrize("environment", ["env/haproxy.env", "haproxy.compose.env"])
def test_every_variable_of_haproxys_configuration_is_given(environment):
    asked = {
        name
        for config in (DEPLOY / "haproxy").iterdir()
        for name in re.findall(r"\$\{(\w+)\}", config.read_text())
    }
    assert asked == set(variables(DEPLOY / environment)) | {"WAFERLENS_MODEL"}


def test_haproxy_asks_the_models_own_ready_path():
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
    assert text.count('uri "/v2/models/${WAFERLENS_MODEL}/ready"') == 2
    assert "check send meth GET uri /v2/health" not in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_units(tmp_path):
    """With programs that exist in the place of those that a machine of the fab has."""
    copies = []
    for unit in UNITS:
        text = re.sub(r"/opt/\S+/bin/\w+|/usr/sbin/haproxy", "/bin/true", unit.read_text())
        copies.append(tmp_path / unit.name)
        copies[-1].write_text(text)
    names = [str(path).replace("@.service", "@1.service") for path in copies]
    for copy, name in zip(copies, names, strict=True):
        if str(copy) != name:
            shutil.copy(copy, name)
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names],
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    about_ours = [line for line in ran.stderr.splitlines() if "waferlens" in line and "user" not in line.lower()]
    assert not about_ours, ran.stderr


def test_what_the_target_starts_is_there_and_every_environment_file_is_given():
    text = (DEPLOY / "systemd" / "waferlens.target").read_text()
    wanted = set(re.findall(r"waferlens-[\w@.]+", text))
    templates = {re.sub(r"@\w+\.", "@.", name) for name in wanted}
    assert templates == {unit.name for unit in UNITS} - {"waferlens.target"}
    triton = (DEPLOY / "systemd" / "waferlens-triton@.service").read_text()
    needed = set(re.findall(r"\$\{(\w+)\}", triton))
    for instance in ("primary", "failover"):
        assert f"waferlens-triton@{instance}.service" in wanted
        assert needed <= set(variables(DEPLOY / "env" / f"triton-{instance}.env"))
    for unit in UNITS:
        for name in re.findall(r"EnvironmentFile=/etc/waferlens/([\w.%-]+)", unit.read_text()):
            assert list((DEPLOY / "env").glob(name.replace("%i", "*"))), name


def test_the_two_replicas_share_neither_gpu_nor_port_and_the_others_know_their_addresses():
    primary, failover = (variables(DEPLOY / "env" / f"triton-{name}.env") for name in ("primary", "failover"))
    assert primary.keys() == failover.keys()
    assert all(primary[name] != failover[name] for name in primary if name != "TRITON_MODEL")
    proxied = variables(DEPLOY / "env" / "haproxy.env")
    asked = variables(DEPLOY / "env" / "api.env")["WAFERLENS_TRITON"]
    for name, told in (("PRIMARY", primary), ("FAILOVER", failover)):
        assert proxied[f"TRITON_{name}_HTTP"] == f"127.0.0.1:{told['TRITON_HTTP_PORT']}"
        assert proxied[f"TRITON_{name}_GRPC"] == f"127.0.0.1:{told['TRITON_GRPC_PORT']}"
        assert f"grpc://127.0.0.1:{told['TRITON_GRPC_PORT']}" in asked
    ports = [value for told in (primary, failover) for name, value in told.items() if name.endswith("PORT")]
    own = [proxied[name].rsplit(":", 1)[1] for name in proxied if name.startswith(("API_WORKER", "HAPROXY_HTTP"))]
    assert len(set(ports + own)) == len(ports + own)


@pytest.mark.parametrize("path", [*ENVIRONMENTS, *sorted(DEPLOY.glob("*.env"))], ids=lambda path: path.name)
def test_no_secret_is_in_an_environment_file(path):
    for name, value in variables(path).items():
        if re.search("PASSWORD|SECRET|ACCESS_KEY", name):
            assert value == "CHANGE_ME"
        assert set(re.findall(r"://[^/@:]+:([^/@]+)@", value)) <= {"CHANGE_ME"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_of_the_compose_file_refers_only_to_what_is_declared(name):
    service = SERVICES[name]
    assert set(service.get("depends_on", {})) <= set(SERVICES)
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        assert source.startswith("./") or source in COMPOSE["volumes"]
        if source.startswith("./haproxy/"):
            assert (DEPLOY / source).is_file()
    for file in service.get("env_file", ()):
        assert (DEPLOY / file).is_file()
    assert service["restart"] == "always"
    assert "latest" not in service["image"]


def test_only_the_door_can_be_reached_and_nothing_inside_reaches_out():
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert [name for name, service in SERVICES.items() if service.get("ports")] == ["haproxy"]
    assert [name for name, service in SERVICES.items() if "stations" in service["networks"]] == ["haproxy"]


def test_the_compose_file_has_the_five_components():
    kinds = {re.sub(r"-(\d|primary|failover)$", "", name) for name in SERVICES}
    assert kinds == {"triton", "api", "haproxy", "postgres", "s3"}
    replicas = [SERVICES[f"triton-{name}"] for name in ("primary", "failover")]
    gpus = [r["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] for r in replicas]
    assert gpus == [["0"], ["1"]]
    assert sum(name.startswith("api-") for name in SERVICES) == 4
    known = variables(DEPLOY / "haproxy.compose.env")
    assert {known[f"API_WORKER_{n}"].split(":")[0] for n in range(1, 5)} == {f"api-{n}" for n in range(1, 5)}


def test_the_image_of_the_api_copies_what_is_there_and_comes_from_the_fabs_own_registry():
    text = (DEPLOY / "Dockerfile").read_text()
    (copied,) = re.findall(r"^COPY (requirements.*) \./$", text, flags=re.MULTILINE)
    assert all((DEPLOY.parent / name).exists() for name in copied.split())
    assert re.findall(r"^FROM (\S+?)/", text, flags=re.MULTILINE) == ["${REGISTRY}"]
    assert app.info.name == "waferlens"
    assert 'ENTRYPOINT ["waferlens"]' in text
