"""Choosing among recipes by the patients trained on alone, and what such a choice is worth on patients it never saw.

Cross-validation chooses; because the best of many is best by luck too, its own figure is too good. So the choice itself
is cross-validated: each fold of patients in turn is set aside, the choice is made among the others, and what was chosen
is asked about the fold. A model that left out two folds judges either for the choice made without the other, so n folds
take n (n + 1) / 2 trainings of each recipe.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from calcscore_ml.ablation import judged
from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.summary import Evaluation
from calcscore_ml.files import write_beside
from calcscore_ml.models.bundle import predict
from calcscore_ml.models.folds import deal_folds
from calcscore_ml.recipe import Recipe
from calcscore_ml.recipe_grid import Variant
from calcscore_ml.referral.decision import decide
from calcscore_ml.training import LesionTable, train

FOLDS = 5
"""Folds of patients; our choice."""

METRIC = "lesion.f1"
"""What is made as large as can be."""


@dataclass(frozen=True, slots=True, eq=False)
class Nested:
    """A choice among variants and what it is worth.

    Parameters
    ----------
    variants : tuple of Variant
        What was tried.
    metric : str
        What was made as large as can be.
    left_out : tuple of Evaluation
        Of each variant, its models asked about patients they never saw. The best of them is flattered by the choice.
    chosen : int
        The variant with the highest metric; among equals the first.
    chosen_without : tuple of int
        The variant chosen without each fold.
    worth : Evaluation
        What choosing so is worth: every patient judged by a model and a choice that never saw them.
    """

    variants: tuple[Variant, ...]
    metric: str
    left_out: tuple[Evaluation, ...]
    chosen: int
    chosen_without: tuple[int, ...]
    worth: Evaluation


def nested(
    variants: Sequence[Variant],
    table: LesionTable,
    *,
    folds: int = FOLDS,
    metric: str = METRIC,
    seed: int = 0,
    workers: int = 1,
    kept: Path | None = None,
    on_model: Callable[[], None] = lambda: None,
) -> Nested:
    """Choose a variant by cross-validation over patients, and cross-validate the choice.

    Parameters
    ----------
    variants : sequence of Variant
        Recipes to choose among, the simplest first.
    table : LesionTable
        Lesions of the patients to train on, with the features of all variants (`recipe_grid.widest`).
    folds : int
        Folds of patients, 3 or more.
    metric : str
        Of `calcscore_ml.evaluation.summary.evaluate`, larger is better; undefined counts as nothing.
    seed : int
        Of the order in which patients are dealt.
    workers : int
        Models trained at a time.
    kept : Path or None
        Folder where what each model said is kept, so that an interrupted run goes on where it was.
    on_model : callable
        Called for each model.

    Raises
    ------
    ResultError
        When there are fewer patients than folds, fewer than three folds, or no such metric.
    """
    patients = np.unique(table.patient_id, return_inverse=True)[1].astype(np.intp)
    if not 3 <= folds <= patients.max() + 1:
        raise ResultError(f"a choice is checked in 3 folds or more, a patient each at least, got {folds} folds")
    recipes = [v.recipe for v in variants]
    known = [r.name for r in judged(np.zeros_like(patients), recipes[0], table, resamples=2).results]
    if metric not in known:
        raise ResultError(f"a metric must be one of {', '.join(known)}, got {metric!r}")
    positive = recipes[0].model.learnt(table.truth) > 0
    fold = deal_folds(positive.astype(np.intp), patients, folds, np.random.default_rng(seed))
    # Variants that only decide otherwise share their models.
    model = [next(i for i, r in enumerate(recipes) if _learns_as(r) == _learns_as(recipe)) for recipe in recipes]
    away = [*combinations(range(folds), 1), *combinations(range(folds), 2)]
    tasks = [(m, out) for out in away for m in sorted(set(model))]
    mark = table.fingerprint()

    def file(recipe: Recipe, out: NDArray[np.bool_]) -> Path | None:
        """Where what a model says is kept: by all that its answers depend on."""
        text = f"{_learns_as(recipe)} {mark}"
        return None if kept is None else kept / f"{hashlib.sha256(text.encode() + out.tobytes()).hexdigest()[:16]}.npy"

    outs = {out: np.isin(fold, out) for out in away}
    work = (delayed(_asked)(recipes[m], table, outs[out], file(recipes[m], outs[out])) for m, out in tasks)
    said = {}
    for task, probabilities in zip(tasks, Parallel(n_jobs=workers, return_as="generator")(work), strict=True):
        said[task] = probabilities
        on_model()

    def labels(v: int, without: Collection[int] = ()) -> NDArray[np.intp]:
        """Labels by models of a variant that saw neither the lesion's fold nor those it is without."""
        answers = np.zeros((len(fold), len(Label)))
        for f in range(folds):
            answers[fold == f] = said[model[v], tuple(sorted({f, *without}))][fold == f]
        return decide(answers, recipes[v].decision.coronary_threshold)

    left_out = tuple(judged(labels(v), recipe, table) for v, recipe in enumerate(recipes))
    chosen_without = []
    for k in range(folds):
        others = table.rows(fold != k)
        among = [judged(labels(v, {k})[fold != k], r, others, resamples=2) for v, r in enumerate(recipes)]
        chosen_without.append(_best(among, metric))
    answers = np.choose(fold, [labels(v) for v in chosen_without])
    return Nested(
        variants=tuple(variants),
        metric=metric,
        left_out=left_out,
        chosen=_best(left_out, metric),
        chosen_without=tuple(chosen_without),
        worth=judged(answers, recipes[0], table),
    )


def _best(found: Sequence[Evaluation], metric: str) -> int:
    """Where the metric is highest; undefined is lowest, and the first wins among equals."""
    return int(np.argmax(np.nan_to_num([e[metric].value for e in found], nan=-np.inf)))


def _learns_as(recipe: Recipe) -> str:
    """What a recipe's model depends on beside its table."""
    return recipe.model_dump_json(include={"features", "model"})


def _asked(recipe: Recipe, table: LesionTable, out: NDArray[np.bool_], file: Path | None) -> NDArray[np.float64]:
    """Train on all rows but those left out and ask about these: (n, 8), zero where the model was trained on."""
    if file is not None and file.is_file():
        return np.asarray(np.load(file, allow_pickle=False))
    bundle = train(table.rows(~out), recipe, trained_on="a part of the patients")
    answers = np.zeros((len(out), len(Label)))
    answers[out] = predict(bundle, table.features[out])[0]
    if file is not None:
        with write_beside(file, overwrite=True) as beside, beside.open("wb") as stream:
            np.save(stream, answers)
    return answers
