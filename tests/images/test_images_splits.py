"""The same groups are held out everywhere, no group and no duplicate stands on both sides."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waferlens.errors import DataError, DuplicateImageError, OptionsError
from waferlens.images.fingerprints import duplicate_groups, pixel_hash, refuse_duplicates
from waferlens.images.splits import Split, split_dataset
from waferlens.records import ImageRef, Label


def refs_of(groups):
    return [
        ImageRef(path=Path(f"{n}.png"), name=f"{n:04d}.png", group=group, label=Label.NORMAL)
        for n, group in enumerate(groups)
    ]


def hashes_of(contents):
    return [hashlib.sha256(str(content).encode()).hexdigest() for content in contents]


def groups_in(images):
    return {image.group for image in images}


@given(
    num_groups=st.integers(2, 40), size=st.integers(1, 5), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 99)
)
def test_exactly_the_rounded_share_of_groups_is_held_out(num_groups, size, fraction, seed):
    refs = refs_of([f"w{n // size}" for n in range(num_groups * size)])
    split = split_dataset(refs, hashes_of(range(len(refs))), validation_fraction=fraction, seed=seed)
    assert len(groups_in(split.validation)) == min(max(round(num_groups * fraction), 1), num_groups - 1)
    assert not groups_in(split.train) & groups_in(split.validation)
    assert len(split.train) + len(split.validation) == len(refs)


@given(wafers=st.lists(st.integers(0, 6), min_size=6, max_size=30), contents=st.data(), seed=st.integers(0, 9))
def test_neither_wafers_nor_duplicates_cross_the_split(wafers, contents, seed):
    pixels = contents.draw(st.lists(st.integers(0, 20), min_size=len(wafers), max_size=len(wafers)))
    refs = refs_of([f"w{wafer}" for wafer in wafers])
    try:
        split = split_dataset(refs, hashes_of(pixels), seed=seed)
    except DataError:
        assert len(set(pixels)) < 2
        return
    refuse_duplicates({"train": split.hashes("train"), "validation": split.hashes("validation")})
    if split.warning is None:
        assert not groups_in(split.train) & groups_in(split.validation)


def test_the_draw_depends_on_neither_order_nor_anything_but_the_seed():
    refs, hashes = refs_of([f"w{n}" for n in range(50)]), hashes_of(range(50))
    split = split_dataset(refs, hashes, seed=1)
    assert split == split_dataset(refs[::-1], hashes[::-1], seed=1)
    assert split.fingerprint != split_dataset(refs, hashes, seed=2).fingerprint


def test_a_wafer_that_comes_later_moves_few_others():
    refs, hashes = refs_of([f"w{n}" for n in range(51)]), hashes_of(range(51))
    before = {image.name for image in split_dataset(refs[:50], hashes[:50], seed=1).validation}
    after = {image.name for image in split_dataset(refs, hashes, seed=1).validation}
    assert len(before ^ after) <= 2


def test_one_wafer_alone_is_split_by_file_and_says_so():
    split = split_dataset(refs_of(["w1"] * 10), hashes_of(range(10)), seed=0)
    assert len(split.validation) == 2
    assert "one group (w1)" in split.warning


def test_the_fingerprint_is_of_contents_and_parts_not_of_names():
    split = split_dataset(refs_of("abcdefgh"), hashes_of(range(8)), seed=0)
    moved = [{**image, "name": f"moved/{image['name']}"} for image in split.as_dict()["images"]]
    assert Split.from_dict({**split.as_dict(), "images": moved}).fingerprint == split.fingerprint


def test_a_stored_split_comes_back_and_an_altered_one_does_not():
    split = split_dataset(refs_of("aabbccdd"), hashes_of([0, 0, 1, 2, 3, 4, 5, 6]), seed=0)
    assert split.duplicates == (("0000.png", "0001.png"),)
    stored = json.loads(json.dumps(split.as_dict()))
    assert Split.from_dict(stored) == split
    stored["images"][0]["part"] = "train" if stored["images"][0]["part"] == "validation" else "validation"
    with pytest.raises(DataError, match="altered"):
        Split.from_dict(stored)
    with pytest.raises(DataError, match="cannot be read"):
        Split.from_dict({"images": []})


def test_what_cannot_be_split_is_refused():
    with pytest.raises(DataError, match="too few"):
        split_dataset(refs_of("ab"), hashes_of([1, 1]), seed=0)
    with pytest.raises(DataError, match="do not match"):
        split_dataset(refs_of("ab"), hashes_of([1]), seed=0)
    with pytest.raises(DataError, match="too few"):
        split_dataset([], [], seed=0)
    with pytest.raises(OptionsError):
        split_dataset(refs_of("ab"), hashes_of([1, 2]), validation_fraction=1.0, seed=0)


def test_the_same_pixels_in_train_and_test_are_refused_by_name():
    parts = {"train": {"a.png": "1", "b.png": "1"}, "test": {"x.png": "2", "y.png": "1"}}
    with pytest.raises(DuplicateImageError, match=r"train: a\.png = test: y\.png"):
        refuse_duplicates(parts)
    refuse_duplicates({"train": parts["train"], "test": {"x.png": "2"}})


def test_the_hash_is_of_the_values_in_any_byte_order():
    pixels = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    assert pixel_hash(pixels) == pixel_hash(pixels.astype(">u2"))
    assert pixel_hash(pixels) == hashlib.sha256(pixels.astype("<u2").tobytes()).hexdigest()
    assert pixel_hash(pixels) != pixel_hash(pixels[::-1].copy())


def test_duplicates_are_listed_sorted():
    assert duplicate_groups({"c": "1", "a": "1", "b": "2"}) == (("a", "c"),)
