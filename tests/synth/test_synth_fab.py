"""What any synthetic image promises: its address fixes it, and its mask is the difference to its twin."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from waferlens.errors import OptionsError
from waferlens.images.synth.defects import DefectKind, DefectOptions, DefectRange, DefectSpec
from waferlens.images.synth.fab import FabOptions, SyntheticFab
from waferlens.images.synth.optics import OpticsOptions
from waferlens.images.synth.patterns import Family
from waferlens.images.synth.process import ProcessOptions, StageOptions

EVERY_VISIBILITY = FabOptions(defects=DefectOptions(min_visibility=0.0))
SIZES_UM = dict.fromkeys((DefectKind.BRIDGE, DefectKind.OPEN, DefectKind.VOID), (0.4, 0.9)) | {
    DefectKind.PARTICLE: (0.8, 2.0),
    DefectKind.SCRATCH: (5.0, 12.0),
    DefectKind.PATTERN_SHIFT: (3.0, 7.0),
    DefectKind.RESIDUE: (4.0, 8.0),
    DefectKind.HAZE_RING: (5.0, 8.0),
}


@pytest.fixture(scope="module")
def fab() -> SyntheticFab:
    return SyntheticFab(seed=4)


@pytest.fixture(scope="module")
def lenient_fab() -> SyntheticFab:
    return SyntheticFab(EVERY_VISIBILITY, seed=4)


def test_an_image_is_256_square_grey_and_a_normal_one_has_an_empty_mask(fab: SyntheticFab) -> None:
    image = fab.render(0, 0)
    assert image.pixels.shape == image.mask.shape == (256, 256)
    assert image.pixels.dtype == np.uint8
    assert not image.mask.any()
    assert image.meta.defect is None
    assert image.meta.visibility == 0.0


def test_a_wafer_has_about_two_hundred_points_on_full_dies_inside_the_edge(fab: SyntheticFab) -> None:
    points = fab.layout.points
    assert 180 <= len(points) <= 260
    assert {point.site for point in points} == {0, 1, 2, 3}
    assert 0.8 < max(point.radius for point in points) < 147.0 / 150.0
    assert [point.index for point in points] == list(range(len(points)))


def test_the_same_address_gives_the_same_image_in_any_order_and_from_another_fab_object(
    fab: SyntheticFab,
) -> None:
    addresses = [(0, 5), (3, 17), (100_000, 2)]
    forward = [fab.render(*address).pixels for address in addresses]
    again = SyntheticFab(seed=4)
    backward = [again.render(*address).pixels for address in reversed(addresses)]
    for one, other in zip(forward, reversed(backward), strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_seed_wafer_point_or_design_gives_another_image(fab: SyntheticFab) -> None:
    image = fab.render(1, 1).pixels
    others = [
        SyntheticFab(seed=5).render(1, 1).pixels,
        SyntheticFab(FabOptions(design_seed=8), seed=4).render(1, 1).pixels,
        fab.render(2, 1).pixels,
        fab.render(1, 5).pixels,
    ]
    assert all(np.mean(image != other) > 0.5 for other in others)


def test_the_same_site_of_two_dies_shows_the_same_pattern_and_two_sites_do_not(fab: SyntheticFab) -> None:
    still = SyntheticFab(FabOptions(stage=StageOptions(jitter_sigma_px=0.0, rotation_sigma_deg=0.0)), seed=4)
    here, there, elsewhere = (still.render(0, point).pixels.ravel() for point in (3, 43, 41))
    assert np.corrcoef(here, there)[0, 1] > 0.8
    assert abs(np.corrcoef(here, elsewhere)[0, 1]) < 0.4


def test_the_stream_is_the_rendered_images_in_order(fab: SyntheticFab) -> None:
    streamed = [image.pixels for image in fab.stream(3, first_wafer=2)]
    for point, pixels in enumerate(streamed):
        np.testing.assert_array_equal(pixels, fab.render(2, point).pixels)


@pytest.mark.parametrize("kind", list(DefectKind))
@pytest.mark.parametrize("site", range(len(Family)))
def test_every_kind_can_be_made_visible_on_every_site(fab: SyntheticFab, kind: DefectKind, site: int) -> None:
    for wafer in range(3):
        image = fab.render_kind(wafer, site + 4 * (5 + wafer), kind)
        assert image.mask.sum() >= 12
        assert image.meta.visibility >= fab.options.defects.min_visibility
        assert image.meta.defect is not None
        assert image.meta.defect.kind is kind


@pytest.mark.parametrize("kind", list(DefectKind))
def test_a_mask_is_exactly_where_the_noiseless_twins_differ(fab: SyntheticFab, kind: DefectKind) -> None:
    image = fab.render_kind(1, 10, kind)
    assert image.meta.defect is not None
    twins = fab.render_twins(1, 10, image.meta.defect)
    threshold = fab.options.defects.mask_threshold
    np.testing.assert_array_equal(image.mask, np.abs(twins.defective - twins.normal) > threshold)


@pytest.mark.parametrize("kind", list(DefectKind))
def test_outside_its_mask_a_defective_image_is_its_normal_twin(fab: SyntheticFab, kind: DefectKind) -> None:
    normal, defective = fab.render(1, 10), fab.render_kind(1, 10, kind)
    change = np.abs(normal.pixels.astype(int) - defective.pixels.astype(int))
    # The threshold is three grey levels; the noise is the same, so rounding adds at most one.
    assert change[~defective.mask].max() <= 255 * fab.options.defects.mask_threshold + 2
    assert change[defective.mask].mean() > 3.0


@pytest.mark.parametrize("kind", list(DefectKind))
def test_a_larger_defect_has_a_larger_mask(lenient_fab: SyntheticFab, kind: DefectKind) -> None:
    smaller, larger = SIZES_UM[kind]
    areas = [
        sum(
            lenient_fab.render_twins(7, point, DefectSpec(kind=kind, size_um=size, contrast=0.8)).mask.sum()
            for point in range(20, 28)
        )
        for size in (smaller, larger)
    ]
    assert areas[1] > 1.15 * areas[0]


@pytest.mark.parametrize("kind", list(DefectKind))
def test_more_contrast_is_more_visible(lenient_fab: SyntheticFab, kind: DefectKind) -> None:
    size_um = SIZES_UM[kind][1]
    for point in (20, 21, 22, 23):
        visibilities = [
            lenient_fab.render_twins(
                7, point, DefectSpec(kind=kind, size_um=size_um, contrast=contrast)
            ).visibility
            for contrast in (0.3, 0.6, 0.9)
        ]
        assert visibilities == sorted(visibilities)
        assert visibilities[2] > visibilities[0]


def test_defects_lie_anywhere_in_the_image(fab: SyntheticFab) -> None:
    centres = []
    for point in range(40):
        mask = fab.render_kind(9, point, DefectKind.PARTICLE).mask
        centres.append([np.mean(axis) for axis in np.nonzero(mask)])
    spread = np.array(centres)
    assert (spread.min(axis=0) < 64).all()
    assert (spread.max(axis=0) > 192).all()
    assert (spread.std(axis=0) > 40).all()


def test_a_defect_that_cannot_be_seen_is_refused_by_name(fab: SyntheticFab) -> None:
    faint = DefectSpec(kind=DefectKind.PARTICLE, size_um=0.3, contrast=0.01)
    with pytest.raises(OptionsError, match=r"particle of 0\.30 um, contrast 0\.01, cannot be made visible"):
        fab.render(0, 0, faint)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda fab: fab.render(0, 10_000),
        lambda fab: fab.render(-1, 0),
        lambda fab: SyntheticFab(seed=-1),
        lambda fab: DefectSpec(kind=DefectKind.VOID, size_um=0.0, contrast=0.5),
        lambda fab: DefectSpec(kind=DefectKind.VOID, size_um=1.0, contrast=float("nan")),
    ],
)
def test_a_wrong_address_or_defect_is_an_options_error(
    fab: SyntheticFab, mistake: Callable[[SyntheticFab], object]
) -> None:
    with pytest.raises(OptionsError, match=r"expected .*found"):
        mistake(fab)


def test_ranges_given_for_a_kind_replace_its_default_and_leave_the_others() -> None:
    ranges = {DefectKind.SCRATCH: DefectRange(size_um=(9.0, 9.5), contrast=(0.8, 0.8))}
    fab = SyntheticFab(FabOptions(defects=DefectOptions(ranges=ranges)), seed=1)
    scratch = fab.render_kind(0, 0, DefectKind.SCRATCH).meta.defect
    assert scratch is not None
    assert 9.0 <= scratch.size_um <= 9.5
    assert scratch.contrast == pytest.approx(0.8)
    assert fab.render_kind(0, 0, DefectKind.VOID).meta.defect is not None


@pytest.mark.parametrize(
    ("size_um", "contrast"),
    [((2.0, 1.0), (0.5, 0.5)), ((0.0, 1.0), (0.5, 0.5)), ((1.0, 2.0), (0.0, 0.5)), ((1.0, 2.0), (0.5, 1.1))],
)
def test_a_range_out_of_order_or_out_of_bounds_is_refused(
    size_um: tuple[float, float], contrast: tuple[float, float]
) -> None:
    with pytest.raises(ValueError, match=r"expected .* found"):
        DefectRange(size_um=size_um, contrast=contrast)


def test_sixteen_bit_images_show_the_same_scene_more_finely(fab: SyntheticFab) -> None:
    fine = SyntheticFab(FabOptions(optics=OpticsOptions(bits=16)), seed=4).render(0, 0).pixels
    assert fine.dtype == np.uint16
    coarse = fab.render(0, 0).pixels
    assert np.abs(fine / 65535.0 - coarse / 255.0).max() <= 0.5 / 255.0 + 1e-4


def test_turning_up_jitter_makes_the_same_site_less_alike() -> None:
    def spread(jitter: float) -> float:
        fab = SyntheticFab(FabOptions(stage=StageOptions(jitter_sigma_px=jitter)), seed=2)
        return float(np.mean(np.std([fab.render(wafer, 3).pixels for wafer in range(8)], axis=0)))

    assert spread(0.0) < spread(1.5) < spread(6.0)


def test_a_fab_without_variation_prints_every_wafer_alike_but_for_noise() -> None:
    quiet = FabOptions(
        stage=StageOptions(jitter_sigma_px=0.0, rotation_sigma_deg=0.0),
        process=ProcessOptions(
            cd_radial_px=0,
            cd_wafer_px=0,
            cd_die_px=0,
            cd_local_px=0,
            roughness_px=0,
            overlay_px=0,
            film_sigma=0,
            grain_sigma=0,
        ),
        optics=OpticsOptions(num_stations=1, defocus_sigma_px=0, lamp_sigma=0),
    )
    fab = SyntheticFab(quiet, seed=0)
    difference = fab.render(0, 1).pixels.astype(float) - fab.render(5, 41).pixels
    assert abs(difference.mean()) < 0.1
    assert difference.std() < 5.0
