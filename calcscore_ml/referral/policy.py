"""The rule by which a recipe refers lesions to an expert."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from calcscore_ml.errors import ModelError
from calcscore_ml.referral.uncertainty import Uncertainty

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class ReferralPolicy:
    """When a lesion goes to an expert.

    A lesion is doubtful when any rule that is set finds it so. Of the doubtful lesions that matter to the
    score, those with the largest effect are referred. The defaults are ours.

    Parameters
    ----------
    coronary_low, coronary_high : float
        Doubtful when the probability of being coronary lies in [coronary_low, coronary_high].
    max_entropy : float or None
        Doubtful when the entropy is above this.
    min_margin : float or None
        Doubtful when the two most probable labels are closer than this.
    max_disagreement : float or None
        Doubtful when the members' disagreement is above this.
    min_coronary : float
        The rules on entropy, margin and disagreement look only at lesions at least this probably coronary:
        whether a calcification is of the aorta or of a valve is not worth an expert's time.
    min_effect_agatston : float
        Refer only lesions that would change the Agatston score, by at least this.
    max_lesions : int or None
        Refer at most so many lesions of a scan; None: all.
    """

    coronary_low: Share = 0.1
    coronary_high: Share = 0.9
    max_entropy: Share | None = None
    min_margin: Share | None = None
    max_disagreement: Share | None = None
    min_coronary: Share = 0.05
    min_effect_agatston: Annotated[float, Field(ge=0)] = 0.0
    max_lesions: Annotated[int, Field(ge=0)] | None = 20

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.coronary_low > self.coronary_high:
            raise ValueError(
                f"coronary_low must not be above coronary_high, got {self.coronary_low} and {self.coronary_high}"
            )
        return self


def refer(
    policy: ReferralPolicy,
    probabilities: NDArray[np.float64],
    uncertainty: Uncertainty,
    effect: NDArray[np.float64],
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Choose the lesions that an expert should look at.

    Parameters
    ----------
    policy : ReferralPolicy
        The rule.
    probabilities : (n, 8) array of float
        Per `Label`.
    uncertainty : Uncertainty
        Of the same lesions.
    effect : (n,) array of float
        Agatston score that depends on each lesion's label.

    Returns
    -------
    referred : (n,) array of bool
        Whether an expert should look.
    reasons : tuple of str
        Why each lesion is doubtful, and if it is not referred nevertheless, why not; empty for a sure lesion.

    Raises
    ------
    ModelError
        When the arrays do not fit, or the policy asks for a disagreement that was not measured.

    Notes
    -----
    Equal effects are ordered by lower margin; of lesions equal in both, the earlier one is referred.
    """
    n = len(probabilities)
    if uncertainty.coronary.shape != (n,) or effect.shape != (n,):
        raise ModelError(
            f"probabilities, uncertainty and effect must be of the same lesions, got {n}, {len(uncertainty.coronary)} "
            f"and {len(effect)}"
        )
    causes = _causes(policy, uncertainty)
    doubtful = np.array([bool(c) for c in causes], dtype=bool)
    matters = (effect >= policy.min_effect_agatston) & (effect > 0)
    order = np.lexsort((np.arange(n), uncertainty.margin, -effect))
    order = order[(doubtful & matters)[order]]
    referred = np.zeros(n, dtype=bool)
    referred[order[: policy.max_lesions]] = True
    reasons = []
    for i, found in enumerate(causes):
        reason = "; ".join(found)
        if found and not matters[i]:
            reason += f"; not referred: effect {effect[i]:.2g} on the Agatston score"
        elif found and not referred[i]:
            reason += f"; not referred: beyond the {policy.max_lesions} of most effect"
        reasons.append(reason)
    return referred, tuple(reasons)


def _causes(policy: ReferralPolicy, uncertainty: Uncertainty) -> list[list[str]]:
    """Say for each lesion which rules find it doubtful."""
    if policy.max_disagreement is not None and np.isnan(uncertainty.disagreement).any():
        raise ModelError("max_disagreement needs a model with members, got none; leave it out of the recipe")
    causes: list[list[str]] = [[] for _ in uncertainty.coronary]
    coronary = uncertainty.coronary
    between = (coronary >= policy.coronary_low) & (coronary <= policy.coronary_high)
    for i in np.flatnonzero(between):
        causes[i].append(f"coronary with probability {coronary[i]:.2f}")
    asked = coronary >= policy.min_coronary
    rules = (
        ("entropy", uncertainty.entropy, policy.max_entropy, "above", 1),
        ("margin", uncertainty.margin, policy.min_margin, "below", -1),
        ("disagreement", uncertainty.disagreement, policy.max_disagreement, "above", 1),
    )
    for name, values, limit, side, sign in rules:
        if limit is not None:
            for i in np.flatnonzero(asked & (sign * values > sign * limit)):
                causes[i].append(f"{name} {values[i]:.2f} {side} {limit:g}")
    return causes
