"""From an evaluated cohort to a recipe that promises an error, and the promise held against other patients."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w
from numpy.typing import NDArray

from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.bootstrap import RESAMPLES, patient_bootstrap
from calcscore_ml.evaluation.intervals import Interval
from calcscore_ml.evaluation.lesions import need_columns
from calcscore_ml.evaluation.referral_losses import Left, losses_left, simulated_expert
from calcscore_ml.recipe import Recipe, parse_recipe
from calcscore_ml.referral.promise import SMALL_AGATSTON, Loss, Promise, choose_threshold
from calcscore_ml.scores.risk import find_scheme

STEPS = 500
"""Thresholds among which one is chosen, evenly over the stakes of the calibration lesions."""

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


@dataclass(frozen=True, slots=True)
class Kept:
    """A promise held against patients it was not calibrated on.

    Parameters
    ----------
    promise : Promise
        What was promised.
    expert_error : float
        How often the simulated expert errs.
    patients : int
        Number of held-out patients.
    before, after : Interval
        Their mean loss without an expert, and with one; over patients.
    referred : float
        Lesions referred per scan.
    untouched : float
        Share of scans of which nothing is referred.
    """

    promise: Promise
    expert_error: float
    patients: int
    before: Interval
    after: Interval
    referred: float
    untouched: float


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


def make_promise(
    judged: Judged, loss: Loss, tolerated: float, *, confidence: float | None = None, calibrated_on: str = ""
) -> Promise:
    """Find the threshold by which a referral keeps a promise, on calibration patients.

    Parameters
    ----------
    judged : Judged
        Calibration patients: none the model was trained on, none the promise will be held against.
    loss : {'lesions', 'category', 'agatston'}
        Which error.
    tolerated : float
        Its largest mean over patients, 0 to 1.
    confidence : float or None
        See `Promise`.
    calibrated_on : str
        The cohort in words; the folder's name when empty.

    Raises
    ------
    ResultError
        When the promise cannot be kept; the message says what can be promised.
    """
    stake = stakes_in(judged, loss)
    scored = stake[judged.lesions["agatston"].to_numpy() > 0]
    thresholds = np.unique(np.quantile(scored, np.linspace(0, 1, STEPS))) if len(scored) else np.zeros(0)
    thresholds = np.unique(np.concatenate([[0.0], thresholds, [1.0 + scored.max(initial=0)]]))
    losses = _left(judged, stake, thresholds, loss).losses
    chosen = choose_threshold(
        losses, thresholds, tolerated, confidence=confidence, binary=bool(np.isin(losses, (0, 1)).all())
    )
    return Promise(
        loss=loss,
        tolerated=tolerated,
        threshold=chosen,
        patients=len(losses),
        confidence=confidence,
        model_sha256=judged.model["model_sha256"],
        calibrated_on=calibrated_on or judged.name,
    )


def hold_against(
    promise: Promise, judged: Judged, *, expert_error: float = 0.0, seed: int = 0, n: int = RESAMPLES
) -> Kept:
    """Hold a promise against patients that it was not calibrated on.

    Parameters
    ----------
    promise : Promise
        Of `make_promise`.
    judged : Judged
        Held-out patients, evaluated with the same model.
    expert_error : float
        How often a simulated expert errs; 0: decides as the reference does.
    seed, n : int
        Of the expert's errors and of the bootstrap over patients, and how often it resamples.

    Raises
    ------
    ResultError
        When the patients were evaluated with another model.
    """
    if judged.model["model_sha256"] != promise.model_sha256:
        raise ResultError(
            f"a promise is held against patients evaluated with its own model {promise.model_sha256[:12]}, got "
            f"{judged.model['model_sha256'][:12]} in {judged.name}; evaluate with the same model"
        )
    lesions = judged.lesions
    expert = simulated_expert(lesions["truth"].to_numpy(), lesions["likeliest"].to_numpy(), expert_error, seed)
    thresholds = np.array([promise.threshold, np.inf])
    found = _left(judged, stakes_in(judged, promise.loss), thresholds, promise.loss, expert)
    after, before = (
        patient_bootstrap(
            lambda drawn: float(np.mean(drawn)), {str(i): np.array([v]) for i, v in enumerate(column)}, n=n, seed=seed
        )
        for column in found.losses.T
    )
    return Kept(
        promise,
        expert_error,
        len(found.losses),
        before,
        after,
        float(found.referred[:, 0].mean()),
        float((found.referred[:, 0] == 0).mean()),
    )


def stakes_in(judged: Judged, loss: Loss) -> NDArray[np.float64]:
    """Return the stake of every lesion in a loss, as `calcscore_ml.referral.policy.stake_in` gives it scan by scan."""
    lesions = judged.lesions
    if loss != "agatston":
        return lesions["doubt" if loss == "lesions" else "category"].to_numpy(dtype=float)
    expected = (lesions["agatston"] * lesions["coronary"]).groupby(lesions["scan_id"]).transform("sum")
    return (lesions["change"] / expected.clip(lower=SMALL_AGATSTON)).to_numpy(dtype=float)


def promised_recipe(judged: Judged, promise: Promise) -> str:
    """Return the recipe of an evaluation with a promise, as TOML.

    Its other rules refer nothing any more (``max_lesions = 0``): only what the promise needs goes to the expert, and
    scans that are referred as a whole.
    """
    plain = judged.recipe.model_dump(mode="json", exclude_none=True)
    made = {name: value for name, value in asdict(promise).items() if value is not None}
    return tomli_w.dumps({**plain, "referral": {**plain["referral"], "max_lesions": 0, "promise": made}})


def promise_table(kept: Sequence[Kept]) -> list[tuple[str, ...]]:
    """Return a row of text for each promise: what was tolerated, observed, and what it took."""
    return [
        (
            k.promise.loss,
            f"{k.promise.tolerated:.3g}",
            "mean" if k.promise.confidence is None else f"{k.promise.confidence:.0%}",
            f"{k.expert_error:.0%}",
            str(k.before),
            str(k.after),
            f"{k.referred:.2f}",
            f"{k.untouched:.0%}",
        )
        for k in kept
    ]


PROMISE_COLUMNS = (
    "error",
    "tolerated",
    "promised",
    "expert errs",
    "without expert",
    "observed",
    "lesions",
    "untouched",
)
"""Headings of `promise_table`; lesions referred per scan, and scans of which nothing is referred."""


def _left(
    judged: Judged,
    stake: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    loss: Loss,
    expert: NDArray[np.intp] | None = None,
) -> Left:
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
