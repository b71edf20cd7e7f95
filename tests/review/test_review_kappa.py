"""Kappa equals that of two reference libraries on random tables; where it is not defined it says so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa as their_cohens
from statsmodels.stats.inter_rater import fleiss_kappa as their_fleiss

from waferlens.errors import MetricError
from waferlens.review.kappa import cohens_kappa, fleiss_kappa

SIDES = st.integers(2, 5)
SQUARES = SIDES.flatmap(lambda k: arrays(np.int64, (k, k), elements=st.integers(0, 40)))
SUBJECTS = st.tuples(st.integers(2, 30), st.integers(2, 5), st.integers(2, 6), st.integers(0, 10**6))


def pairs_of(table):
    first, second = np.nonzero(table)
    counts = table[first, second]
    return np.repeat(first, counts), np.repeat(second, counts)


def subjects(n, k, raters, seed):
    return np.random.default_rng(seed).multinomial(raters, np.full(k, 1 / k), size=n)


@given(SQUARES)
def test_cohens_kappa_and_its_interval_are_those_of_the_references(table):
    ours = cohens_kappa(table)
    if ours.estimate is None or np.trace(table) == table.sum():
        return
    with np.errstate(all="ignore"):  # theirs also divides by a deviation that may be zero
        theirs = their_cohens(table)
    assert ours.estimate.value == pytest.approx(theirs.kappa, abs=1e-12)
    assert ours.estimate.value == pytest.approx(cohen_kappa_score(*pairs_of(table)), abs=1e-12)
    low, high = (np.clip(end, -1, 1) for end in (theirs.kappa_low, theirs.kappa_upp))
    if np.isnan(ours.estimate.low):  # no error: theirs is rounding, or the root of one
        assert (table > 0).any(axis=0).sum() == 1 or (table > 0).any(axis=1).sum() == 1 or high - low < 1e-5
        return
    assert (ours.estimate.low, ours.estimate.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


@given(SUBJECTS)
def test_fleiss_kappa_is_that_of_the_reference(told):
    table = subjects(*told)
    ours = fleiss_kappa(table)
    if ours.estimate is not None:
        assert ours.estimate.value == pytest.approx(their_fleiss(table), abs=1e-12)
        without = np.isnan(ours.estimate.low)
        assert ours.estimate.low <= ours.estimate.value <= ours.estimate.high or without
        assert len(table) < 2 or not without or np.ptp(contributions(table, ours.estimate.value)) < 1e-9


def contributions(table, kappa):
    """What of a subject Gwet's error looks at, up to a factor: subjects may differ and contribute alike."""
    shares = table / table.sum(axis=1, keepdims=True)
    said = [[category for category, count in enumerate(row) for _ in range(count)] for row in table]
    pairs = [[a == b for i, a in enumerate(one) for j, b in enumerate(one) if i != j] for one in said]
    return np.array([np.mean(each) for each in pairs]) - 2 * (1 - kappa) * shares @ shares.mean(axis=0)


def test_subjects_that_differ_and_contribute_alike_leave_no_interval():
    table = np.array([[0, 0, 3, 1], [0, 2, 2, 0], [2, 0, 1, 1]])
    ours = fleiss_kappa(table)
    assert ours.estimate.value == pytest.approx(their_fleiss(table), abs=1e-12)
    assert np.isnan(ours.estimate.low)


def slow_fleiss(table):
    """Every pair of raters of every subject, one by one."""
    agreements, marginals = [], []
    for row in table:
        said = [category for category, count in enumerate(row) for _ in range(count)]
        pairs = [(a, b) for i, a in enumerate(said) for j, b in enumerate(said) if i != j]
        agreements.append(sum(a == b for a, b in pairs) / len(pairs))
        marginals.append([said.count(category) / len(said) for category in range(len(row))])
    observed = sum(agreements) / len(agreements)
    expected = sum(sum(column) ** 2 for column in zip(*marginals, strict=True)) / len(table) ** 2
    return (observed - expected) / (1 - expected)


@given(st.integers(0, 10**6))
def test_fleiss_kappa_with_any_number_of_raters_is_that_of_the_slow_twin(seed):
    rng = np.random.default_rng(seed)
    table = np.stack([rng.multinomial(rng.integers(2, 6), [0.5, 0.3, 0.2]) for _ in range(12)])
    ours = fleiss_kappa(table)
    if ours.estimate is not None:
        assert ours.estimate.value == pytest.approx(slow_fleiss(table), abs=1e-12)


@given(st.permutations(range(3)), SQUARES.filter(lambda table: len(table) == 3))
def test_the_names_of_the_categories_do_not_matter(order, table):
    order = list(order)
    ours, renamed = cohens_kappa(table), cohens_kappa(table[np.ix_(order, order)])
    if ours.estimate is not None:
        assert ours.estimate.value == pytest.approx(renamed.estimate.value, abs=1e-12)


def test_subjects_that_one_person_judged_say_nothing():
    table = np.array([[2, 0], [1, 1], [0, 2]])
    assert fleiss_kappa(np.vstack([table, [[1, 0], [0, 0]]])) == fleiss_kappa(table)


@pytest.mark.parametrize("n", [1, 5, 50, 1000])
def test_complete_agreement_is_one_with_a_lower_end_that_knows_the_sample(n):
    table = np.diag([n, n])
    for kappa in (cohens_kappa(table), fleiss_kappa(np.repeat([[2, 0], [0, 2]], n, axis=0))):
        assert kappa.estimate.value == pytest.approx(1)
        assert kappa.estimate.high == 1
        assert kappa.estimate.low < 1
        assert kappa.agreement.value == 1
    assert their_cohens(table).kappa == pytest.approx(1)
    assert cohens_kappa(np.diag([1000, 1000])).estimate.low > 0.99


def test_one_category_alone_is_undefined_and_says_so_where_the_references_give_nan():
    for kappa in (cohens_kappa(np.array([[7, 0], [0, 0]])), fleiss_kappa(np.array([[2, 0]] * 7))):
        assert kappa.estimate is None
        assert kappa.num_subjects == 7
        assert kappa.agreement.value == 1
        assert "same category" in kappa.why_undefined
    with np.errstate(invalid="ignore"):
        assert np.isnan(their_fleiss(np.array([[2, 0]] * 7)))


def test_one_rater_and_no_image_are_undefined_and_say_so():
    alone = fleiss_kappa(np.array([[1, 0], [0, 1]]))
    assert (alone.estimate, alone.agreement, alone.num_subjects) == (None, None, 0)
    assert "two people" in alone.why_undefined
    assert "both" in cohens_kappa(np.zeros((3, 3), dtype=np.int64)).why_undefined
    assert fleiss_kappa(np.zeros((0, 3), dtype=np.int64)).estimate is None


def test_complete_disagreement_is_below_chance():
    kappa = cohens_kappa(np.array([[0, 10], [10, 0]]))
    assert kappa.estimate.value == pytest.approx(-1)
    assert cohen_kappa_score(*pairs_of(np.array([[0, 10], [10, 0]]))) == pytest.approx(-1)


@pytest.mark.parametrize("table", [np.zeros((2, 3), dtype=np.int64), np.array([[1, -1], [0, 1]])])
def test_what_is_no_table_of_two_raters_is_refused(table):
    with pytest.raises(MetricError):
        cohens_kappa(table)


def test_the_interval_of_fleiss_kappa_holds_what_it_states():
    """1,000 samples of 150 images that two people judge: the true kappa lies in some 95 % of the intervals."""
    rng = np.random.default_rng(3)
    truth = rng.random((1000, 150)) < 0.3
    said = [np.where(rng.random(truth.shape) < 0.88, truth, ~truth) for _ in range(2)]
    share = 0.3 * 0.88 + 0.7 * 0.12
    agree = 0.88**2 + 0.12**2
    expected = share**2 + (1 - share) ** 2
    true_kappa = (agree - expected) / (1 - expected)
    held = 0
    for one, other in zip(*said, strict=True):
        both = one.astype(np.int64) + other
        kappa = fleiss_kappa(np.stack([both, 2 - both], axis=1)).estimate
        held += kappa.low <= true_kappa <= kappa.high
    assert 930 <= held <= 970
