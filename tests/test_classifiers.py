"""Laws that every classifier a recipe can name keeps."""

from typing import get_args

import numpy as np
import pytest
from made_lesions import FAST, GOOD, lesions, made
from sklearn.metrics import log_loss

from calcscore_ml.errors import ModelError
from calcscore_ml.models import CLASSIFIERS, ClassifierName, fit_estimator, judge, make_estimator

ALL = pytest.mark.parametrize("name", [name for name, _ in CLASSIFIERS])
LEARNERS = [name for name, _ in CLASSIFIERS if name != "rules"]


@pytest.fixture(scope="module", params=LEARNERS)
def fitted(request):
    """A pipeline fitted to 4,000 lesions."""
    return fit_estimator(made(request.param), *lesions(4000, seed=0))


@pytest.fixture(scope="module")
def rules():
    """The one classifier that does not learn."""
    return fit_estimator(made("rules"), *lesions(400, seed=0))


def test_every_classifier_is_tried():
    """Each that a recipe can name has parameters here, and so obeys what follows."""
    assert set(GOOD) == set(FAST) == {name for name, _ in CLASSIFIERS} == set(get_args(ClassifierName))


def test_new_patients_are_classified_and_probabilities_are_true(fitted):
    """On unseen patients most arteries are named right, and as many lesions are found as the probabilities say."""
    X, y, _ = lesions(20_000, seed=4)
    probabilities = fitted.predict_proba(X)
    right = probabilities.argmax(axis=1) == y
    assert right[y == 0].mean() > 0.985
    assert right[y > 0].mean() > 0.7
    coronary, truth = 1 - probabilities[:, 0], y > 0
    assert coronary.sum() == pytest.approx(truth.sum(), rel=0.15)
    guess = np.bincount(y) / len(y)
    assert log_loss(y, probabilities) < 0.35 * log_loss(y, np.tile(guess, (len(y), 1)))
    middle = (coronary > 0.3) & (coronary < 0.7)
    assert truth[middle].mean() == pytest.approx(coronary[middle].mean(), abs=0.2)


def test_probabilities_are_coherent(fitted):
    """Probabilities and those of every member sum to 1, and the label is the most probable one."""
    X = lesions(500, seed=5)[0]
    probabilities, members = judge(fitted, X)
    assert (probabilities == fitted.predict_proba(X)).all()
    assert members.shape == (fitted[-1].n_members, 500, 4)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert members.sum(axis=2) == pytest.approx(1)
    assert (fitted.predict(X) == fitted.classes_[probabilities.argmax(axis=1)]).all()


def test_members_differ_more_where_the_ensemble_is_less_sure(fitted):
    """Members spread more on rows in doubt than on sure ones, and centre on their ensemble."""
    probabilities, members = judge(fitted, lesions(3000, seed=6)[0])
    doubtful = probabilities.max(axis=1) < 0.7
    spread = members.std(axis=0).mean(axis=1)
    assert doubtful.sum() > 20
    assert spread[doubtful].mean() > 3 * spread[~doubtful].mean()
    assert np.abs(members.mean(axis=0) - probabilities).mean() < 0.02


def test_lesions_are_judged_one_by_one(fitted):
    """A lesion's probabilities do not depend on its scan's other lesions, nor on their order."""
    X = lesions(300, seed=7)[0]
    order = np.random.default_rng(0).permutation(300)
    whole = fitted.predict_proba(X)
    assert fitted.predict_proba(X[order]) == pytest.approx(whole[order], abs=1e-9)
    assert np.vstack([fitted.predict_proba(X[i : i + 1]) for i in range(20)]) == pytest.approx(whole[:20], abs=1e-9)


@ALL
def test_the_same_seed_gives_the_same_model(name):
    """Two fits with one seed agree in every digit; another seed gives another model, unless nothing is random."""
    X, y, patient = lesions(800, seed=8)
    first, again, other = (fit_estimator(made(name, FAST, seed), X, y, patient) for seed in (1, 1, 2))
    assert (first.predict_proba(X) == again.predict_proba(X)).all()
    assert (first.predict_proba(X) == other.predict_proba(X)).all() == (name == "rules")


@ALL
def test_missing_features_are_filled(name):
    """A lesion without any defined feature gets an answer, and a feature that is never defined does no harm."""
    X, y, patient = lesions(600, seed=9)
    X[:, 4] = np.nan
    model = fit_estimator(made(name, FAST), X, y, patient)
    assert model.predict_proba(np.full((1, 30), np.nan)).sum() == pytest.approx(1)


@ALL
def test_a_label_with_one_lesion_is_no_obstacle(name):
    """A label seen once in training is learnt as far as one lesion teaches."""
    X, y, patient = lesions(500, seed=10)
    y[np.flatnonzero(y == 0)[0]] = 7
    model = fit_estimator(made(name, FAST), X, y, patient)
    assert model.classes_.tolist() == [0, 1, 2, 3, 7]
    assert model.predict_proba(X).sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("forest", {}, "sequential_knn"),
        ("bagged_svm", {"depth": 3}, "rows_per_member"),
    ],
)
def test_unknown_names_are_refused(name, parameters, said):
    """A classifier or parameter that does not exist is an error that names those that do."""
    with pytest.raises(ModelError, match=said):
        make_estimator(name, parameters)
