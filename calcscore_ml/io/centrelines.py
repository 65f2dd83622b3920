"""Tables of the coronary arteries' centrelines: where each vessel runs, point by point, in the world (LPS)."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from calcscore_ml.anatomy import ARTERIES
from calcscore_ml.csv_lines import by_column, numbered_lines
from calcscore_ml.errors import ScanError
from calcscore_ml.files import write_text

CENTRELINE_COLUMNS = ("artery", "branch", "point", "x_mm", "y_mm", "z_mm", "radius_mm")
"""Columns of a table of centrelines: artery (LM, LAD, LCX, RCA), branch, number of the point from the branch's origin,
its place in the world (LPS) and the outer radius of the vessel [mm]."""

OPTIONAL = ("radius_mm",)
"""Columns that may be missing, or empty in a row: the value is not known then."""

ARTERY_NAMES = tuple(artery.name for artery in ARTERIES)
"""What the column artery may hold."""


def read_centrelines(path: Path | str) -> pd.DataFrame:
    """Read and check a table of centrelines.

    Parameters
    ----------
    path : path
        CSV in UTF-8 with a header line; columns in any order, radius_mm may be missing.

    Returns
    -------
    pandas.DataFrame
        `CENTRELINE_COLUMNS` in the order of the file; point is int, places and radii are float [mm], radii that the
        file does not give are NaN.

    Raises
    ------
    ScanError
        When the file cannot be read, or a line breaks a rule; the message names the line.
    """
    path = Path(path)
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ScanError(
            f"centrelines must be a readable CSV file in UTF-8, got {path.name} ({reason}); check the path"
        ) from error
    return _parse(content, path)


def write_centrelines(table: pd.DataFrame, path: Path | str, *, overwrite: bool = False) -> Path:
    """Write a table of centrelines, whole or not at all.

    Parameters
    ----------
    table : pandas.DataFrame
        `CENTRELINE_COLUMNS`; checked as `read_centrelines` checks them.
    path : path
        The CSV file. Numbers are rounded to 0.1 micrometres.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Path
        The file's path.

    Raises
    ------
    ScanError
        When the table breaks a rule.
    ResultError
        When the file exists and `overwrite` is false, or the disk does not take it.
    """
    path = Path(path)
    checked = _parse(_csv(table), path)
    return write_text(path, _csv(checked), overwrite)


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, float_format="%.4f", lineterminator="\n"))


def _parse(content: str, path: Path) -> pd.DataFrame:
    lines = numbered_lines(
        content,
        lambda why, line: ScanError(f"centrelines must be CSV, got {why} in {path.name}, line {line}; mend that line"),
    )
    header = lines[0][1] if lines else []
    _check_header(header, path)
    if len(lines) == 1:
        raise ScanError(
            f"centrelines hold at least one point, got none in {path.name}; leave the manifest's column centrelines "
            "empty for a scan without"
        )
    rows = []
    last: dict[tuple[str, str], int] = {}
    for line in lines[1:]:
        number = line[0]
        row = _row(by_column(header, line, path, ScanError), f"{path.name}, line {number}")
        artery, branch, point = row[:3]
        before = last.get((artery, branch))
        if before is not None and point <= before:
            raise ScanError(
                f"points of a branch are numbered ascending from its origin, got {point} after {before} of {artery} "
                f"{branch!r} in {path.name}, line {number}; sort the points, and name every branch differently"
            )
        last[artery, branch] = point
        rows.append(row)
    return pd.DataFrame(rows, columns=list(CENTRELINE_COLUMNS))


def _check_header(header: list[str], path: Path) -> None:
    strange = [name for name in header if name not in CENTRELINE_COLUMNS]
    absent = [name for name in CENTRELINE_COLUMNS if name not in header and name not in OPTIONAL]
    doubled = sorted({name for name in header if header.count(name) > 1})
    for names, what in ((strange, "unknown"), (absent, "missing"), (doubled, "doubled")):
        if names:
            raise ScanError(
                f"centrelines have the columns {', '.join(CENTRELINE_COLUMNS)} (the last may be missing), got {what} "
                f"{', '.join(map(repr, names))} in {path.name}, line 1; rename the columns, in commas and millimetres"
            )


def _row(cells: dict[str, str], where: str) -> tuple[str, str, int, float, float, float, float]:
    if cells["artery"] not in ARTERY_NAMES:
        raise ScanError(
            f"artery must be one of {', '.join(ARTERY_NAMES)}, got {cells['artery']!r} in {where}; give a side branch "
            "the artery it is counted with, and leave other vessels out"
        )
    if not cells["branch"]:
        raise ScanError(f"branch may not be empty, got '' in {where}; repeat the artery's name for its main vessel")
    try:
        point = int(cells["point"])
    except ValueError as error:
        raise ScanError(
            f"point must be a whole number, got {cells['point']!r} in {where}; number the points from the branch's "
            "origin"
        ) from error
    x, y, z = (_number(cells, column, where) for column in ("x_mm", "y_mm", "z_mm"))
    radius = _number(cells, "radius_mm", where) if cells.get("radius_mm") else math.nan
    if radius <= 0:
        raise ScanError(
            f"radius_mm must be above 0, got {cells['radius_mm']!r} in {where}; leave it empty where it is not known"
        )
    return cells["artery"], cells["branch"], point, x, y, z, radius


def _number(cells: dict[str, str], column: str, where: str) -> float:
    try:
        value = float(cells[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ScanError(
            f"{column} must be a finite number of millimetres, got {cells[column]!r} in {where}; leave out points "
            "whose place is not known"
        )
    return value
