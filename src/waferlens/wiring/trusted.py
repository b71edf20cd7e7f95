"""A bundle is used only after its hashes, and its signature where a key is configured, were verified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from waferlens.bundle.signature import verify_trusted
from waferlens.settings.environment import bundle_key


def verify_configured(bundle: Path) -> dict[str, Any]:
    """The manifest of a bundle that is what was saved, and signed as this machine asks. Raises BundleError."""
    return verify_trusted(bundle, bundle_key())
