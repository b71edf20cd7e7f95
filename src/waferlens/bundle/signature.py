"""Who made this bundle: an Ed25519 signature (RFC 8032) of its manifest, which in turn holds every file's hash.

Hashes tell an altered file; they do not tell an altered file with an altered manifest. A signature by a key
pair does, and the machines that inspect hold only the public half: whoever breaks into one can verify bundles
and sign none. A shared secret (HMAC) would let every inspection machine sign. Keys are PEM files, as OpenSSL
writes them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from waferlens.bundle.manifest import FILE_NAME, SIGNATURE, read_manifest, verify_bundle
from waferlens.errors import BundleError

PRIVATE_KEY = "bundle-signing.pem"
PUBLIC_KEY = "bundle-signing.pub.pem"


def write_keys(folder: Path) -> tuple[Path, Path]:
    """A new key pair, the private half for its owner alone. Raises BundleError rather than replace a key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    folder.mkdir(parents=True, exist_ok=True)
    private, public = folder / PRIVATE_KEY, folder / PUBLIC_KEY
    for path in (private, public):
        if path.exists():
            raise BundleError(f"{path} exists", expected="a folder without keys: a lost key cannot be made again")
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
    shown = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, shown))
    return private, public


def sign_bundle(bundle: Path, private_key: Path) -> Path:
    """Verify the hashes, then sign the manifest; returns the file of the signature. Raises BundleError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    verify_bundle(bundle)
    try:
        key = load_pem_private_key(_read_key(private_key), password=None)
    except (ValueError, TypeError) as error:
        raise BundleError(f"{private_key} is not a key", expected="a PEM private key", found=str(error)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError(f"{private_key} cannot sign", expected="an Ed25519 key", found=type(key).__name__)
    path = bundle / SIGNATURE
    temporary = path.with_suffix(".tmp")
    temporary.write_text(key.sign((bundle / FILE_NAME).read_bytes()).hex() + "\n", encoding="ascii")
    temporary.replace(path)
    return path


def verify_trusted(bundle: Path, public_key: Path | None) -> dict[str, Any]:
    """The manifest, once it carries this key's signature and every file its hash; without a key, the hashes alone.

    Raises BundleError when the bundle is unsigned, signed by another key, or not what was saved.
    """
    if public_key is not None:
        _verify_signature(bundle, public_key)
    return verify_bundle(bundle)


def _verify_signature(bundle: Path, public_key: Path) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_read_key(public_key))
    except (ValueError, TypeError) as error:
        raise BundleError(f"{public_key} is not a key", expected="a PEM public key", found=str(error)) from error
    if not isinstance(key, Ed25519PublicKey):
        raise BundleError(f"{public_key} cannot verify", expected="an Ed25519 key", found=type(key).__name__)
    read_manifest(bundle)
    path = bundle / SIGNATURE
    try:
        signature = bytes.fromhex(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{bundle} is not signed", expected="manifest.sig, since a key is configured", found=str(error)
        ) from error
    try:
        key.verify(signature, (bundle / FILE_NAME).read_bytes())
    except InvalidSignature as error:
        raise BundleError(
            f"{bundle} is not signed by the configured key",
            expected=f"a signature of {public_key.name}",
            found="another key's signature, or a manifest that was changed after it",
        ) from error


def _read_key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read", expected="a PEM key", found=str(error)) from error
