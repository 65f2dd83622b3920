"""The short table of decisions, ``scan_id,lesion,label[,observer,note]``, for scripts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ReviewError
from calcscore_ml.review.events import LabelLesion, Note
from calcscore_ml.review.spreadsheet import defused, fused, table_lines, table_text
from calcscore_ml.review.state import Reading

VERDICT_COLUMNS = ("scan_id", "lesion", "label", "observer", "note")
"""Columns of the short table; the last two may be missing."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What somebody says a lesion is: a line of the short table, for scripts.

    Parameters
    ----------
    scan_id, lesion : str
        Scan, and key of the lesion.
    label : Label
        What it is.
    observer, note : str
        Who says so, and why; may be empty.
    """

    scan_id: str
    lesion: str
    label: Label
    observer: str = ""
    note: str = ""


def verdicts_csv(readings: Iterable[Reading]) -> str:
    """Return the short table of what was decided: a line per decided lesion of readings."""
    rows = (
        [reading.scan_id, n.key, str(int(n.label)), n.decided_by, n.note]
        for reading in readings
        for n in reading.lesions
        if n.decided
    )
    return table_text(VERDICT_COLUMNS, ([defused(cell) for cell in row] for row in rows))


def read_verdicts(table: str | Path) -> tuple[Verdict, ...]:
    """Read a short table, ``scan_id,lesion,label[,observer,note]``, as scripts write it.

    A label is its number (``1``) or its name (``LAD``).

    Raises
    ------
    ReviewError
        When a line breaks a rule, or a lesion of a scan has two lines; the message names the line.
    """
    header, lines = table_lines(table)
    if not set(VERDICT_COLUMNS[:3]) <= set(header) <= set(VERDICT_COLUMNS) or len(set(header)) != len(header):
        raise ReviewError(
            f"a short table of decisions must have the columns scan_id,lesion,label and may have observer,note; "
            f"got {', '.join(header)[:200]}"
        )
    out: dict[tuple[str, str], Verdict] = {}
    for number, cells in lines:
        row = dict(zip(header, map(fused, cells), strict=True))
        said = Verdict(**{**row, "label": _label(row["label"], number)})  # type: ignore[arg-type]
        _checked(said, number)
        if (said.scan_id, said.lesion) in out:
            raise ReviewError(
                f"a lesion is decided once, got a second line for lesion {said.lesion} of {said.scan_id} in line "
                f"{number}; keep one"
            )
        out[said.scan_id, said.lesion] = said
    return tuple(out.values())


def _checked(said: Verdict, number: int) -> None:
    try:
        LabelLesion(lesion=said.lesion, label=int(said.label))
        Note(text=said.note)
    except ValueError as error:
        raise ReviewError(
            f"a lesion must be named by its key, as in 12, 12.1 or +7, and a note be text of at most 2000 characters; "
            f"got lesion {said.lesion[:40]!r} in line {number}; correct the line"
        ) from error
    if not said.scan_id:
        raise ReviewError(f"a line must name its scan, got none in line {number}; correct the line")


def _label(text: str, number: int) -> Label:
    wanted = text.strip()
    for label in Label:
        if wanted.lower() in (str(int(label)), label.name.lower(), label.title.lower()):
            return label
    raise ReviewError(
        f"a label must be 0 to {max(Label)} or one of {', '.join(t.name for t in Label)}, got {wanted[:40]!r} in line "
        f"{number}; correct the line"
    )
