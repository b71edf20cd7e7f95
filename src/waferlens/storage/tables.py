"""Every table of the record: whoever copies or compares the whole of it takes ``metadata`` from here."""

from __future__ import annotations

from waferlens.storage.review_tables import review_items
from waferlens.storage.schema import metadata
from waferlens.storage.watch_tables import alarms

__all__ = ["alarms", "metadata", "review_items"]
