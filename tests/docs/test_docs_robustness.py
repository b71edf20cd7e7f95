"""The tables of robustness in docs/evaluation.md say what the code does."""

from __future__ import annotations

import inspect

import numpy as np
import pages

from waferlens.cli import look
from waferlens.evaluation.robustness import MAX_COST, robustness
from waferlens.images.disturbances import DISTURBANCES, NONE
from waferlens.wiring.robustness import MAX_IMAGES

SECTION = pages.section(pages.PAGES["docs/evaluation.md"], "## Robustness")
DISTURBED, KEYS = ("| " + table for table in SECTION.split("\n| ", 1)[1].split("\n\n| ", 1))


def test_the_table_of_disturbances_has_every_ladder():
    listed = {title: levels.split(", ") for title, _, levels in pages.rows(DISTURBED)}
    assert listed == {
        kind.title: [level.name for level in kind.levels if level.name != NONE] for kind in DISTURBANCES
    }


def test_the_number_of_scorings_and_of_levels_is_as_stated():
    num_levels = sum(not level.is_none for kind in DISTURBANCES for level in kind.levels)
    assert f"every image is scored {num_levels + 1} times" in SECTION
    assert f"With {num_levels} levels" in SECTION


def test_the_keys_of_a_level_are_those_that_are_written():
    scores = np.arange(4.0)
    kind = DISTURBANCES[0]
    levels = dict.fromkeys((level.name for level in kind.levels), scores)
    found = robustness(scores > 1, scores, [(kind, levels)], review_threshold=1, reject_threshold=2)
    written = set(found.results[0].levels[0].as_dict()) - {"name", "amount"}
    listed = {name.strip("`, ") for row in pages.rows(KEYS) for name in row[0].split(",")}
    assert listed | {"p_value"} == written


def test_page_and_command_state_the_cap_and_the_cost_that_hold():
    assert inspect.signature(look.robustness).parameters["images"].default == MAX_IMAGES
    assert f"At most {MAX_IMAGES} images of each class" in " ".join(SECTION.split())
    assert f"by more than {MAX_COST:g}" in SECTION
    assert f"more than {MAX_COST:g} AUROC" in " ".join(str(look.robustness.__doc__).split())
