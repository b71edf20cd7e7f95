"""The rollout: legal moves only, who and why on each, never two champions, whoever tries at the same time."""

from __future__ import annotations

import itertools
import threading

import pytest
from lifecycle_examples import WHY, registered
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from waferlens.errors import DatabaseLost, IllegalMove, NotFound, OptionsError
from waferlens.lifecycle.rollout import Because
from waferlens.lifecycle.states import LEGAL, State, check_move
from waferlens.wiring.lifecycle import aliases_of

MOVES = list(itertools.product([None, *State], State))


@pytest.mark.parametrize(("old", "new"), MOVES)
def test_a_move_is_legal_or_refused_naming_what_would_be(old, new):
    allowed = {State.REGISTERED} if old is None else LEGAL[old]
    if new in allowed:
        check_move("v", old, new)
    else:
        with pytest.raises(IllegalMove, match=str(min(allowed))):
            check_move("v", old, new)


def test_what_is_in_use_can_never_be_archived_directly():
    for state in (State.SHADOW, State.CANARY, State.CHAMPION):
        assert State.ARCHIVED not in LEGAL[state]


def roles(rollout):
    return tuple(aliases_of(rollout.roles()).values())


def test_a_version_goes_from_shadow_over_canary_to_champion_and_back(database, rollout, audit):
    one, two = registered(database, rollout, "v1.0.0", "v1.1.0")
    rollout.promote(WHY, one)
    assert roles(rollout) == (one, None, None)
    rollout.start(two, WHY)
    assert roles(rollout) == (one, two, None)
    assert rollout.roles().canary_share == 0
    rollout.canary(0.1, WHY)
    assert rollout.roles().canary_share == 0.1
    rollout.promote(WHY)
    assert roles(rollout) == (two, None, one)
    assert rollout.roll_back(WHY) == one
    assert roles(rollout) == (one, None, two)
    assert rollout.roll_back(Because(actor="guardrail", reason="too many escapes"), refuse=True) == two
    assert roles(rollout) == (two, None, None)
    newest = rollout.history()[0]
    assert (newest.version, newest.actor, newest.reason) == (one, "guardrail", "too many escapes")
    assert audit.verify() == len(rollout.history())


def test_after_a_refusal_the_champion_before_is_where_the_next_rollback_goes(database, rollout):
    names = registered(database, rollout, "v1.0.0", "v1.1.0", "v1.2.0")
    rollout.promote(WHY, names[0])
    for name in names[1:]:
        rollout.start(name, WHY)
        rollout.canary(0.1, WHY)
        rollout.promote(WHY)
    assert roles(rollout) == (names[2], None, names[1])
    rollout.roll_back(WHY, refuse=True)
    assert roles(rollout) == (names[1], None, names[0])


def test_an_aborted_challenger_is_refused_and_may_be_tried_again(database, rollout):
    one, two = registered(database, rollout, "v1.0.0", "v1.1.0")
    rollout.promote(WHY, one)
    rollout.start(two, WHY)
    rollout.canary(0.2, WHY)
    assert rollout.abort(WHY) == two
    assert roles(rollout) == (one, None, None)
    assert rollout.find(two).canary_share is None
    rollout.start(two, WHY)
    assert rollout.find(two).state == State.SHADOW


def test_a_second_challenger_champion_or_shortcut_is_refused_and_changes_nothing(database, rollout):
    one, two, three = registered(database, rollout, "v1.0.0", "v1.1.0", "v1.2.0")
    with pytest.raises(IllegalMove, match="no champion"):
        rollout.start(two, WHY)
    rollout.promote(WHY, one)
    with pytest.raises(IllegalMove, match="no challenger"):
        rollout.promote(WHY, two)
    rollout.start(two, WHY)
    before = roles(rollout), rollout.history()
    for forbidden in (
        lambda: rollout.start(three, WHY),
        lambda: rollout.promote(WHY),
        lambda: rollout.promote(WHY, three),
        lambda: rollout.roll_back(WHY),
        lambda: rollout.archive(one, "0" * 64, WHY),
        lambda: rollout.archive(two, "0" * 64, WHY),
    ):
        with pytest.raises(IllegalMove):
            forbidden()
    assert (roles(rollout), rollout.history()) == before


def test_a_previous_champion_is_in_use_and_an_older_one_is_not(database, rollout):
    names = registered(database, rollout, "v1.0.0", "v1.1.0", "v1.2.0")
    rollout.promote(WHY, names[0])
    for name in names[1:]:
        rollout.start(name, WHY)
        rollout.canary(0.1, WHY)
        rollout.promote(WHY)
    with pytest.raises(IllegalMove, match="in use"):
        rollout.archive(names[1], "0" * 64, WHY)
    rollout.archive(names[0], "0" * 64, WHY)
    rollout.restore(names[0], WHY)
    assert rollout.find(names[0]).state == State.PREVIOUS
    assert rollout.roll_back(WHY, names[0]) == names[0]


def test_nobody_moves_a_model_without_a_name_and_a_reason(database, rollout):
    (one,) = registered(database, rollout, "v1.0.0")
    for actor, reason in (("", "why"), ("ann", " ")):
        with pytest.raises(OptionsError, match="who and why"):
            rollout.promote(Because(actor=actor, reason=reason), one)
    with pytest.raises(NotFound):
        rollout.promote(WHY, "vae-wafer-v9.9.9")


@pytest.mark.parametrize("share", [0.0, 0.6, -1.0])
def test_a_canary_takes_a_share_that_leaves_the_champion_most(database, rollout, share):
    with pytest.raises(OptionsError, match="share"):
        rollout.canary(share, WHY)


def test_moves_are_never_changed(database, rollout):
    registered(database, rollout, "v1.0.0")
    for change in ("UPDATE model_moves SET actor = 'nobody'", "DELETE FROM model_moves"):
        with pytest.raises((DatabaseLost, DBAPIError)), database.writing() as connection:
            connection.execute(text(change))


def test_of_many_who_roll_out_at_once_one_wins_and_no_role_has_two(database, audit, rollout):
    names = registered(database, rollout, *(f"v1.{number}.0" for number in range(6)))
    rollout.promote(WHY, names[0])
    won, lost = [], []

    def try_to_start(name):
        try:
            rollout.start(name, WHY)
            won.append(name)
        except (IllegalMove, DatabaseLost) as error:
            lost.append(error)

    threads = [threading.Thread(target=try_to_start, args=(name,)) for name in names[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert roles(rollout) == (names[0], won[0], None)
    assert sum(each.state == State.SHADOW for each in rollout.versions()) == 1
    assert audit.verify() == len(rollout.history())
