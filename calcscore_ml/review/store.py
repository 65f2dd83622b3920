"""Where decisions are kept: an append-only store in SQLite or PostgreSQL.

Each scan has a stream of events per reading, numbered from 1. Whoever adds one says the version they saw; when another
event came first, nothing is added and they are told what they had not seen. The database itself refuses changes and
removals, and keeps a version from being taken twice, whichever program writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, Select, func, insert, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from calcscore_ml.errors import ReviewError, StoreError
from calcscore_ml.review.engines import BEGIN_OPTION, Place, connect, find_place, settle_file
from calcscore_ml.review.events import NAME_PATTERN, Event, event_json, parse_event
from calcscore_ml.review.state import StoredEvent, Totals
from calcscore_ml.review.tables import AUDIT, EVENTS, prepare

STORE_FILE = "decisions.sqlite"
"""Name of the store in a folder of results."""

LONGEST_DETAIL = 2000
"""Characters kept of each text of an audit entry."""


class VersionConflict(ReviewError):  # noqa: N818 (it is what happened, and nobody's error)
    """Another event came first; nothing was added.

    Parameters
    ----------
    message : str
        What the user reads.
    missed : tuple of StoredEvent
        The events the caller had not seen.
    """

    def __init__(self, message: str, missed: tuple[StoredEvent, ...] = ()) -> None:
        super().__init__(message)
        self.missed = missed


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that should be known later.

    Parameters
    ----------
    id : int
        1 for the first.
    at : datetime
        When, UTC.
    observer, what, scan_id, detail : str
        Who did or tried what, with which scan, and more about it.
    """

    id: int
    at: datetime
    observer: str
    what: str
    scan_id: str
    detail: str


class Store:
    """An open store; made by `open_store`, used by any number of threads, closed by `close` or ``with``.

    Parameters
    ----------
    engine : Engine
        Connected, with tables.
    place : Place
        File or host.
    """

    def __init__(self, engine: Engine, place: Place) -> None:
        self._engine = engine
        self._place = place
        self.where = place.where

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.where!r})"

    def close(self) -> None:
        """Let go of every connection."""
        self._engine.dispose()

    def append(
        self,
        scan_id: str,
        reading: str,
        seen_version: int,
        observer: str,
        event: Event,
        lesion: str | None,
        old_label: int | None,
        new_label: int | None,
        model_sha256: str,
        before: Totals,
        after: Totals,
    ) -> StoredEvent:
        """Add an event; once this returns, the event outlives the process and the machine's power.

        Parameters
        ----------
        scan_id, reading : str
            The stream.
        seen_version : int
            How many of its events the caller had seen.
        observer : str
            Who decided.
        event : Event
            What.
        lesion, old_label, new_label, model_sha256, before, after
            What an auditor asks; see `StoredEvent`.

        Raises
        ------
        VersionConflict
            When there are more events than were seen, or fewer.
        ReviewError
            When a name is no name.
        StoreError
            When the store cannot be written. A server that breaks off in the act may have stored the event: adding it
            again then is a conflict that shows it.
        """
        for what, name in (("observer", observer), ("reading", reading)):
            check_name(what, name)
        if not scan_id or "\x00" in scan_id:
            raise ReviewError(f"a scan must have a name without NUL, got {scan_id!r}")
        row = {
            "scan_id": scan_id,
            "reading": reading,
            "version": seen_version + 1,
            "observer": observer,
            "at": datetime.now(UTC).isoformat(timespec="microseconds"),
            "kind": event.kind,
            "event": event_json(event),
            "lesion": lesion,
            "old_label": old_label,
            "new_label": new_label,
            "model_sha256": model_sha256,
            **_totals_columns("before", before),
            **_totals_columns("after", after),
        }
        try:
            with self._writing() as connection:
                stream = (EVENTS.c.scan_id == scan_id) & (EVENTS.c.reading == reading)
                last = connection.execute(select(func.max(EVENTS.c.version)).where(stream)).scalar() or 0
                taken = last != seen_version
                if not taken:
                    made = connection.execute(insert(EVENTS).values(**row)).inserted_primary_key
        except IntegrityError as error:  # PostgreSQL: another writer took the version after we had looked
            if len(self.events(scan_id, reading)) <= seen_version:
                raise StoreError(
                    f"an event must fit its table, got {self._place.reason(error)} in {self.where}"
                ) from None
            taken = True
        if taken:
            raise _conflict(self.events(scan_id, reading), seen_version)
        assert made is not None
        return _stored({"id": made[0], **row})

    def events(self, scan_id: str, reading: str) -> tuple[StoredEvent, ...]:
        """Return every event of a reading of a scan, in order."""
        stream = (EVENTS.c.scan_id == scan_id) & (EVENTS.c.reading == reading)
        return self._select(select(EVENTS).where(stream).order_by(EVENTS.c.version))

    def all_events(self) -> tuple[StoredEvent, ...]:
        """Return every event, by scan, reading and version."""
        stored = self._select(select(EVENTS))
        return tuple(sorted(stored, key=lambda e: (e.scan_id, e.reading, e.version)))

    def versions(self, reading: str) -> dict[str, int]:
        """Return how many events each scan has in a reading; scans without any are left out."""
        query = select(EVENTS.c.scan_id, func.max(EVENTS.c.version)).where(EVENTS.c.reading == reading)
        with self._reading() as connection:
            return {scan: int(last) for scan, last in connection.execute(query.group_by(EVENTS.c.scan_id))}

    def readings(self) -> tuple[str, ...]:
        """Return the names of all readings that have an event, sorted."""
        with self._reading() as connection:
            return tuple(sorted(connection.execute(select(EVENTS.c.reading).distinct()).scalars()))

    def audit(self, observer: str, what: str, scan_id: str = "", detail: str = "") -> None:
        """Record something that should be known later; any text will do, and is cut to `LONGEST_DETAIL`."""
        texts = {"observer": observer, "what": what, "scan_id": scan_id, "detail": detail}
        row = {name: _storable(value) for name, value in texts.items()}
        with self._writing() as connection:
            at = datetime.now(UTC).isoformat(timespec="microseconds")
            connection.execute(insert(AUDIT).values(at=at, **row))

    def audit_entries(self) -> tuple[AuditEntry, ...]:
        """Return everything recorded, in order."""
        with self._reading() as connection:
            rows = connection.execute(select(AUDIT).order_by(AUDIT.c.id)).mappings().all()
        return tuple(AuditEntry(**{**r, "at": datetime.fromisoformat(r["at"])}) for r in rows)

    def _select(self, query: Select[*tuple[Any, ...]]) -> tuple[StoredEvent, ...]:
        with self._reading() as connection:
            rows = connection.execute(query).mappings().all()
        return tuple(_stored(row) for row in rows)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise self._place.error(error) from None

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._told(), self._engine.connect() as connection:
            # SQLite: take the writer's place before looking, so that what was seen is still so when it is written.
            connection.execution_options(**{BEGIN_OPTION: "BEGIN IMMEDIATE"})
            with connection.begin():
                yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._told(), self._engine.connect() as connection, connection.begin():
            yield connection


def open_store(url: str | Path) -> Store:
    """Open a store of decisions, and make it where there is none.

    Parameters
    ----------
    url : str or path
        A file, ``sqlite:///FILE`` or ``postgresql://USER@HOST/DATABASE`` (PostgreSQL needs ``calcscore-ml[postgres]``).

    Raises
    ------
    StoreError
        When it cannot be reached or written, is damaged, is something else, or was made by a newer program. No message
        ever holds a password.
    """
    place = find_place(url)
    engine = connect(place)
    store = Store(engine, place)
    try:
        with store._writing() as connection:
            prepare(connection, place.where)
        if place.is_file:
            with store._told():
                settle_file(engine, place)
    except BaseException:
        engine.dispose()
        raise
    return store


def check_name(what: str, name: str) -> str:
    """Return the name of an observer or a reading, or raise `ReviewError` when it is none."""
    if not re.match(NAME_PATTERN, name):
        raise ReviewError(
            f"names of {what}s must be 1 to 40 letters, digits, '_', '.' or '-', got {name[:60]!r}; choose another"
        )
    return name


def _conflict(stored: tuple[StoredEvent, ...], seen_version: int) -> VersionConflict:
    missed = stored[seen_version:]
    who = ", ".join(sorted({e.observer for e in missed})) or "nobody"
    return VersionConflict(
        f"a decision must be made on the latest version, got one made on {seen_version} of {len(stored)} "
        f"(decided since by: {who}); look at what is new and decide again",
        missed,
    )


def _totals_columns(when: str, totals: Totals) -> dict[str, float | str]:
    return {f"{f.name}_{when}": getattr(totals, f.name) for f in fields(Totals)}


def _stored(row: RowMapping | Mapping[str, Any]) -> StoredEvent:
    before, after = (Totals(*(row[f"{f.name}_{when}"] for f in fields(Totals))) for when in ("before", "after"))
    same = ("id", "scan_id", "reading", "version", "observer", "lesion", "old_label", "new_label", "model_sha256")
    return StoredEvent(
        **{name: row[name] for name in same},
        at=datetime.fromisoformat(row["at"]),
        event=parse_event(row["event"]),
        before=before,
        after=after,
    )


def _storable(value: str) -> str:
    """Make any text one that both engines take."""
    whole = value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return whole[:LONGEST_DETAIL]
