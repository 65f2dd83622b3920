"""What features are worth: an ensemble trained without some, with some alone, or asked with some made meaningless."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from calcscore_features import FAMILIES, registry
from calcscore_ml.anatomy import Label
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

THIN = 10
"""Of lesions that are no calcium, one in so many is asked about with permuted features; our choice, for time."""

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
    found = judged(decided(bundle, recipe, tested), recipe, tested)
    row: dict[str, object] = {"recipe": recipe.name, "set": chosen.name, "features": len(chosen.features)}
    for metric in METRICS:
        interval = found[metric]
        row |= {metric: interval.value, f"{metric}.low": interval.low, f"{metric}.high": interval.high}
    return row


def importance(
    recipe: Recipe,
    learned: LesionTable,
    tested: LesionTable,
    *,
    repeats: int = REPEATS,
    thin: int = THIN,
    workers: int = 1,
) -> pd.DataFrame:
    """Measure what is lost when groups of features that correlate are permuted together over the test lesions.

    Parameters
    ----------
    recipe : Recipe
        What is trained.
    learned, tested : LesionTable
        To train on, and to ask about.
    repeats : int
        Permutations of each group.
    thin : int
        Of the lesions that are not calcium, one in so many is asked about and stands for as many: 1 asks about all.
    workers : int
        Groups at a time.

    Returns
    -------
    DataFrame
        A row per group, what matters most first: `group`, `lost` (mean loss of F1), `sd` (over the permutations).
    """
    names = recipe.features.names()
    bundle = trained_with(names, recipe, learned)
    part, stands_for = thinned(tested, thin, np.random.default_rng(recipe.model.seed))
    whole = _f1(bundle, recipe, part, stands_for)

    def lost(group: Sequence[str]) -> list[float]:
        rng = np.random.default_rng(recipe.model.seed)
        return [
            whole - _f1(bundle, recipe, permuted(part, group, rng, tested.features), stands_for) for _ in range(repeats)
        ]

    groups = correlated_groups(learned.features[list(names)])
    found = Parallel(n_jobs=workers)(delayed(lost)(group) for group in groups)
    rows = [
        {"group": ", ".join(g), "lost": float(np.mean(v)), "sd": float(np.std(v))}
        for g, v in zip(groups, found, strict=True)
    ]
    return pd.DataFrame(rows).sort_values("lost", ascending=False, kind="stable")


def thinned(tested: LesionTable, thin: int, rng: np.random.Generator) -> tuple[LesionTable, NDArray[np.intp]]:
    """Keep all calcium and one in `thin` of the other lesions; return how many lesions each kept one stands for."""
    kept = (tested.truth != Label.OTHER) | (rng.permutation(len(tested.truth)) % thin == 0)
    part = tested.rows(kept)
    return part, np.where(part.truth != Label.OTHER, 1, thin).astype(np.intp)


def _f1(bundle: Bundle, recipe: Recipe, part: LesionTable, stands_for: NDArray[np.intp]) -> float:
    """F1 of a table whose lesions each stand for several."""
    labels, lesions = decided(bundle, recipe, part), np.repeat(np.arange(len(stands_for)), stands_for)
    whole = replace(part, features=part.features[["volume_mm3"]]).rows(lesions)
    return judged(labels[lesions], recipe, whole, resamples=2)["lesion.f1"].value


def origin(recipe: Recipe, learned: LesionTable, tested: LesionTable) -> str:
    """Return a mark of what an ablation is of: the recipe and both tables."""
    text = recipe.model_dump_json() + learned.fingerprint() + tested.fingerprint()
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def trained_with(features: Sequence[str], recipe: Recipe, learned: LesionTable) -> Bundle:
    """Train a recipe's ensemble on some of its features."""
    part = recipe.features.model_copy(update={"only": tuple(features)})
    return train(learned, recipe.model_copy(update={"features": part}), trained_on="an ablation")


def decided(bundle: Bundle, recipe: Recipe, tested: LesionTable) -> NDArray[np.intp]:
    """Return the label a model gives each lesion, (n,), before any expert."""
    return decide(predict(bundle, tested.features)[0], recipe.decision.coronary_threshold)


def judged(labels: NDArray[np.intp], recipe: Recipe, tested: LesionTable, *, resamples: int = 1000) -> Evaluation:
    """Evaluate the labels given to a table's lesions; lesions that are no candidate are not counted."""
    lesions = pd.DataFrame(
        {
            "scan_id": tested.scan_id,
            "truth": tested.truth,
            "predicted": labels,
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


def permuted(
    tested: LesionTable, features: Sequence[str], rng: np.random.Generator, donors: pd.DataFrame | None = None
) -> LesionTable:
    """Give each lesion the values another lesion has in some features, the same lesion's in all of them.

    The values are those of the table's own lesions, or of as many of the `donors`, each used once.
    """
    given = tested.features if donors is None else donors
    order = rng.permutation(len(given))[: len(tested.features)]
    mixed = tested.features.copy()
    mixed[list(features)] = given[list(features)].to_numpy()[order]
    return replace(tested, features=mixed)
