"""From decided calcium to Agatston, volume and mass."""

from calcscore_ml.scores.agatston import Contribution, agatston
from calcscore_ml.scores.calcium import Calcium, from_candidates, from_label_volume
from calcscore_ml.scores.mass import MassCalibration, find_calibration, rod_calibration
from calcscore_ml.scores.risk import SCHEMES, RiskScheme, find_scheme
from calcscore_ml.scores.rules import DEFAULT_RULE, RULES, AgatstonRule, find_rule
from calcscore_ml.scores.summary import ScoreSummary, SiteScore, summarise

__all__ = [
    "DEFAULT_RULE",
    "RULES",
    "SCHEMES",
    "AgatstonRule",
    "Calcium",
    "Contribution",
    "MassCalibration",
    "RiskScheme",
    "ScoreSummary",
    "SiteScore",
    "agatston",
    "find_calibration",
    "find_rule",
    "find_scheme",
    "from_candidates",
    "from_label_volume",
    "rod_calibration",
    "summarise",
]
