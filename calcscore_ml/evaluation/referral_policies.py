"""Orders in which lesions may go to an expert, side by side: what each leaves of three errors, and at what price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_ml.anatomy import ARTERIES
from calcscore_ml.evaluation.lesions import need_columns
from calcscore_ml.evaluation.referral_losses import POINTS, losses_left, rising_thresholds
from calcscore_ml.referral.policy import ReferralPolicy
from calcscore_ml.referral.promise import LOSSES, SMALL_AGATSTON, Loss
from calcscore_ml.scores.risk import RiskScheme

RANDOM, ORACLE = "random", "oracle"
"""Orders that need no model: chance, and what is wrong first, the largest error before the others."""

MIN_CORONARY = ReferralPolicy().min_coronary
"""Lesions less probably coronary are not asked for by their uncertainty: an aorta or a valve, whichever it is."""

REPEATS = 20
"""Random orders whose mean stands for chance."""


@dataclass(frozen=True, slots=True, eq=False)
class PolicyCurve:
    """Mean error of patients against lesions referred per scan, from none to all; arrays are (n_points,).

    Parameters
    ----------
    loss : {'lesions', 'category', 'agatston'}
        Which error.
    referred : array of float
        Lesions per scan, rising.
    left : array of float
        Mean error of patients.
    """

    loss: Loss
    referred: NDArray[np.float64]
    left: NDArray[np.float64]

    def at(self, referred: float) -> float:
        """Return the error left after so many lesions per scan."""
        return float(np.interp(referred, self.referred, self.left))

    def needed(self, left: float) -> float:
        """Return the fewest lesions per scan after which the error stays at or below `left`; inf if it never does."""
        above = np.flatnonzero(self.left > left)
        if not len(above):
            return float(self.referred[0])
        return float(self.referred[above[-1] + 1]) if above[-1] + 1 < len(self.left) else float("inf")


def orders(lesions: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Return every order a model can give, the highest value first; (n_lesions,) each.

    Parameters
    ----------
    lesions : DataFrame
        One row per candidate, with the measures of `calcscore_ml.referral.uncertainty.Uncertainty` and the stakes
        `doubt`, `change` and `category`. A measure that is not defined for all is left out. Measures of uncertainty
        are of lesions at least `MIN_CORONARY` coronary, as policies ask them.
    """
    need_columns(
        lesions, ["coronary", "entropy", "margin", "doubt", "change", "category", "agatston"], "a lesion table"
    )
    asked = lesions["coronary"] >= MIN_CORONARY
    found = {
        "near one half": 0.5 - (lesions["coronary"] - 0.5).abs(),
        "entropy": asked * lesions["entropy"],
        "margin": asked * (1 - lesions["margin"]),
        **{name: asked * lesions[name] for name in ("disagreement", "ambiguity", "distance") if name in lesions},
        "effect of the doubtful": lesions["agatston"] * lesions["coronary"].between(0.1, 0.9),
        "doubt": lesions["doubt"],
        "change": lesions["change"],
        "category": lesions["category"],
    }
    values = {name: column.to_numpy(dtype=float) for name, column in found.items()}
    return {name: value for name, value in values.items() if np.isfinite(value).all()}


def policy_curves(
    lesions: pd.DataFrame,
    scans: pd.DataFrame,
    given: Mapping[str, NDArray[np.float64]],
    *,
    scheme: RiskScheme,
    losses: Sequence[Loss] = LOSSES,
    expert: NDArray[np.integer] | None = None,
    left_main_as_lad: bool = False,
    seed: int = 0,
) -> dict[Loss, dict[str, PolicyCurve]]:
    """Trace what every order leaves of every error, over all scans at once, beside chance and the oracle.

    Parameters
    ----------
    lesions, scans, scheme, expert, left_main_as_lad
        As `calcscore_ml.evaluation.referral_losses.losses_left` takes them.
    given : mapping of str to (n_lesions,) array
        Orders by name, the highest value first.
    losses : sequence of str
        Which errors.
    seed : int
        Of the random orders.
    """
    rng = np.random.default_rng(seed)

    def curve(order: NDArray[np.float64], loss: Loss) -> PolicyCurve:
        thresholds = rising_thresholds(order[lesions["agatston"].to_numpy() > 0])[::-1]
        found = losses_left(lesions, scans, stake=order, thresholds=thresholds, loss=loss, scheme=scheme, expert=expert)
        return PolicyCurve(loss, found.referred.mean(axis=0), found.losses.mean(axis=0))

    def chance(loss: Loss) -> PolicyCurve:
        drawn = [curve(rng.random(len(lesions)), loss) for _ in range(REPEATS)]
        referred = np.linspace(0, drawn[0].referred[-1], POINTS)
        return PolicyCurve(loss, referred, np.mean([[c.at(r) for r in referred] for c in drawn], axis=0))

    out: dict[Loss, dict[str, PolicyCurve]] = {}
    for loss in losses:
        best = oracle_order(lesions, scans, loss, scheme)
        named = {name: curve(order, loss) for name, order in given.items()}
        out[loss] = {RANDOM: chance(loss), **named, ORACLE: curve(best, loss)}
    return out


def oracle_order(lesions: pd.DataFrame, scans: pd.DataFrame, loss: Loss, scheme: RiskScheme) -> NDArray[np.float64]:
    """Return the order of one who knows what is wrong: wrong lesions first, by their weight in the error."""
    of_scan = pd.Index(scans["scan_id"]).get_indexer(pd.Index(lesions["scan_id"]))
    truth, predicted, effect = (lesions[name].to_numpy() for name in ("truth", "predicted", "agatston"))
    in_truth, now = np.isin(truth, ARTERIES), np.isin(predicted, ARTERIES)
    if loss == "lesions":
        return np.asarray((in_truth | now) & (truth != predicted), dtype=float)
    reference = scans["agatston_truth"].to_numpy(dtype=float)
    weight = (in_truth != now) * effect / np.maximum(reference, SMALL_AGATSTON)[of_scan]
    if loss == "category":
        total = np.bincount(of_scan, weights=effect * now, minlength=len(scans)).astype(np.float64)
        wrong = scheme.categories(total) != scheme.categories(reference)
        weight = weight * np.where(wrong[of_scan], 1.0, 1e-6)
    return np.asarray(weight, dtype=float)
