"""``calcscore phantom``: a digital cohort with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calcscore_ml.cli.console import command, emit, progress, screen, table


@command
def phantom(
    output: Annotated[Path, typer.Argument(help="Folder to write: scans, labels, truth and data_manifest.csv.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Number of digital patients.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same patients.")] = 0,
    protocol: Annotated[list[str] | None, typer.Option(help="Only these protocols; give it again for more.")] = None,
    image_format: Annotated[str, typer.Option("--format", help="dicom or nifti.")] = "dicom",
    workers: Annotated[int, typer.Option(min=1, help="Scans at a time.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on standard output.")] = False,
) -> None:
    """Generate chest CT scans of digital patients, with the truth about their calcium.

    An interrupted run goes on where it was.

    Example: `calcscore phantom cohort --count 50 --seed 1 --workers 2`
    """
    from calcscore_ml.phantom import write_cohort

    if image_format not in ("dicom", "nifti"):
        raise typer.BadParameter(f"--format is dicom or nifti, got {image_format!r}")
    with progress("digital patients", count) as step:
        rows = write_cohort(
            output,
            count=count,
            seed=seed,
            protocols=tuple(protocol or ()),
            image_format=image_format,
            workers=workers,
            progress=step,
        )
    if as_json:
        emit({"manifest": str(output / "data_manifest.csv"), "scans": [r.scan_id for r in rows]})
        return
    splits = sorted({r.split for r in rows})
    table("Digital cohort", ("split", "scans"), [(s or "-", sum(r.split == s for r in rows)) for s in splits])
    screen.print(f"manifest: {output / 'data_manifest.csv'}")
