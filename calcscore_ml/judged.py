"""An evaluated cohort as its folder holds it: what a model said of lesions whose truth is known."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.lesions import need_columns
from calcscore_ml.evaluation.metrics import NO_SCORE
from calcscore_ml.evaluation.referral_losses import Left, losses_left, simulated_expert
from calcscore_ml.recipe import Recipe, parse_recipe
from calcscore_ml.referral.promise import Loss, stake_of
from calcscore_ml.scores.risk import find_scheme

DRAWS = 20
"""Experts who err, each on lesions of their own, over whom a loss is averaged."""

STAKES = ["scan_id", "truth", "predicted", "likeliest", "agatston", "coronary", "doubt", "change", "category"]
"""Columns of an evaluation's lesions that promises are made from."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """An evaluated cohort, as its folder holds it.

    Parameters
    ----------
    lesions, scans : pandas.DataFrame
        A row per candidate and per scan; the column `patient_id` of the scans is a number.
    model : dict of str to str
        Identity of the model.
    recipe : Recipe
        Of the model.
    name : str
        Of the folder.
    """

    lesions: pd.DataFrame
    scans: pd.DataFrame
    model: dict[str, str]
    recipe: Recipe
    name: str

    @property
    def as_lad(self) -> bool:
        """Whether the left main counts as LAD."""
        return self.recipe.model.left_main_as == "LAD"

    def with_score(self) -> Judged:
        """Return the scans that have a score; all where the table does not say."""
        if NO_SCORE not in self.scans:
            return self
        scans = self.scans[~self.scans[NO_SCORE].astype(bool)]
        lesions = self.lesions[self.lesions["scan_id"].isin(scans["scan_id"])]
        return replace(self, lesions=lesions.reset_index(drop=True), scans=scans.reset_index(drop=True))


def read_judged(folder: Path | str) -> Judged:
    """Read the folder of an evaluation.

    Raises
    ------
    ResultError
        When it is not what ``calcscore evaluate -o`` of this version wrote.
    """
    where = Path(folder)
    try:
        origin: dict[str, Any] = json.loads((where / "model.json").read_bytes())
        lesions, scans = (pd.read_csv(where / name, dtype={"scan_id": str}) for name in ("lesions.csv", "scans.csv"))
        model, plain = dict(origin["model"]), origin["recipe"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(
            f"an evaluation must be a folder that calcscore evaluate -o wrote, got {type(error).__name__} in {where}; "
            "evaluate again"
        ) from error
    need_columns(lesions, STAKES, f"lesions.csv of {where.name}")
    need_columns(scans, ["patient", "scan_id", "agatston_truth"], f"scans.csv of {where.name}")
    recipe = parse_recipe(plain, str(where / "model.json"))
    return Judged(lesions, scans.assign(patient_id=scans["patient"].astype(str)), model, recipe, where.name)


def stakes_in(judged: Judged, loss: Loss, expert_error: float = 0.0) -> NDArray[np.float64]:
    """Return the stake of every lesion in a loss, as `calcscore_ml.referral.policy.stake_in` gives it scan by scan."""
    lesions = judged.lesions
    expected = (lesions["agatston"] * lesions["coronary"]).groupby(lesions["scan_id"]).transform("sum")
    effect, doubt, change, category = (
        lesions[name].to_numpy(dtype=float) for name in ("agatston", "doubt", "change", "category")
    )
    return stake_of(
        loss,
        effect=effect,
        doubt=doubt,
        change=change,
        category=category,
        expected=expected.to_numpy(dtype=float),
        expert_error=expert_error,
    )


def losses_with(
    judged: Judged,
    stake: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    loss: Loss,
    expert_error: float = 0.0,
    seed: int = 0,
) -> Left:
    """Return what is left of an error when an expert decides who errs now and then, the mean over `DRAWS` of them."""
    if not expert_error:
        return losses_of(judged, stake, thresholds, loss)
    truth, likeliest = (judged.lesions[name].to_numpy() for name in ("truth", "likeliest"))
    experts = (simulated_expert(truth, likeliest, expert_error, seed + i) for i in range(DRAWS))
    found = [losses_of(judged, stake, thresholds, loss, expert) for expert in experts]
    return Left(np.mean([f.losses for f in found], axis=0), found[0].referred)


def losses_of(
    judged: Judged,
    stake: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    loss: Loss,
    expert: NDArray[np.intp] | None = None,
) -> Left:
    """Return what is left of an error of an evaluated cohort; see `losses_left`."""
    return losses_left(
        judged.lesions,
        judged.scans,
        stake=stake,
        thresholds=thresholds,
        loss=loss,
        scheme=find_scheme(judged.recipe.scores.risk),
        expert=expert,
        left_main_as_lad=judged.as_lad,
    )
