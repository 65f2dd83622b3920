"""All scores of a scan: per artery, in total, and outside the coronaries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.scores.agatston import Contribution, agatston, total
from calcscore_ml.scores.calcium import Calcium
from calcscore_ml.scores.mass import MassCalibration
from calcscore_ml.scores.risk import SCHEMES, RiskScheme
from calcscore_ml.scores.rules import AgatstonRule
from calcscore_ml.scores.volume import lesion_mean_hu, lesion_volumes_mm3

OUTSIDE_CORONARIES: tuple[Label, ...] = (Label.AORTA, Label.AORTIC_VALVE, Label.MITRAL_VALVE)
"""Calcium that is scored beside the coronary total and never in it."""


@dataclass(frozen=True, slots=True)
class SiteScore:
    """Scores of one artery, of all of them, or of a site outside them.

    A lesion is counted when it adds to the Agatston score: one below the rule's smallest size is in neither count nor
    volume nor mass.

    Parameters
    ----------
    site : str
        Title of the label, or ``total``.
    agatston : float
        Agatston score.
    volume_mm3 : float
        Volume score [mm3].
    mass_mg : float
        Mass score [mg of hydroxyapatite].
    lesions : int
        Number of lesions.
    largest_lesion_agatston, mean_lesion_agatston : float
        Over lesions, Qian 2010; 0 without lesions.
    largest_lesion_mm3, mean_lesion_mm3 : float
        Over lesions [mm3]; 0 without lesions.
    """

    site: str
    agatston: float = 0.0
    volume_mm3: float = 0.0
    mass_mg: float = 0.0
    lesions: int = 0
    largest_lesion_agatston: float = 0.0
    mean_lesion_agatston: float = 0.0
    largest_lesion_mm3: float = 0.0
    mean_lesion_mm3: float = 0.0


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """Everything said about the calcium of a scan.

    Parameters
    ----------
    rule : AgatstonRule
        How the Agatston score was computed.
    calibration : MassCalibration
        How the mass was.
    total : SiteScore
        All coronary arteries.
    arteries, elsewhere : tuple of SiteScore
        LM, LAD, LCX, RCA; then aorta and valves, which are not in the total.
    vessels : int
        Coronary arteries with calcium.
    category : str
        Risk category of the total.
    scheme : RiskScheme
        Scheme it belongs to.
    contributions : tuple of Contribution
        What adds up to every Agatston score above.
    """

    rule: AgatstonRule
    calibration: MassCalibration
    total: SiteScore
    arteries: tuple[SiteScore, ...]
    elsewhere: tuple[SiteScore, ...]
    vessels: int
    category: str
    scheme: RiskScheme
    contributions: tuple[Contribution, ...]


def summarise(
    calcium: Calcium, rule: AgatstonRule, calibration: MassCalibration, scheme: RiskScheme = SCHEMES[0]
) -> ScoreSummary:
    """Compute every score of the calcium of a scan.

    Parameters
    ----------
    calcium : Calcium
        What was decided.
    rule : AgatstonRule
        Which Agatston.
    calibration : MassCalibration
        Which mass factor.
    scheme : RiskScheme
        Which categories.
    """
    contributions = agatston(calcium, rule)
    coronary = _site("total", ARTERIES, calcium, contributions, rule, calibration)
    arteries, elsewhere = (
        tuple(_site(label.title, (label,), calcium, contributions, rule, calibration) for label in labels)
        for labels in (ARTERIES, OUTSIDE_CORONARIES)
    )
    return ScoreSummary(
        rule=rule,
        calibration=calibration,
        total=coronary,
        arteries=arteries,
        elsewhere=elsewhere,
        vessels=sum(a.lesions > 0 for a in arteries),
        category=scheme.title(coronary.agatston),
        scheme=scheme,
        contributions=contributions,
    )


def _site(
    name: str,
    labels: tuple[Label, ...],
    calcium: Calcium,
    contributions: tuple[Contribution, ...],
    rule: AgatstonRule,
    calibration: MassCalibration,
) -> SiteScore:
    own = tuple(c for c in contributions if c.label in labels)
    lesions = np.unique([c.lesion for c in own]).astype(np.intp)
    if len(lesions) == 0:
        return SiteScore(name)
    here = calcium.of(labels).in_lesions(lesions)
    volumes = lesion_volumes_mm3(here, lesions)
    masses = calibration.mass_mg(volumes, lesion_mean_hu(here, lesions))
    scores = np.bincount(np.searchsorted(lesions, [c.lesion for c in own]), weights=[c.score for c in own])
    return SiteScore(
        site=name,
        agatston=total(own, rule),
        volume_mm3=float(volumes.sum()),
        mass_mg=float(masses.sum()),
        lesions=len(lesions),
        largest_lesion_agatston=float(scores.max()),
        mean_lesion_agatston=float(scores.mean()),
        largest_lesion_mm3=float(volumes.max()),
        mean_lesion_mm3=float(volumes.mean()),
    )
