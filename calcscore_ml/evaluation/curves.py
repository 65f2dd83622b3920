"""The curves of an evaluation: lesions found, reliability of probabilities, worth of referral."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from calcscore_ml.anatomy import ARTERIES
from calcscore_ml.evaluation.bootstrap import RESAMPLES
from calcscore_ml.evaluation.froc import COLUMN, Froc, froc
from calcscore_ml.evaluation.intervals import or_none
from calcscore_ml.evaluation.referral_curve import ReferralCurve, referral_curve
from calcscore_ml.evaluation.reliability import Reliability, reliability

CLEAR_BELOW = 0.01
"""Lesions less probably coronary are left out of the reliability: nearly all candidates are such, and would fill all
bins but one. Our choice."""

REFERRAL_RESAMPLES = 200
"""Of the referral curves' gain, which is slow to resample; our choice."""


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """What an evaluation looks like as one thing changes.

    Parameters
    ----------
    froc : Froc or None
        Sensitivity against false positives per scan, as the threshold falls; None without a coronary lesion.
    reliability : Reliability or None
        Of the probability of being coronary, where it is at least `CLEAR_BELOW`; None without such a lesion.
    referral : mapping of str to ReferralCurve
        Wrong lesions left against lesions referred, by each measure of uncertainty that the model has.
    """

    froc: Froc | None
    reliability: Reliability | None
    referral: Mapping[str, ReferralCurve]

    def to_json(self) -> str:
        """Return thresholds, points and intervals as JSON; what is undefined is null."""
        content: dict[str, Any] = {"froc": None, "reliability": None}
        if self.froc is not None:
            content["froc"] = {
                "thresholds": [or_none(t) for t in self.froc.thresholds.tolist()],
                "false_positives_per_scan": self.froc.false_positives_per_scan.tolist(),
                "sensitivities": self.froc.sensitivities.tolist(),
                "at": [{"false_positives_per_scan": rate, **found.to_plain()} for rate, found in self.froc.at],
            }
        if self.reliability is not None:
            content["reliability"] = {
                "probability_from": CLEAR_BELOW,
                "bins": [
                    {"lesions": b.lesions, "predicted": b.predicted, "observed": b.observed.to_plain()}
                    for b in self.reliability.bins
                ],
                "calibration_error": self.reliability.calibration_error.to_plain(),
                "brier": self.reliability.brier.to_plain(),
            }
        content["referral"] = {
            name: {
                "referred_per_scan": curve.referred.tolist(),
                "wrong_left_per_scan": curve.left.tolist(),
                "gain": curve.gain.to_plain(),
            }
            for name, curve in self.referral.items()
        }
        return json.dumps(content, allow_nan=False) + "\n"


def curves(
    lesions: pd.DataFrame,
    scans: pd.DataFrame,
    *,
    missed: pd.DataFrame | None = None,
    left_main_as_lad: bool = False,
    n: int = RESAMPLES,
) -> Curves:
    """Trace every curve that the tables allow.

    Parameters
    ----------
    lesions : DataFrame
        One row per candidate: `scan_id`, `truth`, `predicted`, `volume_mm3`, `coronary`, `entropy`, `margin`,
        `disagreement`.
    scans : DataFrame
        One row per scan: `patient_id`, `scan_id`.
    missed : DataFrame or None
        Reference lesions that no candidate covers: `scan_id`, `truth`, `volume_mm3`.
    left_main_as_lad : bool
        Count the left main as LAD on both sides.
    n : int
        Resamples of the bootstrap over patients; at most `REFERRAL_RESAMPLES` for the curves of referral.
    """
    truth = lesions["truth"] if missed is None else pd.concat([lesions["truth"], missed["truth"]])
    asked = unclear(lesions)
    doubts = lesions.assign(**{"1 - margin": 1 - lesions["margin"]})
    names = [c for c in ("entropy", "1 - margin", "disagreement") if len(doubts) and np.isfinite(doubts[c]).all()]
    few = min(n, REFERRAL_RESAMPLES)
    return Curves(
        froc=froc(lesions, scans, missed=missed, n=n) if truth.isin([int(a) for a in ARTERIES]).any() else None,
        reliability=reliability(asked, scans, n=n) if len(asked) else None,
        referral={
            name: referral_curve(doubts, scans, uncertainty=name, left_main_as_lad=left_main_as_lad, n=few)
            for name in names
        },
    )


def unclear(lesions: pd.DataFrame) -> pd.DataFrame:
    """Return the lesions that are at least `CLEAR_BELOW` probably coronary."""
    return lesions[lesions[COLUMN] >= CLEAR_BELOW]
