"""The lesions of many scans in the order an expert should see them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from calcscore_ml.review.lesions import ReviewLesion
from calcscore_ml.review.state import Reading


@dataclass(frozen=True, slots=True, eq=False)
class QueueItem:
    """A lesion in the queue.

    Parameters
    ----------
    scan_id : str
        Its scan.
    lesion : ReviewLesion
        The lesion.
    """

    scan_id: str
    lesion: ReviewLesion

    @property
    def key(self) -> str:
        """Key of the lesion in its scan."""
        return self.lesion.key

    @property
    def pending(self) -> bool:
        """Whether it waits for an expert."""
        return self.lesion.pending


def order_lesions(readings: Iterable[Reading]) -> tuple[QueueItem, ...]:
    """Order the lesions of readings: pending first, then by urgency, effect on the Agatston score, scan and place.

    Parameters
    ----------
    readings : iterable of Reading
        One per scan.

    Returns
    -------
    tuple of QueueItem
        Every lesion once. The order of the readings does not matter.
    """
    placed = [
        (n.pending, n.urgency, n.effect, reading.scan_id, place, n)
        for reading in readings
        for place, n in enumerate(reading.lesions)
    ]
    placed.sort(key=lambda row: (not row[0], -row[1], -row[2], row[3], row[4]))
    return tuple(QueueItem(scan_id, lesion) for *_, scan_id, _place, lesion in placed)
