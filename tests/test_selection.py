"""Laws of the forward and the floating selection of features."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import calcscore_ml.models.selection as module
from calcscore_ml.errors import ModelError
from calcscore_ml.models import FloatingSelection, ForwardSelection, PrevalenceKNN
from calcscore_ml.models.folds import deal_folds, draw_evenly

SCORINGS = ("log_loss", "balanced_accuracy")
KINDS = pytest.mark.parametrize("kind", [ForwardSelection, FloatingSelection])


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


@pytest.mark.parametrize("scoring", SCORINGS)
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


@KINDS
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 20))
def test_the_shortlist_changes_nothing(kind, seed, k):
    """Looking at the nearest rows first gives exactly the votes of looking at all rows."""
    X, y, groups = rows(400, 5, 3, seed)
    fast = kind(5, None, n_neighbors=k, tolerance=-1).fit(X, y, groups)
    shortlist, module.SHORTLIST = module.SHORTLIST, 10**6
    try:
        full = kind(5, None, n_neighbors=k, tolerance=-1).fit(X, y, groups)
    finally:
        module.SHORTLIST = shortlist
    assert fast.order_.tolist() == full.order_.tolist()
    assert fast.scores_.tolist() == full.scores_.tolist()


@KINDS
def test_informative_features_come_first(kind):
    """Of three features that tell the classes apart and seventeen of noise, the three are chosen first."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 8, 800)
    X = rng.normal(size=(800, 20))
    X[:, :3] += 4 * ((y[:, None] >> np.arange(3)) & 1)  # eight classes at the corners of a cube
    assert set(kind(3, None).fit(X, y).order_) == {0, 1, 2}


@KINDS
def test_features_of_the_patient_are_not_taken_for_features_of_the_lesion(kind):
    """With groups, a feature that only names the patient is no use, though it finds its neighbours perfectly."""
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(40), 10)
    y = (patient % 2).astype(int)  # all lesions of a patient have one label
    X = np.column_stack([patient * 1.0 % 37, y + rng.normal(size=400)])
    assert kind(1, None).fit(X, y).order_.tolist() == [0]
    assert kind(1, None).fit(X, y, patient).order_.tolist() == [1]


@KINDS
def test_selection_stops_when_nothing_is_gained(kind):
    """A feature that repeats a chosen one gains nothing and is not chosen."""
    X, y, _ = rows(300, 1, 2, seed=5, informative=1)
    repeated = kind(5, None, tolerance=1e-6).fit(np.repeat(X, 5, axis=1), y)
    assert len(repeated.order_) == 1


@KINDS
def test_relevance_sees_classes_in_the_middle(kind):
    """A class that lies between two halves of another is found by the pre-filter, though its mean is the same."""
    rng = np.random.default_rng(2)
    y = np.repeat([0, 1], 300)
    middle = np.where(y == 1, rng.normal(0, 0.3, 600), rng.choice([-2, 2], 600) + rng.normal(0, 0.3, 600))
    X = np.column_stack([rng.normal(size=(600, 9)), middle])
    assert kind(1, candidates=1).fit(X, y).candidates_.tolist() == [9]


@KINDS
def test_the_order_of_features_does_not_matter(kind):
    """Permuting columns permutes the choice."""
    X, y, groups = rows(200, 6, 3, seed=9)
    order = np.array([3, 0, 5, 1, 4, 2])
    plain = kind(6, None, tolerance=-1).fit(X, y, groups)
    moved = kind(6, None, tolerance=-1).fit(X[:, order], y, groups)
    assert order[moved.order_].tolist() == plain.order_.tolist()


@KINDS
def test_one_patient_cannot_be_left_out(kind):
    """Groups of a single patient are refused, and the message says why."""
    X, y, _ = rows(30, 3, 2, seed=0)
    with pytest.raises(ModelError, match="at least two patients"):
        kind().fit(X, y, np.zeros(30))


def test_a_selection_of_nothing_is_refused():
    """At least one feature must be chosen."""
    X, y, _ = rows(30, 3, 2, seed=0)
    with pytest.raises(ModelError, match="at least 1"):
        ForwardSelection(0).fit(X, y)


def test_unknown_scoring_is_refused():
    """A score that does not exist is an error that names those that do."""
    X, y, _ = rows(30, 3, 2, seed=0)
    with pytest.raises(ModelError, match="balanced_accuracy"):
        ForwardSelection(scoring="auc").fit(X, y)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n_features=st.integers(1, 8), scoring=st.sampled_from(SCORINGS))
@example(seed=73, n_features=8, scoring="log_loss")  # floating from nothing loses to forward at some size
@example(seed=38, n_features=8, scoring="balanced_accuracy")
def test_floating_is_never_worse_than_forward(seed, n_features, scoring):
    """At no size is the best set found worse, and the chosen set is the smallest that none beats by the tolerance."""
    X, y, groups = rows(40, n_features, 3, seed, informative=min(3, n_features))
    forward, floating, chosen = (
        kind(8, None, n_neighbors=3, scoring=scoring, tolerance=tolerance).fit(X, y, groups)
        for kind, tolerance in ((ForwardSelection, -1), (FloatingSelection, -1), (FloatingSelection, 0.01))
    )
    assert len(floating.scores_) == len(forward.scores_) == n_features
    assert (floating.scores_ >= forward.scores_).all()
    size = len(chosen.order_)
    assert len(set(chosen.order_)) == len(chosen.scores_) == size
    stopped = ForwardSelection(8, None, n_neighbors=3, scoring=scoring, tolerance=0.01).fit(X, y, groups)
    assert chosen.scores_[-1] > stopped.scores_.max() - 0.01
    assert (chosen.scores_[:-1] <= chosen.scores_.max() - 0.01).all()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), scoring=st.sampled_from(SCORINGS))
def test_a_floating_score_is_that_of_its_set(seed, scoring):
    """The last score is what a plain loop over rows gives the chosen set."""
    X, y, groups = rows(50, 5, 3, seed)
    found = FloatingSelection(3, None, n_neighbors=5, scoring=scoring).fit(X, y, groups)
    assert found.scores_[-1] == pytest.approx(score_by_loops(X, y, groups, found.order_, 5, scoring), abs=1e-6)


def misled(seed):
    """Rows in which feature 0 says much alone, and features 1 and 2 all together and nothing alone."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 400)
    first = rng.integers(0, 2, 400)
    pair = np.column_stack([first, first ^ y]) * 4.0
    return np.column_stack([1.5 * y, pair]) + rng.normal(size=(400, 3)), y


@pytest.mark.parametrize("seed", range(3))
def test_floating_takes_a_misleading_first_choice_back(seed):
    """Forward selection keeps the feature that is best alone; floating drops it for the pair that says all."""
    X, y = misled(seed)
    forward, floating = (kind(3, None, tolerance=-1).fit(X, y) for kind in (ForwardSelection, FloatingSelection))
    assert 0 in forward.order_[:2]
    assert floating.scores_[1] > forward.scores_[1] + 0.1
    assert set(FloatingSelection(2, None).fit(X, y).order_) == {1, 2}


def test_neighbours_may_choose_their_features_by_floating():
    """`selection` names how a nearest-neighbour classifier finds its features; an unknown way is refused."""
    X, y = misled(0)
    chosen = {how: PrevalenceKNN(max_features=2, selection=how).fit(X, y).selected_ for how in ("forward", "floating")}
    assert 0 in chosen["forward"]
    assert set(chosen["floating"]) == {1, 2}
    with pytest.raises(ModelError, match="floating"):
        PrevalenceKNN(selection="backward").fit(X, y)


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
