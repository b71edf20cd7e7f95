"""Defect classes and known answers: managed by engineers, audited, never deleted."""

from __future__ import annotations

import pytest
from review_examples import ANN, EVE, inspected

from waferlens.errors import Conflict, NotAllowed, NotFound, OptionsError
from waferlens.records import Label
from waferlens.review.policy import CASE_STUDY_CLASSES


def in_use(review):
    return [each.name for each in review.taxonomy.in_use()]


def test_a_new_record_has_the_classes_of_the_policy_and_keeps_what_was_changed_since(review):
    assert in_use(review) == list(CASE_STUDY_CLASSES)
    review.taxonomy.retire(EVE, "open")
    review.taxonomy.begin_with({"other": ""})
    assert in_use(review) == [name for name in CASE_STUDY_CLASSES if name != "open"]


def test_a_class_is_added_at_the_end_retired_and_added_again(review, audit):
    review.taxonomy.add(EVE, "haze_ring", "a bright ring")
    assert in_use(review)[-1] == "haze_ring"
    review.taxonomy.retire(EVE, "haze_ring")
    assert "haze_ring" not in in_use(review)
    assert "haze_ring" in [each.name for each in review.taxonomy.all_classes()]
    review.taxonomy.add(EVE, "haze_ring", "a bright ring")
    assert in_use(review)[-1] == "haze_ring"
    done = [(entry.actor, entry.action) for entry in audit.entries(limit=3)]
    assert done == [
        ("eve", "defect class added"),
        ("eve", "defect class retired"),
        ("eve", "defect class added"),
    ]


def test_a_class_in_use_is_not_added_twice_and_an_unknown_one_not_retired(review):
    with pytest.raises(Conflict):
        review.taxonomy.add(EVE, "scratch", "")
    with pytest.raises(NotFound):
        review.taxonomy.retire(EVE, "nonsense")


@pytest.mark.parametrize("name", ["", "A", "a b", "1a", "a" * 65, "../x", "\u00e4"])
def test_a_name_of_another_form_is_refused(review, name):
    with pytest.raises(OptionsError):
        review.taxonomy.add(EVE, name, "")


def test_inspectors_change_neither_classes_nor_known_answers(database, review):
    inspection = inspected(database, review)
    for ask in (
        lambda: review.taxonomy.add(ANN, "x", ""),
        lambda: review.taxonomy.retire(ANN, "scratch"),
        lambda: review.known.add(ANN, inspection.id, Label.NORMAL, source="s"),
        lambda: review.known.retire(ANN, inspection.id),
        lambda: review.known.all_answers(ANN),
    ):
        with pytest.raises(NotAllowed):
            ask()


def test_a_known_answer_is_kept_with_its_source_and_leaves_the_queue(database, review, audit):
    inspection = inspected(database, review)
    added = review.known.add(EVE, inspection.id, Label.DEFECTIVE, defect_class="scratch", source="planted")
    assert review.known.all_answers(EVE) == [added]
    assert review.queue.waiting().num_looks == 0
    assert audit.entries(limit=1)[0].action == "known answer added"
    with pytest.raises(Conflict):
        review.known.add(EVE, inspection.id, Label.NORMAL, source="s")
    review.known.retire(EVE, inspection.id)
    assert review.known.all_answers(EVE)[0].retired_ms is not None
    with pytest.raises(NotFound):
        review.known.retire(EVE, inspection.id)


@pytest.mark.parametrize(
    ("truth", "name", "source"),
    [
        (Label.UNKNOWN, None, "s"),
        (Label.NORMAL, "scratch", "s"),
        (Label.DEFECTIVE, "nonsense", "s"),
        (Label.NORMAL, None, " "),
    ],
)
def test_an_answer_that_is_not_known_is_refused(database, review, truth, name, source):
    inspection = inspected(database, review)
    with pytest.raises(OptionsError):
        review.known.add(EVE, inspection.id, truth, defect_class=name, source=source)


def test_an_answer_of_no_inspection_is_refused(review):
    with pytest.raises(NotFound):
        review.known.add(EVE, "0" * 32, Label.NORMAL, source="s")
