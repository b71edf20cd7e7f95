"""``waferlens triton export``: a bundle, trusted as this machine asks, as repositories of the Triton server."""

from __future__ import annotations

from pathlib import Path

from waferlens.engines.triton_repository import TritonOptions, export_repositories
from waferlens.settings.environment import bundle_key


def export_triton(bundle: Path, out: Path, options: TritonOptions) -> dict[str, str]:
    """See ``export_repositories``."""
    return export_repositories(bundle, out, options, public_key=bundle_key())
