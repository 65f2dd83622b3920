"""Connections to a store of decisions: where it is, how it is opened, and errors that never hold a password."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, ProgrammingError, SQLAlchemyError

from calcscore_ml.errors import StoreError

BUSY_SECONDS = 30
"""How long a writer waits for another one; a decision takes milliseconds, a slow disk's flush a second [s]."""

RETRY_SECONDS = 0.01
"""How long one who is turned away waits before asking again [s]."""

CONNECT_SECONDS = 10
"""How long a server may take to answer the first time [s]."""

BEGIN_OPTION = "calcscore_begin"
"""Execution option that says how a transaction begins in SQLite."""

SHORT_CHARACTERS = 300
"""Characters kept of what a driver says."""

POSTGRESQL_PORT = 5432
"""Where PostgreSQL listens unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is.

    Parameters
    ----------
    url : URL
        For the driver; holds the password.
    where : str
        For people; holds none.
    """

    url: URL
    where: str

    def __repr__(self) -> str:
        return f"Place({self.where!r})"

    @property
    def is_file(self) -> bool:
        """Whether it is an SQLite file."""
        return self.url.get_backend_name() == "sqlite"

    def reason(self, error: SQLAlchemyError) -> str:
        """Return what the driver says in one line, without the password."""
        if isinstance(error, ProgrammingError) and not self.is_file:
            # An option that libpq does not know is repeated by it, and may be a piece of a badly written password.
            return "a statement or option the server does not take"
        said = str(error.orig if isinstance(error, DBAPIError) else type(error).__name__)
        text = " ".join(said.split())
        for secret in sorted(self._secrets(), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text[:SHORT_CHARACTERS] or type(error).__name__

    def error(self, error: SQLAlchemyError) -> StoreError:
        """Return the error to raise for a driver's."""
        reason = self.reason(error)
        if not self.is_file:
            advice = "start the server, or check the address, the user and the password"
        elif "not a database" in reason or "malformed" in reason:
            advice = "restore a backup, or move the file away and begin anew"
        elif "locked" in reason:
            advice = "another program holds it; end that one and try again"
        else:
            advice = "the folder must be there, be writable and have room"
        return StoreError(f"decisions must be kept safely, got {reason!r} from {self.where}; {advice}")

    def _secrets(self) -> set[str]:
        given = [self.url.password, self.url.query.get("password")]
        words = {str(word) for word in given if word}
        return words | {quote(word) for word in words} | {quote_plus(word) for word in words}


def find_place(url: str | Path) -> Place:
    """Say where a store is.

    Parameters
    ----------
    url : str or path
        A file, ``sqlite:///FILE`` or ``postgresql://USER@HOST/DATABASE``.

    Raises
    ------
    StoreError
        When it is none of these.

    >>> find_place("postgresql://anna:secret@db.example/reviews").where
    'PostgreSQL at db.example:5432, database reviews, user anna'
    """
    if isinstance(url, Path) or "://" not in url:
        return Place(URL.create("sqlite", database=str(url)), str(url))
    refused = StoreError(
        "a store must be a file, sqlite:///FILE or postgresql://USER@HOST/DATABASE, got something else; special "
        "characters of a password are written as %XX"
    )
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise refused from None
    backend, _, driver = parsed.drivername.partition("+")
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:" and not parsed.query:
        return Place(parsed.set(drivername="sqlite"), parsed.database)
    # A password with an unquoted slash would end up in the name of the database, and so in messages.
    strange = any(c in f"{parsed.host or ''}{parsed.database or ''}" for c in "@:/?#")
    if backend not in ("postgresql", "postgres") or driver not in ("", "psycopg") or strange:
        raise refused
    host = parsed.host or parsed.query.get("host") or "the local socket"
    where = f"PostgreSQL at {host}:{parsed.port or parsed.query.get('port') or POSTGRESQL_PORT}"
    where += f", database {parsed.database or 'by default'}, user {parsed.username or 'by default'}"
    return Place(parsed.set(drivername="postgresql+psycopg"), where)


def connect(place: Place) -> Engine:
    """Return an engine for a store; it connects when it is first used.

    Raises
    ------
    StoreError
        When the driver is not installed.
    """
    if place.is_file:
        engine = create_engine(place.url, connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True)
        event.listen(engine, "connect", _set_sqlite_up)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        engine = create_engine(
            place.url, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_SECONDS}, hide_parameters=True
        )
    except ImportError:
        raise StoreError(
            f"a store in PostgreSQL needs psycopg 3, which is not installed, got {place.where}; "
            "run: pip install 'calcscore-ml[postgres]'"
        ) from None
    event.listen(engine, "connect", _set_postgresql_up)
    return engine


def settle_file(engine: Engine, place: Place) -> None:
    """Check an SQLite file that is known to be ours, and let its readers and its writer not wait for each other."""
    raw = engine.raw_connection()
    try:
        connection = raw.driver_connection
        assert isinstance(connection, sqlite3.Connection)
        cursor = connection.cursor()
        try:
            found = cursor.execute("PRAGMA quick_check(1)").fetchone()
            if found != ("ok",):
                raise sqlite3.DatabaseError(f"database disk image is malformed ({found})")
            _switch_to_wal(cursor)
        except sqlite3.Error as error:
            raise place.error(DBAPIError("", None, error)) from None
    finally:
        raw.close()


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    """Switch, once and for all; SQLite does not wait by itself while others are at it, or hold the file."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return


def _set_sqlite_up(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, see _begin_sqlite
    connection.execute("PRAGMA synchronous=FULL")  # a commit waits for the disk, in WAL too


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(BEGIN_OPTION, "BEGIN"))


def _set_postgresql_up(connection: Any, _: object) -> None:  # noqa: ANN401 (psycopg may be missing)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
    connection.commit()
