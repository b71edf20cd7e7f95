"""A pack holds what reading the files gives, survives a kill, and follows its sources."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from trees import write_image

from waferlens.errors import DataError
from waferlens.images.cache import pack_images, pack_in_memory
from waferlens.images.fingerprints import pixel_hash
from waferlens.images.formats import read_image
from waferlens.images.layouts import read_dataset
from waferlens.images.options import ImageOptions
from waferlens.images.packing import CHUNK, prepare_files

OPTIONS = ImageOptions()
NUM_IMAGES = CHUNK + 6


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("source")
    for number in range(NUM_IMAGES):
        write_image(root / f"{number:03d}.png", number)
    return root


@pytest.fixture(scope="module")
def refs(source):
    return read_dataset(source).train


def num_read(refs, cache):
    """Images that a call had to read, by its progress."""
    steps = []
    pack_images(refs, OPTIONS, cache, progress=lambda done, total: steps.append((done, total)))
    assert all(total == len(refs) for _, total in steps)
    return steps


@pytest.mark.parametrize("workers", [1, 2])
def test_a_pack_is_what_reading_the_files_gives(refs, tmp_path, workers):
    packed = pack_images(refs, OPTIONS, tmp_path, workers=workers)
    assert len(packed) == NUM_IMAGES
    assert packed.names == tuple(ref.name for ref in refs)
    assert isinstance(packed.pixels, np.memmap)
    for row, digest, ref in zip(packed.pixels, packed.hashes, refs, strict=True):
        expected = read_image(ref.path, OPTIONS)
        np.testing.assert_array_equal(row, expected)
        assert digest == pixel_hash(expected)
    np.testing.assert_array_equal(packed.take([5, 0, 66]), packed.pixels[[5, 0, 66]])


def test_in_memory_and_on_disk_are_the_same(refs, tmp_path):
    on_disk, in_memory = pack_images(refs, OPTIONS, tmp_path), pack_in_memory(refs, OPTIONS)
    np.testing.assert_array_equal(on_disk.pixels, in_memory.pixels)
    assert (on_disk.names, on_disk.hashes) == (in_memory.names, in_memory.hashes)


def test_a_finished_pack_is_reused(refs, tmp_path):
    assert num_read(refs, tmp_path) == [(CHUNK, NUM_IMAGES), (NUM_IMAGES, NUM_IMAGES)]
    assert num_read(refs, tmp_path) == []


def test_only_chunks_with_changed_sources_are_read_again(tmp_path):
    root = tmp_path / "source"
    for number in range(NUM_IMAGES):
        write_image(root / f"{number:03d}.png", number)
    refs = read_dataset(root).train
    pack_images(refs, OPTIONS, tmp_path / "cache")
    write_image(root / "069.png", 999)
    assert num_read(refs, tmp_path / "cache") == [(NUM_IMAGES, NUM_IMAGES)]
    packed = pack_images(refs, OPTIONS, tmp_path / "cache")
    np.testing.assert_array_equal(packed.pixels[69], read_image(root / "069.png", OPTIONS))


def test_other_options_are_another_pack(refs, tmp_path):
    pack_images(refs, OPTIONS, tmp_path)
    cropped = pack_images(refs, ImageOptions(crop=(128, 128)), tmp_path)
    assert (cropped.pixels[0] != pack_images(refs, OPTIONS, tmp_path).pixels[0]).any()
    assert len(list(tmp_path.iterdir())) == 2


def test_the_region_of_interest_is_no_reason_to_pack_again(refs, tmp_path):
    pack_images(refs, OPTIONS, tmp_path)
    pack_images(refs, ImageOptions(roi="roi.png"), tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_torn_journal_line_and_lost_pixels_are_made_again(refs, tmp_path):
    expected = np.array(pack_images(refs, OPTIONS, tmp_path).pixels)
    (folder,) = tmp_path.iterdir()
    journal = folder / "chunks-uint8.jsonl"
    journal.write_text(journal.read_text()[:-30])
    assert num_read(refs, tmp_path) == [(NUM_IMAGES, NUM_IMAGES)]
    (folder / "pixels-uint8.npy").unlink()
    np.testing.assert_array_equal(pack_images(refs, OPTIONS, tmp_path).pixels, expected)


def test_a_pack_that_was_cut_off_is_made_again(refs, tmp_path):
    pack_images(refs, OPTIONS, tmp_path)
    (pixels,) = tmp_path.glob("*/pixels-uint8.npy")
    os.truncate(pixels, pixels.stat().st_size // 2)
    np.testing.assert_array_equal(
        pack_images(refs, OPTIONS, tmp_path).pixels, pack_in_memory(refs, OPTIONS).pixels
    )


def test_sixteen_bit_images_make_the_pack_wide_and_stretch_the_others(tmp_path):
    for number in range(CHUNK + 2):
        write_image(tmp_path / "s" / f"{number:03d}.png", number, "uint16" if number == CHUNK + 1 else "uint8")
    refs = read_dataset(tmp_path / "s").train
    packed = pack_images(refs, OPTIONS, tmp_path / "cache")
    narrow = read_image(refs[0].path, OPTIONS)
    assert packed.pixels.dtype == np.uint16
    np.testing.assert_array_equal(packed.pixels[0], narrow.astype(np.uint16) * 257)
    np.testing.assert_array_equal(packed.pixels[-1], read_image(refs[-1].path, OPTIONS))
    assert packed.hashes[0] == pixel_hash(narrow)
    np.testing.assert_array_equal(pack_in_memory(refs, OPTIONS).pixels, packed.pixels)


def test_unreadable_images_are_all_counted_and_none_is_skipped(tmp_path):
    for number in range(20):
        write_image(tmp_path / "s" / f"{number:03d}.png", number)
    for number in range(12):
        (tmp_path / "s" / f"{number:03d}.png").write_bytes(b"torn")
    refs = read_dataset(tmp_path / "s").train
    for pack in (lambda: pack_images(refs, OPTIONS, tmp_path / "cache"), lambda: pack_in_memory(refs, OPTIONS)):
        with pytest.raises(DataError, match=r"12 of 20 images cannot be used.*000\.png.*009\.png") as caught:
            pack()
        assert "010.png" not in str(caught.value)
    write_image(tmp_path / "s" / "000.png", 0)
    with pytest.raises(DataError, match="11 of 20"):
        pack_images(refs, OPTIONS, tmp_path / "cache")


def test_no_images_and_repeated_names_are_refused(refs, tmp_path):
    with pytest.raises(DataError, match="none"):
        pack_images([], OPTIONS, tmp_path)
    with pytest.raises(DataError, match="twice"):
        pack_images([refs[0], refs[0]], OPTIONS, tmp_path)


KILLED = """
import sys, time
from pathlib import Path
from waferlens.images.cache import pack_images
from waferlens.images.layouts import read_dataset
from waferlens.images.options import ImageOptions
def progress(done, total):
    print(done, flush=True)
    time.sleep(60)
pack_images(read_dataset(Path(sys.argv[1])).train, ImageOptions(), Path(sys.argv[2]), progress=progress)
"""


def test_a_killed_build_goes_on_where_it_was(source, refs, tmp_path):
    command = [sys.executable, "-c", KILLED, str(source), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline().strip() == b"64"
        os.kill(process.pid, signal.SIGKILL)
    assert num_read(refs, tmp_path) == [(NUM_IMAGES, NUM_IMAGES)]
    np.testing.assert_array_equal(
        pack_images(refs, OPTIONS, tmp_path).pixels, pack_in_memory(refs, OPTIONS).pixels
    )


def start_together(folders, barrier, found):
    """In a process of its own: which file, by inode, every folder's pack got."""
    inodes = []
    for folder in folders:
        barrier.wait(30)
        pixels, _ = prepare_files(folder, 70, "uint8")
        with pixels.open("rb") as file:
            inodes.append(os.fstat(file.fileno()).st_ino)
    found.put(inodes)


def test_processes_that_start_one_pack_together_write_into_one_file(tmp_path):
    context, folders = multiprocessing.get_context("spawn"), [tmp_path / str(number) for number in range(40)]
    for folder in folders:
        folder.mkdir()
    barrier, found = context.Barrier(4), context.Queue()
    processes = [context.Process(target=start_together, args=(folders, barrier, found)) for _ in range(4)]
    for process in processes:
        process.start()
    answers = [found.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(30)
    assert answers == [[(folder / "pixels-uint8.npy").stat().st_ino for folder in folders]] * 4


@pytest.mark.slow
def test_an_epoch_reads_thousands_of_images_a_second(refs, tmp_path):
    packed = pack_images(refs, OPTIONS, tmp_path)
    order = np.random.default_rng(0).integers(0, len(packed), 4096)
    started = time.perf_counter()
    for start in range(0, len(order), 32):
        packed.take(order[start : start + 32])
    assert len(order) / (time.perf_counter() - started) > 2000
