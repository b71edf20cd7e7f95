"""``backup``, ``restore`` and ``prune``: keeping the record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waferlens.cli import console
from waferlens.cli.service import Home, operator


def backup(
    home: Home, to: Annotated[Path, typer.Option("--to", help="A new folder.", show_default=False)]
) -> None:
    """Copy the whole record, images included, while the service runs; prints what was copied as JSON."""
    from waferlens.storage.backup import back_up
    from waferlens.wiring.record import open_record

    record = open_record(home)
    counts = back_up(record.database, record.blobs, to)
    record.audit.record(operator(), "backup made", {"inspections": counts.get("inspections", 0)})
    console.print_json(counts)


def restore(
    home: Home, source: Annotated[Path, typer.Option("--from", help="Folder of a backup.", show_default=False)]
) -> None:
    """Bring a backup into a new record and check its audit log; prints what was restored as JSON."""
    from waferlens.storage.backup import restore as bring_back
    from waferlens.wiring.record import open_record

    record = open_record(home)
    counts = bring_back(record.database, record.blobs, source)
    record.audit.verify()
    record.audit.record(operator(), "backup restored", {"inspections": counts.get("inspections", 0)})
    console.print_json(counts)


def prune(home: Home) -> None:
    """Forget what is older than the retention policy of HOME/service.toml says; prints what went as JSON."""
    from waferlens.settings.service import load_service_settings
    from waferlens.storage.retention import forget_old
    from waferlens.wiring.record import open_record

    record, policy = open_record(home), load_service_settings(home).retention
    gone = forget_old(record.database, record.blobs, pass_days=policy.pass_days, all_days=policy.all_days)
    record.audit.record(operator(), "record pruned", vars(gone) | policy.model_dump())
    console.print_json(vars(gone))
