"""Every page of the station."""

from __future__ import annotations

from fastapi import APIRouter

from waferlens.web.station import (
    atlas,
    figures,
    labels,
    line,
    looking,
    model,
    people,
    reviewing,
    rolling,
    signing,
    wafers,
    watching,
)


def all_pages() -> tuple[APIRouter, ...]:
    """The routers of the station."""
    return tuple(
        part.router
        for part in (
            *(signing, line, wafers, looking, reviewing, atlas, figures, labels, model, rolling, people),
            watching,
        )
    )
