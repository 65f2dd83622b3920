"""The rule by which a recipe refers lesions to an expert.

A lesion is referred when it is doubtful, when it matters, and when the expert's time allows. Each of the three is a
handful of keys of the recipe, all of which may be combined. Whole scans go to the expert where the model is out of its
depth, and a promise, where the recipe makes one, refers what it needs.
"""

from __future__ import annotations

from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from calcscore_ml.errors import ModelError
from calcscore_ml.referral.promise import Loss, Promise, stake_of
from calcscore_ml.referral.stakes import Stakes
from calcscore_ml.referral.uncertainty import Uncertainty

Share = Annotated[float, Field(ge=0, le=1)]
AtLeast0 = Annotated[float, Field(ge=0)]
NEAR_OSTIA_EFFECT = 50.0
"""A lesion near the ostia is large from this Agatston score on: half of what separates mild from moderate calcium. Our
choice."""

NEAR_OSTIA_CORONARY = 0.02
"""A large lesion near the ostia is asked about unless it is less probably coronary; our choice."""

Order = Literal["effect", "doubt", "change", "category"]
"""What lesions are ordered by; the names of the arrays of `calcscore_ml.referral.stakes.Stakes`."""

SECONDS_PER_LESION = 15.0
"""Time of an expert for a lesion [s]; our guess, to be replaced by what was measured."""


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class WholeScan:
    """When all lesions of a scan go to an expert; by default never.

    Parameters
    ----------
    untrusted_location : bool
        When heart and arteries could not be located.
    max_spread_mm : float or None
        When the atlases' arteries lie farther apart [mm].
    new_protocol : bool
        When the protocol lies outside the range of the scans the model learnt from.
    max_category_wrong : float or None
        When the risk category is wrong with a higher probability.
    max_doubtful : int or None
        When more lesions would be referred one by one, without a budget.
    """

    untrusted_location: bool = False
    max_spread_mm: AtLeast0 | None = None
    new_protocol: bool = False
    max_category_wrong: Share | None = None
    max_doubtful: Annotated[int, Field(ge=0)] | None = None


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class ReferralPolicy:
    """When a lesion goes to an expert.

    A lesion is doubtful when any rule that is set finds it so. It matters when it reaches every minimum that is set. Of
    the doubtful lesions that matter, those first by `order` are referred, as many as the budget allows. Lesions that
    decide the category, and large ones near the ostia, come before them: they are referred whatever the minima and the
    budget, and the others share what they leave of it. The defaults are ours.

    Parameters
    ----------
    coronary_low, coronary_high : float
        Doubtful when the probability of being coronary lies in [coronary_low, coronary_high].
    max_entropy : float or None
        Doubtful when the entropy is above this.
    min_margin : float or None
        Doubtful when the two most probable labels are closer than this.
    max_disagreement, max_ambiguity : float or None
        Doubtful when the members' disagreement, or the ambiguity that they share, is above this.
    max_distance : float or None
        Doubtful when the lesion lies farther from those learnt from than this; 1 is as far as the farthest hundredth.
    deciding_below : float or None
        A lesion is referred when the risk category would be another if it alone were decided the other way, unless the
        decision taken (coronary or not) has at least this probability.
    near_ostia_mm : float or None
        A large lesion nearer to an ostium or to the left main than this is referred, whatever it is called [mm].
    near_ostia_effect : float
        From which effect on the Agatston score it is large.
    near_ostia_coronary, near_ostia_sure : float
        Unless it is less probably coronary than the first, or more than the second.
    min_coronary : float
        The rules on entropy, margin, disagreement, ambiguity, distance and deciding lesions look only at lesions at
        least this probably coronary: whether a calcification is of the aorta or of a valve is not worth an expert's
        time.
    min_effect_agatston : float
        Refer only lesions that would change the Agatston score, by at least this.
    min_change_agatston : float
        Refer only lesions whose expected change of the score is at least this.
    min_category_change : float
        Refer only lesions that change the risk category with at least this probability.
    order : {'effect', 'doubt', 'change', 'category'}
        By which of its stakes a lesion comes first; see `calcscore_ml.referral.stakes.Stakes`.
    max_lesions : int or None
        Refer at most so many lesions of a scan; None: all.
    max_seconds : float or None
        Refer at most as many lesions of a scan as take this time [s].
    seconds_per_lesion : float
        Time of an expert for one lesion [s].
    whole_scan : WholeScan
        When all lesions of a scan go to an expert, whatever the budget.
    promise : Promise or None
        What else is referred, whatever the budget, to keep a promised error.
    """

    coronary_low: Share = 0.1
    coronary_high: Share = 0.9
    max_entropy: Share | None = None
    min_margin: Share | None = None
    max_disagreement: Share | None = None
    max_ambiguity: Share | None = None
    max_distance: AtLeast0 | None = None
    deciding_below: Share | None = None
    near_ostia_mm: AtLeast0 | None = None
    near_ostia_effect: AtLeast0 = NEAR_OSTIA_EFFECT
    near_ostia_coronary: Share = NEAR_OSTIA_CORONARY
    near_ostia_sure: Share = 1.0
    min_coronary: Share = 0.05
    min_effect_agatston: AtLeast0 = 0.0
    min_change_agatston: AtLeast0 = 0.0
    min_category_change: Share = 0.0
    order: Order = "effect"
    max_lesions: Annotated[int, Field(ge=0)] | None = 20
    max_seconds: AtLeast0 | None = None
    seconds_per_lesion: Annotated[float, Field(gt=0)] = SECONDS_PER_LESION
    whole_scan: WholeScan = WholeScan()
    promise: Promise | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.coronary_low > self.coronary_high:
            raise ValueError(
                f"coronary_low must not be above coronary_high, got {self.coronary_low} and {self.coronary_high}"
            )
        return self

    @property
    def budget(self) -> int | None:
        """Number of lesions of a scan that may be referred; None: all."""
        limits = [] if self.max_lesions is None else [self.max_lesions]
        if self.max_seconds is not None:
            limits.append(int(self.max_seconds / self.seconds_per_lesion))
        return min(limits, default=None)


@plain_dataclass(frozen=True, slots=True, eq=False)
class ScanDoubts:
    """What makes a scan doubtful as a whole.

    Parameters
    ----------
    trusted : bool
        Whether heart and arteries were located.
    spread_mm : float
        How far the atlases' arteries lie apart [mm]; NaN when unknown.
    protocol : tuple of str
        What of its protocol lies outside the range learnt from, in words.
    """

    trusted: bool = True
    spread_mm: float = float("nan")
    protocol: tuple[str, ...] = ()


@plain_dataclass(frozen=True, slots=True, eq=False)
class Referral:
    """What goes to an expert of the n lesions of a scan.

    Parameters
    ----------
    referred : (n,) array of bool
        Whether an expert should look.
    reasons : tuple of str
        Why each lesion is doubtful, and if it is not referred nevertheless, why not; empty for a sure lesion.
    urgency : (n,) array of float
        What the policy orders lesions by.
    whole_scan : tuple of str
        Why the whole scan is referred; empty when it is not.
    """

    referred: NDArray[np.bool_]
    reasons: tuple[str, ...]
    urgency: NDArray[np.float64]
    whole_scan: tuple[str, ...] = ()


def refer(
    policy: ReferralPolicy,
    uncertainty: Uncertainty,
    stakes: Stakes,
    scan: ScanDoubts | None = None,
    ostia_mm: NDArray[np.float64] | None = None,
) -> Referral:
    """Choose the lesions that an expert should look at.

    Parameters
    ----------
    policy : ReferralPolicy
        The rule.
    uncertainty : Uncertainty
        Of n lesions of a scan.
    stakes : Stakes
        Of the same lesions.
    scan : ScanDoubts, optional
        What makes the scan doubtful.
    ostia_mm : (n,) array of float, optional
        Distance of each lesion to an ostium or to the left main [mm]; NaN, or not given, when that is unknown.

    Raises
    ------
    ModelError
        When the arrays do not fit, or the policy asks for a measure that the model does not give.

    Notes
    -----
    Lesions of equal urgency are ordered by lower margin; of lesions equal in both, the earlier one is referred.
    """
    n = len(uncertainty.coronary)
    if stakes.effect.shape != (n,):
        raise ModelError(f"uncertainty and stakes must be of the same lesions, got {n} and {len(stakes.effect)}")
    if ostia_mm is not None and ostia_mm.shape != (n,):
        raise ModelError(f"distances to the ostia must be of the same {n} lesions, got {len(ostia_mm)}")
    causes = _causes(policy, uncertainty)
    first = _whatever_the_budget(policy, uncertainty, stakes, ostia_mm)
    doubtful = np.array([bool(c) for c in causes], dtype=bool)
    minima = (
        ("effect {:.2g} on the Agatston score", stakes.effect, policy.min_effect_agatston),
        ("expected change {:.2g} of the Agatston score", stakes.change, policy.min_change_agatston),
        ("probability {:.2g} that the risk category changes", stakes.category, policy.min_category_change),
    )
    matters = (stakes.effect > 0) & np.all([values >= least for _, values, least in minima], axis=0)
    urgency: NDArray[np.float64] = getattr(stakes, policy.order)
    order = np.lexsort((np.arange(n), uncertainty.margin, -urgency))
    referred = np.array([bool(c) for c in first], dtype=bool)
    wanted = (doubtful & matters) | referred
    order = order[(wanted & ~referred)[order]]
    left = None if policy.budget is None else max(0, policy.budget - int(referred.sum()))
    referred[order[:left]] = True
    reasons = []
    for i, found in enumerate(causes):
        reason = "; ".join((*first[i], *found))
        if found and not matters[i] and not first[i]:
            text, values = next((t, v) for t, v, least in minima if v[i] < least or v[i] <= 0)
            reason += f"; not referred: {text.format(values[i])}"
        elif reason and not referred[i]:
            reason += f"; not referred: beyond the {policy.budget} first by {policy.order}"
        reasons.append(reason)

    if policy.promise is not None:
        stake = stake_in(policy.promise.loss, stakes, policy.promise.expert_error)
        needed = (stake >= policy.promise.threshold) & (stakes.effect > 0)
        for i in map(int, np.flatnonzero(~referred & needed)):
            referred[i], reasons[i] = True, f"promised {policy.promise.loss}: stake {stake[i]:.2g}"
    whole = _whole_scan(policy.whole_scan, stakes, scan or ScanDoubts(), int(wanted.sum()))
    if whole:
        others = ~referred & (stakes.effect > 0) & (uncertainty.coronary >= policy.min_coronary)
        for i in map(int, np.flatnonzero(others)):
            referred[i], reasons[i] = True, "the whole scan is referred"
    return Referral(referred, tuple(reasons), np.array(urgency), whole)


def stake_in(loss: Loss, stakes: Stakes, expert_error: float = 0.0) -> NDArray[np.float64]:
    """Return the stake of each lesion of a scan in a loss, (n,); see `stake_of`."""
    return stake_of(
        loss,
        effect=stakes.effect,
        doubt=stakes.doubt,
        change=stakes.change,
        category=stakes.category,
        expected=stakes.expected,
        expert_error=expert_error,
    )


def _causes(policy: ReferralPolicy, uncertainty: Uncertainty) -> list[list[str]]:
    """Say for each lesion which rules find it doubtful."""
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
        ("ambiguity", uncertainty.ambiguity, policy.max_ambiguity, "above", 1),
        ("distance", uncertainty.distance, policy.max_distance, "above", 1),
    )
    for name, values, limit, side, sign in rules:
        if limit is None:
            continue
        if np.isnan(values).any():
            need = "that knows what it learnt from" if name == "distance" else "with members"
            raise ModelError(f"a limit on {name} needs a model {need}, got none; leave it out of the recipe")
        for i in np.flatnonzero(asked & (sign * values > sign * limit)):
            causes[i].append(f"{name} {values[i]:.2f} {side} {limit:g}")
    return causes


def _whatever_the_budget(
    policy: ReferralPolicy, uncertainty: Uncertainty, stakes: Stakes, ostia_mm: NDArray[np.float64] | None
) -> list[list[str]]:
    """Say for each lesion which rules refer it whatever the minima and the budget."""
    coronary = uncertainty.coronary
    causes: list[list[str]] = [[] for _ in coronary]
    if policy.deciding_below is not None:
        sure = 1 - stakes.flips
        asked = stakes.deciding & (sure < policy.deciding_below) & (coronary >= policy.min_coronary)
        for i in np.flatnonzero(asked):
            causes[i].append(
                f"it decides the risk category, and is sure by {sure[i]:.2f} only, below {policy.deciding_below:g}"
            )
    if policy.near_ostia_mm is not None and ostia_mm is not None:
        asked = (ostia_mm < policy.near_ostia_mm) & (stakes.effect > 0)
        asked &= (stakes.effect >= policy.near_ostia_effect) & (coronary >= policy.near_ostia_coronary)
        asked &= coronary <= policy.near_ostia_sure
        for i in np.flatnonzero(asked):
            causes[i].append(f"large, and {ostia_mm[i]:.0f} mm from an ostium or the left main")
    return causes


def _whole_scan(rule: WholeScan, stakes: Stakes, scan: ScanDoubts, doubtful: int) -> tuple[str, ...]:
    """Say why a scan is referred as a whole."""
    found = []
    if rule.untrusted_location and not scan.trusted:
        found.append("heart and arteries could not be located")
    if rule.max_spread_mm is not None and scan.spread_mm > rule.max_spread_mm:
        found.append(f"the atlases' arteries lie {scan.spread_mm:.1f} mm apart, more than {rule.max_spread_mm:g}")
    if rule.new_protocol:
        found.extend(scan.protocol)
    if rule.max_category_wrong is not None and stakes.category_wrong > rule.max_category_wrong:
        wrong = stakes.category_wrong
        found.append(f"the risk category is wrong with probability {wrong:.2f}, above {rule.max_category_wrong:g}")
    if rule.max_doubtful is not None and doubtful > rule.max_doubtful:
        found.append(f"{doubtful} lesions are doubtful, more than {rule.max_doubtful}")
    return tuple(found)
