"""Decisions and what they make, for other programs: a table, label volumes, result folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from numpy.typing import NDArray

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ReviewError
from calcscore_ml.files import write_text
from calcscore_ml.io.labels import write_labels
from calcscore_ml.result import write_result
from calcscore_ml.review.events import Event, Note, event_json, parse_event
from calcscore_ml.review.reviewed import to_result
from calcscore_ml.review.spreadsheet import defused, fused, table_lines, table_text
from calcscore_ml.review.state import Reading, StoredEvent, undone_events
from calcscore_ml.review.store import Store


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """A line of the table of decisions; its fields are the columns, in order.

    Parameters
    ----------
    scan_id, reading : str
        Stream of the event.
    version : int
        Its place there.
    time_utc : datetime
        When.
    observer, kind : str
        Who, and which kind of event.
    lesion : str or None
        Key of the lesion it is about.
    old_label, new_label : int or None
        `Label` of the lesion before and after.
    agatston_before, agatston_after : float
        Score of the reading.
    category_before, category_after : str
        Risk category.
    lowest_after, highest_after : float
        Range of the score.
    model_sha256 : str
        Of the model whose result was reviewed.
    note : str
        Text of a note; empty for other events.
    undone : bool
        Whether a later event undid it.
    event : Event
        All of it, as JSON.
    id : int
        What an undo names.
    """

    scan_id: str
    reading: str
    version: int
    time_utc: datetime
    observer: str
    kind: str
    lesion: str | None
    old_label: int | None
    new_label: int | None
    agatston_before: float
    agatston_after: float
    category_before: str
    category_after: str
    lowest_after: float
    highest_after: float
    model_sha256: str
    note: str
    undone: bool
    event: Event
    id: int


COLUMNS = tuple(f.name for f in fields(DecisionRow))
"""Columns of the table of decisions."""


def decision_rows(stored: Sequence[StoredEvent]) -> tuple[DecisionRow, ...]:
    """Return the lines of the table of decisions, in the order of the events."""
    undone = undone_events(sorted(stored, key=lambda e: e.id))
    return tuple(
        DecisionRow(
            scan_id=e.scan_id,
            reading=e.reading,
            version=e.version,
            time_utc=e.at,
            observer=e.observer,
            kind=e.event.kind,
            lesion=e.lesion,
            old_label=e.old_label,
            new_label=e.new_label,
            agatston_before=e.before.agatston,
            agatston_after=e.after.agatston,
            category_before=e.before.category,
            category_after=e.after.category,
            lowest_after=e.after.lowest,
            highest_after=e.after.highest,
            model_sha256=e.model_sha256,
            note=e.event.text if isinstance(e.event, Note) else "",
            undone=e.id in undone,
            event=e.event,
            id=e.id,
        )
        for e in stored
    )


def decisions_csv(store: Store | Sequence[StoredEvent]) -> str:
    """Return every decision of a store, or some of its events, as CSV text; `read_decisions` reads it back equal."""
    rows = decision_rows(store.all_events() if isinstance(store, Store) else store)
    return table_text(COLUMNS, ([_cell(getattr(row, name)) for name in COLUMNS] for row in rows))


def read_decisions(table: str | Path) -> tuple[DecisionRow, ...]:
    """Read a table of decisions.

    Parameters
    ----------
    table : str or path
        CSV text, or the path of a file of it.

    Raises
    ------
    ReviewError
        When a line is not what `decisions_csv` writes; the message names the line.
    """
    header, lines = table_lines(table)
    if header != list(COLUMNS):
        came = ", ".join(header)[:200]
        raise ReviewError(f"a table of decisions must have the columns {', '.join(COLUMNS)}; got {came}")
    return tuple(_decision(dict(zip(COLUMNS, cells, strict=True)), number) for number, cells in lines)


def label_volume(reading: Reading) -> NDArray[np.uint8]:
    """Paint a reading's lesions under their labels, as `calcscore_ml.io.labels.write_labels` takes them.

    Returns
    -------
    (nz, ny, nx) array of uint8
        `Label` numbers, 0 elsewhere; excluded voxels are 0. A pending lesion has the label the model gave.
    """
    out = np.zeros(reading.calcium.geometry.shape, dtype=np.uint8)
    for n in reading.lesions:
        out[tuple(n.voxels[n.kept].T)] = int(n.label)
    return out


def write_label_volume(reading: Reading, path: Path | str, *, overwrite: bool = False) -> Path:
    """Write `label_volume` as NIfTI, NRRD or MetaImage, by the file's ending; see `write_labels`."""
    return write_labels(label_volume(reading), reading.calcium.geometry, path, overwrite=overwrite)


def write_decisions(path: Path | str, store: Store | Sequence[StoredEvent], *, overwrite: bool = False) -> Path:
    """Write `decisions_csv` to a file, whole or not at all."""
    return write_text(path, decisions_csv(store), overwrite)


def write_reviewed(
    folder: Path | str,
    reading: Reading,
    stored: Sequence[StoredEvent] | None = None,
    *,
    arteries: Mapping[Label, NDArray[np.floating]] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the result folder of a reviewed scan: scores, lesions, voxels, and a report of what was decided.

    Parameters
    ----------
    folder : path
        Where to; not the folder of the result that was reviewed.
    reading : Reading
        What stands.
    stored : sequence of StoredEvent, optional
        Its events; the reading's own when not given.
    arteries : mapping of Label to (n, 3) array, optional
        Where each artery is expected, as the reviewed result had it.
    overwrite : bool
        Replace a result that is already there.

    Raises
    ------
    ResultError
        When the folder already holds a result and `overwrite` is false.
    """
    events = reading.events if stored is None else tuple(stored)
    result, calcium = to_result(reading, events)
    report = _template().render(result=result, reading=reading, rows=decision_rows(events), labels=_titles())
    return write_result(folder, result, calcium, report, arteries=arteries, overwrite=overwrite)


def _decision(cells: dict[str, str], number: int) -> DecisionRow:
    text = {name: fused(cell) for name, cell in cells.items()}
    try:
        event = parse_event(text["event"])
        row = DecisionRow(
            scan_id=text["scan_id"],
            reading=text["reading"],
            version=int(text["version"]),
            time_utc=datetime.fromisoformat(text["time_utc"]),
            observer=text["observer"],
            kind=text["kind"],
            lesion=text["lesion"] or None,
            old_label=int(text["old_label"]) if text["old_label"] else None,
            new_label=int(text["new_label"]) if text["new_label"] else None,
            agatston_before=float(cells["agatston_before"]),
            agatston_after=float(cells["agatston_after"]),
            category_before=text["category_before"],
            category_after=text["category_after"],
            lowest_after=float(cells["lowest_after"]),
            highest_after=float(cells["highest_after"]),
            model_sha256=text["model_sha256"],
            note=text["note"],
            undone={"true": True, "false": False}[text["undone"]],
            event=event,
            id=int(text["id"]),
        )
    except (ValueError, KeyError) as error:
        raise ReviewError(
            f"a line must be what calcscore review writes, got {str(error)[:200]!r} in line {number}; export it again"
        ) from error
    if row.kind != event.kind or row.time_utc.utcoffset() is None:
        raise ReviewError(
            f"a line must agree with its event and tell a time in UTC, got kind {row.kind!r} at {row.time_utc} in line "
            f"{number}; export it again"
        )
    return row


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    if value is None:
        return ""
    return defused(value if isinstance(value, str) else event_json(value))  # type: ignore[arg-type]


def _titles() -> dict[int | None, str]:
    return {None: "", **{int(label): label.title for label in Label}}


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("calcscore_ml.review"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("reviewed.html.j2")
