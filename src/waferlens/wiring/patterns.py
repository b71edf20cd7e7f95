"""Wafer signatures over the record: what each wafer and each lot of a period shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from waferlens.inspection.places import MapOptions
from waferlens.monitoring.options import WatchOptions, wafer_map_of
from waferlens.monitoring.signature_regions import Bools, Signature
from waferlens.monitoring.signatures import Shown, SignatureFinder
from waferlens.records import DecisionKind
from waferlens.storage.alarms import AlarmKind, Finding
from waferlens.storage.database import Database
from waferlens.storage.watched import PointSeen, points_seen

_MOST_NOTED = 200
_SCATTERED = (Signature.RANDOM, Signature.NONE)


@dataclass(frozen=True, kw_only=True)
class SignaturesFound:
    """Signatures by wafer and by lot, and products without a map, whose wafers cannot be judged."""

    wafers: dict[str, Shown]
    lots: dict[str, Shown]
    without_map: tuple[str, ...]
    findings: list[Finding]


def find_signatures(
    database: Database,
    options: WatchOptions,
    maps: Mapping[str, MapOptions | None],
    since_ms: int,
    until_ms: int,
) -> SignaturesFound:
    """What the wafers of a period show. maps: of each product that has one. Raises DatabaseLost, OptionsError."""
    with database.reading() as connection:
        seen = points_seen(connection, since_ms, until_ms)
    by_product: dict[str, list[PointSeen]] = defaultdict(list)
    for point in seen:
        by_product[point.product].append(point)
    wafers: dict[str, Shown] = {}
    lots: dict[str, Shown] = {}
    product_of: dict[str, str] = {}
    without = []
    for product, points in sorted(by_product.items()):
        told = maps.get(product)
        if told is None:
            without.append(product)
            continue
        finder = SignatureFinder(wafer_map_of(told), options.signatures)
        names, defective, inspected, lot_of = _tables(points, len(finder.map.x))
        for row, name in enumerate(names):
            wafers[name] = finder.of_wafer(defective[row], inspected[row])
        for lot in sorted({lot for lot in lot_of if lot}):
            rows = [row for row, own in enumerate(lot_of) if own == lot]
            if len(rows) > 1:
                product_of[lot] = product
                lots[lot] = finder.of_lot(defective[rows], inspected[rows])
    return SignaturesFound(
        wafers=wafers,
        lots=lots,
        without_map=tuple(without),
        findings=[
            _finding(lot, product_of[lot], shown, since_ms, until_ms)
            for lot, shown in lots.items()
            if _tells(shown)
        ],
    )


def signature_figures(found: SignaturesFound, since_ms: int, until_ms: int) -> dict[str, Any]:
    """For the station: what lots and wafers show, those with a pattern first, and products without a map."""

    def told(shown: Mapping[str, Shown], kind: str) -> list[dict[str, Any]]:
        rows = [
            {
                "of": kind,
                "name": name,
                "signature": str(each.signature),
                "where": each.where,
                "cause": each.cause,
                "chance": each.chance,
                "num_points": len(each.points),
            }
            for name, each in shown.items()
        ]
        scattered = tuple(map(str, _SCATTERED))
        return sorted(rows, key=lambda row: str(row["signature"]) in scattered)[:_MOST_NOTED]

    return {
        "since_ms": since_ms,
        "until_ms": until_ms,
        "num_wafers": len(found.wafers),
        "lots": told(found.lots, "lots"),
        "wafers": told(found.wafers, "wafers"),
        "without_map": list(found.without_map),
    }


def _tells(shown: Shown) -> bool:
    return shown.signature not in _SCATTERED


def _tables(points: Sequence[PointSeen], num_points: int) -> tuple[list[str], Bools, Bools, list[str | None]]:
    """Wafers, then (W, P) points that were rejected or in doubt, and (W, P) inspected; the lot of each wafer."""
    names = list(dict.fromkeys(point.wafer_id for point in points))
    row_of = {name: row for row, name in enumerate(names)}
    defective = np.zeros((len(names), num_points), dtype=np.bool_)
    inspected = np.zeros_like(defective)
    lots: list[str | None] = [None] * len(names)
    for point in points:
        row = row_of[point.wafer_id]
        lots[row] = point.lot_id
        if point.inspection_point < num_points:
            inspected[row, point.inspection_point] = True
            defective[row, point.inspection_point] = point.decision is not DecisionKind.PASS
    return names, defective, inspected, lots


def _finding(lot: str, product: str, shown: Shown, since_ms: int, until_ms: int) -> Finding:
    return Finding(
        kind=AlarmKind.SIGNATURE,
        key=f"{lot}/{shown.signature}",
        title=f"lot {lot} shows {shown.signature} ({shown.where}); likely {shown.cause}",
        detail={
            "lot": lot,
            "product": product,
            "signature": shown.signature,
            "where": shown.where,
            "points": list(shown.points),
        },
        onset_ms=since_ms,
        at_ms=until_ms,
    )
