"""The rule by which verdicts become a disposition: nothing passes while anybody doubts it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from waferlens.records import DecisionKind
from waferlens.review.settling import settle, standing_of
from waferlens.storage.accounts import Role
from waferlens.storage.review_stored import Choice, Purpose, ReviewItem, StoredVerdict

PASS, REVIEW, REJECT = DecisionKind


def an_item(number, purpose, is_open=False):
    return ReviewItem(
        id=f"i{number}",
        inspection_id="x",
        purpose=purpose,
        seat=1,
        blind=False,
        addressee="everybody",
        slack=0.5,
        admitted_ms=0,
        closed_ms=None if is_open else 1,
    )


def a_verdict(number, item, person, choice, **told):
    usual = {
        "defect_class": None,
        "role": Role.INSPECTOR,
        "note": "",
        "saw_score": True,
        "looked_ms": None,
        "supersedes": None,
    }
    return StoredVerdict(
        id=f"v{number:03d}",
        item_id=item,
        inspection_id="x",
        person=person,
        choice=choice,
        given_ms=number,
        key=f"k{number}",
        **usual | told,
    )


@st.composite
def histories(draw):
    """What a few people said under a few items, some of it superseded."""
    purposes = draw(st.lists(st.sampled_from(Purpose), min_size=1, max_size=4))
    items = [an_item(number, purpose, draw(st.booleans())) for number, purpose in enumerate(purposes)]
    said, newest = [], {}
    for number in range(draw(st.integers(0, 6))):
        item = draw(st.sampled_from(items)).id
        person = newest[item].person if item in newest else f"person-{item}"
        choice = draw(st.sampled_from(Choice))
        names = st.sampled_from([None, "scratch", "particle"])
        new = a_verdict(
            number,
            item,
            person,
            choice,
            defect_class=draw(names) if choice is Choice.REJECT else None,
            saw_score=draw(st.booleans()),
            supersedes=newest[item].id if item in newest else None,
        )
        newest[item] = new
        said.append(new)
    return items, said


def final_of(items, said):
    purposes = {item.id: item.purpose for item in items}
    return [each for each in standing_of(said) if purposes[each.item_id] is Purpose.ARBITRATION]


@given(st.sampled_from(DecisionKind), histories())
def test_nothing_passes_while_anybody_doubts_it(machine, history):
    items, said = history
    outcome = settle(machine, items, said)
    counted = [each for each in standing_of(said)
               if next(i for i in items if i.id == each.item_id).purpose is not Purpose.KNOWN]  # fmt: skip
    if outcome.disposition is PASS and outcome.by is not None and not final_of(items, said):
        assert {each.choice for each in counted} == {Choice.PASS}
        assert not any(item.closed_ms is None and item.purpose in (Purpose.DOUBT, Purpose.AUDIT) for item in items)


@given(st.sampled_from(DecisionKind), histories())
def test_an_arbiter_has_the_last_word(machine, history):
    items, said = history
    final = final_of(items, said)
    if final and final[-1].choice in (Choice.PASS, Choice.REJECT):
        expected = PASS if final[-1].choice is Choice.PASS else REJECT
        outcome = settle(machine, items, said)
        assert (outcome.disposition, outcome.arbitration) == (expected, False)


@given(st.sampled_from(DecisionKind), histories())
def test_what_is_settled_asks_for_no_arbitration_and_a_class_is_only_on_what_is_rejected(machine, history):
    outcome = settle(machine, *history)
    if outcome.by is None:
        assert (outcome.disposition, outcome.arbitration) == (machine, False)
    if outcome.arbitration:
        assert outcome.disposition is REVIEW
    if outcome.defect_class is not None:
        assert outcome.disposition is REJECT
    assert outcome.reason


@given(histories())
def test_taking_everything_back_leaves_what_the_model_decided(history):
    items, said = history
    withdrawn = [
        a_verdict(100 + number, each.item_id, each.person, Choice.WITHDRAWN, supersedes=each.id)
        for number, each in enumerate(standing_of(said))
    ]
    outcome = settle(REVIEW, items, [*said, *withdrawn])
    assert (outcome.disposition, outcome.by) == (REVIEW, None)


def test_a_class_that_one_of_two_names_is_the_class():
    items = [an_item(0, Purpose.DOUBT), an_item(1, Purpose.DOUBT)]
    said = [
        a_verdict(0, "i0", "ann", Choice.REJECT, defect_class="scratch"),
        a_verdict(1, "i1", "bob", Choice.REJECT),
    ]
    assert settle(REVIEW, items, said).defect_class == "scratch"


def test_an_engineer_who_labels_a_group_decides_and_an_inspector_does_not():
    items = [an_item(0, Purpose.DOUBT), an_item(1, Purpose.ATLAS)]
    first = a_verdict(0, "i0", "ann", Choice.PASS)
    for role, expected in ((Role.ENGINEER, REJECT), (Role.INSPECTOR, REVIEW)):
        label = a_verdict(1, "i1", "eve", Choice.REJECT, role=role)
        assert settle(REVIEW, items, [first, label]).disposition is expected
