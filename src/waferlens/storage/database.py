"""A database: opening it, moving its schema forward, and transactions whose failures have one name.

SQLite keeps a write-ahead log and syncs at every commit (``synchronous=FULL``): a commit survives the plug.
PostgreSQL does so by default. Both give up after a few seconds instead of holding an image up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, TimeoutError

from waferlens.errors import DatabaseLost, OptionsError

_GIVE_UP_SECONDS = 2
_WRITING = "waferlens_writing"
_LONGEST_LOG_PAGES = 20_000  # of 4 KiB, where nobody tidies
_MIGRATION_LOCK = 0x77616665


class Database:
    """Transactions on one database. A failure of the database itself is DatabaseLost."""

    def __init__(self, engine: Engine) -> None:
        """``open_database`` builds the engine."""
        self.engine = engine
        self._writing = engine.execution_options(**{_WRITING: True})

    @property
    def is_sqlite(self) -> bool:
        """Whether this is a file of the service's own."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state. Raises DatabaseLost."""
        with _naming_losses(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is durable when the block has ended, or did not happen. Raises DatabaseLost."""
        with _naming_losses(), self._writing.begin() as connection:
            yield connection

    def ping(self) -> None:
        """Raises DatabaseLost when the database does not answer."""
        with self.reading() as connection:
            connection.execute(text("SELECT 1"))

    def tidy(self) -> None:
        """Bring SQLite's log into its file, beside whoever writes; PostgreSQL does so by itself.

        Left to SQLite, one commit in a hundred would do it, and an image would wait.
        """
        if self.is_sqlite:
            with contextlib.closing(self.engine.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()


def open_database(url: str) -> Database:
    """A database by its URL: ``sqlite:///FILE`` or ``postgresql://...``. Connects when it is first used.

    Raises OptionsError for a URL of another kind.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise OptionsError(
            "the database's URL cannot be read", expected="sqlite:///FILE or postgresql://..."
        ) from error
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(
            parsed,
            pool_size=8,
            max_overflow=16,
            pool_timeout=_GIVE_UP_SECONDS,
            connect_args={"timeout": _GIVE_UP_SECONDS},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return Database(engine)
    if parsed.get_backend_name() == "postgresql":
        engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_size=8,
            max_overflow=16,
            pool_timeout=_GIVE_UP_SECONDS,
            pool_pre_ping=False,
            connect_args=_postgresql_arguments(),
        )
        return Database(engine)
    raise OptionsError(
        "unknown kind of database", expected="sqlite or postgresql", found=parsed.get_backend_name()
    )


def migrate(database: Database) -> None:
    """Bring the schema to the newest step; two services that start together do it once. Raises DatabaseLost."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("version_locations", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "newline")
    steps = ScriptDirectory.from_config(config)

    def upgrade(revision: Any, _context: Any) -> Any:
        return steps._upgrade_revs("head", revision)

    with database.writing() as connection, EnvironmentContext(config, steps, fn=upgrade) as environment:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        environment.configure(connection=connection, transactional_ddl=False)
        environment.run_migrations()


def _postgresql_arguments() -> dict[str, Any]:
    milliseconds = _GIVE_UP_SECONDS * 1000
    return {
        "connect_timeout": _GIVE_UP_SECONDS,
        "keepalives_idle": _GIVE_UP_SECONDS,
        "tcp_user_timeout": milliseconds,
        "application_name": "waferlens",
        "options": f"-c lock_timeout={milliseconds} -c synchronous_commit=on",
    }


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy says BEGIN itself, see below
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"wal_autocheckpoint={_LONGEST_LOG_PAGES}",
        f"busy_timeout={_GIVE_UP_SECONDS * 1000}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    """A transaction that will write takes the lock at once: one that reads first could not upgrade later."""
    writes = connection.get_execution_options().get(_WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _naming_losses() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise  # the caller's rows, not the database's health
    except (DBAPIError, TimeoutError) as error:
        found = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())[:200]
        raise DatabaseLost("the database failed", expected="an answer", found=found) from error
