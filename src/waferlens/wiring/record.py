"""The parts of the record, put together from a home folder and the environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from waferlens.settings.service import blob_url, database_url
from waferlens.storage.accounts import Accounts
from waferlens.storage.audit import AuditLog
from waferlens.storage.blobs import BlobStore, LocalBlobs
from waferlens.storage.database import Database, migrate, open_database
from waferlens.storage.journal import Journal
from waferlens.storage.s3 import open_s3


@dataclass(frozen=True, kw_only=True)
class Record:
    """Everything that is kept."""

    home: Path
    database: Database
    blobs: BlobStore
    audit: AuditLog
    accounts: Accounts


def open_record(home: Path) -> Record:
    """Open the record of a home folder and bring its schema forward; creates what is not there.

    Raises DatabaseLost, BlobStoreLost, OptionsError, OSError.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)  # an existing folder keeps the rights it was given
    database = open_database(database_url(home))
    migrate(database)
    audit = AuditLog(database, home / "audit-head.json")
    return Record(
        home=home, database=database, blobs=_open_blobs(home), audit=audit, accounts=Accounts(database, audit)
    )


def open_journal(home: Path) -> Journal:
    """The local journal. Only a service opens it: every entry is read."""
    return Journal(home / "journal")


def _open_blobs(home: Path) -> BlobStore:
    url = blob_url()
    if url is not None:
        return open_s3(url)
    folder = home / "blobs"
    blobs = LocalBlobs(folder)
    blobs.prepare()
    return blobs
