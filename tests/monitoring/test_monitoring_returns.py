"""The return on investment: the case study's numbers, its slip, and what an input does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waferlens.monitoring.pages import render_page
from waferlens.monitoring.returns import ReturnInputs, as_told, returns, tornado
from waferlens.monitoring.returns_page import returns_sections


def test_the_case_studys_own_numbers_come_out_with_its_slip():
    told = as_told(ReturnInputs())
    assert told.escapes == pytest.approx(4.1e6, rel=0.01)
    assert told.overkill == pytest.approx(25.9e6, rel=0.01)
    assert told.exposure == pytest.approx(79e6, rel=0.01)
    assert told.losses == pytest.approx(109e6, rel=0.01)
    assert told.avoided == pytest.approx(10.9e6, rel=0.01)
    assert told.compute == 23_400
    assert told.multiple == pytest.approx(466, rel=0.01)


def test_a_year_of_escapes_is_twelve_months():
    right = returns(ReturnInputs())
    assert right.escapes == 340 * 12 * 12_000
    assert right.losses - as_told(ReturnInputs()).losses == pytest.approx(340 * 12_000 * 11)


@given(st.floats(0, 1), st.floats(0, 1e4))
def test_no_improvement_is_a_loss_of_what_the_machines_cost(improvement: float, compute: float):
    found = returns(ReturnInputs(improvement=improvement, compute_per_month=compute))
    assert found.net == pytest.approx(improvement * found.losses - 12 * compute)


def test_the_widest_swing_comes_first_and_is_what_the_arithmetic_says():
    swings = tornado(ReturnInputs())
    assert [s.width for s in swings] == sorted((s.width for s in swings), reverse=True)
    by_name = {swing.name: swing for swing in swings}
    assert by_name["improvement"].at_high == pytest.approx(returns(ReturnInputs(improvement=0.15)).net)
    assert set(by_name) == set(ReturnInputs.model_fields)


def test_the_page_shows_both_columns_and_escapes_what_it_is_given():
    inputs = ReturnInputs()
    sections = returns_sections(inputs, returns(inputs), as_told(inputs), tornado(inputs))
    page = render_page("<Return>", sections)
    assert "48.96 M" in page
    assert "4.08 M" in page
    assert "&lt;Return&gt;" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
