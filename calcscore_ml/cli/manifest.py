"""``calcscore manifest``: list the scans of a public data set, or of any folder, in a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calcscore_ml.cli.console import Exit, command, complain, emit, progress, screen, table

if TYPE_CHECKING:
    from calcscore_ml.importers.listing import Listing

manifest = typer.Typer(
    name="manifest",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="List the scans of a data set in a data_manifest.csv, to train and evaluate on: `calcscore manifest coca`, "
    "`orcascore`, `folder`.",
    epilog="Exit codes: 0 done, 1 some scans failed, 2 wrong use. Each command takes --json.",
)

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for data_manifest.csv, and for label volumes.")]
Calibrate = Annotated[float, typer.Option(min=0, max=1, help="Share of the patients to calibrate.")]
Test = Annotated[float, typer.Option(min=0, max=1, help="Share of the patients to test.")]
Seed = Annotated[int, typer.Option(min=0, help="Deals the patients to the splits.")]
Workers = Annotated[int, typer.Option(min=1, help="Scans at a time.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a manifest that is already there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine output on standard output.")]


@manifest.command()
@command
def coca(
    root: Annotated[Path, typer.Argument(help="Folder Gated_release_final, or the one that holds it.")],
    output: Output,
    calibrate: Calibrate = 0.2,
    test: Test = 0.2,
    seed: Seed = 0,
    workers: Workers = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """List Stanford COCA's gated scans, and turn the outlines of their calcium into label volumes.

    An outline with an unknown name, or outside the scan, leaves its patient out, with the reason. Patients without
    outlines get no labels and no split.

    Example: `calcscore manifest coca cocacoronarycalciumandchestcts-2 -o coca --workers 2`
    """
    from calcscore_ml.importers.coca import LABELS, find_coca, import_coca
    from calcscore_ml.importers.listing import Shares

    _refuse_existing(output, overwrite, LABELS)
    found = find_coca(root, output, Shares(calibrate, test, seed))
    with progress("reading", len(found.rows)) as step:
        read = import_coca(found, workers=workers, overwrite=overwrite, on_scan=step)
    _finish(read, output, overwrite, as_json)


@manifest.command()
@command
def orcascore(
    root: Annotated[Path, typer.Argument(help="Folder with files like TRV1P1CTI.mhd, searched to any depth.")],
    output: Output,
    workers: Workers = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """List orCaScore's calcium scoring scans and their references; the split is the challenge's own.

    Test scans without a reference get no labels. CT angiograms are left out. The vendor becomes the protocol.

    Example: `calcscore manifest orcascore Challenge_data -o orcascore`
    """
    from calcscore_ml.anatomy import Label
    from calcscore_ml.importers.listing import check_scans
    from calcscore_ml.importers.orcascore import find_orcascore

    _refuse_existing(output, overwrite)
    found = find_orcascore(root)
    with progress("reading", len(found.rows)) as step:
        read = check_scans(found, highest=Label.RCA, workers=workers, on_scan=step)
    _finish(read, output, overwrite, as_json)


@manifest.command()
@command
def folder(
    root: Annotated[Path, typer.Argument(help="Any folder, searched to any depth.")],
    output: Output,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            help="Where a scan's labels are, from the folder that holds the scan; give it again for more. Default: "
            "{scan}_labels.nii.gz, {scan}-labels.nii.gz, labels.nii.gz."
        ),
    ] = None,
    patient: Annotated[
        str | None,
        typer.Option(
            help="Regular expression that finds the patient in a scan's path; the first folder when not given."
        ),
    ] = None,
    number: Annotated[bool, typer.Option("--number", help="Ids are numbers, not names of folders.")] = False,
    calibrate: Calibrate = 0.2,
    test: Test = 0.2,
    seed: Seed = 0,
    workers: Workers = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    r"""List the scans of any folder: each folder of DICOM files, each NIfTI, NRRD or MetaImage file.

    No name or identifier of a DICOM header enters the manifest. Ids are names of folders and files; where those name
    patients, use --number. The paths in the manifest stay as they are. All scans of a patient share a split; scans
    without labels have none.

    Examples: `calcscore manifest folder scans -o cohort`,
    `calcscore manifest folder scans -o cohort --labels '../masks/{scan}.nrrd' --patient 'sub-(\d+)' --number`
    """
    from dataclasses import replace

    from calcscore_ml.importers.folder import LABELS, find_folder, number_scans
    from calcscore_ml.importers.listing import Shares, check_scans

    _refuse_existing(output, overwrite)
    found = find_folder(root, labels=labels or LABELS, patient=patient, shares=Shares(calibrate, test, seed))
    with progress("reading", len(found.rows)) as step:
        read = check_scans(found, workers=workers, on_scan=step)
    _finish(replace(read, rows=number_scans(read.rows)) if number else read, output, overwrite, as_json)


def _refuse_existing(output: Path, overwrite: bool, *names: str) -> None:
    """Find out before the first scan is read, not after the last."""
    from calcscore_ml.errors import ResultError
    from calcscore_ml.manifest import MANIFEST_NAME

    there = [name for name in (MANIFEST_NAME, *names) if (output / name).exists()]
    if there and not overwrite:
        raise ResultError(
            f"an existing manifest is never replaced unasked, got {' and '.join(there)} in {output}; "
            "use --overwrite or another folder"
        )


def _finish(read: Listing, output: Path, overwrite: bool, as_json: bool) -> None:
    """Write the manifest, when there is a scan for it, and tell what is in it and what is not."""
    from calcscore_ml.manifest import MANIFEST_NAME, SPLITS, write_manifest

    path = write_manifest(read.rows, output / MANIFEST_NAME, overwrite=overwrite) if read.rows else None
    of_split = {split or "none": [r for r in read.rows if r.split == split] for split in SPLITS}
    counts = {
        split: {
            "scans": len(rows),
            "patients": len({r.patient_id for r in rows}),
            "labelled": sum(r.labels is not None for r in rows),
        }
        for split, rows in of_split.items()
    }
    if as_json:
        emit({
            "manifest": path and str(path), "splits": counts, "scans": [r.scan_id for r in read.rows],
            "notes": dict(read.notes), "failed": dict(read.failed),
        })  # fmt: skip
    else:
        table(
            "", ("split", "scans", "patients", "labelled"), [(s, *n.values()) for s, n in counts.items() if n["scans"]]
        )
        for name, note in read.notes:
            screen.print(f"{name}: note: {note}", markup=False, soft_wrap=True)
        screen.print(f"manifest: {path or 'not written, there is no scan for it'}", markup=False, soft_wrap=True)
    for name, reason in read.failed:
        complain(f"{name}: {reason}")
    if read.failed:
        raise typer.Exit(Exit.SOME_FAILED)
