"""``waferlens export``: every runtime's file again, held to the reference on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from waferlens.bundle.card import model_card
from waferlens.bundle.contents import load_config, load_thresholds, read_json
from waferlens.bundle.manifest import write_manifest
from waferlens.engines.gate import export_all
from waferlens.wiring.trusted import verify_configured


def export_bundle(bundle: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Check the bundle, export, run the gate, renew card and manifest; returns parity.json's content."""
    origin = verify_configured(bundle)["provenance"]
    return finish_bundle(bundle, origin, say)


def finish_bundle(bundle: Path, origin: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """Exports, parity gate, card and manifest for a saved model."""
    parity = export_all(bundle, say)
    metrics = read_json(bundle / "metrics.json")
    card = model_card(load_config(bundle), load_thresholds(bundle), metrics, parity, origin)
    (bundle / "card.md").write_text(card, encoding="utf-8")
    write_manifest(bundle, origin)
    return parity
