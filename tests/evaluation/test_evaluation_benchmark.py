"""Many runs as one table: means and spreads by hand, what is unknown stays unknown."""

import pytest

from waferlens.evaluation.benchmark import TITLES, markdown, rows, spreads
from waferlens.evaluation.summary import FIVE_FIGURES

UNKNOWN = {"value": None, "low": None, "high": None}


def run(auroc, *, misses=2, seconds=60.0, pixels=True):
    figures = {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in FIVE_FIGURES}
    if not pixels:
        figures |= {"pixel_auroc": UNKNOWN, "aupro": UNKNOWN}
    figures["image_auroc"] = {"value": auroc, "low": auroc - 0.04, "high": auroc + 0.02}
    point = None if misses is None else {"num_misses": misses}
    return {"score": figures, "one_false_alarm": point, "num_parameters": 2_500_000, "fit_seconds": seconds,
            "latency_ms": 8.25}  # fmt: skip


TWO_SEEDS = [
    {"vae": run(0.98, misses=1), "gaussian": run(0.95, pixels=False)},
    {"vae": run(0.96, misses=4), "gaussian": run(0.91, pixels=False)},
]


def test_a_spread_holds_mean_deviation_and_the_runs_own_intervals():
    auroc = spreads(TWO_SEEDS)["vae"]["image_auroc"]
    assert auroc.mean == pytest.approx(0.97)
    assert auroc.deviation == pytest.approx(0.02 / 2**0.5)
    assert (auroc.least, auroc.most, auroc.num_seeds) == (0.96, 0.98, 2)
    assert (auroc.low, auroc.high) == (pytest.approx(0.93), pytest.approx(0.99))


def test_misses_are_counted_and_have_no_interval():
    misses = spreads(TWO_SEEDS)["vae"]["misses_at_one_false_alarm"]
    assert (misses.mean, misses.low, misses.high) == (2.5, None, None)


def test_how_far_the_first_is_ahead_is_taken_seed_by_seed():
    table = spreads(TWO_SEEDS)
    assert "ahead" not in table["vae"]
    ahead = table["gaussian"]["ahead"]
    assert (ahead.mean, ahead.least, ahead.most) == pytest.approx((0.04, 0.03, 0.05))


def test_what_no_run_defines_is_a_dash():
    table = spreads([{"vae": run(0.9, misses=None, pixels=False)}])
    assert set(FIVE_FIGURES) - set(table["vae"]) == {"pixel_auroc", "aupro"}
    (cells,) = rows(table)
    assert [cells[1 + list(TITLES).index(name)] for name in ("misses_at_one_false_alarm", "aupro")] == ["-", "-"]


def test_a_method_that_one_seed_lacks_is_averaged_over_the_others():
    table = spreads([{"vae": run(0.9), "pixels": run(0.8)}, {"vae": run(0.7)}])
    assert table["pixels"]["image_auroc"].num_seeds == 1
    assert table["pixels"]["ahead"].mean == pytest.approx(0.1)


def test_the_table_has_a_row_a_method_and_every_column():
    lines = list(markdown(spreads(TWO_SEEDS)))
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| vae", "| gaussian"]
    assert all(line.count("|") == len(TITLES) + 2 for line in lines)
    assert "0.9700 ± 0.0141 [0.930, 0.990]" in lines[2]
    assert "2.50 M" in lines[2]
    assert "+0.040" in lines[3]
