"""``calcscore promise``: name the error you tolerate, and get the recipe whose referral keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calcscore_ml.cli.console import command, emit, screen, table


@command
def promise(
    calibration: Annotated[
        Path, typer.Argument(help="Folder of `calcscore evaluate -o` of calibration patients, none trained on.")
    ],
    loss: Annotated[
        str,
        typer.Option(
            help="Which error: `category` (share of patients in the wrong risk category), `agatston` (relative error "
            "of the score) or `lesions` (share of a patient's lesions in the wrong artery)."
        ),
    ] = "category",
    tolerated: Annotated[float, typer.Option(help="Largest mean of it over patients, between 0 and 1.")] = 0.1,
    confidence: Annotated[
        float | None, typer.Option(help="Promise it with this probability; on average when not given.")
    ] = None,
    check: Annotated[
        Path | None, typer.Option(help="Folder of an evaluation of held-out patients to hold the promise against.")
    ] = None,
    expert_error: Annotated[
        float, typer.Option(min=0, max=0.99, help="How often your experts err, of the lesions they decide.")
    ] = 0.0,
    output: Annotated[Path, typer.Option("--output", "-o", help="Recipe file to write.")] = Path("promised.toml"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a recipe that is already there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on standard output.")] = False,
) -> None:
    """Find the referral that keeps an error below what you tolerate, and write it as a recipe.

    Example: `calcscore promise calibration --loss category --tolerated 0.1 --check held-out -o promised.toml`,
    then `calcscore score scan.nii.gz --recipe promised.toml`
    """
    from dataclasses import asdict

    from calcscore_ml.errors import ResultError
    from calcscore_ml.files import write_text
    from calcscore_ml.judged import read_judged
    from calcscore_ml.promises import (
        PROMISE_COLUMNS,
        hold_against,
        make_promise,
        promise_table,
        promised_recipe,
    )
    from calcscore_ml.referral.promise import LOSSES

    named = next((name for name in LOSSES if name == loss), None)
    if named is None:
        raise typer.BadParameter(f"--loss must be one of {', '.join(LOSSES)}; got {loss!r}")
    for option, value in (("--tolerated", tolerated), ("--confidence", confidence)):
        if value is not None and not 0 < value < 1:
            raise typer.BadParameter(f"{option} must lie between 0 and 1, got {value:g}")
    if check is not None and check.resolve() == calibration.resolve():
        raise ResultError(f"a promise is held against other patients than it was calibrated on, got {check} for both")
    judged = read_judged(calibration)
    made = make_promise(judged, named, tolerated, confidence=confidence, expert_error=expert_error)
    kept = None if check is None else hold_against(made, read_judged(check))
    write_text(output, promised_recipe(judged, made), overwrite=overwrite)
    if as_json:
        emit({"promise": asdict(made), "says": made.say(), "held_out": None if kept is None else asdict(kept)})
        return
    screen.print(made.say(), markup=False)
    if kept is not None:
        told: list[tuple[object, ...]] = list(zip(PROMISE_COLUMNS, promise_table([kept])[0], strict=True))
        table(f"Held against {kept.patients} held-out patients", ("", "value"), told)
    screen.print(f"recipe: {output}")
