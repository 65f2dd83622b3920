"""Lines of CSV text with their numbers, so that an error can name the line it is about."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from calcscore_ml.errors import CalcscoreError

Line = tuple[int, list[str]]
"""Number of a line in its file, and its cells without blanks around them."""


def numbered_lines(content: str, refuse: Callable[[str, int], CalcscoreError]) -> list[Line]:
    r"""Split CSV text into lines of cells; empty lines are left out.

    Parameters
    ----------
    content : str
        The text.
    refuse : callable
        Makes the error of text that is no CSV, from what is wrong and the line's number.

    >>> numbered_lines("a, b\n\n1,2\n", lambda why, line: CalcscoreError(why))
    [(1, ['a', 'b']), (3, ['1', '2'])]
    """
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise refuse(str(error), reader.line_num) from error
    return [(number, cells) for number, cells in lines if any(cells)]


def by_column(header: list[str], line: Line, path: Path, error: type[CalcscoreError]) -> dict[str, str]:
    """Pair a line's cells with the columns of its header, or raise `error` when their numbers differ."""
    number, cells = line
    if len(cells) != len(header):
        raise error(
            f"a line must have one value per column, got {len(cells)} for {len(header)} columns in {path.name}, "
            f"line {number}; quote values that hold a comma"
        )
    return dict(zip(header, cells, strict=True))
