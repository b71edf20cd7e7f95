"""The tables of probability of detection in docs/evaluation.md say what the code does."""

from __future__ import annotations

import inspect

import pages

from waferlens.cli import look
from waferlens.evaluation import pod
from waferlens.evaluation.pod_curve import PodOutcome
from waferlens.evaluation.pod_study import SIZE_NAMES, PodOptions
from waferlens.images.planting import MAX_DRAWS, PlantKind
from waferlens.wiring.pod import MAX_IMAGES

TEXT = pages.PAGES["docs/evaluation.md"]
PLANTED, CURVE = pages.section(TEXT, "## Probability of detection"), pages.section(TEXT, "### The curve")
WORDS = " ".join(PLANTED.split())


def test_the_table_of_kinds_has_every_kind_with_its_size_and_its_ladder():
    options = PodOptions()
    listed = {kind: (size.split()[0], sizes) for kind, _, size, sizes in pages.rows(PLANTED)}
    ladders = {kind: options.ladder(kind) for kind in PlantKind}
    assert listed == {
        str(kind): (SIZE_NAMES[kind], f"{ladder[0]:g} to {ladder[-1]:g}") for kind, ladder in ladders.items()
    }


def test_counts_are_as_stated():
    options = PodOptions()
    assert f"every image is inspected {sum(map(len, options.series()))} times" in WORDS
    assert f"six kinds of defects at nine sizes on up to {MAX_IMAGES} normal images" in WORDS
    assert (len(PlantKind), options.num_sizes) == (6, 9)
    assert inspect.signature(look.pod).parameters["images"].default == MAX_IMAGES
    assert "{:g}, {:g} and {:g} % of full scale".format(*(100 * c for c in options.contrasts)) in WORDS
    assert f"else another place is drawn, {MAX_DRAWS} times" in WORDS


def test_every_outcome_is_explained():
    listed = {name.strip("`, ") for row in pages.rows(CURVE) for name in row[0].split(",")}
    assert listed == {str(outcome) for outcome in PodOutcome}
    assert f"`fit_p_value` below {pod.MISFIT_P_VALUE:g}" in CURVE
    assert f"{pod.FIT_DRAWS:,} draws" in CURVE
