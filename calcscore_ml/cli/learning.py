"""``calcscore train`` and ``calcscore evaluate``: from a cohort to a model, and from a model to what it is worth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from calcscore_ml.cli.console import Exit, command, complain, emit, progress, screen, table


@command
def train(
    manifest: Annotated[
        Path, typer.Argument(help="data_manifest.csv of a labelled cohort; its split `train` is used.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the model bundle.")] = Path("model"),
    recipe: Annotated[Path | None, typer.Option(help="A recipe file; the default recipe when not given.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where features are kept, so that a stopped run goes on; beside the manifest.")
    ] = None,
    with_decisions: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of reviewed results whose decided lesions are learnt from too; may be repeated."),
    ] = None,
    reading: Annotated[str, typer.Option(help="Which reading of the decisions.")] = "shared",
    workers: Annotated[int, typer.Option(min=1, help="Scans at a time.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model that is already there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on standard output.")] = False,
) -> None:
    """Train an ensemble on a labelled cohort.

    Examples: `calcscore train cohort/data_manifest.csv --recipe configs/sequential_knn.toml -o models/knn`,
    `calcscore train cohort/data_manifest.csv --with-decisions results -o models/better`
    """
    from calcscore_ml.decided import decided_table, join, reviewed_scans
    from calcscore_ml.errors import ResultError
    from calcscore_ml.manifest import read_manifest
    from calcscore_ml.models.bundle import save_bundle
    from calcscore_ml.recipe import builtin_recipe, read_recipe
    from calcscore_ml.training import counts, lesion_table
    from calcscore_ml.training import train as fit

    if output.exists() and not overwrite:
        raise ResultError(
            f"an existing model is never replaced unasked, got {output}; use --overwrite or another folder"
        )
    chosen = read_recipe(recipe or builtin_recipe())
    every = read_manifest(manifest)
    rows = [r for r in every if r.split == "train"]
    _need(rows, manifest, "train")
    reviewed = {folder: len(reviewed_scans(folder, reading=reading)) for folder in with_decisions or ()}
    kept = cache or manifest.parent / ".features"
    with progress("features", len(rows)) as step:
        lesions = lesion_table(rows, chosen, cache=kept, workers=workers, on_scan=step)
    cohort = f"{len(rows) - len(lesions.failed)} scans of {manifest.parent.name}"
    for folder, scans in reviewed.items():
        with progress("decisions", scans) as step:
            whose = {r.scan_id: r.patient_id for r in every}
            decided = decided_table(folder, chosen, reading=reading, patients=whose, workers=workers, on_scan=step)
        before, lesions = len(lesions.truth), join(lesions, decided)
        cohort += f" and {len(lesions.truth) - before} decisions on {scans} scans of {folder.name}"
    with screen.status(f"training {chosen.model.estimator} on {len(lesions.truth)} lesions"):
        bundle = fit(lesions, chosen, trained_on=cohort)
    save_bundle(output, bundle, overwrite=overwrite)
    if as_json:
        emit({"model": str(output), "lesions": counts(lesions), "failed": dict(lesions.failed)})
    else:
        table(f"Trained on {cohort}", ("label", "lesions"), list(counts(lesions).items()))
        screen.print(f"model: {output}")
    _tell_failed(lesions.failed)


@command
def evaluate(
    manifest: Annotated[Path, typer.Argument(help="data_manifest.csv of a labelled cohort.")],
    model: Annotated[Path | None, typer.Option(help="A model bundle; the built-in one when not given.")] = None,
    split: Annotated[str, typer.Option(help="Which scans: train, calibrate or test.")] = "test",
    by: Annotated[
        list[str] | None,
        typer.Option(help="Evaluate each value of this column too: `protocol`, `kernel`, `sex`; may be repeated."),
    ] = None,
    left_main_as_lad: Annotated[
        bool, typer.Option("--left-main-as-lad", help="Count the left main as LAD, as orCaScore's reference does.")
    ] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for tables and figures.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Scans at a time.")] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an evaluation that is already there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on standard output.")] = False,
) -> None:
    """Compare a model with the reference on scans it was not trained on.

    Example: `calcscore evaluate cohort/data_manifest.csv --model models/knn --by protocol -o evaluation`
    """
    from calcscore_ml.assessment import assess_cohort
    from calcscore_ml.manifest import read_manifest
    from calcscore_ml.models.bundle import load_bundle
    from calcscore_ml.models.default import default_model
    from calcscore_ml.recipe import parse_recipe
    from calcscore_ml.reports.assessment import write_assessment

    bundle = load_bundle(model or default_model())
    recipe = parse_recipe(bundle.card.recipe, "the model's card")
    rows = [r for r in read_manifest(manifest) if r.split == split]
    _need(rows, manifest, split)
    with progress("scoring", len(rows)) as step:
        found = assess_cohort(
            rows, bundle, recipe, workers=workers, by=by or (), left_main_as_lad=left_main_as_lad, on_scan=step
        )
    if output is not None:
        write_assessment(output, found, overwrite=overwrite)
    if as_json:
        emit(
            {
                "automatic": json.loads(found.automatic.to_json()),
                "after_expert": json.loads(found.after_expert.to_json()),
                "failed": dict(found.failed),
            }
        )
    else:
        screen.print(found.automatic.to_text(), markup=False)
        screen.print(f"Referred to an expert: {found.scans['referred'].mean():.1f} lesions per scan")
        if output is not None:
            screen.print(f"tables and figures: {output}")
    _tell_failed(found.failed)


def _need(rows: Sequence[object], manifest: Path, split: str) -> None:
    from calcscore_ml.errors import ManifestError

    if not rows:
        raise ManifestError(
            f"there must be scans with split {split!r}, got none in {manifest}; fill in its split column"
        )


def _tell_failed(failed: tuple[tuple[str, str], ...]) -> None:
    for scan_id, error in failed:
        complain(f"{scan_id}: {error}")
    if failed:
        raise typer.Exit(Exit.SOME_FAILED)
