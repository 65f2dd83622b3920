"""Where the scans of a folder of results lie, so that they can be opened again for an expert.

A path may hold a patient's name, so it is never part of a result, which may be shared: it is kept beside the results,
in a hidden file of the folder that `calcscore score` wrote to.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from calcscore_ml.errors import ResultError

SOURCES_FILE = ".scans.jsonl"
"""One line of JSON for each scan that was scored; of several lines of one scan the last counts."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a scan lies.

    Parameters
    ----------
    path : Path
        Folder or file.
    series : str or None
        Which series, where a folder holds several.
    """

    path: Path
    series: str | None = None


def add_source(results: Path | str, scan_id: str, source: Source) -> None:
    """Remember where a scan lies; whole lines are added, so several processes may."""
    line = json.dumps({"scan_id": scan_id, "path": str(source.path.absolute()), "series": source.series}) + "\n"
    Path(results).mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    descriptor = os.open(Path(results) / SOURCES_FILE, flags, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def read_sources(results: Path | str) -> dict[str, Source]:
    """Return where each scan of a folder of results lies, by its id; a line cut off by a crash is left out.

    Raises
    ------
    ResultError
        When a whole line is not what `add_source` wrote.
    """
    file = Path(results) / SOURCES_FILE
    if not file.is_file():
        return {}
    found = {}
    *lines, _cut_off = file.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, start=1):
        try:
            content = json.loads(line)
            found[str(content["scan_id"])] = Source(Path(content["path"]), content["series"])
        except (ValueError, KeyError, TypeError) as error:
            raise ResultError(
                f"where scans lie must be told as calcscore score does, got line {number} of {file}; "
                "delete the file and name the scans again"
            ) from error
    return found
