"""Planes of numbers for a screen say what the images and heatmaps say."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from waferlens.errors import OptionsError
from waferlens.images.synth.wafer import WaferOptions, lay_out
from waferlens.inspection.heatmap import HeatScale
from waferlens.inspection.pictures import PictureMaker
from waferlens.inspection.places import MapOptions
from waferlens.inspection.planes import deviation_plane, image_plane
from waferlens.settings.service import ServiceSettings


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_an_8_bit_image_travels_as_it_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8)
    png, bits = image_plane(pixels)
    assert bits == 8
    assert (opened(png) == pixels).all()


def test_no_bit_of_a_16_bit_image_is_lost():
    pixels = np.random.default_rng(0).integers(0, 65_536, (256, 256), dtype=np.uint16)
    png, bits = image_plane(pixels)
    red, green, _ = np.moveaxis(opened(png).astype(np.uint16), -1, 0)
    assert bits == 16
    assert ((red << 8 | green) == pixels).all()


@pytest.mark.parametrize("top", [0.01, 28.4, 1e6])
def test_the_deviation_is_read_back_from_the_drawn_colours(top):
    heatmap = np.random.default_rng(1).uniform(-0.2 * top, 1.2 * top, (256, 256)).astype(np.float32)
    drawn = PictureMaker(HeatScale(top=top, review=0.4 * top, reject=0.6 * top)).heatmap_png(heatmap)
    plane = opened(deviation_plane(drawn)) / 255
    assert (
        np.abs(plane - np.clip(heatmap / top, 0, 1)).max() < 2 / 255
    )  # some neighbouring steps of the scale share a colour


def test_a_map_of_dies_puts_points_where_the_fab_images_them():
    laid_out = lay_out(WaferOptions(), 4)
    places = MapOptions(sites_per_die=4).places_mm()
    assert places == tuple((point.x_mm, point.y_mm) for point in laid_out.points)


def test_points_may_be_given_one_by_one_and_must_lie_on_the_wafer():
    told = MapOptions(points_mm=((0, 0), (10, 0), (0, 149)))
    assert told.places_mm() == ((0, 0), (10, 0), (0, 149))
    assert told.spacing_mm() == 10
    with pytest.raises(ValueError, match="not on a wafer"):
        MapOptions(points_mm=((0, 151),))


def test_a_map_that_no_die_fits_on_is_refused_where_it_is_used():
    with pytest.raises(OptionsError, match="no full die"):
        MapOptions(diameter_mm=100, die_width_mm=60, die_height_mm=60, edge_exclusion_mm=20).places_mm()


def test_service_toml_says_where_points_lie():
    told = ServiceSettings.model_validate({"products": {"a": {"map": {"sites_per_die": 4, "die_width_mm": 20}}}})
    assert told.products["a"].map.die_width_mm == 20
