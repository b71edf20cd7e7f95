"""A bundle is used only after its hashes, and its signature where a key is configured, were verified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from waferlens.bundle.signature import verify_trusted
from waferlens.errors import OptionsError
from waferlens.settings.environment import bundle_key


def verify_configured(bundle: Path) -> dict[str, Any]:
    """The manifest of a bundle that is what was saved, and signed as this machine asks. Raises BundleError."""
    return verify_trusted(bundle, bundle_key())


def require_signing(private_key: Path | None) -> None:
    """Before hours of training: what is made must be loadable here. Raises OptionsError."""
    if private_key is None and bundle_key() is not None:
        raise OptionsError(
            "only signed bundles are loaded here, and nothing signs the new one", expected="--key PRIVATE.PEM"
        )
