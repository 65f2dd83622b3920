"""An evaluation as a folder: tables, figures and the numbers behind them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from calcscore_ml.assessment import Assessment
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.curves import Curves, curves
from calcscore_ml.files import write_bytes, write_text
from calcscore_ml.reports.curves import froc_figure, referral_figure, reliability_figure
from calcscore_ml.reports.figures import agreement_figure, category_figure, confusion_figure

EVALUATION_FILE = "evaluation.json"


def write_assessment(folder: Path | str, assessment: Assessment, *, overwrite: bool = False) -> Path:
    """Write tables (CSV, JSON, text) and figures (PNG) of an assessed cohort.

    Parameters
    ----------
    folder : path
        Where to.
    assessment : Assessment
        What to write; scan ids are written, patients are numbered.
    overwrite : bool
        Replace an evaluation that is already there.

    Raises
    ------
    ResultError
        When the folder already holds an evaluation and `overwrite` is false.
    """
    where = Path(folder)
    if (where / EVALUATION_FILE).exists() and not overwrite:
        raise ResultError(
            f"an existing evaluation is never replaced unasked, got {where}; use --overwrite or another folder"
        )
    evaluation = assessment.automatic
    found = curves(
        assessment.lesions,
        assessment.scans,
        missed=assessment.missed,
        left_main_as_lad=evaluation.settings.left_main_as_lad,
        n=evaluation.settings.n_resamples,
    )
    for name, picture in _pictures(assessment, found).items():
        write_bytes(where / name, picture, overwrite=True)
    scans = assessment.scans.drop(columns="patient_id")
    scans.insert(0, "patient", pd.factorize(assessment.scans["patient_id"])[0] + 1)
    write_text(where / "scans.csv", scans.to_csv(index=False, lineterminator="\n"), overwrite=True)
    write_text(where / "lesions.csv", assessment.lesions.to_csv(index=False, lineterminator="\n"), overwrite=True)
    origin = {"model": assessment.model, "recipe": assessment.recipe}
    write_text(where / "model.json", json.dumps(origin, indent=1, sort_keys=True) + "\n", overwrite=True)
    write_text(where / "curves.json", found.to_json(), overwrite=True)
    write_text(where / "evaluation.txt", evaluation.to_text(), overwrite=True)
    write_text(where / "after_expert.json", assessment.after_expert.to_json(), overwrite=True)
    write_text(where / EVALUATION_FILE, evaluation.to_json(), overwrite=True)
    return where


def _pictures(assessment: Assessment, found: Curves) -> dict[str, bytes]:
    """Every figure that the cohort allows, by file name."""
    evaluation = assessment.automatic
    pictures = {
        "agreement.png": agreement_figure(assessment.scans, "agatston"),
        "confusion.png": confusion_figure(evaluation.lesions),
    }
    if len(evaluation.category_titles):
        pictures["categories.png"] = category_figure(evaluation.category_counts, evaluation.category_titles)
    if found.froc is not None:
        pictures["froc.png"] = froc_figure(found.froc)
    if found.reliability is not None:
        pictures["reliability.png"] = reliability_figure(found.reliability)
    if any(curve.left[0] > 0 for curve in found.referral.values()):
        pictures["referral.png"] = referral_figure(found.referral)
    return pictures
