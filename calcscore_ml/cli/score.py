"""``calcscore score``: scans in, scores and reports out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import typer

from calcscore_ml.cli.console import Exit, command, complain, emit, progress, screen, table
from calcscore_ml.errors import ScanError

OUTPUT = Path("calcscore-results")
"""Where results go unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Task:
    """One scan to score.

    Parameters
    ----------
    path : Path
        Where it is.
    scan_id : str
        Name of its result; empty to name it by its fingerprint, as folder names may hold a patient's.
    labels : Path or None
        An observer's label volume, scored in place of the model's labels.
    """

    path: Path
    scan_id: str = ""
    labels: Path | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What is the same for every scan of a run."""

    output: Path
    model: Path | None
    recipe: Path | None
    rule: str | None
    series: str | None
    mass_factor: float | None
    rod: tuple[float, float, float] | None
    water: tuple[float, float, float] | None
    overwrite: bool
    keep_paths: bool


@command
def score(
    paths: Annotated[
        list[Path],
        typer.Argument(help="DICOM folders, NIfTI, NRRD or MetaImage files, or a data_manifest.csv for all its scans."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for one result folder per scan.")] = OUTPUT,
    model: Annotated[Path | None, typer.Option(help="A model bundle; the built-in one when not given.")] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="A recipe whose decision, referral and score sections replace the model's own.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Score this label volume of an observer in place of the model's labels.")
    ] = None,
    rule: Annotated[str | None, typer.Option(help="Agatston rule; see `calcscore rules`.")] = None,
    series: Annotated[str | None, typer.Option(help="Which series, where a folder holds several.")] = None,
    mass_factor: Annotated[float | None, typer.Option(help="Mass calibration factor, mg/cm3 per HU.")] = None,
    rod: Annotated[
        str | None, typer.Option(help="Centre z,y,x (voxels) of a 200 mg/cm3 rod to calibrate the mass by.")
    ] = None,
    water: Annotated[str | None, typer.Option(help="Centre z,y,x (voxels) of the water rod.")] = None,
    split: Annotated[str | None, typer.Option(help="With a manifest: only the scans of this split.")] = None,
    keep_paths: Annotated[
        bool,
        typer.Option(
            help="Remember where each scan lies, so that `calcscore review` finds it: in the output's hidden file "
            ".scans.jsonl, which only you can read, never in a result."
        ),
    ] = True,
    workers: Annotated[int, typer.Option(min=1, help="Scans at a time.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are already there.")] = False,
    fail_without_score: Annotated[
        bool, typer.Option("--fail-without-score", help="Exit code 1 when a scan has no score, as when one failed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on standard output.")] = False,
) -> None:
    """Score one scan or many, and write a report for each.

    Examples: `calcscore score FOLDER`, `calcscore score scan.nii.gz -o results --json`,
    `calcscore score data_manifest.csv --split test --workers 2`
    """
    from calcscore_ml.batch import for_each

    tasks = _tasks(paths, labels, split)
    options = Options(
        output,
        model,
        recipe,
        rule,
        series,
        mass_factor,
        _point(rod, "--rod"),
        _point(water, "--water"),
        overwrite,
        keep_paths,
    )
    if (options.rod is None) != (options.water is None):
        raise typer.BadParameter("--rod and --water go together")
    _check_use(options)
    done: list[dict[str, Any]] = []
    failed: list[tuple[Path, str]] = []
    with progress("scoring", len(tasks)) as step:
        for outcome in for_each(partial(_score_one, options=options), tasks, workers):
            if outcome.value is None:
                failed.append((outcome.item.path, outcome.error))
            else:
                done.append(outcome.value)
            step()
    done.sort(key=lambda d: str(d["scan_id"]))
    if as_json:
        emit({"results": done, "failed": [{"path": str(p), "error": e} for p, e in failed]})
    else:
        rows: list[tuple[object, ...]] = [
            (
                d["scan_id"],
                d["headline"],
                *("" if d[k] is None else d[k] for k in ("category", "volume_mm3", "mass_mg")),
            )
            for d in done
        ]
        if rows:
            table("", ("scan", "Agatston", "category", "volume mm3", "mass mg"), rows)
        for d in done:
            screen.print(f"report: {d['report']}", markup=False, soft_wrap=True)
            for text in d["invalid_reasons"]:
                screen.print(f"{d['scan_id']}: no score:", style="red", end=" ")
                screen.print(text, markup=False, soft_wrap=True)
            for text in d["warnings"]:
                screen.print(f"{d['scan_id']}: warning:", style="yellow", end=" ")
                screen.print(text, markup=False, soft_wrap=True)
        screen.print("For research use only. Not a medical device.", style="dim")
    for path, error in failed:
        complain(f"{path}: {error}")
    if failed or (fail_without_score and not all(d["valid"] for d in done)):
        raise typer.Exit(Exit.SOME_FAILED)


def _score_one(task: Task, options: Options) -> dict[str, Any]:
    from calcscore_ml.heart.locate import expected_paths
    from calcscore_ml.io import read_scan
    from calcscore_ml.io.labels import read_labels
    from calcscore_ml.pipeline import score_labelled, score_scan
    from calcscore_ml.reports.html import scan_report
    from calcscore_ml.result import REPORT_FILE, write_result
    from calcscore_ml.scores import find_calibration, rod_calibration
    from calcscore_ml.sources import Source, add_source

    bundle, recipe = _model_and_recipe(options)
    scan = read_scan(task.path, series=options.series)
    scan_id = task.scan_id or f"scan-{scan.fingerprint()[:10]}"
    calibration = None
    if options.mass_factor is not None:
        calibration = find_calibration(scan.acquisition, options.mass_factor)
    if options.rod is not None and options.water is not None:
        calibration = rod_calibration(scan, rod_index=options.rod, water_index=options.water, slices=3)
    if task.labels is not None:
        reference = read_labels(task.labels, scan.geometry)
        scored = score_labelled(scan, reference, recipe, scan_id=scan_id, calibration=calibration)
    else:
        scored = score_scan(scan, bundle, recipe, scan_id=scan_id, calibration=calibration)
    result = scored.result
    report = scan_report(result, scan, scored.candidates, scored.calcium, scored.location)
    folder = write_result(
        options.output / scan_id,
        result,
        scored.calcium,
        report,
        arteries=expected_paths(scored.location, scan.geometry.spacing),
        overwrite=options.overwrite,
    )
    if options.keep_paths:
        add_source(options.output, scan_id, Source(task.path, options.series))
    numbers = {
        "agatston": result.score.total.agatston,
        "lowest": result.range.lowest,
        "highest": result.range.highest,
        "category": result.score.category,
        "volume_mm3": result.score.total.volume_mm3,
        "mass_mg": result.score.total.mass_mg,
        "arteries": {a.site: a.agatston for a in result.score.arteries},
    }
    return {
        "scan_id": scan_id,
        "path": str(task.path),
        "headline": result.headline,
        "valid": result.valid,
        "invalid_reasons": list(result.invalid_reasons),
        **(numbers if result.valid else dict.fromkeys(numbers)),
        "pending": result.range.pending,
        "warnings": [r.text for r in result.remarks if r.severity == "warning"],
        "seconds": result.provenance.seconds,
        "report": str(folder / REPORT_FILE),
        "result": str(folder),
    }


@cache
def _model_and_recipe(options: Options) -> tuple[Any, Any]:
    """The model, and its recipe with what the user changed; read once per process, not once per scan."""
    from calcscore_ml.models.bundle import load_bundle
    from calcscore_ml.models.default import default_model
    from calcscore_ml.recipe import parse_recipe, read_recipe

    bundle = load_bundle(options.model or default_model())
    recipe = parse_recipe(bundle.card.recipe, "the model's card")
    if options.recipe is not None:
        given = read_recipe(options.recipe)
        recipe = recipe.model_copy(update={name: getattr(given, name) for name in ("decision", "referral", "scores")})
    if options.rule is not None:
        recipe = parse_recipe(
            {**recipe.model_dump(mode="json"), "scores": {**recipe.scores.model_dump(), "rule": options.rule}}, "--rule"
        )
    return bundle, recipe


def _check_use(options: Options) -> None:
    """Find wrong use before the first scan is read: it is not the scans' fault."""
    _model_and_recipe(options)


def _tasks(paths: list[Path], labels: Path | None, split: str | None) -> list[Task]:
    from calcscore_ml.manifest import read_manifest

    tasks: list[Task] = []
    for path in paths:
        if path.suffix == ".csv":
            rows = [r for r in read_manifest(path) if split is None or r.split == split]
            tasks.extend(Task(Path(r.image), r.scan_id) for r in rows)
        else:
            tasks.append(Task(path, labels=labels))
    if labels is not None and len(tasks) != 1:
        raise typer.BadParameter(f"--labels goes with one scan, got {len(tasks)}")
    if not tasks:
        raise ScanError(f"there must be something to score, got no scan in {', '.join(map(str, paths))}")
    return tasks


def _point(text: str | None, option: str) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        z, y, x = (float(v) for v in json.loads(f"[{text}]"))
    except ValueError as error:
        raise typer.BadParameter(f"{option} takes three numbers z,y,x; got {text!r}") from error
    return z, y, x
