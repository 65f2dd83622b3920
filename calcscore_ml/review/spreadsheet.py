"""Tables that open in spreadsheets, and come back as they were.

A text that a spreadsheet would take for a formula gets an apostrophe in front, which is taken off when it is read.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from calcscore_ml.errors import ReviewError

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
"""What a spreadsheet takes for a formula or drops at the start, and the apostrophe, so that it can be read back."""

LARGEST_CELL = 2**24
"""Characters of a cell: an added lesion of most voxels takes a quarter of them."""


def table_text(columns: tuple[str, ...], rows: Iterable[Sequence[str]]) -> str:
    """Return CSV text with a header; texts among the cells must be `defused`."""
    out = io.StringIO()
    # Ends of RFC 4180: with them a line feed or return inside a text is quoted, and survives.
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def table_lines(table: str | Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Split CSV text, or a file of it, into its header and numbered lines of as many cells.

    Raises
    ------
    ReviewError
        When it cannot be read, is empty, or a line has more or fewer values than the header.
    """
    usual = csv.field_size_limit(LARGEST_CELL)
    try:
        text = table.read_bytes().decode("utf-8-sig") if isinstance(table, Path) else table
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        lines = [(reader.line_num, cells) for cells in reader if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReviewError(f"a table of decisions must be CSV text in UTF-8, got {error}; export it again") from error
    finally:
        csv.field_size_limit(usual)
    if not lines:
        raise ReviewError("a table of decisions must have a header, got an empty one; export it again")
    header = lines[0][1]
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise ReviewError(
                f"a line must have one value per column, got {len(cells)} for {len(header)} columns in line {number}; "
                "quote values that hold a comma"
            )
    return header, lines[1:]


def defused(text: str) -> str:
    """Return a text as a cell that no spreadsheet takes for a formula.

    >>> defused("=1+1"), defused("12"), defused("'=1")
    ("'=1+1", '12', "''=1")
    """
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def fused(cell: str) -> str:
    """Return the text of a cell; undoes `defused`."""
    return cell[1:] if cell.startswith("'") else cell
