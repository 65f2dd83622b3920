"""The Agatston score as it is really computed: named rules, each with its source.

Programs agree on the idea and differ in what a lesion is, how small it may be, whose peak decides its weight and what
is done when slices are not 3 mm apart. Each difference is a field here, so that two programs can be compared line by
line. Every rule sees the same voxels, those at or above the candidate threshold: a program with a lower threshold of
its own is compared on these too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from calcscore_ml.candidates import threshold_for_kvp
from calcscore_ml.components import Connectivity
from calcscore_ml.errors import RecipeError

AGATSTON_SPACING_MM = 3.0
"""Distance between slices the score was defined on: contiguous 3 mm electron-beam slices [mm]."""

WEIGHT_EDGES_HU = (130.0, 200.0, 300.0, 400.0)
"""A peak at or above edge k has density weight k + 1 [HU]."""

KVP_WEIGHT_EDGES_HU: dict[int, tuple[float, float, float, float]] = {
    70: (207.0, 318.0, 477.0, 636.0),
    80: (177.0, 271.0, 408.0, 544.0),
    100: (145.0, 222.0, 334.0, 446.0),
    120: WEIGHT_EDGES_HU,
    135: (119.0, 183.0, 274.0, 364.0),
}
"""Edges by tube voltage [kV -> HU], as coded in CalciumScoring.jl 0.5 after Grani 2018 (EHJ-CVI 19:1362)."""

Spacing = Literal["increment/3", "thickness/3", "increment/thickness", "none"]


@dataclass(frozen=True, slots=True)
class AgatstonRule:
    """One way to compute the Agatston score.

    Parameters
    ----------
    name : str
        What ``--rule`` takes.
    source : str
        Where it was read, and what of it is our reading.
    connectivity : {4, 8, 6, 18, 26}
        4 and 8: a lesion is a component in one slice. 6, 18 and 26: a lesion is a component in space.
    min_area_mm2, min_pixels, min_volume_mm3 : float
        Smallest lesion that counts; the area and pixels are those of the component the connectivity names.
    exclusive : bool
        Whether a lesion of exactly the smallest size is left out.
    peak : {'slice', 'lesion'}
        Whether the weight comes from the highest value of the lesion in the slice or in all its slices.
    weight_edges_hu : (4,) tuple of float
        See `WEIGHT_EDGES_HU` [HU].
    spacing : {'increment/3', 'thickness/3', 'increment/thickness', 'none'}
        Correction for the distance between slices.
    rounding : {'none', 'integer per lesion', 'thousandth'}
        What is rounded, if anything.
    """

    name: str
    source: str
    connectivity: Connectivity = 8
    min_area_mm2: float = 0.0
    min_pixels: int = 0
    min_volume_mm3: float = 0.0
    exclusive: bool = False
    peak: Literal["slice", "lesion"] = "slice"
    weight_edges_hu: tuple[float, float, float, float] = WEIGHT_EDGES_HU
    spacing: Spacing = "increment/3"
    rounding: Literal["none", "integer per lesion", "thousandth"] = "none"

    def for_kvp(self, kvp: float | None) -> AgatstonRule:
        """Return the rule with its edges adapted to a tube voltage [kV]."""
        threshold_for_kvp(kvp)  # refuses a voltage the tables do not have
        return replace(self, weight_edges_hu=KVP_WEIGHT_EDGES_HU[round(float(kvp or 0))])

    def spacing_factor(self, increment_mm: float, thickness_mm: float | None) -> float:
        """Return what every slice's area times weight is multiplied by.

        Parameters
        ----------
        increment_mm : float
            Distance between slice positions [mm].
        thickness_mm : float or None
            Nominal slice width [mm].

        Raises
        ------
        RecipeError
            When the rule needs a thickness and the scan has none.

        >>> AgatstonRule("ours", "").spacing_factor(1.5, 3.0)
        0.5
        """
        if self.spacing == "none":
            return 1.0
        if self.spacing == "increment/3":
            return increment_mm / AGATSTON_SPACING_MM
        if thickness_mm is None:
            raise RecipeError(
                f"rule {self.name!r} uses the slice thickness, and the scan does not say it; choose another"
            )
        return thickness_mm / AGATSTON_SPACING_MM if self.spacing == "thickness/3" else increment_mm / thickness_mm


_FQM = "FQM CACscore as read in van Praagh 2021 (4-connected in the slice, increment/3)"
_VONDER = "Vonder 2018, Table 1 (minimum size only; connectivity and spacing are ours)"

DEFAULT_RULE = "agatston"
"""Name of the rule used unless a recipe says otherwise."""

RULES: tuple[AgatstonRule, ...] = (
    AgatstonRule(
        "agatston",
        "Weights and per-slice peak: Agatston 1990 as restated by its reviews. At least 1 mm2, 8-connected and"
        " increment/3 are our choice: 1 mm2 is not standardised, and the original connectivity is not published",
        min_area_mm2=1.0,
    ),
    AgatstonRule(
        "umcu",
        "qurAI-amsterdam/calcium-scoring, scores.py, read 2022-12 version",
        connectivity=26,
        min_volume_mm3=1.5,
    ),
    AgatstonRule(
        "deepcac",
        "AIM-Harvard/DeepCAC, run_step4_cac_scoring.py, read 2021-06 version: more than 3 pixels",
        min_pixels=3,
        exclusive=True,
        rounding="thousandth",
    ),
    AgatstonRule(
        "ai-cac",
        "Raffi-Hagopian/AI-CAC, processing.py, read 2026-05 version: more than 1 voxel, peak of the whole lesion",
        connectivity=6,
        min_pixels=1,
        exclusive=True,
        peak="lesion",
        spacing="thickness/3",
        rounding="integer per lesion",
    ),
    AgatstonRule(
        "calciumscoring.jl",
        "MolloiLab/CalciumScoring.jl 0.5.1, agatston.jl, 120 kV: edges exclusive there (above 199 is 200 on whole HU)",
        min_area_mm2=1.0,
        spacing="none",
    ),
    AgatstonRule(
        "comp2comp",
        "StanfordMIMI/Comp2Comp, aortic_calcium.py, read 2026-01 version",
        connectivity=4,
        min_area_mm2=1.0,
        exclusive=True,
        spacing="none",
    ),
    AgatstonRule("ge", f"{_FQM}: at least 1 mm2, as GE and TeraRecon", connectivity=4, min_area_mm2=1.0),
    AgatstonRule("siemens", f"{_FQM}: no minimum", connectivity=4),
    AgatstonRule("philips", f"{_FQM}: at least 0.5 mm2", connectivity=4, min_area_mm2=0.5),
    AgatstonRule("canon", f"{_FQM}: at least 3 pixels", connectivity=4, min_pixels=3),
    AgatstonRule("framingham", f"{_VONDER}: at least 3 connected pixels", min_pixels=3),
    AgatstonRule("heinz-nixdorf", f"{_VONDER}: at least 4 pixels", min_pixels=4),
    AgatstonRule("cardia", f"{_VONDER}: at least 6 adjacent pixels", min_pixels=6),
    AgatstonRule("mesa-mdct", f"{_VONDER}: at least 4.6 mm3 in space", connectivity=26, min_volume_mm3=4.6),
    AgatstonRule(
        "fujioka",
        "Fujioka 2012: increment/thickness removes overlap only; minimum size as the default rule",
        min_area_mm2=1.0,
        spacing="increment/thickness",
    ),
    AgatstonRule(
        "uncorrected",
        "The default rule without a correction for slice spacing",
        min_area_mm2=1.0,
        spacing="none",
    ),
)
"""Every named rule, the default first."""


def find_rule(name: str) -> AgatstonRule:
    """Return the rule of that name.

    Raises
    ------
    RecipeError
        When there is none; the names are listed.

    >>> find_rule("umcu").connectivity
    26
    """
    for rule in RULES:
        if rule.name == name:
            return rule
    raise RecipeError(f"a rule must be one of {', '.join(r.name for r in RULES)}; got {name!r}")
