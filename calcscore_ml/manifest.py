"""The manifest: which scans a cohort has, whose they are, and what each may be used for.

A CSV file with one line per scan, sorted by scan_id. Paths in it are relative to the file itself, so a cohort moves as
one folder. One patient's scans stay in one split: a classifier must never be tested on a patient it was trained on.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal, cast, get_args

from calcscore_ml.csv_lines import by_column, numbered_lines
from calcscore_ml.errors import ManifestError
from calcscore_ml.files import write_text

Split = Literal["train", "calibrate", "test", ""]
"""What a scan is used for; empty when not assigned yet."""

SPLITS: tuple[str, ...] = get_args(Split)
"""The splits allowed."""

REQUIRED = ("scan_id", "patient_id", "image")
"""Columns that may not be missing, and not be empty in any row."""

SCAN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""A scan_id names result files, so it holds nothing a file name cannot."""

SHA256 = re.compile(r"(?:[0-9a-f]{64})?")
"""A hash in lower-case hexadecimal, or nothing."""

MANIFEST_NAME = "data_manifest.csv"
"""How a manifest is called, unless told otherwise."""

VALUES_FILE = re.compile(rb"^(?:ElementDataFile\s*=|data ?file:)\s*(.+?)\s*$", re.IGNORECASE | re.MULTILINE)
"""Where a MetaImage (``.mhd``) or NRRD (``.nhdr``) header names the file that holds its values."""


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One scan of a cohort.

    Parameters
    ----------
    scan_id : str
        Unique, used in file names.
    patient_id : str
        Pseudonym; several scans may share one.
    split : {'train', 'calibrate', 'test', ''}
        What the scan is used for.
    image : Path
        Folder or file of the scan.
    labels : Path or None
        Label volume, when there is one.
    protocol, source, licence : str
        How it was acquired, where it comes from, and under which terms.
    sha256 : str
        Of the image's bytes, see `content_sha256`; empty when not recorded.
    organs : Path or None
        Label volume with numbers of `calcscore_ml.anatomy.Organ`, when there is one.
    centrelines : Path or None
        Table of the coronary arteries, see `calcscore_ml.io.centrelines`, when there is one.
    """

    scan_id: str
    patient_id: str
    split: Split
    image: Path
    labels: Path | None = None
    protocol: str = ""
    source: str = ""
    licence: str = ""
    sha256: str = ""
    organs: Path | None = None
    centrelines: Path | None = None


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(ManifestRow))
"""The columns, in the order they are written."""


def read_manifest(path: Path | str) -> tuple[ManifestRow, ...]:
    """Read and check a manifest.

    Parameters
    ----------
    path : path
        CSV in UTF-8 with a header line; columns in any order, those that are not `REQUIRED` may be missing.

    Returns
    -------
    tuple of ManifestRow
        In the order of the file, paths resolved against its folder. Whether files exist is not asked; see `missing`.

    Raises
    ------
    ManifestError
        When a line breaks a rule; the message names the line and the column.
    """
    path = Path(path)
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"a manifest must be UTF-8, but {path.name} is not; save it as CSV UTF-8") from error
    except OSError as error:
        raise ManifestError(
            f"a manifest must be a readable file, got {path} ({error.strerror}); check the path"
        ) from error
    lines = numbered_lines(
        content, lambda why, line: ManifestError(f"a manifest must be CSV, but {path.name}, line {line}: {why}")
    )
    if not lines:
        raise ManifestError(f"a manifest starts with {','.join(COLUMNS)}, but {path.name} is empty; write that line")
    header = lines[0][1]
    _check_header(header, path)
    rows = [(line[0], _row(by_column(header, line, path, ManifestError), path, line[0])) for line in lines[1:]]
    _check_together(rows, path)
    return tuple(row for _, row in rows)


def write_manifest(rows: Iterable[ManifestRow], path: Path | str, *, overwrite: bool = False) -> Path:
    """Write a manifest sorted by scan_id, whole or not at all.

    Parameters
    ----------
    rows : iterable of ManifestRow
        Checked as `read_manifest` checks them.
    path : path
        The CSV file. Paths below its folder are written relative to it.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Path
        The file's path.

    Raises
    ------
    ManifestError
        When the rows break a rule.
    ResultError
        When the file exists and `overwrite` is false, or the disk does not take it.
    """
    path = Path(path)
    ordered = sorted(rows, key=lambda row: row.scan_id)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    checked = []
    for number, row in enumerate(ordered, start=2):
        cells = [_cell(value, path.parent) for value in astuple(row)]
        checked.append((number, _row(dict(zip(COLUMNS, cells, strict=True)), path, number)))
        writer.writerow(cells)
    _check_together(checked, path)
    return write_text(path, text.getvalue(), overwrite)


def missing(rows: Iterable[ManifestRow]) -> tuple[Path, ...]:
    """List the files of the rows that do not exist: images, label volumes and centrelines."""
    return tuple(
        path
        for row in rows
        for path in (row.image, row.labels, row.organs, row.centrelines)
        if path is not None and not path.exists()
    )


def need_labels(rows: Iterable[ManifestRow], purpose: str) -> None:
    """Raise `ManifestError` naming the scans without labels; `purpose` completes "every scan ... needs labels"."""
    unlabelled = [row.scan_id for row in rows if row.labels is None]
    if unlabelled:
        raise ManifestError(f"every scan {purpose} needs labels, got none for {', '.join(unlabelled)}")


def altered(rows: Iterable[ManifestRow]) -> tuple[ManifestRow, ...]:
    """List the rows whose image exists and has another hash than recorded."""
    return tuple(r for r in rows if r.sha256 and r.image.exists() and content_sha256(r.image) != r.sha256)


def content_sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes; of several files, that of their names and hashes.

    Parameters
    ----------
    path : path
        A file, or a folder searched to any depth. A header (``.mhd``, ``.nhdr``) counts with the file of its values.

    Returns
    -------
    str
        64 hexadecimal digits. Of several files it is what ``sha256sum`` gives of its own listing, sorted by name.
    """
    path = Path(path)
    values = _values_beside(path)
    if values is not None:
        files = [(path.name, path), values]
    elif path.is_file():
        return _bytes_sha256(path)
    else:
        files = [(p.relative_to(path).as_posix(), p) for p in path.rglob("*") if p.is_file()]
    listing = "".join(f"{_bytes_sha256(file)}  {name}\n" for name, file in sorted(files))
    return hashlib.sha256(listing.encode()).hexdigest()


def _bytes_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _values_beside(path: Path) -> tuple[str, Path] | None:
    """Name and path of the file that holds a header's values; `None` when there is none."""
    if path.suffix.lower() not in (".mhd", ".nhdr") or not path.is_file():
        return None
    found = VALUES_FILE.search(path.read_bytes())
    if found is None:
        return None
    name = os.fsdecode(found[1])
    values = path.parent / name
    return (name, values) if values.is_file() else None


def _check_header(header: list[str], path: Path) -> None:
    if ";" in header[0] or "\t" in header[0]:
        raise ManifestError(f"a manifest's columns are separated by commas, got {header[0]!r} in {path.name}, line 1")
    strange = [name for name in header if name not in COLUMNS]
    absent = [name for name in REQUIRED if name not in header]
    doubled = sorted({name for name in header if header.count(name) > 1})
    for names, what in ((strange, "unknown"), (absent, "missing"), (doubled, "doubled")):
        if names:
            raise ManifestError(
                f"a manifest's columns are {', '.join(COLUMNS)}, got {what} {', '.join(map(repr, names))} in "
                f"{path.name}, line 1"
            )


def _row(cells: dict[str, str], path: Path, number: int) -> ManifestRow:
    def refuse(column: str, rule: str) -> ManifestError:
        return ManifestError(f"{rule}, got {cells.get(column, '')!r} in {path.name}, line {number}, column {column}")

    for column in REQUIRED:
        if not cells[column]:
            raise refuse(column, f"{column} may not be empty")
    if not SCAN_ID.fullmatch(cells["scan_id"]):
        raise refuse(
            "scan_id",
            "a scan_id holds letters, digits, dots, dashes and underscores, and starts with a letter or digit",
        )
    if cells.get("split", "") not in SPLITS:
        raise refuse("split", f"split must be one of {', '.join(SPLITS[:-1])} or empty")
    if not SHA256.fullmatch(cells.get("sha256", "").lower()):
        raise refuse("sha256", "sha256 must be 64 hexadecimal digits or empty")
    folder = path.parent

    def optional(column: str) -> Path | None:
        return folder / cells[column] if cells.get(column) else None

    return ManifestRow(
        scan_id=cells["scan_id"],
        patient_id=cells["patient_id"],
        split=cast("Split", cells.get("split", "")),
        image=folder / cells["image"],
        labels=optional("labels"),
        protocol=cells.get("protocol", ""),
        source=cells.get("source", ""),
        licence=cells.get("licence", ""),
        sha256=cells.get("sha256", "").lower(),
        organs=optional("organs"),
        centrelines=optional("centrelines"),
    )


def _check_together(rows: list[tuple[int, ManifestRow]], path: Path) -> None:
    """Check what no single line can show: doubled scans, and patients in two splits."""
    first: dict[tuple[str, object], int] = {}
    splits: dict[str, tuple[int, str]] = {}
    for number, row in rows:
        for column, value in (("scan_id", row.scan_id.lower()), ("image", row.image)):
            if (column, value) in first:
                raise ManifestError(
                    f"a scan stands in a manifest once, got the same {column} in {path.name}, lines "
                    f"{first[column, value]} and {number}, column {column}"
                )
            first[column, value] = number
        if row.split:
            other, split = splits.setdefault(row.patient_id, (number, row.split))
            if split != row.split:
                raise ManifestError(
                    f"a patient's scans stay in one split, got {split} and {row.split} for one patient_id in "
                    f"{path.name}, lines {other} and {number}, column split: the test would see trained patients"
                )


def _cell(value: object, folder: Path) -> str:
    if value is None:
        return ""
    if isinstance(value, Path):
        inside = value.is_relative_to(folder) if value.is_absolute() == folder.is_absolute() else False
        if inside:
            return value.relative_to(folder).as_posix()
        resolved, base = value.resolve(), folder.resolve()
        return (resolved.relative_to(base) if resolved.is_relative_to(base) else resolved).as_posix()
    return str(value)
