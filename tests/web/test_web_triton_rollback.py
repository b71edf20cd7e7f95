"""Rollback on a real Triton server under 20 images a second: with the old version held by it, and let go by it."""

from __future__ import annotations

import http.client
import json
import time
from itertools import pairwise

import pytest
from test_web_rollout import NEW, OLD, SETTINGS, Load, png

import line
from rolling import WHY, a_home_with_versions
from triton_server import ENVIRONMENT, TritonServer, is_installed, prepare_backends
from waferlens.bundle.contents import load_samples
from waferlens.engines.triton_names import version_number
from waferlens.engines.triton_repository import TritonOptions, export_repositories
from waferlens.inspection.facts import load_facts
from waferlens.wiring.engine import open_fleet
from waferlens.wiring.lifecycle import open_life
from waferlens.wiring.record import open_record
from waferlens.wiring.serve import bundle_to_serve, start_service

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(exported, tmp_path_factory):
    """The second version is champion, the first its previous one."""
    life = a_home_with_versions(tmp_path_factory.mktemp("rollback"), exported, (0.0, -0.01))
    life.rollout.promote(WHY, OLD)
    life.rollout.start(NEW, WHY)
    life.rollout.canary(0.1, WHY)
    life.rollout.promote(WHY)
    life.record.database.close()
    return life.record.home


@pytest.fixture(scope="module")
def server(home, tmp_path_factory):
    """A replica that holds both versions."""
    assert is_installed(), "the Triton server is missing: run `make triton`"
    folder = tmp_path_factory.mktemp("triton")
    options = TritonOptions(python_environment=ENVIRONMENT)
    told = [export_repositories(home / "bundles" / name, folder / "models", options) for name in (OLD, NEW)][-1]
    started = TritonServer(
        folder / "models" / "python", told["model"], prepare_backends(folder / "backends"), folder / "log"
    )
    started.start()
    started.wait()
    yield started
    started.stop()


@pytest.fixture
def served(home, server, monkeypatch):
    monkeypatch.setenv("WAFERLENS_TRITON", server.grpc)
    bundle = bundle_to_serve(home, None)
    service = start_service(load_facts(bundle), open_record(home), SETTINGS, open_fleet(bundle))
    try:
        with line.listening(service) as running:
            yield running
    finally:
        service.close()


def ask(server, method, path, told=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=120)
    connection.request(method, path, None if told is None else json.dumps(told))
    answer = connection.getresponse()
    status, body = answer.status, answer.read()
    connection.close()
    return status, body


def number_of(version):
    return str(version_number(version.rpartition("-")[2]))


def holds(server, version):
    return ask(server, "GET", f"/v2/models/vae-wafer/versions/{number_of(version)}/ready")[0] == 200


def let_go(server, version, kept):
    """As a server does that was started again after newer exports: it holds ``kept`` alone."""
    config = json.loads(ask(server, "GET", "/v2/models/vae-wafer/config")[1])
    config["version_policy"] = {"specific": {"versions": [number_of(kept)]}}
    told = {"parameters": {"config": json.dumps(config)}}
    assert ask(server, "POST", "/v2/repository/models/vae-wafer/load", told)[0] == 200
    line.wait_until(lambda: not holds(server, version) and holds(server, kept), 60)


@pytest.mark.parametrize(("is_held", "seconds"), [(True, 2.0), (False, 30.0)])
def test_a_rollback_fails_no_image_and_new_answers_carry_the_old_version(
    served, server, exported, is_held, seconds
):
    images = [png(pixels) for pixels in load_samples(exported).held_out]
    roles = served.service.rollout.roles()
    now, before = roles.champion.version, roles.previous.version
    line.wait_until(lambda: before in served.service.pool.warm_versions, 60)
    if not is_held:
        let_go(server, before, now)
    assert holds(server, before) == is_held
    with Load(served, images) as load:
        line.wait_until(lambda: len(load.answers) > 20, 30)
        asked = time.monotonic()
        open_life(served.service.record.home).roll_back(WHY, None)
        line.wait_until(lambda: load.answers[-1][1] == before, 60)
        turned = time.monotonic()
        line.wait_until(lambda: load.answers[-1][0] > turned + 2.0)
    first_old = next(when for when, version, _, _ in load.answers if version == before)
    assert load.failed == []
    assert [failure for _, _, failure, _ in load.answers if failure is not None] == []
    assert first_old - asked < seconds
    assert max(later[0] - earlier[0] for earlier, later in pairwise(load.answers)) < 3.0, "loading held images up"
    assert {version for when, version, _, _ in load.answers if when > first_old + 0.5} == {before}
    print(f"held: {is_held}; the first old answer came {first_old - asked:.2f} s after the order")
