"""What features are worth: an ensemble trained without some, with some alone, or asked with some made meaningless."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from calcscore_features import FAMILIES, registry
from calcscore_ml.candidates import THRESHOLD_HU
from calcscore_ml.evaluation.summary import Evaluation, evaluate
from calcscore_ml.models.bundle import Bundle, predict
from calcscore_ml.recipe import Recipe
from calcscore_ml.referral.decision import decide
from calcscore_ml.training import LesionTable, train

ALIKE = 0.8
"""Features whose rank correlation is at least this, for all pairs of a group, are permuted together: one of them alone
would be made up for by the others. Our choice."""

REPEATS = 5
"""Times a group of features is permuted."""

METRICS = ("lesion.sensitivity", "lesion.ppv", "lesion.f1", "lesion_volume.f1")
"""What is told of each set of features."""


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """A set of features and the name of the question that it answers."""

    name: str
    features: tuple[str, ...]


def families_of(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """Return the features a recipe learns from, by family, in the catalogue's order."""
    learnt = set(recipe.features.names())
    known = [f for f in registry(recipe.features.settings(THRESHOLD_HU)) if f.name in learnt]
    names = {family: tuple(f.name for f in known if f.family == family) for family in FAMILIES}
    return {family: features for family, features in names.items() if features}


def feature_sets(groups: Mapping[str, Sequence[str]]) -> Iterator[FeatureSet]:
    """Yield all features, then without each group, then each group alone, then groups added one after the other.

    >>> [s.name for s in feature_sets({"size": ["a"], "shape": ["b"]})]
    ['all', 'without size', 'without shape', 'only size', 'only shape', 'size to shape']
    >>> [s.features for s in feature_sets({"size": ["a"], "shape": ["b"]})][1]
    ('b',)
    """
    names = list(groups)
    yield FeatureSet("all", tuple(f for n in names for f in groups[n]))
    for name in names:
        yield FeatureSet(f"without {name}", tuple(f for n in names if n != name for f in groups[n]))
    for name in names:
        yield FeatureSet(f"only {name}", tuple(groups[name]))
    for last in range(1, len(names)):
        features = tuple(f for n in names[: last + 1] for f in groups[n])
        yield FeatureSet(f"{names[0]} to {names[last]}", features)


def measured(chosen: FeatureSet, recipe: Recipe, learned: LesionTable, tested: LesionTable) -> dict[str, object]:
    """Train a recipe's ensemble on some of its features and evaluate it: a row for a table.

    Returns
    -------
    dict
        `recipe`, `set`, `features` (how many), and each of `METRICS` with ``.low`` and ``.high``.
    """
    bundle = trained_with(chosen.features, recipe, learned)
    found = judged(predict(bundle, tested.features)[0], recipe, tested)
    row: dict[str, object] = {"recipe": recipe.name, "set": chosen.name, "features": len(chosen.features)}
    for metric in METRICS:
        interval = found[metric]
        row |= {metric: interval.value, f"{metric}.low": interval.low, f"{metric}.high": interval.high}
    return row


def importance(recipe: Recipe, learned: LesionTable, tested: LesionTable, *, repeats: int = REPEATS) -> pd.DataFrame:
    """Measure what is lost when groups of features that correlate are permuted together over the test lesions.

    Returns
    -------
    DataFrame
        A row per group, what matters most first: `group`, `lost` (mean loss of F1), `sd` (over the permutations).
    """
    names = recipe.features.names()
    bundle = trained_with(names, recipe, learned)

    def f1(table: LesionTable) -> float:
        return judged(predict(bundle, table.features)[0], recipe, table, resamples=2)["lesion.f1"].value

    whole = f1(tested)
    rows = []
    for group in correlated_groups(learned.features[list(names)]):
        rng = np.random.default_rng(recipe.model.seed)
        lost = [whole - f1(permuted(tested, group, rng)) for _ in range(repeats)]
        rows.append({"group": ", ".join(group), "lost": float(np.mean(lost)), "sd": float(np.std(lost))})
    return pd.DataFrame(rows).sort_values("lost", ascending=False, kind="stable")


def trained_with(features: Sequence[str], recipe: Recipe, learned: LesionTable) -> Bundle:
    """Train a recipe's ensemble on some of its features."""
    part = recipe.features.model_copy(update={"only": tuple(features)})
    return train(learned, recipe.model_copy(update={"features": part}), trained_on="an ablation")


def judged(
    probabilities: NDArray[np.float64], recipe: Recipe, tested: LesionTable, *, resamples: int = 1000
) -> Evaluation:
    """Evaluate probabilities of a table's lesions, before any expert; lesions that are no candidate are not counted."""
    lesions = pd.DataFrame(
        {
            "scan_id": tested.scan_id,
            "truth": tested.truth,
            "predicted": decide(probabilities, recipe.decision.coronary_threshold),
            "volume_mm3": tested.features["volume_mm3"].to_numpy(),
        }
    )
    scans = pd.DataFrame({"scan_id": tested.scan_id, "patient_id": tested.patient_id}).drop_duplicates("scan_id")
    as_lad = recipe.model.left_main_as == "LAD"
    return evaluate(lesions, scans, left_main_as_lad=as_lad, n=resamples)


def correlated_groups(features: pd.DataFrame, alike: float = ALIKE) -> list[tuple[str, ...]]:
    """Group features whose ranks correlate, complete linkage; each feature is in one group, largest groups first.

    Parameters
    ----------
    features : DataFrame
        A row per lesion; NaN counts as the median.
    alike : float
        Least absolute rank correlation of any two features of a group.
    """
    values = features.fillna(features.median()).fillna(0.0).to_numpy()
    ranks = rankdata(values, axis=0)
    ranks = ranks - ranks.mean(axis=0)
    size = np.sqrt((ranks**2).sum(axis=0))
    correlation = ranks.T @ ranks / np.maximum(np.outer(size, size), 1e-12)
    if len(features.columns) < 2:
        return [tuple(features.columns)]
    away = np.clip(1 - np.abs(correlation), 0, 1)
    np.fill_diagonal(away, 0)
    group = fcluster(linkage(squareform(away, checks=False), "complete"), 1 - alike, "distance")
    names = np.array(features.columns, dtype=object)
    found = [tuple(names[group == g]) for g in np.unique(group)]
    return sorted(found, key=lambda g: (-len(g), g))


def permuted(tested: LesionTable, features: Sequence[str], rng: np.random.Generator) -> LesionTable:
    """Give each lesion the values another lesion has in some features, the same lesion's in all of them."""
    order: NDArray[np.intp] = rng.permutation(len(tested.features))
    mixed = tested.features.copy()
    mixed[list(features)] = tested.features[list(features)].to_numpy()[order]
    return replace(tested, features=mixed)
