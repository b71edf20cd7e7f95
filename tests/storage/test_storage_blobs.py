"""Images by the hash of their bytes: the same tests on a folder and on a real S3 protocol server."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from waferlens.errors import BlobMissing, BlobStoreLost, OptionsError
from waferlens.storage.blobs import LocalBlobs
from waferlens.storage.s3 import open_s3

NAMES = ["", "..", "../../etc/passwd", "0" * 63, "g" * 64, "0" * 64 + "\n", "A" * 64, "0" * 32 + "/" + "0" * 31]


@pytest.fixture(params=["folder", "s3"])
def blobs(request, tmp_path):
    if request.param == "folder":
        return LocalBlobs(tmp_path / "blobs")
    return open_s3(request.getfixturevalue("bucket"))


def test_bytes_come_back_under_their_hash(blobs):
    data = os.urandom(10_000)
    name = blobs.put(data)
    assert name == hashlib.sha256(data).hexdigest()
    assert blobs.put(data) == name
    assert blobs.get(name) == data
    assert list(blobs.names()) == [name]


def test_many_threads_may_store_the_same_and_different_bytes(blobs):
    contents = [bytes([number % 7]) * 1000 for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(blobs.put, contents))
    assert [blobs.get(name) for name in names] == contents
    assert len(set(blobs.names())) == 7


def test_what_was_deleted_is_missing(blobs):
    name = blobs.put(b"x")
    blobs.delete(name)
    blobs.delete(name)
    with pytest.raises(BlobMissing):
        blobs.get(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_no_hash_is_in_no_store(blobs, name):
    with pytest.raises(BlobMissing):
        blobs.get(name)


def test_a_torn_file_is_missing_and_is_written_anew(tmp_path):
    blobs = LocalBlobs(tmp_path / "blobs")
    name = blobs.put(b"whole" * 1000, durable=False)
    (file,) = (path for path in (tmp_path / "blobs").rglob("*") if path.is_file())
    file.write_bytes(b"whole")
    with pytest.raises(BlobMissing):
        blobs.get(name)
    blobs.put(b"whole" * 1000)
    assert blobs.get(name) == b"whole" * 1000


def test_a_folder_that_cannot_be_written_is_a_lost_store(tmp_path):
    (tmp_path / "blobs").write_text("a file where the folder should be")
    blobs = LocalBlobs(tmp_path / "blobs")
    for ask in (lambda: blobs.put(b"x"), lambda: blobs.get("0" * 64), blobs.ping):
        with pytest.raises(BlobStoreLost):
            ask()


def test_a_server_that_is_not_there_is_a_lost_store(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    blobs = open_s3("s3://wafers/line?endpoint=http://127.0.0.1:9")
    for ask in (lambda: blobs.put(b"x"), lambda: blobs.get("0" * 64), blobs.ping):
        with pytest.raises(BlobStoreLost):
            ask()


@pytest.mark.parametrize(
    "url", ["s3://bucket", "http://bucket", "s3:///x?endpoint=http://h", "s3://b?endpoint=h&x=1"]
)
def test_a_store_without_an_endpoint_of_its_own_is_refused(url):
    with pytest.raises(OptionsError):
        open_s3(url)
