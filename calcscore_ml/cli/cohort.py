"""``calcscore phantom``: a digital cohort with known truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from calcscore_ml.cli.console import command, emit, progress, screen, table


@command
def phantom(
    cohort: Annotated[
        str, typer.Argument(help="A cohort that comes with the package (see --list), or a TOML file.")
    ] = "default",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write; the cohort's name when not given.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="Number of patients, instead of the cohort's.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Other patients: a seed instead of the cohort's.")] = None,
    protocol: Annotated[list[str] | None, typer.Option(help="Only these protocols; give it again for more.")] = None,
    image_format: Annotated[
        str | None, typer.Option("--format", help="dicom or nifti, instead of the cohort's.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Scans at a time.")] = 1,
    list_them: Annotated[bool, typer.Option("--list", help="List cohorts and protocols, and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on standard output.")] = False,
) -> None:
    """Generate chest CT scans of digital patients, with the truth about their calcium.

    A cohort is a TOML file: count, seed, protocols, and, if wanted, several scans of each patient and their organs. An
    interrupted run goes on where it was; the same seed gives the same scans whatever the number of workers.

    Examples: `calcscore phantom default --count 50 -o cohort --workers 2`, `calcscore phantom rescans -o rescans`
    """
    from calcscore_ml.manifest import MANIFEST_NAME
    from calcscore_ml.phantom import find_protocol, read_cohort, write_cohort
    from calcscore_ml.phantom.cohort import TRUTH_NAME

    if list_them:
        _list(as_json)
        return
    if image_format not in (None, "dicom", "nifti"):
        raise typer.BadParameter(f"--format is dicom or nifti, got {image_format!r}")
    plan = read_cohort(cohort)
    chosen = tuple(find_protocol(name) for name in protocol) if protocol else None
    changes: dict[str, Any] = {"count": count, "seed": seed, "image_format": image_format, "protocols": chosen}
    plan = replace(plan, **{key: value for key, value in changes.items() if value is not None})
    folder = output or Path(Path(cohort).stem)
    with progress("digital scans", plan.count * len(plan.takes)) as step:
        rows = write_cohort(folder, plan, workers=workers, progress=step)
    manifest, truth = folder / MANIFEST_NAME, folder / TRUTH_NAME
    if as_json:
        emit({"manifest": str(manifest), "truth": str(truth), "scans": [r.scan_id for r in rows]})
        return
    splits = sorted({r.split for r in rows})
    table("Digital cohort", ("split", "scans"), [(s or "-", sum(r.split == s for r in rows)) for s in splits])
    screen.print(f"manifest: {manifest}\ntruth, a row per lesion: {truth}")


def _list(as_json: bool) -> None:
    from calcscore_ml.phantom import PROTOCOLS, cohort_names, read_cohort

    cohorts = {name: read_cohort(name) for name in cohort_names()}
    if as_json:
        emit({"cohorts": {n: c.description for n, c in cohorts.items()}, "protocols": [p.name for p in PROTOCOLS]})
        return
    columns = ("cohort", "patients", "scans of each", "what it is")
    table("Cohorts", columns, [(n, c.count, len(c.takes), c.description) for n, c in cohorts.items()], text=(0, 3))
    rows = [(p.name, p.kvp, f"{p.slice_thickness_mm:g}", p.kernel.name, p.share) for p in PROTOCOLS]
    table("Protocols", ("protocol", "kV", "slice mm", "kernel", "share"), [tuple(row) for row in rows], text=(0, 3))
