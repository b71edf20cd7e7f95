"""What people settled in the review reaches whoever guards, compares and retrains models, over a real record."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from waferlens.lifecycle.extraction import ExtractOptions
from waferlens.lifecycle.gate import GateOptions
from waferlens.lifecycle.poisoning import PoisonOptions
from waferlens.lifecycle.proportions import Count
from waferlens.settings.recipe import load_recipe
from waferlens.storage.challenger_scores import ChallengerScore, add_scores
from waferlens.storage.stored import clock_ms
from waferlens.wiring.lifecycle import check_guardrails, open_life
from waferlens.wiring.replay import compare_version
from waferlens.wiring.retrain import Retraining, Run
from waferlens.wiring.told import Told

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("storage", "review", "lifecycle")]
from lifecycle_examples import WHY, registered
from review_examples import ANN, BAD, EVE, GOOD, PASS, REJECT, inspected, judged, open_a_review

import line


@pytest.fixture
def life(tmp_path):
    return open_life(tmp_path / "home")


@pytest.fixture
def models(life):
    """A champion and its canary."""
    names = registered(life.record.database, life.rollout, "v1.0.0", "v1.1.0")
    life.rollout.promote(WHY, names[0])
    life.rollout.start(names[1], WHY)
    life.rollout.canary(0.5, WHY)
    return names


def review_of(life, **options):
    record = life.record
    return open_a_review(record.database, record.audit, record.home, None, **options)


def inspect(life, review, decision, num, **told):
    """Inspections a millisecond apart: the review hands them out in this order."""
    start_ms = clock_ms() + 2
    return [
        inspected(life.record.database, review, decision, received_ms=start_ms + number, **told)
        for number in range(num)
    ]


def say(review, words, num):
    for saying in [words] * num:
        judged(review, saying)


def settle_audits(review, num):
    """An inspector finds a defect in what passed, and the engineer agrees."""
    say(review, BAD, num)
    for _ in range(num):
        judged(review, BAD, EVE, arbitrations=True)


def test_escapes_that_blind_audits_find_roll_a_canary_back(life, models):
    review = review_of(life, audit_share=1)
    inspect(life, review, PASS, 12, model_version=models[1])
    settle_audits(review, 12)
    (found,) = check_guardrails(life)
    assert found.guardrails[0].count == Count(num_events=12, num_trials=12)
    assert found.rolled_back_to == models[0]
    assert "escape rate 12 of 12" in life.rollout.history()[0].reason


def test_a_running_service_looks_at_the_same_escapes(life, models):
    review = review_of(life, audit_share=1)
    inspect(life, review, PASS, 5, model_version=models[1])
    settle_audits(review, 5)
    with line.a_service(life.record.home) as service:
        (found,) = service.guard.look()
    assert found.guardrails[0].count == Count(num_events=5, num_trials=5)


def test_rejects_that_people_settled_count_as_overridden_or_not(life, models):
    review = review_of(life, include_reject=True)
    for version, num in zip(models, (6, 3), strict=True):
        inspect(life, review, REJECT, num, model_version=version)
        say(review, GOOD, num - 1)
        say(review, BAD, 1)
    with line.a_service(life.record.home) as service:
        compared = service.guard.look()[0].comparison.of("override")
    assert (compared.champion, compared.canary) == (
        Count(num_events=5, num_trials=6),
        Count(num_events=2, num_trials=3),
    )


def test_verdicts_give_the_comparison_its_auroc(life, models):
    review = review_of(life, include_reject=True)
    images = inspect(life, review, REJECT, 4, model_version=models[0])
    say(review, BAD, 2)
    say(review, GOOD, 2)
    defective = {images[0].id, images[1].id}
    with life.record.database.writing() as connection:
        add_scores(
            connection,
            [
                ChallengerScore(
                    model_version=models[1],
                    inspection_id=image.id,
                    scored_ms=clock_ms(),
                    decision="REJECT",
                    score=9.0 if image.id in defective else 5.0,
                    inference_ms=4.0,
                    failure=None,
                )
                for image in images
            ],
        )
    told = compare_version(life, models[1], days=1)["auroc"]
    assert (told["num_normal"], told["num_defective"]) == (2, 2)
    assert told["challenger"]["value"] == 1.0
    assert told["champion"]["value"] == 0.5


def test_a_retraining_takes_what_inspectors_confirmed_and_leaves_what_they_contradicted(life, models, tmp_path):
    review = review_of(life, audit_share=1)
    store = life.record.blobs
    common = {"model_version": models[0]}
    (confirmed,) = inspect(life, review, PASS, 1, original=store.put(b"rare"), p_value=0.001, **common)
    judged(review, GOOD, ANN)
    (contradicted,) = inspect(life, review, PASS, 1, original=store.put(b"defective"), p_value=0.9, **common)
    settle_audits(review, 1)
    (usual,) = inspect(life, review, PASS, 1, original=store.put(b"usual"), p_value=0.9, **common)
    (rare,) = inspect(life, review, PASS, 1, original=store.put(b"rare too"), p_value=0.001, **common)
    (tmp_path / "frozen").mkdir()
    (tmp_path / "frozen" / "image.png").write_bytes(b"x")
    told = Retraining(
        recipe=load_recipe(None),
        test=tmp_path / "frozen",
        seed=0,
        extract=ExtractOptions(min_images=2, max_images=3),
        poison=PoisonOptions(max_lot_share=1.0),
        gate=GateOptions(),
        until_ms=clock_ms() + 1_000,
    )
    nobody = Told(say=lambda text: None, count=lambda done, total: None, watch=lambda progress: None)
    result = Run(life, "a-run", told, WHY, nobody, "waferlens retrain").until("extract")
    taken = {path.stem for path in (Path(result["data"]) / "train" / "good").iterdir()}
    assert taken == {confirmed.id, usual.id}
    assert not taken & {contradicted.id, rare.id}
    assert (result["num_confirmed"], result["num_contradicted"]) == (1, 1)
