"""Recipes: everything a user chooses, in one checked file.

A recipe is a TOML file in ``configs/``. Unknown keys, wrong types and values out of range are errors that name the key.
What a recipe does not say has the default given here, and the whole recipe is stored with every model and result.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from calcscore_features import FAMILIES, Settings, registry
from calcscore_ml.anatomy import Label, keep_labels, merge_left_main
from calcscore_ml.candidates import THRESHOLD_HU, threshold_for_kvp
from calcscore_ml.configs import Section, builtin_file, check, read_toml
from calcscore_ml.models import ClassifierName, choose_names, make_estimator
from calcscore_ml.referral.decision import CORONARY_THRESHOLD
from calcscore_ml.referral.policy import ReferralPolicy
from calcscore_ml.scores.risk import find_scheme
from calcscore_ml.scores.rules import DEFAULT_RULE, AgatstonRule, find_rule

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
AtLeast0 = Annotated[float, Field(ge=0)]
Target = Literal["LAD", "LCX", "RCA", "LM", "AORTA", "AORTIC_VALVE", "MITRAL_VALVE"]

TARGETS: tuple[Target, ...] = get_args(Target)
"""Names of the labels that can be told apart: all of `Label` but "other"."""


class CandidateSection(Section):
    """Which voxels become candidates; see `calcscore_ml.candidates.find_candidates`."""

    threshold_hu: Positive | Literal["by kvp"] = float(THRESHOLD_HU)
    connectivity: Literal[6, 18, 26] = 26
    min_volume_mm3: AtLeast0 = 1.5
    max_volume_mm3: Positive = 5000.0
    split_at_aorta: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_volume_mm3 > self.max_volume_mm3:
            raise ValueError("min_volume_mm3 must not be above max_volume_mm3")
        return self

    def threshold_for(self, kvp: float | None) -> float:
        """Return the threshold for a scan of this tube voltage [kV -> HU]."""
        return threshold_for_kvp(kvp) if self.threshold_hu == "by kvp" else float(self.threshold_hu)


class FeatureSection(Section):
    """Which features describe a candidate; see `calcscore_features.Settings`.

    `families` are computed, and of these `only` those are learnt from that it names; empty: all.
    """

    families: tuple[str, ...] = FAMILIES
    only: tuple[str, ...] = ()
    glcm_bin_width_hu: Positive = Settings().glcm_bin_width_hu
    gaussian_scales_mm: tuple[Positive, ...] = Settings().gaussian_scales_mm
    shell_mm: Positive = Settings().shell_mm
    crowd_mm: tuple[Positive, ...] = Settings().crowd_mm

    @field_validator("families")
    @classmethod
    def _known(cls, families: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [f for f in families if f not in FAMILIES]
        if unknown or not families:
            raise ValueError(f"families must be some of {', '.join(FAMILIES)}; got {', '.join(unknown) or 'none'}")
        return tuple(f for f in FAMILIES if f in families)

    @model_validator(mode="after")
    def _found(self) -> Self:
        self.names()
        return self

    def names(self) -> tuple[str, ...]:
        """Return the features a model learns from, in the catalogue's order."""
        known = [f.name for f in registry(self.settings(THRESHOLD_HU)) if f.family in self.families]
        return choose_names(known, self.only) if self.only else tuple(known)

    def needed(self, more: Collection[str] = ()) -> FeatureSection:
        """Return the section with just the families that the model's features belong to, and `more` families."""
        chosen = set(self.names())
        used = {f.family for f in registry(self.settings(THRESHOLD_HU)) if f.name in chosen} | set(more)
        return self.model_copy(update={"families": tuple(f for f in self.families if f in used)})

    @property
    def needs_place(self) -> bool:
        """Whether any feature asks where a lesion lies relative to organs and arteries."""
        return bool({"atlas", "arteries"} & set(self.families))

    def settings(self, threshold_hu: float) -> Settings:
        """Return the feature settings for a scan whose candidates begin at a threshold [HU]."""
        return Settings(
            threshold_hu=threshold_hu,
            glcm_bin_width_hu=self.glcm_bin_width_hu,
            gaussian_scales_mm=self.gaussian_scales_mm,
            shell_mm=self.shell_mm,
            crowd_mm=self.crowd_mm,
        )


class LocationSection(Section):
    """How heart, aorta and arteries are found; see `calcscore_ml.heart.locate.locate`.

    `atlases` is ``"default"`` for those that come with the package, a folder of others, or empty for none: the heart
    box comes from classified slices then, and atlas and artery features are NaN.

    A location is wrong by some millimetres. `learnt_error_mm` is the standard deviation along each axis of a random
    displacement of each scan's location that the model learns with; the probabilities of a scored scan are means over
    its location and six displacements of it, by `scored_error_mm` each way along each axis. 0: none.
    """

    atlases: str = "default"
    learnt_error_mm: AtLeast0 = 0.0
    scored_error_mm: AtLeast0 = 0.0


class ModelSection(Section):
    """Which ensemble decides, its parameters, and the labels it learns to tell apart.

    A label that is none of the `targets` is "other" to it; `left_main_as` ``"LAD"`` counts the left main as LAD, as
    orCaScore does: in the labels learnt from, in the maps that may name the artery, and in evaluation.
    """

    estimator: ClassifierName = "sequential_knn"
    seed: Annotated[int, Field(ge=0)] = 0
    parameters: dict[str, Any] = Field(default_factory=dict)
    targets: Annotated[tuple[Target, ...], Field(min_length=1)] = TARGETS
    left_main_as: Literal["LM", "LAD"] = "LM"

    def learnt(self, truth: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the labels that the ensemble learns for lesions of these true ones, (n,) of `Label` numbers."""
        merged = merge_left_main(truth) if self.left_main_as == "LAD" else truth
        return np.asarray(keep_labels(merged, [Label[name] for name in self.targets]), dtype=np.intp)


class DecisionSection(Section):
    """What counts before an expert has spoken; see `calcscore_ml.referral.decision`.

    `artery_by` says who names the artery of a coronary lesion: the ensemble, or the atlases' maps alone.
    """

    coronary_threshold: Share = CORONARY_THRESHOLD
    artery_by: Literal["ensemble", "map"] = "ensemble"


class ScoreSection(Section):
    """How decided calcium becomes scores."""

    rule: str = DEFAULT_RULE
    risk: str = "standard"
    mass_factor_mg_per_ml_hu: Positive | None = None

    @field_validator("rule")
    @classmethod
    def _rule(cls, name: str) -> str:
        return find_rule(name).name

    @field_validator("risk")
    @classmethod
    def _risk(cls, name: str) -> str:
        return find_scheme(name).name


class Recipe(Section):
    """A whole recipe.

    Parameters
    ----------
    name : str
        Short name, stored with models and results.
    description : str
        What it is for.
    candidates, location, features, model, decision, referral, scores
        Sections; see the classes of this module and `calcscore_ml.referral.policy.ReferralPolicy`.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    description: str = ""
    candidates: CandidateSection = CandidateSection()
    location: LocationSection = LocationSection()
    features: FeatureSection = FeatureSection()
    model: ModelSection = ModelSection()
    decision: DecisionSection = DecisionSection()
    referral: ReferralPolicy = ReferralPolicy()
    scores: ScoreSection = ScoreSection()

    @model_validator(mode="after")
    def _maps_are_there(self) -> Self:
        if self.decision.artery_by == "map" and "arteries" not in self.features.families:
            raise ValueError('decision.artery_by = "map" needs the family arteries in features.families')
        return self

    @model_validator(mode="after")
    def _classifier_is_there(self) -> Self:
        make_estimator(self.model.estimator, self.model.parameters, self.model.seed, self.features.names())
        return self

    def for_scoring(self) -> Recipe:
        """Return the recipe with just the families of features that its model and decision ask for."""
        maps = {"arteries"} if self.decision.artery_by == "map" else set()
        return self.model_copy(update={"features": self.features.needed(maps)})

    def rule_for(self, kvp: float | None) -> AgatstonRule:
        """Return the Agatston rule, its weights adapted where the threshold is by tube voltage [kV]."""
        rule = find_rule(self.scores.rule)
        return rule.for_kvp(kvp) if self.candidates.threshold_hu == "by kvp" else rule


def read_recipe(path: Path | str) -> Recipe:
    """Read and check a recipe.

    Parameters
    ----------
    path : path
        A TOML file.

    Raises
    ------
    RecipeError
        When the file is missing, is not TOML, or breaks a rule; the message names the key.
    """
    return parse_recipe(read_toml(path, "a recipe"), str(path))


def parse_recipe(content: dict[str, Any], where: str) -> Recipe:
    """Check a recipe given as nested dictionaries; `where` is named in errors."""
    return check(Recipe, content, "a recipe", where)


def builtin_recipe(name: str = "default") -> Path:
    """Return the path of a recipe that comes with the package.

    Raises
    ------
    RecipeError
        When there is none of that name; the names are listed.
    """
    return builtin_file(name, "recipe")
