"""How a labelled test set is read and scored: in batches, and as if each image stood alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import tiny
from waferlens.engines.interface import Outputs
from waferlens.errors import DataError, OptionsError
from waferlens.images.cache import pack_in_memory
from waferlens.images.layouts import Dataset, read_dataset
from waferlens.images.options import ImageOptions
from waferlens.records import Label
from waferlens.wiring.reading import pack_test, pack_training
from waferlens.wiring.scoring import normalised, read_test_set, score_test_set
from waferlens.wiring.synth import synthesise

OPTIONS = ImageOptions()
NUM_GOOD, NUM_DOTS = 15, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """15 normal images and 4 with a bright dot and its mask; one more batch than fits at once."""
    root = tmp_path_factory.mktemp("dots")
    for kind in ("test/good", "test/dot", "ground_truth/dot"):
        (root / kind).mkdir(parents=True)
    for number, pixels in enumerate(tiny.normals(NUM_GOOD + NUM_DOTS).pixels):
        if number < NUM_GOOD:
            Image.fromarray(pixels).save(root / "test" / "good" / f"{number:02d}.png")
            continue
        mask = np.zeros((256, 256), np.uint8)
        mask[100:110, 50 : 50 + number] = 255
        Image.fromarray(np.maximum(pixels, mask)).save(root / "test" / "dot" / f"{number:02d}.png")
        Image.fromarray(mask).save(root / "ground_truth" / "dot" / f"{number:02d}_mask.png")
    return root


@pytest.fixture(scope="module")
def dataset(folder) -> Dataset:
    return read_dataset(folder)


@pytest.fixture(scope="module")
def packed(dataset):
    return pack_in_memory(dataset.test, OPTIONS)


@pytest.fixture(scope="module")
def labelled(dataset, packed):
    return read_test_set(dataset.test, packed, tiny.plain(), OPTIONS)


def brightness(pixels) -> Outputs:
    """A hand-made method: expects black, so the score is the mean grey."""
    image = (pixels / np.float32(255)).astype(np.float32)[:, None]
    return Outputs(
        reconstruction=np.zeros_like(image),
        heatmap=image,
        score=image.mean(axis=(1, 2, 3)),
        reconstruction_error=np.square(image).mean(axis=(1, 2, 3)),
        latent=np.zeros((len(image), 128), np.float32),
    )


def test_labels_types_and_masks_come_from_the_folders(labelled):
    assert labelled.defective.sum() == NUM_DOTS
    assert set(labelled.defect_types) == {None, "dot"}
    areas = labelled.masks.sum(axis=(1, 2))
    assert (areas[~labelled.defective] == 0).all()
    assert sorted(areas[labelled.defective]) == [10 * number for number in range(NUM_GOOD, NUM_GOOD + NUM_DOTS)]


def test_images_are_what_the_network_would_see(labelled, packed):
    assert labelled.images.dtype == np.float32
    np.testing.assert_allclose(labelled.images, packed.pixels / 255, atol=1e-6)


def test_rows_are_read_in_the_order_asked_for(packed):
    rows = np.asarray([7, 0, 7])
    np.testing.assert_array_equal(
        normalised(packed, rows, tiny.plain()), normalised(packed, np.arange(len(packed)), tiny.plain())[rows]
    )


def test_scoring_in_batches_is_scoring_one_by_one(labelled, packed):
    counted = []
    scored = score_test_set("grey", brightness, labelled, 0, lambda done, total: counted.append((done, total)))
    alone = [brightness(packed.pixels[row : row + 1]) for row in range(len(packed))]
    np.testing.assert_allclose(scored.scores, [outputs.score[0] for outputs in alone], rtol=1e-6)
    np.testing.assert_array_equal(scored.heatmaps, np.concatenate([outputs.heatmap[:, 0] for outputs in alone]))
    np.testing.assert_allclose(scored.error_maps.mean(axis=(1, 2)), scored.reconstruction_errors, rtol=1e-4)
    assert counted[-1] == (NUM_GOOD + NUM_DOTS, NUM_GOOD + NUM_DOTS)


def test_a_defect_without_a_mask_is_known_as_such_and_not_as_an_empty_mask(dataset, packed):
    refs = [replace(ref, mask=None) for ref in dataset.test]
    read = read_test_set(refs, packed, tiny.plain(), OPTIONS)
    np.testing.assert_array_equal(read.has_mask, ~read.defective)


def test_an_image_without_a_label_cannot_be_evaluated(dataset, packed):
    refs = [replace(dataset.test[0], label=Label.UNKNOWN), *dataset.test[1:]]
    with pytest.raises(DataError, match="1 without a label"):
        read_test_set(refs, packed, tiny.plain(), OPTIONS)


def test_a_part_that_is_missing_is_named_before_anything_is_read(dataset):
    with pytest.raises(DataError, match=r"no images to learn from.*found 19 test images alone"):
        pack_training(dataset, OPTIONS)
    with pytest.raises(DataError, match="no images to evaluate on"):
        pack_test(replace(dataset, test=()), OPTIONS)


def test_the_stage_of_the_synthetic_fab_is_checked(tmp_path):
    with pytest.raises(OptionsError, match="stage"):
        synthesise(
            tmp_path / "fab",
            preset_name="demo",
            seed=0,
            overrides={"train": 1},
            stage={"jitter_sigma_px": -1.0},
            packed=False,
            count=lambda done, total: None,
        )
    assert not (tmp_path / "fab").exists()
