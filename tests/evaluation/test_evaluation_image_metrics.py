"""Image metrics: against scikit-learn and slow twins, and the edges where intervals collapse."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.metrics import precision_recall_curve as sklearn_pr
from sklearn.metrics import roc_curve as sklearn_roc

from waferlens.errors import MetricError
from waferlens.evaluation.image_metrics import (
    average_precision,
    delong_components,
    fnr_at_fpr,
    image_auprc,
    image_auroc,
)
from waferlens.evaluation.paired import delong_difference, mcnemar
from waferlens.evaluation.ranking import (
    auroc,
    operating_point,
    point_at,
    precision_recall_curve,
    roc_curve,
    split_by_class,
)
from waferlens.evaluation.resampling import MetricOptions, stratified_counts

# Few distinct values, so that ties are common.
scores_of = st.lists(st.integers(0, 8).map(float), min_size=2, max_size=40).map(np.array)


def joined(normal, defective):
    return np.concatenate([normal, defective]), np.arange(len(normal) + len(defective)) >= len(normal)


@given(scores_of, scores_of)
def test_auroc_and_average_precision_are_scikit_learns_ties_included(normal, defective):
    scores, labels = joined(normal, defective)
    assert auroc(normal, defective) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert average_precision(normal, defective) == pytest.approx(
        average_precision_score(labels, scores), abs=1e-12
    )


@given(scores_of, scores_of)
def test_curves_are_scikit_learns(normal, defective):
    scores, labels = joined(normal, defective)
    fpr, tpr, _ = sklearn_roc(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(roc_curve(normal, defective), (fpr, tpr), atol=1e-12)
    precision, recall, _ = sklearn_pr(labels, scores)
    ours = precision_recall_curve(normal, defective)
    np.testing.assert_allclose(ours, (recall[-2::-1], precision[-2::-1]), atol=1e-12)


@given(scores_of, scores_of, st.sampled_from([0.0, 0.05, 0.1, 0.5]))
def test_the_operating_point_misses_as_few_as_the_roc_curve_allows(normal, defective, max_fpr):
    point = operating_point(normal, defective, max_fpr)
    fpr, tpr = roc_curve(normal, defective)
    assert point.false_positive_rate <= max_fpr
    assert point.false_negative_rate == pytest.approx(1 - tpr[fpr <= max_fpr + 1e-12].max(), abs=1e-12)


def test_five_per_cent_of_sixty_normals_is_three_alarms():
    normal = np.arange(60.0)
    point = operating_point(normal, np.array([57.0, 57.5, 56.0, 100.0]), 0.05)
    assert point.num_false_alarms == 3
    assert point.num_misses == 1  # 56 ties with the highest quiet normal; 57 alarms as the normals do


@given(scores_of, scores_of)
def test_delong_components_average_to_the_auroc_and_are_won_comparisons(normal, defective):
    per_normal, per_defective = delong_components(normal, defective)
    slow = [np.mean((bad > normal) + 0.5 * (bad == normal)) for bad in defective]
    np.testing.assert_allclose(per_defective, slow, atol=1e-12)
    assert per_normal.mean() == pytest.approx(auroc(normal, defective), abs=1e-12)


@given(scores_of, scores_of)
@settings(max_examples=30, deadline=None)
def test_every_interval_holds_its_value_and_stays_in_range(normal, defective):
    scores, labels = joined(normal, defective)
    options = MetricOptions(num_draws=200)
    for figure in (
        image_auroc(scores, labels),
        image_auprc(scores, labels, options),
        fnr_at_fpr(scores, labels, options),
    ):
        assert 0 <= figure.low <= figure.value <= figure.high <= 1


def test_perfect_separation_still_has_a_lower_bound_below_one_that_rises_with_the_sample():
    small, large = (joined(np.zeros(n), np.ones(n)) for n in (10, 200))
    for metric in (image_auroc, image_auprc):
        few, many = metric(*small), metric(*large)
        assert few.value == few.high == 1
        assert 0.5 < few.low < many.low < 1
    assert fnr_at_fpr(*small).high > fnr_at_fpr(*large).high > 0


def test_the_auroc_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    truth = 0.9213503964748575  # two unit normals, two apart: Phi(2 / sqrt 2)
    figures = [image_auroc(*joined(rng.normal(0, 1, 40), rng.normal(2, 1, 25))) for _ in range(400)]
    covered = np.mean([figure.low <= truth <= figure.high for figure in figures])
    assert covered >= 0.93


def test_reversing_the_scores_mirrors_the_auroc_and_its_interval():
    rng = np.random.default_rng(1)
    scores, labels = joined(rng.normal(0, 1, 30), rng.normal(1, 1, 20))
    ahead, behind = image_auroc(scores, labels), image_auroc(-scores, labels)
    assert (ahead.value, ahead.low) == pytest.approx((1 - behind.value, 1 - behind.high), abs=1e-9)


def test_the_fnr_interval_is_wider_than_the_exact_one_because_the_threshold_is_estimated():
    rng = np.random.default_rng(2)
    scores, labels = joined(rng.normal(0, 1, 40), rng.normal(1.7, 0.3, 400))
    figure = fnr_at_fpr(scores, labels)
    misses = point_at(operating_point(*split_by_class(scores, labels)).threshold, *split_by_class(scores, labels))
    exact_width = 2 * 1.96 * math.sqrt(figure.value * (1 - figure.value) / misses.num_defective)
    assert figure.high - figure.low > 1.5 * exact_width


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 3))
def test_every_bootstrap_draw_keeps_the_size_of_each_class(num_normal, num_defective, seed):
    strata = np.arange(num_normal + num_defective) >= num_normal
    counts = stratified_counts(strata, 10, np.random.default_rng(seed))
    assert (counts[:, strata].sum(axis=1) == num_defective).all()
    assert (counts[:, ~strata].sum(axis=1) == num_normal).all()


def test_the_same_seed_gives_the_same_interval():
    scores, labels = joined(np.arange(20.0), np.arange(10.0, 25.0))
    assert image_auprc(scores, labels) == image_auprc(scores, labels)


@pytest.mark.parametrize("labels", [[True, True], [False, False]])
def test_one_class_has_no_ranking(labels):
    with pytest.raises(MetricError, match="at least one of each"):
        image_auroc([0.1, 0.2], labels)


def test_a_score_that_is_not_finite_is_refused():
    with pytest.raises(MetricError, match="finite"):
        image_auroc([0.1, math.nan], [False, True])


def test_delongs_paired_interval_agrees_with_a_bootstrap():
    rng = np.random.default_rng(3)
    labels = np.arange(160) >= 100
    signal = labels * 1.2
    shared = rng.normal(0, 1, 160)
    a, b = signal + shared, signal + 0.7 * shared + rng.normal(0, 1, 160)
    difference, p_value = delong_difference(a, b, labels)
    counts = stratified_counts(labels, 400, rng)
    draws = []
    for count in counts:
        index = np.repeat(np.arange(160), count)
        draws.append(roc_auc_score(labels[index], a[index]) - roc_auc_score(labels[index], b[index]))
    low, high = np.quantile(draws, [0.025, 0.975])
    assert (difference.low, difference.high) == pytest.approx((low, high), abs=0.02)
    assert (p_value < 0.05) == (not difference.low <= 0 <= difference.high)


def test_a_method_does_not_differ_from_itself():
    scores, labels = joined(np.arange(10.0), np.arange(5.0, 15.0))
    difference, p_value = delong_difference(scores, scores, labels)
    assert difference.value == 0
    assert p_value == 1
    assert math.isnan(difference.low)


def test_swapping_the_methods_changes_only_the_sign():
    rng = np.random.default_rng(4)
    labels = np.arange(50) >= 30
    a, b = rng.normal(labels, 1), rng.normal(labels * 0.5, 1)
    forth, p_forth = delong_difference(a, b, labels)
    back, p_back = delong_difference(b, a, labels)
    assert forth.low == pytest.approx(-back.high)
    assert p_forth == pytest.approx(p_back)
    assert mcnemar(a, b, labels)[:2] == mcnemar(b, a, labels)[:2][::-1]


def test_mcnemar_is_the_sign_test_on_the_defects_that_only_one_method_finds():
    labels = np.arange(30) >= 20
    normal = np.linspace(0, 1, 20)
    a = np.concatenate([normal, np.full(10, 2.0)])
    b = np.concatenate([normal, np.full(10, -1.0)])
    assert mcnemar(a, b, labels) == (10, 0, pytest.approx(2 * 0.5**10))
    assert mcnemar(a, a, labels) == (0, 0, 1.0)
