"""Probability of detection: known curves come back, bounds hold their level, and what data cannot tell is said."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit
from scipy.stats import binomtest

from waferlens.errors import MetricError
from waferlens.evaluation.plots_pod import pod_figure, pod_picture, save_figure
from waferlens.evaluation.pod import fit_pod
from waferlens.evaluation.pod_bounds import a90_95, lower_logits, size_at
from waferlens.evaluation.pod_curve import PodOutcome, PodSize
from waferlens.evaluation.pod_exact import exact_a90_95, exact_size_at
from waferlens.evaluation.pod_likelihood import HitMiss, fit_logit, profile
from waferlens.evaluation.pod_study import PodOptions, PodStudy, Trial, series_of
from waferlens.images.planting import PlantKind, PlantSpec
from waferlens.records import Estimate

SIZES = np.geomspace(4, 64, 9)
X = np.log(SIZES)
A50, SLOPE = 14.0, 5.0
TRUE = expit(SLOPE * (X - math.log(A50)))
A90 = A50 * math.exp(logit(0.9) / SLOPE)


def data_of(hits, trials=None):
    """From a table of hits, (G, S), one trial each unless told otherwise."""
    hits = np.asarray(hits, dtype=np.int64)
    return HitMiss(sizes=SIZES, hits=hits, trials=np.ones_like(hits) if trials is None else np.asarray(trials))


def curve_of(hits, *, grouped=True, sizes=SIZES):
    """fit_pod of a table of hits, (G, S); each row is a group."""
    hits = np.asarray(hits, dtype=bool)
    groups = np.repeat(np.arange(len(hits)), hits.shape[1]).tolist()
    return fit_pod(np.tile(sizes, len(hits)), hits.ravel(), groups if grouped else None)


def simulated(rng, num_images, pod=TRUE):
    return rng.random((num_images, len(pod))) < pod


def of_counts(found, num):
    """A table of hits with ``found[s]`` of ``num`` images found at size s."""
    return np.arange(num)[:, None] < np.asarray(found)


def test_the_fit_is_the_maximum_of_the_corrected_likelihood():
    data = data_of(simulated(np.random.default_rng(0), 25))

    def slow(b):
        pod = expit(b[0] + b[1] * X)
        weights = data.n * pod * (1 - pod)
        information = np.array(
            [[weights.sum(), (weights * X).sum()], [(weights * X).sum(), (weights * X * X).sum()]]
        )
        plain = sum(
            k * math.log(p) + (n - k) * math.log(1 - p) for k, n, p in zip(data.k, data.n, pod, strict=True)
        )
        return -(plain + 0.5 * math.log(np.linalg.det(information)))

    found = minimize(slow, [-8, 3], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-11, "maxiter": 4000})
    fit = fit_logit(data)
    np.testing.assert_allclose([fit.intercept, fit.slope], found.x, atol=1e-4)
    assert fit.log_likelihood == pytest.approx(-found.fun, abs=1e-8)


def test_with_many_trials_it_is_maximum_likelihood():
    data = data_of(simulated(np.random.default_rng(1), 3000))
    plain = minimize(
        lambda b: -(data.k * log_expit(b[0] + b[1] * X) + (data.n - data.k) * log_expit(-b[0] - b[1] * X)).sum(),
        [-8, 3],
    )
    fit = fit_logit(data)
    np.testing.assert_allclose([fit.intercept, fit.slope], plain.x, rtol=3e-3)
    information = np.linalg.inv(fit.spread)
    pod = expit(fit.intercept + fit.slope * X)
    assert information[0, 0] == pytest.approx((data.n * pod * (1 - pod)).sum())


def test_the_profile_is_the_best_curve_through_a_point():
    data = data_of(simulated(np.random.default_rng(2), 10))
    at, level = math.log(20), logit(0.9)
    fit = fit_logit(data)
    slopes = np.linspace(0, 40, 40001)
    logits = level + slopes[:, None] * (X - at)
    weights = data.n * expit(logits) * expit(-logits)
    plain = (data.k * log_expit(logits) + (data.n - data.k) * log_expit(-logits)).sum(axis=1)
    spread = weights.sum(1) * (weights * X**2).sum(1) - (weights * X).sum(1) ** 2
    slow = (plain + 0.5 * np.log(spread.clip(1e-300))).max()
    assert profile(data, np.array([at]), level)[0] == pytest.approx(slow, abs=1e-6)
    assert profile(data, X, fit.intercept + fit.slope * X).max() == pytest.approx(fit.log_likelihood, abs=1e-6)


def test_a_known_curve_comes_back():
    curve = curve_of(simulated(np.random.default_rng(3), 400))
    assert curve.outcome is PodOutcome.FITTED
    assert curve.slope == pytest.approx(SLOPE, rel=0.1)
    for size, true in ((curve.a50, A50), (curve.a90, A90)):
        assert size.relation == "="
        assert size.low < size.value < size.high
        assert size.low < true < size.high
        assert size.value == pytest.approx(true, rel=0.05)
    assert curve.a90.value < curve.a90_95.value < curve.a90.high
    assert curve.design_effect < 1.3
    assert 0.05 < curve.fit_p_value <= 1


@pytest.mark.parametrize(("num_images", "slope"), [(12, 4.0), (40, 4.0), (12, 15.0)])
def test_a90_95_lies_above_the_true_a90_in_95_of_100_cases(num_images, slope):
    """12 images, sizes half an octave apart: the small samples at which Wald bounds fail."""
    rng, num_runs, num_covered = np.random.default_rng(4), 120, 0
    for _ in range(num_runs):
        middle = rng.uniform(X[2], X[5])
        data = data_of(simulated(rng, num_images, expit(slope * (X - middle))))
        bound = a90_95(data, fit_logit(data))
        num_covered += bound.value is None or bound.value >= math.exp(middle + logit(0.9) / slope)
    # Above 95 % is allowed: of a curve that rises between two sizes, nobody can say where it does.
    assert binomtest(num_covered, num_runs, 0.95, alternative="less").pvalue > 0.01


def test_intervals_of_a50_hold_too():
    rng, num_runs, num_covered = np.random.default_rng(5), 80, 0
    for _ in range(num_runs):
        data = data_of(simulated(rng, 15))
        size = size_at(data, fit_logit(data), 0.5)
        num_covered += size.low < A50 < size.high
    assert binomtest(num_covered, num_runs, 0.95, alternative="less").pvalue > 0.01


def with_easy_and_hard_images(rng, num_images):
    """Half of the images are easy at every size, half are hard."""
    ease = rng.choice([-3.0, 3.0], (num_images, 1))
    return rng.random((num_images, len(X))) < expit(2 * SLOPE * (X - math.log(A50)) + ease)


def test_images_that_are_all_easy_or_all_hard_count_for_less_than_as_many_independent_ones():
    hits = with_easy_and_hard_images(np.random.default_rng(6), 60)
    together, apart = curve_of(hits), curve_of(hits, grouped=False)
    assert together.a90.value == pytest.approx(apart.a90.value)
    assert together.design_effect > 1.15
    assert apart.design_effect == pytest.approx(1, abs=0.25)
    assert together.a90_95.value > apart.a90_95.value


def test_the_same_trials_twice_tell_nothing_new():
    hits = with_easy_and_hard_images(np.random.default_rng(6), 60)
    once = curve_of(hits)
    groups = np.repeat(np.arange(60), 9)
    twice = fit_pod(np.tile(SIZES, 120), np.r_[hits, hits].ravel(), np.r_[groups, groups].tolist())
    assert twice.num_groups == once.num_groups == 60
    assert twice.design_effect == pytest.approx(2 * once.design_effect, rel=0.1)
    assert twice.a90_95.value == pytest.approx(once.a90_95.value, rel=0.02)


@pytest.mark.parametrize("mixed", [0, 5])
def test_separated_hits_and_misses_have_a_finite_curve_and_say_so(mixed):
    found = [0, 0, 0, 0, mixed, 20, 20, 20, 20]
    curve = curve_of(of_counts(found, 20))
    assert curve.outcome is PodOutcome.SEPARATED
    assert math.isfinite(curve.slope)
    assert SIZES[3] < curve.a50.value < SIZES[5]
    assert SIZES[3] <= curve.a50.low < curve.a50.value < curve.a50.high <= SIZES[5] * 1.1
    assert curve.a50.value < curve.a90.value < curve.a90_95.value < SIZES[6]


def test_all_found_is_at_most_the_smallest_size_and_claims_what_29_images_show():
    for num, claimed in ((29, "≤ 4.0"), (28, "–")):
        curve = curve_of(np.ones((num, 9)))
        assert curve.outcome is PodOutcome.ALL_FOUND
        assert (str(curve.a50), str(curve.a90), str(curve.a90_95)) == ("≤ 4.0", "≤ 4.0", claimed)
        assert curve.drawn is curve.slope is curve.fit_p_value is None


def test_nothing_found_is_beyond_the_largest_size():
    curve = curve_of(np.zeros((40, 9)))
    assert curve.outcome is PodOutcome.NONE_FOUND
    assert (str(curve.a50), str(curve.a90), str(curve.a90_95)) == ("> 64.0", "> 64.0", "–")
    assert curve.a90.low == 64


@pytest.mark.parametrize("found", [[20] * 9, [22, 21, 20, 21, 19, 20, 18, 19, 18], [39] * 9])
def test_a_rate_that_does_not_rise_has_no_curve(found):
    curve = curve_of(of_counts(found, 40))
    assert curve.outcome is PodOutcome.NO_SLOPE
    assert curve.slope is None
    assert curve.a90_95.value is None


def test_found_almost_always_at_any_size_is_claimed_without_a_curve():
    curve = curve_of(of_counts([59, 60, 59, 60, 60, 59, 60, 60, 60], 60))
    assert curve.outcome is PodOutcome.NO_SLOPE
    assert (str(curve.a90), str(curve.a90_95)) == ("≤ 4.0", "≤ 4.0")


def test_rates_that_level_off_are_a_misfit_and_claim_nothing():
    """The logistic curve would go on to 100 % and promise 90 % at a size at which 80 % are found."""
    levelling = curve_of(of_counts([0, 1, 6, 20, 38, 46, 48, 49, 48], 60))
    assert levelling.outcome is PodOutcome.MISFIT
    assert levelling.fit_p_value < 0.05
    assert SIZES[3] < levelling.a50.value < SIZES[4]
    assert levelling.a50.low <= SIZES[3]
    assert levelling.a50.high >= SIZES[4]
    assert (str(levelling.a90), str(levelling.a90_95)) == ("> 64.0", "–")


def test_true_curves_are_seldom_called_a_misfit():
    rng = np.random.default_rng(8)
    found = [curve_of(simulated(rng, 60)).outcome is PodOutcome.MISFIT for _ in range(12)]
    assert sum(found) <= 2


def test_beyond_the_sizes_tried_nothing_is_extrapolated():
    late = curve_of(simulated(np.random.default_rng(9), 60, expit(3 * (X - math.log(70)))))
    assert late.outcome is PodOutcome.FITTED
    assert str(late.a90) == "> 64.0"
    assert late.a90_95.value is None
    assert late.a90.high is None
    early = curve_of(simulated(np.random.default_rng(9), 60, expit(3 * (X - math.log(3)))))
    assert str(early.a50) == "≤ 4.0"
    assert early.a50.low is None


def test_the_exact_claim_errs_in_5_of_100_cases_even_where_every_size_tempts():
    """POD just below 90 % at all nine sizes: tested one by one from the largest, they do not add up."""
    rng = np.random.default_rng(10)
    claims = [exact_a90_95(data_of(simulated(rng, 60, np.full(9, 0.899)))).value is not None for _ in range(2000)]
    assert binomtest(sum(claims), 2000, 0.05, alternative="greater").pvalue > 0.01


def test_without_a_curve_sizes_come_from_rates_that_never_fall():
    data = data_of(of_counts([0, 0, 8, 4, 12, 30, 28, 38, 40], 40))
    size = exact_size_at(data, 0.5)
    # 30 and 28 of 40 become 29 each; half lies between the 12 of 40 before and those 29.
    share = (20 - 12) / (29 - 12)
    assert size.value == pytest.approx(math.exp(X[4] + share * (X[5] - X[4])))
    assert size.low < size.value < size.high


def test_the_lower_bound_rises_with_the_curve_and_reaches_90_percent_at_a90_95():
    data = data_of(simulated(np.random.default_rng(11), 40))
    fit = fit_logit(data)
    lower = lower_logits(data, fit, X)
    assert (np.diff(lower) > 0).all()
    assert (lower < fit.intercept + fit.slope * X).all()
    at = np.array([math.log(a90_95(data, fit).value)])
    assert lower_logits(data, fit, at)[0] == pytest.approx(logit(0.9), abs=1e-3)


def test_the_order_of_trials_does_not_matter():
    hits = simulated(np.random.default_rng(12), 20)
    order = np.random.default_rng(0).permutation(hits.size)
    groups = np.repeat(np.arange(20), 9)
    shuffled = fit_pod(np.tile(SIZES, 20)[order], hits.ravel()[order], groups[order].tolist())
    first = curve_of(hits)
    assert shuffled.num_found == first.num_found
    assert shuffled.a90_95.value == pytest.approx(first.a90_95.value, rel=1e-6)


@pytest.mark.parametrize(
    ("sizes", "found", "groups"),
    [
        ([1.0, 2.0], [True], None),
        ([], [], None),
        ([3.0, 3.0], [True, False], None),
        ([0.0, 2.0], [True, False], None),
        ([1.0, np.inf], [True, False], None),
        ([1.0, 2.0], [True, False], ["a"]),
    ],
)
def test_trials_that_make_no_curve_are_refused(sizes, found, groups):
    with pytest.raises(MetricError, match="expected"):
        fit_pod(sizes, found, groups)


def test_a_size_reads_well():
    assert str(PodSize(relation="=", value=7.123, low=6.2, high=8.4)) == "7.1"
    assert PodSize(relation="=", value=7.123, low=6.2, high=8.4).interval == "[6.2, 8.4]"
    assert PodSize(relation=">", value=48.0, low=31.0).interval == "[31.0, –]"
    assert PodSize(relation=">", value=48.0, low=48.0).interval == ""
    assert PodSize(relation="?").interval == ""


@pytest.fixture(scope="module")
def study():
    """Three kinds: one fitted at two contrasts, one that levels off, one that could not be planted."""
    rng = np.random.default_rng(13)

    def series(kind, contrast, pod):
        trials = []
        for size, chance in zip(SIZES, np.broadcast_to(pod, 9), strict=True):
            spec = PlantSpec(kind=kind, size_px=float(size), contrast=contrast)
            for image in range(40):
                found = None if np.isnan(chance) else bool(rng.random() < chance)
                trials.append(Trial(spec=spec, group=image, is_found=found))
        return series_of(trials, seed=0)

    return PodStudy(
        alarm="review",
        threshold=2.0,
        score_name="score",
        source="normal images that the bundle never saw",
        num_normals=42,
        num_planted=40,
        num_groups=40,
        false_call_rate=Estimate(value=2 / 42, low=0.006, high=0.16),
        series=(
            series(PlantKind.BLOTCH, 0.2, TRUE),
            series(PlantKind.BLOTCH, 0.4, np.minimum(1, 2 * TRUE)),
            series(PlantKind.ERASED, None, 0.6 * expit(12 * (X - 2.5))),
            series(PlantKind.MOVED, None, np.nan),
        ),
        seed=0,
    )


def test_what_could_not_be_planted_is_counted_and_has_no_curve(study):
    assert [series.num_not_planted for series in study.series] == [0, 0, 0, 360]
    assert study.series[3].curve is None
    assert study.series[0].curve.num_trials == (40,) * 9


def test_a_study_is_json_with_every_rate_and_its_interval(study):
    content = json.loads(json.dumps(study.as_dict(), allow_nan=False))
    assert content["false_call_rate"] == {"value": 2 / 42, "low": 0.006, "high": 0.16}
    first = content["series"][0]
    assert (first["kind"], first["contrast"], first["size_is"]) == ("blotch", 0.2, "diameter")
    assert first["curve"]["a90"]["low"] < first["curve"]["a90"]["value"] < first["curve"]["a90_95"]["value"]
    for row in first["curve"]["by_size"]:
        assert row["found_rate"]["value"] == row["num_found"] / row["num_trials"]
        assert row["found_rate"]["low"] <= row["found_rate"]["value"] <= row["found_rate"]["high"]


def test_the_figure_has_a_panel_a_kind_and_is_the_same_twice(study, tmp_path):
    figure = pod_figure(study)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["blotch", "erased", "moved"]
    assert pod_picture(study) == pod_picture(study)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        save_figure(pod_figure(study), tmp_path / folder)
    for name in ("pod.svg", "pod.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_ladders_are_geometric_and_every_defect_can_be_planted():
    options = PodOptions()
    for kind in PlantKind:
        ladder = np.asarray(options.ladder(kind))
        np.testing.assert_allclose(ladder[1:] / ladder[:-1], math.sqrt(2), rtol=0.03)
    series = options.series()
    assert len(series) == 2 * len(options.contrasts) + 4
    assert {spec.kind for specs in series for spec in specs} == set(PlantKind)
