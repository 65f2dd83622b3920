"""Deciding: an event is checked against what stands, stored with its numbers, and then stands."""

from __future__ import annotations

from dataclasses import replace

from calcscore_ml.errors import ReviewError
from calcscore_ml.review.events import Event
from calcscore_ml.review.state import Reading, StoredEvent, about, what_if
from calcscore_ml.review.store import Store

UNKNOWN_MODEL = "unknown"
"""Stored where a result does not say which model made it."""


def decide(store: Store, reading: Reading, name: str, observer: str, event: Event) -> tuple[StoredEvent, Reading]:
    """Store a decision.

    Parameters
    ----------
    store : Store
        Where to.
    reading : Reading
        What the observer saw.
    name : str
        Name of the reading.
    observer : str
        Who decides.
    event : Event
        What.

    Returns
    -------
    stored : StoredEvent
        The event with its numbers.
    after : Reading
        What stands now.

    Raises
    ------
    ReviewError
        When the event does not fit; nothing is stored.
    VersionConflict
        When another event came first; nothing is stored.
    StoreError
        When the store fails.
    """
    if reading.events and reading.events[0].reading != name:
        raise ReviewError(
            f"a decision goes into the reading that was seen, got one on {reading.events[0].reading!r} for {name!r}; "
            "load that reading"
        )
    expected = what_if(reading, event, observer)
    key = about(reading, event)
    old, new = (_label(r, key) for r in (reading, expected))
    stored = store.append(
        reading.scan_id,
        name,
        reading.version,
        observer,
        event,
        key,
        old,
        new,
        reading.result.provenance.model.get("model_sha256", UNKNOWN_MODEL),
        reading.totals,
        expected.totals,
    )
    return stored, replace(expected, events=(*reading.events, stored))  # what stands was worked out already


def _label(reading: Reading, key: str | None) -> int | None:
    try:
        return None if key is None else int(reading.lesion(key).label)
    except ReviewError:
        return None
