"""Laws of the forward selection of features."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calcscore_ml.models.selection as module
from calcscore_ml.errors import ModelError
from calcscore_ml.models import ForwardSelection
from calcscore_ml.models.folds import deal_folds, draw_evenly


def rows(n, n_features, n_classes, seed, informative=3):
    """Rows of Gaussian classes that differ in the first features only, and patients of about ten rows."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    centre = np.zeros((n_classes, n_features))
    centre[:, :informative] = rng.normal(size=(n_classes, informative)) * 2
    return (centre[y] + rng.normal(size=(n, n_features))).astype(np.float32), y, rng.integers(0, max(2, n // 10), n)


def score_by_loops(X, y, groups, features, k, scoring):
    """Judge a set of features as its definition reads, one row at a time."""
    classes, counts = np.unique(y, return_counts=True)
    weight = {c: len(y) / (len(classes) * n) for c, n in zip(classes, counts, strict=True)}
    per_class = {c: [] for c in classes}
    for i in range(len(y)):
        distance = np.float32(0)
        for f in features:  # in the order of choice, in single precision, as the search adds them
            distance = distance + np.square(X[i, f] - X[:, f])
        allowed = np.flatnonzero((np.arange(len(y)) != i) & (groups != groups[i]))
        nearest = np.sort(distance[allowed])[: min(k, len(y) - 1)]
        voters = allowed[distance[allowed] <= nearest[-1]] if len(nearest) else allowed
        votes = {c: sum(weight[c] for j in voters if y[j] == c) + 1 / len(classes) for c in classes}
        share = {c: v / (sum(votes.values())) for c, v in votes.items()}
        if scoring == "log_loss":
            per_class[y[i]].append(np.log(share[y[i]]))
        else:
            per_class[y[i]].append(float(all(share[y[i]] > s for c, s in share.items() if c != y[i])))
    return np.mean([np.mean(v) for v in per_class.values()])


@pytest.mark.parametrize("scoring", ["log_loss", "balanced_accuracy"])
def test_selection_is_greedy_as_defined(scoring):
    """Each choice is the feature that a plain loop over rows finds best, and its score is the loop's."""
    X, y, groups = rows(60, 6, 3, seed=1)
    chosen = ForwardSelection(4, None, n_neighbors=5, scoring=scoring, tolerance=-1).fit(X, y, groups)
    so_far = []
    for feature, score in zip(chosen.order_, chosen.scores_, strict=True):
        trials = {f: score_by_loops(X, y, groups, [*so_far, f], 5, scoring) for f in range(6) if f not in so_far}
        assert score == pytest.approx(max(trials.values()), abs=1e-9)
        assert trials[feature] == pytest.approx(score, abs=1e-9)
        so_far.append(feature)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 20))
def test_the_shortlist_changes_nothing(seed, k):
    """Looking at the nearest rows first gives exactly the votes of looking at all rows."""
    X, y, groups = rows(400, 5, 3, seed)
    fast = ForwardSelection(5, None, n_neighbors=k, tolerance=-1).fit(X, y, groups)
    shortlist, module.SHORTLIST = module.SHORTLIST, 10**6
    try:
        full = ForwardSelection(5, None, n_neighbors=k, tolerance=-1).fit(X, y, groups)
    finally:
        module.SHORTLIST = shortlist
    assert fast.order_.tolist() == full.order_.tolist()
    assert fast.scores_.tolist() == full.scores_.tolist()


def test_informative_features_come_first():
    """Of three features that tell the classes apart and seventeen of noise, the three are chosen first."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 8, 800)
    X = rng.normal(size=(800, 20))
    X[:, :3] += 4 * ((y[:, None] >> np.arange(3)) & 1)  # eight classes at the corners of a cube
    assert set(ForwardSelection(3, None).fit(X, y).order_) == {0, 1, 2}


def test_features_of_the_patient_are_not_taken_for_features_of_the_lesion():
    """With groups, a feature that only names the patient is no use, though it finds its neighbours perfectly."""
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(40), 10)
    y = (patient % 2).astype(int)  # all lesions of a patient have one label
    X = np.column_stack([patient * 1.0 % 37, y + rng.normal(size=400)])
    assert ForwardSelection(1, None).fit(X, y).order_.tolist() == [0]
    assert ForwardSelection(1, None).fit(X, y, patient).order_.tolist() == [1]


def test_selection_stops_when_nothing_is_gained():
    """A feature that repeats a chosen one gains nothing and is not chosen."""
    X, y, _ = rows(300, 1, 2, seed=5, informative=1)
    repeated = ForwardSelection(5, None, tolerance=1e-6).fit(np.repeat(X, 5, axis=1), y)
    assert len(repeated.order_) == 1


def test_relevance_sees_classes_in_the_middle():
    """A class that lies between two halves of another is found by the pre-filter, though its mean is the same."""
    rng = np.random.default_rng(2)
    y = np.repeat([0, 1], 300)
    middle = np.where(y == 1, rng.normal(0, 0.3, 600), rng.choice([-2, 2], 600) + rng.normal(0, 0.3, 600))
    X = np.column_stack([rng.normal(size=(600, 9)), middle])
    assert ForwardSelection(1, candidates=1).fit(X, y).candidates_.tolist() == [9]


def test_the_order_of_features_does_not_matter():
    """Permuting columns permutes the choice."""
    X, y, groups = rows(200, 6, 3, seed=9)
    order = np.array([3, 0, 5, 1, 4, 2])
    plain = ForwardSelection(6, None, tolerance=-1).fit(X, y, groups)
    moved = ForwardSelection(6, None, tolerance=-1).fit(X[:, order], y, groups)
    assert order[moved.order_].tolist() == plain.order_.tolist()


def test_one_patient_cannot_be_left_out():
    """Groups of a single patient are refused, and the message says why."""
    X, y, _ = rows(30, 3, 2, seed=0)
    with pytest.raises(ModelError, match="at least two patients"):
        ForwardSelection().fit(X, y, np.zeros(30))


def test_unknown_scoring_is_refused():
    """A score that does not exist is an error that names those that do."""
    X, y, _ = rows(30, 3, 2, seed=0)
    with pytest.raises(ModelError, match="balanced_accuracy"):
        ForwardSelection(scoring="auc").fit(X, y)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 200), folds=st.integers(2, 6))
def test_folds_share_every_class_equally(seed, n, folds):
    """Without groups, the folds' numbers of rows of a class differ by one at most."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(4, n, p=[0.7, 0.2, 0.08, 0.02])
    fold = deal_folds(codes, None, folds, rng)
    for code in np.unique(codes):
        held = np.bincount(fold[codes == code], minlength=folds)
        assert held.max() - held.min() <= 1


def test_folds_never_cut_a_patient_and_share_rare_classes():
    """With groups, every patient lies in one fold and no fold lacks a class that enough patients have."""
    rng = np.random.default_rng(4)
    groups = rng.integers(0, 60, 3000)
    codes = np.where(rng.random(3000) < 0.01, rng.integers(1, 4, 3000), 0)
    fold = deal_folds(codes, groups, 5, rng)
    assert all(len(np.unique(fold[groups == g])) == 1 for g in range(60))
    table = np.array([np.bincount(codes[fold == f], minlength=4) for f in range(5)])
    assert table.min() > 0
    assert (table.max(axis=0) <= 2 * table.mean(axis=0) + 1).all()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 300))
def test_even_draws_keep_rare_classes_whole(seed, size):
    """No class is drawn short while another gets more than it, beyond what division leaves over."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(5, 250, p=[0.7, 0.2, 0.06, 0.03, 0.01])
    drawn = draw_evenly(codes, size, rng)
    assert len(np.unique(drawn)) == len(drawn) == min(size, 250)
    had, got = np.bincount(codes, minlength=5), np.bincount(codes[drawn], minlength=5)
    short = got < had
    if short.any():
        assert got.max() <= got[short].min() + 1
