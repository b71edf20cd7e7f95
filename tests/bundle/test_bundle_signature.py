"""With a key configured, a bundle is loaded only if whoever holds the private half signed it as it is."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from waferlens.bundle.manifest import SIGNATURE, read_manifest, verify_bundle, write_manifest
from waferlens.bundle.signature import PRIVATE_KEY, sign_bundle, verify_trusted, write_keys
from waferlens.errors import BundleError


@pytest.fixture
def bundle(saved, tmp_path) -> Path:
    return shutil.copytree(saved, tmp_path / "bundle")


@pytest.fixture
def keys(tmp_path):
    return write_keys(tmp_path / "keys")


def test_a_signed_bundle_is_trusted_and_its_signature_is_no_part_of_it(bundle, keys):
    private, public = keys
    sign_bundle(bundle, private)
    assert verify_trusted(bundle, public) == verify_bundle(bundle) == read_manifest(bundle)
    assert verify_trusted(bundle, None) == read_manifest(bundle)
    assert SIGNATURE not in read_manifest(bundle)["files"]


def test_signing_again_gives_the_same_bytes(bundle, keys):
    first = sign_bundle(bundle, keys[0]).read_bytes()
    assert sign_bundle(bundle, keys[0]).read_bytes() == first


def test_without_a_signature_nothing_is_trusted(bundle, keys):
    with pytest.raises(BundleError, match="is not signed"):
        verify_trusted(bundle, keys[1])
    verify_trusted(bundle, None)


@pytest.mark.parametrize("content", ["", "zz", "00" * 64, "ab" * 10])
def test_what_is_no_signature_is_refused(bundle, keys, content):
    sign_bundle(bundle, keys[0])
    (bundle / SIGNATURE).write_text(content)
    with pytest.raises(BundleError, match="is not signed"):
        verify_trusted(bundle, keys[1])


def test_another_keys_signature_is_refused(bundle, keys, tmp_path):
    other, _ = write_keys(tmp_path / "other")
    sign_bundle(bundle, other)
    with pytest.raises(BundleError, match="not signed by the configured key"):
        verify_trusted(bundle, keys[1])


def test_an_altered_file_with_an_altered_manifest_passes_the_hashes_and_fails_the_signature(bundle, keys):
    sign_bundle(bundle, keys[0])
    signature = (bundle / SIGNATURE).read_bytes()
    (bundle / "thresholds.json").write_text(json.dumps({"review": 1e9}))
    write_manifest(bundle, read_manifest(bundle)["provenance"])
    verify_bundle(bundle)
    (bundle / SIGNATURE).write_bytes(signature)
    with pytest.raises(BundleError, match="not signed by the configured key"):
        verify_trusted(bundle, keys[1])


def test_an_altered_file_under_a_valid_signature_fails_the_hashes(bundle, keys):
    sign_bundle(bundle, keys[0])
    (bundle / "card.md").write_text("better than ever")
    with pytest.raises(BundleError, match="is not what was saved"):
        verify_trusted(bundle, keys[1])


def test_a_new_manifest_takes_the_old_signature_off(bundle, keys):
    sign_bundle(bundle, keys[0])
    write_manifest(bundle, read_manifest(bundle)["provenance"])
    assert not (bundle / SIGNATURE).exists()


def test_an_altered_bundle_is_not_signed(bundle, keys):
    (bundle / "thresholds.json").write_text("{}")
    with pytest.raises(BundleError, match=r"altered: thresholds\.json"):
        sign_bundle(bundle, keys[0])


def test_the_private_half_is_its_owners_and_no_key_is_ever_replaced(keys):
    private, public = keys
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert b"PRIVATE" not in public.read_bytes()
    before = private.read_bytes()
    with pytest.raises(BundleError, match=PRIVATE_KEY):
        write_keys(private.parent)
    assert private.read_bytes() == before


def test_a_key_that_is_missing_or_of_another_kind_is_an_error_that_names_it(bundle, keys, tmp_path):
    private, public = keys
    sign_bundle(bundle, private)
    curve = generate_private_key(SECP256R1())
    other = tmp_path / "curve.pem"
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    other.write_bytes(curve.private_bytes(serialization.Encoding.PEM, *form))
    with pytest.raises(BundleError, match="cannot sign"):
        sign_bundle(bundle, other)
    shown = serialization.PublicFormat.SubjectPublicKeyInfo
    other.write_bytes(curve.public_key().public_bytes(serialization.Encoding.PEM, shown))
    with pytest.raises(BundleError, match="cannot verify"):
        verify_trusted(bundle, other)
    for wrong in (private, tmp_path / "nothing.pem", bundle / "config.json"):
        with pytest.raises(BundleError, match=wrong.name):
            verify_trusted(bundle, wrong)
    with pytest.raises(BundleError, match="is not a key"):
        sign_bundle(bundle, public)
