"""The parts of the synthetic fab against slow and obvious twins: fields, shapes, narrow places, light, noise."""

from __future__ import annotations

import numpy as np
import pytest

from waferlens.errors import OptionsError
from waferlens.images.synth.anchors import find_gaps, find_necks
from waferlens.images.synth.fields import SmoothField, Stream, generator
from waferlens.images.synth.optics import OpticsOptions, build_station, noise_sigma, record, set_exposure
from waferlens.images.synth.process import Placement
from waferlens.images.synth.shapes import Canvas, soft_cut, soft_union
from waferlens.images.synth.wafer import WaferOptions, lay_out, lot_name, wafer_name


@pytest.mark.parametrize("correlation_px", [3.0, 7.0, 26.0])
def test_a_smooth_field_has_unit_variance_and_the_correlation_it_was_asked_for(correlation_px: float) -> None:
    field = SmoothField.build(128, correlation_px)
    samples = np.stack([field.sample(np.random.default_rng(seed)) for seed in range(200)])
    assert abs(samples.mean()) < 0.05
    assert samples.var() == pytest.approx(1.0, abs=0.06)
    step = round(correlation_px)
    assert np.mean(samples[:, :, :-step] * samples[:, :, step:]) == pytest.approx(np.exp(-1.0), abs=0.06)


def test_streams_and_addresses_are_independent_and_repeatable() -> None:
    first = generator(1, Stream.NOISE, 2, 3).standard_normal(2000)
    np.testing.assert_array_equal(first, generator(1, Stream.NOISE, 2, 3).standard_normal(2000))
    for other in (
        generator(1, Stream.NOISE, 3, 2),
        generator(1, Stream.STAGE, 2, 3),
        generator(2, Stream.NOISE, 2, 3),
    ):
        assert abs(np.corrcoef(first, other.standard_normal(2000))[0, 1]) < 0.1


def test_a_box_is_the_distance_to_its_edges() -> None:
    canvas = Canvas(60)
    canvas.box(20, 10, 40, 50, corner_px=0.0)
    assert canvas.field[30, 30] == pytest.approx(10.0)
    assert canvas.field[30, 20] == pytest.approx(0.0)
    assert canvas.field[30, 12] == pytest.approx(-8.0)
    assert canvas.field[7, 16] == pytest.approx(-5.0)  # a 3-4-5 corner


def test_a_capsule_is_the_distance_to_its_segment_by_brute_force() -> None:
    canvas = Canvas(50)
    canvas.capsule(15, 20, 33, 27, radius=5.0)
    along = np.linspace(0.0, 1.0, 400)
    path = np.stack([15 + 18 * along, 20 + 7 * along])
    y, x = np.mgrid[:50, :50]
    brute = 5.0 - np.min(np.hypot(x[..., None] - path[0], y[..., None] - path[1]), axis=-1)
    near = brute > -15.0
    np.testing.assert_allclose(canvas.field[near], brute[near], atol=0.03)


def test_soft_union_and_cut_are_the_hard_ones_away_from_the_junction() -> None:
    first, second = np.float32([-5.0, 5.0, 0.0]), np.float32([5.0, -5.0, 0.0])
    np.testing.assert_allclose(soft_union(first, second, 4.0), [5.0, 5.0, 1.0])
    field, cutter = np.float32([5.0, 5.0, 0.0]), np.float32([-20.0, 3.0, 0.0])
    np.testing.assert_allclose(soft_cut(field, cutter, 4.0), [5.0, -3.0, -1.0])


def test_narrow_places_of_two_lines_lie_in_the_middle_and_point_across() -> None:
    canvas = Canvas(100)
    canvas.box(30, -20, 40, 120)
    canvas.box(50, -20, 60, 120)
    gaps, necks = find_gaps(canvas.field), find_necks(canvas.field)
    assert len(gaps.x) > 50
    np.testing.assert_allclose(gaps.x, 45.0, atol=1.1)
    np.testing.assert_allclose(np.abs(gaps.across_x), 1.0, atol=0.05)
    np.testing.assert_allclose(gaps.half, 5.0, atol=1.1)
    assert set(np.round(necks.x / 20.0)) == {2.0, 3.0}


def test_what_the_stage_sees_is_where_its_inverse_says() -> None:
    placement = Placement(shift_x=3.3, shift_y=-2.1, rotation_rad=0.05)
    canvas = Canvas(384)
    canvas.capsule(200.0, 150.0, 200.0, 150.0, radius=6.0)
    view = placement.sample(canvas.field)
    row, column = np.unravel_index(np.argmax(view), view.shape)
    x, y = placement.to_image(np.float32([200.0]), np.float32([150.0]))
    assert (column, row) == (pytest.approx(float(x[0]), abs=0.8), pytest.approx(float(y[0]), abs=0.8))


def test_recorded_noise_is_shot_noise_of_the_electrons_and_read_noise() -> None:
    options = OpticsOptions(full_well_electrons=2000, read_noise=0.01, bits=16)
    for level in (0.1, 0.4, 0.7):
        flat = np.full((256, 256), level, dtype=np.float32)
        pixels = record(options, flat, np.random.default_rng(0)) / 65535.0
        expected = np.sqrt(level / 2000 + 0.01**2)
        assert pixels.std() == pytest.approx(expected, rel=0.02)
        assert float(noise_sigma(options, flat)[0, 0]) == pytest.approx(expected, rel=1e-5)
        assert pixels.mean() == pytest.approx(level, abs=4 * expected / 256)


def test_exposing_a_flat_surface_shows_the_light_of_the_station() -> None:
    options = OpticsOptions()
    station = build_station(options, 1, design_seed=7)
    exposure = set_exposure(options, station, np.random.default_rng(0))
    seen = exposure.expose(np.full((256, 256), 0.5, dtype=np.float32))
    np.testing.assert_allclose(seen, 0.5 * station.light * exposure.lamp + station.offset, rtol=1e-4)
    assert not np.array_equal(station.light, build_station(options, 2, design_seed=7).light)


def test_every_die_is_whole_and_inside_the_edge_exclusion() -> None:
    options = WaferOptions()
    layout = lay_out(options, num_sites=1)
    assert 52 <= layout.num_points <= 64
    for point in layout.points:
        assert np.hypot(abs(point.x_mm) + 13.0, abs(point.y_mm) + 16.5) <= 147.0 + 1e-9


def test_a_die_larger_than_the_wafer_is_refused() -> None:
    with pytest.raises(OptionsError, match="no full die fits"):
        lay_out(WaferOptions(diameter_mm=100, edge_exclusion_mm=20, die_width_mm=60, die_height_mm=60), 4)


def test_twenty_five_wafers_share_a_lot() -> None:
    assert wafer_name(42) == "WF-000042"
    assert lot_name(24) == "LOT-00000"
    assert lot_name(25) == "LOT-00001"
