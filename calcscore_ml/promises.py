"""From an evaluated cohort to a recipe that promises an error, and the promise held against other patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import tomli_w
from numpy.typing import NDArray

from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.bootstrap import RESAMPLES, patient_bootstrap
from calcscore_ml.evaluation.intervals import Interval
from calcscore_ml.evaluation.referral_losses import rising_thresholds
from calcscore_ml.judged import Judged, losses_with, stakes_in
from calcscore_ml.referral.promise import Loss, Promise, choose_threshold

UNBOUND = ("deciding_below", "near_ostia_mm")
"""Rules of a policy that refer lesions whatever the budget."""


@dataclass(frozen=True, slots=True)
class OverSplits:
    """A promise made and held again and again, each time on other patients.

    Parameters
    ----------
    splits, impossible : int
        Random splits into calibration and held-out patients, and those whose calibration patients allow no promise.
    observed : float
        Mean loss of held-out patients, over splits: at most what is tolerated, if the method keeps its word.
    above : float
        Share of splits whose held-out patients had more than was tolerated: at most one less the confidence, where the
        promise is made with one; without, about half is what a tight method has.
    referred : float
        Lesions referred per scan, over splits.
    """

    splits: int
    impossible: int
    observed: float
    above: float
    referred: float


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


def make_promise(
    judged: Judged,
    loss: Loss,
    tolerated: float,
    *,
    confidence: float | None = None,
    expert_error: float = 0.0,
    calibrated_on: str = "",
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
    expert_error : float
        How often the expert errs. The model's own labels stay where it is surer than that.
    calibrated_on : str
        The cohort in words; the folder's name when empty.

    Raises
    ------
    ResultError
        When the promise cannot be kept; the message says what can be promised.
    """
    thresholds = _thresholds([judged], loss, expert_error)
    losses = losses_with(judged, stakes_in(judged, loss, expert_error), thresholds, loss, expert_error).losses
    chosen = choose_threshold(losses, thresholds, tolerated, confidence=confidence, binary=_is_binary(losses))
    return Promise(
        loss=loss,
        tolerated=tolerated,
        threshold=chosen,
        patients=len(losses),
        confidence=confidence,
        model_sha256=judged.model["model_sha256"],
        calibrated_on=calibrated_on or judged.name,
        expert_error=expert_error,
    )


def hold_against(
    promise: Promise, judged: Judged, *, expert_error: float | None = None, seed: int = 1000, n: int = RESAMPLES
) -> Kept:
    """Hold a promise against patients that it was not calibrated on.

    Parameters
    ----------
    promise : Promise
        Of `make_promise`.
    judged : Judged
        Held-out patients, evaluated with the same model.
    expert_error : float or None
        How often simulated experts err; as the promise has it when not given.
    seed, n : int
        Of the experts' errors and of the bootstrap over patients, and how often it resamples.

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
    errs = promise.expert_error if expert_error is None else expert_error
    thresholds = np.array([promise.threshold, np.inf])
    stake = stakes_in(judged, promise.loss, promise.expert_error)
    found = losses_with(judged, stake, thresholds, promise.loss, errs, seed)
    after, before = (
        patient_bootstrap(
            lambda drawn: float(np.mean(drawn)), {str(i): np.array([v]) for i, v in enumerate(column)}, n=n, seed=seed
        )
        for column in found.losses.T
    )
    return Kept(
        promise,
        errs,
        len(found.losses),
        before,
        after,
        float(found.referred[:, 0].mean()),
        float((found.referred[:, 0] == 0).mean()),
    )


def over_splits(
    judged: Sequence[Judged],
    loss: Loss,
    tolerated: float,
    *,
    calibrate: int,
    confidence: float | None = None,
    expert_error: float = 0.0,
    splits: int = 200,
    seed: int = 0,
) -> OverSplits:
    """Make and hold a promise over random splits of all patients.

    Parameters
    ----------
    judged : sequence of Judged
        Cohorts of different patients, evaluated with the same model; all are put into one pot.
    loss, tolerated, confidence, expert_error
        As `make_promise` takes them.
    calibrate : int
        Number of calibration patients; the others are held out.
    splits, seed : int
        How often, and the seed of the draws.
    """
    thresholds = _thresholds(judged, loss, expert_error)
    left = [losses_with(j, stakes_in(j, loss, expert_error), thresholds, loss, expert_error, seed) for j in judged]
    losses, referred = (np.concatenate([getattr(f, name) for f in left]) for name in ("losses", "referred"))
    binary = _is_binary(losses)
    rng = np.random.default_rng(seed)
    observed, asked = [], []
    for _ in range(splits):
        order = rng.permutation(len(losses))
        known, new = order[:calibrate], order[calibrate:]
        try:
            chosen = choose_threshold(losses[known], thresholds, tolerated, confidence=confidence, binary=binary)
        except ResultError:
            continue
        column = int(np.searchsorted(thresholds, chosen))
        observed.append(float(losses[new, column].mean()))
        asked.append(float(referred[new, column].mean()))
    if not observed:
        return OverSplits(splits, splits, float("nan"), float("nan"), float("nan"))
    above = float(np.mean(np.array(observed) > tolerated))
    return OverSplits(splits, splits - len(observed), float(np.mean(observed)), above, float(np.mean(asked)))


def promised_recipe(judged: Judged, promise: Promise) -> str:
    """Return the recipe of an evaluation with a promise, as TOML.

    Its other rules refer nothing any more (``max_lesions = 0``, and none of those that the budget does not bind): only
    what the promise needs goes to the expert, and scans that are referred as a whole for another reason than many
    doubts.
    """
    plain = judged.recipe.model_dump(mode="json", exclude_none=True)
    made = {name: value for name, value in asdict(promise).items() if value is not None}
    referral = {name: value for name, value in plain["referral"].items() if name not in UNBOUND}
    whole = {name: value for name, value in referral["whole_scan"].items() if name != "max_doubtful"}
    return tomli_w.dumps({**plain, "referral": {**referral, "max_lesions": 0, "whole_scan": whole, "promise": made}})


def promise_table(kept: Sequence[Kept]) -> list[tuple[str, ...]]:
    """Return a row of text for each promise: what was tolerated, observed, and what it took."""
    return [
        (
            k.promise.loss,
            f"{k.promise.tolerated:.3g}",
            _how(k.promise.confidence),
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


SPLIT_COLUMNS = (
    "error",
    "tolerated",
    "promised",
    "expert errs",
    "mean observed",
    "splits above",
    "impossible",
    "lesions",
)
"""Headings of `split_row`."""


def split_row(
    loss: Loss, tolerated: float, found: OverSplits, confidence: float | None = None, expert_error: float = 0.0
) -> tuple[str, ...]:
    """Return what a promise gave over splits as a row of text."""
    return (
        loss,
        f"{tolerated:.3g}",
        _how(confidence),
        f"{expert_error:.0%}",
        f"{found.observed:.3f}",
        f"{found.above:.0%}",
        f"{found.impossible} of {found.splits}",
        f"{found.referred:.2f}",
    )


def _how(confidence: float | None) -> str:
    return "mean" if confidence is None else f"{confidence:.0%}"


def _is_binary(losses: NDArray[np.float64]) -> bool:
    return bool(np.isin(losses, (0, 1)).all())


def _thresholds(judged: Sequence[Judged], loss: Loss, expert_error: float) -> NDArray[np.float64]:
    """Thresholds among which one is chosen; an expert who errs is not asked about lesions with nothing at stake."""
    stakes = np.concatenate([stakes_in(j, loss, expert_error)[j.lesions["agatston"].to_numpy() > 0] for j in judged])
    found = rising_thresholds(stakes)
    return found[found > 0] if expert_error else found
