"""What docs/lifecycle.md says is what the code does."""

from __future__ import annotations

import re
import tomllib

import pages

from waferlens.lifecycle.gate import GateOptions
from waferlens.lifecycle.states import LEGAL, State
from waferlens.settings.service import ServiceSettings
from waferlens.wiring.retrain import STEPS

PAGE = pages.PAGES["docs/lifecycle.md"]


def test_the_settings_of_the_examples_are_read_and_are_the_defaults():
    told = {}
    for example in pages.blocks(PAGE, "ini"):
        told |= tomllib.loads(example)
    read, default = ServiceSettings.model_validate(told), ServiceSettings()
    assert read.shadow == default.shadow
    assert read.guardrails == default.guardrails


def test_every_state_stands_on_the_page_with_its_moves():
    listed = {row[0].strip("`"): row[3] for row in pages.rows(pages.section(PAGE, "## States"))}
    assert set(listed) == set(State)
    for state, moves in listed.items():
        if state != State.ARCHIVED:
            assert set(re.findall(r"[a-z]+", moves)) & set(State) == LEGAL[State(state)]


def test_every_step_of_a_retraining_is_explained_in_order():
    assert tuple(row[0].strip("`") for row in pages.rows(pages.section(PAGE, "## Retraining"))) == STEPS


def test_the_gates_limits_are_the_case_studys():
    gate = GateOptions()
    assert (gate.min_auroc, gate.min_auprc, gate.max_fnr_at_fpr5, gate.min_pixel_auroc) == (0.95, 0.85, 0.005, 0.9)
    assert (gate.max_latency_ms, gate.max_parameters) == (50.0, 15_000_000)
