"""Two hundred damaged and hostile files give two hundred clear errors, in bounded memory and in silence."""

from __future__ import annotations

import resource

import pytest
from hostile import KINDS, hostile_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waferlens.errors import ImageError
from waferlens.images.formats import read_image
from waferlens.images.options import ImageOptions

OPTIONS = ImageOptions()
NUM_FILES = 10 * len(KINDS)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return hostile_files(tmp_path_factory.mktemp("hostile"), seed=1, count=NUM_FILES)


def refusal(path):
    try:
        read_image(path, OPTIONS)
    except ImageError as error:
        return str(error)
    return None


def test_every_hostile_file_is_refused_in_one_line_and_in_silence(files, capfd):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refusals = {path.name: refusal(path) for path in files}
    grown_megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    readable = [name for name, message in refusals.items() if message is None]
    assert [name for name in readable if not name.startswith("flip")] == []
    assert len(files) - len(readable) >= 200
    for message in refusals.values():
        assert message is None or ("\n" not in message and "found" in message and len(message) < 500)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    assert grown_megabytes < 300


def test_the_same_seed_writes_the_same_files(files, tmp_path):
    again = hostile_files(tmp_path, seed=1, count=NUM_FILES)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    magic=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"\xff\xd8\xff\xdb", b"BM"]),
    body=st.binary(max_size=300),
)
def test_no_bytes_whatever_raise_anything_but_an_image_error(magic, body):
    with pytest.raises(ImageError):
        read_image(magic + body, OPTIONS)
