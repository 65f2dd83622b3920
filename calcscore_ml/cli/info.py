"""``calcscore info``: what was understood of a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calcscore_ml.cli.console import command, emit, screen, table


@command
def info(
    path: Annotated[Path, typer.Argument(help="A DICOM folder or file, or a NIfTI, NRRD or MetaImage file.")],
    series: Annotated[str | None, typer.Option(help="Which series, where a folder holds several.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on standard output.")] = False,
) -> None:
    """Print what was understood of a scan, and what is unusual about it.

    Example: `calcscore info data/lung-pet-ct-dx-a0001-heart`
    """
    from calcscore_ml.heart import find_heart_box_by_slices
    from calcscore_ml.io import read_scan
    from calcscore_ml.quality import blood_hu, describe, remarks

    scan = read_scan(path, series=series)
    box = find_heart_box_by_slices(scan)
    blood = blood_hu(scan, box.as_array()) if box else None
    understood = {**describe(scan), "blood_hu": blood, "heart_box_trusted": bool(box and box.trusted)}
    noticed = remarks(scan, blood)
    if as_json:
        emit({**understood, "remarks": [{"code": r.code, "severity": r.severity, "text": r.text} for r in noticed]})
        return
    acquisition = understood.pop("acquisition")
    grid = {key: value for key, value in understood.items() if key not in ("direction", "remarks")}
    rows = {**grid, **(acquisition if isinstance(acquisition, dict) else {})}
    table("", ("what", "value"), [(key, _say(value)) for key, value in rows.items()])
    for remark in noticed:
        screen.print("warning:" if remark.severity == "warning" else "note:", style="yellow", end=" ")
        screen.print(remark.text, markup=False, soft_wrap=True)


def _say(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return " x ".join(_say(v) for v in value)
    return "not said" if value is None else str(value)
