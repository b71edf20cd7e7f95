"""The rollout on a running service: rollback under load, a canary by wafer, roles that another process moves."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import Counter

import numpy as np
import pytest
from test_web_swap import png

import line
from rolling import WHY, a_home_with_versions, serving_champion
from waferlens.bundle.contents import load_samples
from waferlens.engines.fleet import in_share
from waferlens.inspection.service import ServiceOptions
from waferlens.lifecycle.guardrails import GuardrailOptions
from waferlens.settings.service import ServiceSettings
from waferlens.storage.accounts import Role
from waferlens.wiring.lifecycle import open_life

pytestmark = pytest.mark.slow
OLD, NEW, NEWER = "vae-wafer-v1.0.0", "vae-wafer-v1.0.1", "vae-wafer-v1.0.2"
RATE = 20
# Tests share their machine: a slow spell of it is no model's fault.
SETTINGS = ServiceSettings(
    inspection=ServiceOptions(deadline_seconds=20), guardrails=GuardrailOptions(slow_ms=60_000)
)


@pytest.fixture(scope="module")
def home_with_models(exported, tmp_path_factory):
    """Three versions that differ in a threshold; the second is champion, the first its previous one."""
    folder = tmp_path_factory.mktemp("rollout")
    life = a_home_with_versions(folder, exported, (0.0, -0.01, -0.02))
    life.rollout.promote(WHY, OLD)
    life.rollout.start(NEW, WHY)
    life.rollout.canary(0.1, WHY)
    life.rollout.promote(WHY)
    life.record.database.close()
    return folder / "home"


@pytest.fixture
def served(home_with_models, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(home_with_models, home)
    with serving_champion(home, SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def images(exported):
    return [png(pixels) for pixels in load_samples(exported).held_out]


class Load:
    """A camera at 20 images a second, in a thread of its own: (when answered, model, decision) of each."""

    def __init__(self, served, images, wafers=None):
        self.answers, self.failed, self._ends = [], [], threading.Event()
        self._served, self._images, self._wafers = served, images, wafers or (lambda number: f"W-{number}")
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()

    def _run(self):
        with self._served.client() as camera:
            self._inspect(camera)

    def _inspect(self, camera):
        number, started = 0, time.monotonic()
        while not self._ends.wait(max(0.0, started + number / RATE - time.monotonic())):
            try:
                image = self._images[number % len(self._images)]
                told = camera.inspect(image, self._wafers(number), 0)
                self.answers.append((time.monotonic(), told["model_version"], told["failure"], told["id"]))
            except Exception as error:
                self.failed.append(error)
            number += 1


def move(served, what, **told):
    return post(served, f"/api/v1/rollout/{what}", {"reason": "a test"} | told)


def post(served, path, told):
    with served.client(Role.ENGINEER) as engineer:
        return engineer.ask("POST", path, json.dumps(told).encode(), {"Content-Type": "application/json"})


def get(served, path):
    with served.client(Role.ENGINEER) as reader:
        return reader.get(path)


def inspect(served, *told):
    with served.client() as camera:
        return camera.inspect(*told)


def rollout_of(served):
    return get(served, "/api/v1/rollout")


def test_the_service_starts_with_the_champion_and_keeps_the_previous_one_warm(served):
    told = rollout_of(served)
    assert (told["champion"], told["previous"], told["serving"]) == (NEW, OLD, NEW)
    assert told["warm"] == [OLD, NEW]


@pytest.mark.parametrize("how", ["button", "another process"])
def test_a_rollback_under_load_drops_nothing_and_is_done_within_two_seconds(served, images, how):
    with Load(served, images) as load:
        line.wait_until(lambda: len(load.answers) > 20)
        asked = time.monotonic()
        if how == "button":
            assert move(served, "rollback").status == 200
        else:
            open_life(served.service.record.home).roll_back(WHY, None)
        line.wait_until(lambda: load.answers[-1][1] == OLD, 30)
        line.wait_until(lambda: load.answers[-1][0] > asked + 2.0)
    first_old = next(when for when, version, _, _ in load.answers if version == OLD)
    assert load.failed == []
    assert [failure for _, _, failure, _ in load.answers if failure is not None] == []
    assert first_old - asked < 2.0
    assert {version for when, version, _, _ in load.answers if when > asked + 2.0} == {OLD}
    print(f"{how}: the first old answer came {first_old - asked:.3f} s after the order")
    recorded = get(served, "/api/v1/inspections?limit=500")["inspections"]
    assert {each[3] for each in load.answers} <= {each["id"] for each in recorded}
    assert served.service.record.audit.entries(limit=1)[0].action == "model moved"


def test_a_canary_decides_on_its_wafers_and_on_no_other(served, images):
    assert move(served, "start", version=NEWER).status == 200
    assert move(served, "advance", share=0.5).status == 200
    wafers = [f"WF-{number}" for number in range(60)]
    for number, wafer in enumerate(wafers):
        for point in (0, 1):
            told = inspect(served, images[number % len(images)], wafer, point)
            assert told["failure"] is None
            assert told["model_version"] == (NEWER if in_share(wafer, NEWER, 0.5) else NEW)
    assert move(served, "abort").status == 200
    assert {inspect(served, images[0], wafer, 0)["model_version"] for wafer in wafers} == {NEW}
    moves = rollout_of(served)["moves"]
    assert [each["to_state"] for each in moves[:3]] == ["refused", "canary", "shadow"]
    assert {each["actor"] for each in moves[:3]} == {"a-engineer"}


def test_a_canary_that_goes_the_whole_way_is_champion_and_goes_back_at_once(served, images):
    for what, told in (("start", {"version": NEWER}), ("advance", {}), ("advance", {})):
        assert move(served, what, **told).status == 200
    assert inspect(served, images[0], "W", 0)["model_version"] == NEWER
    assert rollout_of(served)["warm"] == [NEW, NEWER]
    assert move(served, "rollback").status == 200
    assert inspect(served, images[0], "W", 0)["model_version"] == NEW


def test_moves_that_are_not_legal_are_conflicts_and_the_old_way_to_change_the_model_is_closed(served):
    assert move(served, "advance").status == 409
    assert move(served, "abort").status == 409
    assert move(served, "start", version="vae-wafer-v9.0.0").status == 404
    assert move(served, "rollback", reason="").status == 422
    assert post(served, "/api/v1/model", {"bundle": NEWER}).status == 409
    assert rollout_of(served)["champion"] == NEW


def test_a_champion_that_cannot_be_verified_is_alarmed_and_the_old_one_goes_on(served, images):
    home = served.service.record.home
    weights = home / "bundles" / NEWER / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    for what, told in (("start", {"version": NEWER}), ("advance", {}), ("advance", {})):
        assert move(served, what, **told).status == 200
    told = rollout_of(served)
    assert (told["champion"], told["serving"]) == (NEWER, NEW)
    assert inspect(served, images[0], "W", 0)["failure"] is None
    assert 'waferlens_alarms_total{failure="rollout"} 1.0' in get(served, "/metrics").decode()


def test_shares_are_stable_and_as_large_as_asked():
    wafers = [f"WF-2026-{number:06d}" for number in range(20_000)]
    for share in (0.01, 0.1, 0.5):
        inside = np.asarray([in_share(wafer, NEW, share) for wafer in wafers])
        assert abs(inside.mean() - share) < 4 * np.sqrt(share * (1 - share) / len(wafers))
    small, large = ({w for w in wafers if in_share(w, NEW, share)} for share in (0.05, 0.2))
    assert small < large  # whoever was in a small canary stays in the larger one
    other = Counter(in_share(wafer, NEWER, 0.1) for wafer in wafers if in_share(wafer, NEW, 0.1))
    assert 0.05 < other[True] / other.total() < 0.15
