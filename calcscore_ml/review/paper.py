"""A review on paper: the queue as a table that an expert fills in, and the table taken back as decisions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from calcscore_ml.errors import ReviewError
from calcscore_ml.review.desk import Desk
from calcscore_ml.review.events import LabelLesion, Note
from calcscore_ml.review.queue import order_lesions
from calcscore_ml.review.spreadsheet import defused, table_lines, table_text
from calcscore_ml.review.state import Reading
from calcscore_ml.review.verdicts import VERDICT_COLUMNS, Verdict, read_verdicts

QUEUE_COLUMNS = (
    *("scan_id", "lesion", "label", "note"),
    *("said", "probability", "agatston", "urgency", "z", "y", "x", "volume_mm3", "reason"),
)
"""Columns of the queue: the third and fourth are the expert's."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a table of decisions.

    Parameters
    ----------
    stored, known : int
        Decisions that were stored, and those that stood already.
    refused : tuple of (str, str)
        Scan and lesion of the others, and why each was refused.
    """

    stored: int
    known: int
    refused: tuple[tuple[str, str], ...]


def queue_csv(readings: Iterable[Reading]) -> str:
    """Return the lesions that wait for an expert as CSV text, as the queue has them, with room for label and note."""
    rows = []
    for item in order_lesions(readings):
        n = item.lesion
        if not n.pending:
            continue
        z, y, x = n.voxels.mean(axis=0)
        words = [item.scan_id, n.key, "", "", n.said.name]
        numbers = [n.coronary_probability, n.effect, n.urgency, z, y, x, n.volume_mm3]
        rows.append([*map(defused, words), *(f"{v:.4g}" for v in numbers), defused(n.reason)])
    return table_text(QUEUE_COLUMNS, rows)


def read_filled(table: str | Path) -> tuple[Verdict, ...]:
    """Read a queue that an expert filled in, or a short table of decisions; lines without a label decide nothing.

    Raises
    ------
    ReviewError
        When a column is missing or a line breaks a rule; the message names the line.
    """
    header, lines = table_lines(table)
    if "label" not in header:
        raise ReviewError(f"a table of decisions must have a column label, got {', '.join(header)[:200]}")
    kept = [i for i, name in enumerate(header) if name in VERDICT_COLUMNS]
    place = header.index("label")
    filled = [[cells[i] for i in kept] for _, cells in lines if cells[place].strip()]
    return read_verdicts(table_text(tuple(header[i] for i in kept), filled))


def apply_verdicts(desk: Desk, verdicts: Sequence[Verdict], observer: str) -> Applied:
    """Store what an expert decided; one that is refused does not stop the others.

    Parameters
    ----------
    desk : Desk
        Where decisions are made.
    verdicts : sequence of Verdict
        Of `read_filled`.
    observer : str
        Who decided, where a verdict does not say; must be one of the desk's.
    """
    stored = known = 0
    refused = []
    for verdict in verdicts:
        who = verdict.observer or observer
        try:
            if who not in desk.observers:
                raise ReviewError(f"decisions are taken from {', '.join(desk.observers)}, got some of {who!r}")
            if verdict.scan_id not in desk.cases:
                raise ReviewError(f"a decision must be of a scan of the results, got {verdict.scan_id!r}")
            reading = desk.reading(verdict.scan_id, desk.reading_of(who))
            lesion = reading.lesion(verdict.lesion)
            if lesion.decided and lesion.label == verdict.label:
                known += 1
                continue
            event = LabelLesion(lesion=verdict.lesion, label=int(verdict.label))
            _, reading = desk.decide(verdict.scan_id, who, reading.version, event)
            stored += 1
            if verdict.note:
                note = Note(lesion=verdict.lesion, text=verdict.note)
                desk.decide(verdict.scan_id, who, reading.version, note)
        except ReviewError as error:
            refused.append((f"{verdict.scan_id}, lesion {verdict.lesion}", str(error)))
    return Applied(stored, known, tuple(refused))
