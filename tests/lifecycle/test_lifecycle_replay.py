"""A challenger on the record: every image once, whatever the challenger does, and on where it stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import challengers
import pytest

from waferlens.lifecycle.comparison import comparison_report
from waferlens.lifecycle.isolated import Isolated, Said, opener_of
from waferlens.lifecycle.replay import LocalWorkers, ShadowOptions, Source, replay, shadow_once
from waferlens.storage.blobs import LocalBlobs
from waferlens.storage.challenger_scores import Compared, compared
from waferlens.storage.inspections import insert_inspection

sys.path.append(str(Path(__file__).parents[1] / "storage"))
from storage_examples import an_inspection

VERSION = "vae-wafer-v1.1.0"
LATER = 2**45


class Counting:
    """Workers in this process; stops after so many images, as a kill would."""

    def __init__(self, dies_after=None):
        self.seen, self._dies_after = 0, dies_after

    def score(self, images):
        for image in images:
            if self.seen == self._dies_after:
                raise KeyboardInterrupt
            self.seen += 1
            yield Said(**challengers.score(image))

    def close(self):
        pass


@pytest.fixture
def source(database, tmp_path):
    return Source(database=database, blobs=LocalBlobs(tmp_path / "blobs"))


def fill(source, num, image=None, **told):
    now_ms = time.time_ns() // 1_000_000
    with source.database.writing() as connection:
        for number in range(num):
            name = source.blobs.put(image or os.urandom(40 + number))
            insert_inspection(connection, an_inspection(original=name, received_ms=now_ms + number, **told))


def scores_of(source):
    with source.database.reading() as connection:
        return compared(connection, VERSION, since_ms=0, until_ms=LATER)


def test_every_image_is_scored_once_and_a_replay_that_stopped_goes_on(source):
    fill(source, 600)
    fill(source, 3, failure="image", score=None)
    with pytest.raises(KeyboardInterrupt):
        replay(source, VERSION, Counting(dies_after=300), since_ms=0, until_ms=LATER)
    assert len(scores_of(source)) == 256
    rest = Counting()
    told = []
    done = replay(
        source, VERSION, rest, since_ms=0, until_ms=LATER, count=lambda done, total: told.append((done, total))
    )
    assert (done.num_scored, rest.seen, len(scores_of(source))) == (344, 344, 600)
    assert told[-1] == (344, 344)
    assert replay(source, VERSION, Counting(), since_ms=0, until_ms=LATER).num_scored == 0


def test_an_image_that_is_gone_is_said_and_does_not_stop_the_others(source):
    fill(source, 3)
    source.blobs.delete(next(iter(source.blobs.names())))
    assert replay(source, VERSION, Counting(), since_ms=0, until_ms=LATER).num_failed == 1
    assert sorted(str(each.failure) for each in scores_of(source)) == ["None", "None", "missing"]


def test_a_shadow_that_is_too_far_behind_drops_the_oldest_and_counts_them(source):
    fill(source, 100)
    options = ShadowOptions(max_waiting=10)
    time.sleep(0.2)
    assert shadow_once(source, VERSION, Counting(), 0, options) == 10
    dropped = [each.failure for each in scores_of(source)]
    assert dropped == ["dropped"] * 90 + [None] * 10
    assert comparison_report(scores_of(source), {})["num_dropped"] == 90


@pytest.mark.parametrize(
    ("challenger", "failure"),
    [
        (challengers.one_that_hangs, "hung"),
        (challengers.one_that_burns, "hung"),
        (challengers.one_that_crashes, "crashed"),
        (challengers.one_that_raises, "engine"),
    ],
)
def test_whatever_a_challenger_does_is_a_word_beside_its_image(challenger, failure):
    isolated = Isolated(partial(challenger), seconds=0.5, is_idle=True)
    try:
        assert [isolated.score(b"x").failure for _ in range(2)] == [failure] * 2
    finally:
        isolated.close()


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
import challengers
from waferlens.lifecycle.isolated import Isolated

if __name__ == "__main__":
    isolated = Isolated(challengers.one_that_burns, seconds=60, is_idle=False)
    isolated.score(b"x")
"""


def test_a_challenger_that_computes_for_ever_ends_with_whoever_asked(tmp_path):
    (tmp_path / "asks.py").write_text(KILLED)
    asks = subprocess.Popen([sys.executable, tmp_path / "asks.py", str(Path(challengers.__file__).parent)])
    children = Path(f"/proc/{asks.pid}/task/{asks.pid}/children")
    ends = time.monotonic() + 30
    while len(told := children.read_text().split()) < 2:  # the process and multiprocessing's tracker
        assert time.monotonic() < ends
        time.sleep(0.05)
    time.sleep(1)
    asks.kill()
    asks.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in told):
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_processes_answer_in_the_order_of_the_images():
    workers = LocalWorkers(partial(challengers.a_good_one), 2, seconds=60.0)
    try:
        images = [b"x" * number for number in range(1, 30)]
        assert [said.score for said in workers.score(images)] == [float(n) for n in range(1, 30)]
    finally:
        workers.close()


def an_image(decision, challenger, score=1.0, other=1.0, failure=None, number=0):
    return Compared(
        inspection_id=f"{number:032x}",
        model_version="vae-wafer-v1.0.0",
        decision=decision,
        score=score,
        inference_ms=10.0,
        challenger_decision=challenger,
        challenger_score=other,
        challenger_inference_ms=20.0,
        failure=failure,
    )


def test_the_report_counts_decisions_and_lists_possible_escapes_first():
    images = [an_image("PASS", "PASS", number=n) for n in range(5)]
    images += [an_image("PASS", "REJECT", number=10), an_image("REVIEW", "PASS", number=11)]
    images += [an_image("REJECT", "PASS", number=12), an_image("PASS", None, failure="hung", number=13)]
    told = comparison_report(images, {})
    assert (told["num_images"], told["num_compared"], told["num_failed"]) == (9, 8, 1)
    assert told["other_decisions"]["num"] == 3
    assert [each["champion"] for each in told["differences"]] == ["REJECT", "REVIEW", "PASS"]
    assert told["inference_ms"]["challenger"]["q50"] == 20.0
    assert told["auroc"] is None


def test_with_verdicts_both_models_are_ranked():
    images = [an_image("PASS", "PASS", score=n, other=-n, number=n) for n in range(20)]
    verdicts = {f"{n:032x}": n >= 10 for n in range(20)}
    told = comparison_report(images, verdicts)["auroc"]
    assert (told["champion"]["value"], told["challenger"]["value"]) == (1.0, 0.0)
    assert comparison_report([], {})["other_decisions"] is None


@pytest.mark.slow
def test_a_real_bundle_scores_as_it_decides(exported, source):
    from waferlens.bundle.contents import load_samples
    from waferlens.inspection.inspector import Inspector

    sys.path.append(str(Path(__file__).parents[1] / "web"))
    from test_web_swap import png

    image = png(load_samples(exported).held_out[0])
    fill(source, 3, image=image)
    workers = LocalWorkers(opener_of(exported, None), 2, seconds=60.0)
    try:
        done = replay(source, VERSION, workers, since_ms=0, until_ms=LATER)
    finally:
        workers.close()
    expected = Inspector.load(exported).inspect_file(image)
    assert done.num_failed == 0
    assert {each.challenger_score for each in scores_of(source)} == {expected.inference.score}
    assert {each.challenger_decision for each in scores_of(source)} == {str(expected.decision.kind)}
