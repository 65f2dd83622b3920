"""``calcscore atlas``: atlases of heart and coronary arteries, built from a labelled cohort and looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calcscore_ml.cli.console import Exit, command, complain, emit, progress, screen, table

if TYPE_CHECKING:
    from calcscore_ml.heart.atlas import Atlas

atlas = typer.Typer(
    name="atlas",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Build and look at atlases of heart and coronary arteries: `calcscore atlas build`, `calcscore atlas info`.",
    epilog="Exit codes: 0 done, 1 some scans failed, 2 wrong use. Each command takes --json.",
)


@atlas.command()
@command
def build(
    manifest: Annotated[
        Path, typer.Argument(help="data_manifest.csv of a cohort with the columns organs and centrelines.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="New folder for the atlases, a folder for each in it.")
    ] = Path("atlases"),
    templates: Annotated[int, typer.Option(min=1, help="How many atlases: patients as different as there are.")] = 5,
    split: Annotated[str | None, typer.Option(help="Only scans of this split; all when not given.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Scans at a time.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of templates.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on standard output.")] = False,
) -> None:
    """Build atlases from a labelled cohort: organs and centrelines, calcium labels where there are.

    Every patient's first scan is registered to every template. One that cannot be used is told, the rest goes on.

    Example: `calcscore atlas build cohorts/atlas/data_manifest.csv -o my-atlases --workers 2`
    """
    from calcscore_ml.errors import ManifestError, ResultError
    from calcscore_ml.files import write_folder_beside
    from calcscore_ml.heart.atlas import read_atlas, write_atlas
    from calcscore_ml.heart.atlas_build import build_atlases
    from calcscore_ml.heart.group import GROUP, write_group
    from calcscore_ml.manifest import read_manifest

    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise ResultError(f"existing atlases are never replaced, got {output}; choose another folder or move it away")
    rows = [r for r in read_manifest(manifest) if split is None or r.split == split]
    if not rows:
        raise ManifestError(
            f"an atlas needs scans, got none in {manifest.name}" + (f" with split {split!r}" if split else "")
        )
    patients = len({r.patient_id for r in rows})
    with progress("registering", patients) as step:
        built, failed = build_atlases(rows, templates=templates, workers=workers, seed=seed, on_scan=step)
    with write_folder_beside(output) as beside:
        for one in built:
            write_atlas(one, beside / one.name)
        if built[0].group is not None:
            write_group(built[0].group, beside / GROUP)
    told = [_describe(read_atlas(output / one.name), output / one.name) for one in built]
    if as_json:
        emit({"atlases": told, "failed": dict(failed)})
    else:
        _show(told)
        screen.print(f"atlases: {output}", markup=False, soft_wrap=True)
    for scan_id, reason in failed:
        complain(f"{scan_id}: {reason}")
    if failed or len(built) < templates:
        raise typer.Exit(Exit.SOME_FAILED)


@atlas.command()
@command
def info(
    atlases: Annotated[
        str, typer.Argument(help="Folder of an atlas, or of several; default: those of the package.")
    ] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on standard output.")] = False,
) -> None:
    """Print what atlases are made of, and how far patients' arteries lie from their mean.

    Example: `calcscore atlas info my-atlases`
    """
    from calcscore_ml.heart.atlas import atlas_folders, read_atlases

    told = [_describe(a, folder) for folder, a in zip(atlas_folders(atlases), read_atlases(atlases), strict=True)]
    if as_json:
        emit({"atlases": told})
    else:
        _show(told)


def _describe(one: Atlas, folder: Path) -> dict[str, Any]:
    return {
        "name": one.name,
        "folder": str(folder),
        "scans": one.provenance.get("scans"),
        "spread_mm": {a.name: float((spread**2).mean() ** 0.5) for a, spread in one.spread_mm.items()},
        "shape": list(one.grid.shape),
        "step_mm": one.grid.step_mm,
        "size_mb": sum(f.stat().st_size for f in folder.iterdir()) / 1e6,
        "provenance": dict(one.provenance),
    }


def _show(told: list[dict[str, Any]]) -> None:
    """Two tables: what was measured, and where it comes from."""
    arteries = tuple(told[0]["spread_mm"])
    rows = [
        (
            t["name"], _say(t["scans"]), *t["spread_mm"].values(),
            f"{' x '.join(map(str, t['shape']))} of {t['step_mm']:g} mm", f"{t['size_mb']:.2f}",
        )
        for t in told
    ]  # fmt: skip
    table("Spread of arteries, RMS in mm", ("atlas", "scans", *arteries, "voxels", "MB"), rows)
    keys = ("template", "with calcium", "source", "licence")
    origin = [(t["name"], *(_say(t["provenance"].get(k)) for k in keys)) for t in told]
    table("Where they come from", ("atlas", *keys), origin, text=(0, 1, 3, 4))


def _say(value: object) -> str:
    return "not said" if value is None or value == "" else str(value)
