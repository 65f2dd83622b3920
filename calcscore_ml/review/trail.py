"""What is written down besides decisions: writes that were refused, and exports."""

from __future__ import annotations

from threading import Lock
from time import monotonic

from calcscore_ml.errors import StoreError
from calcscore_ml.review.store import Store

LISTED_MOST, LISTED_S = 60, 60.0
"""Refused writes listed one by one within a time [s]; more are counted, as a flood must not fill the disk."""

DETAIL_MOST = 300
"""Characters kept of what was refused: what came from outside may be anything."""


class Trail:
    """Writes to the store's audit; may be called from any thread.

    Parameters
    ----------
    store : Store
        Where decisions are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = Lock()
        self._listed: list[float] = []
        self._unlisted = 0

    def refused(self, observer: str, why: str, detail: str = "", scan_id: str = "") -> None:
        """List a write that was refused, or count it when there are too many."""
        now = monotonic()
        with self._lock:
            self._listed = [then for then in self._listed if now - then < LISTED_S]
            if len(self._listed) >= LISTED_MOST:
                self._unlisted += 1
                return
            self._listed.append(now)
            before, self._unlisted = self._unlisted, 0
        more = f" ({before} more before this were not listed)" if before else ""
        try:
            self._store.audit(observer, f"refused {why[:DETAIL_MOST]}{more}", scan_id, detail[:DETAIL_MOST])
        except StoreError:
            with self._lock:  # the refusal stands; that it could not be listed is told with the next one
                self._unlisted += 1 + before

    def exported(self, observer: str, what: str, scan_id: str = "") -> None:
        """List an export; one that cannot be listed is not given out."""
        self._store.audit(observer, f"exported {what}", scan_id, "")
