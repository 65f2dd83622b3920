"""Laws of the classifiers of candidate lesions, each on its own; see test_classifiers.py for those of all."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_lesions import lesions, made
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from calcscore_ml.errors import ModelError
from calcscore_ml.models import (
    AsinhScaler,
    BaggedSVM,
    PrevalenceKNN,
    SequentialKNN,
    SVMBag,
    fit_estimator,
    make_estimator,
)
from calcscore_ml.models.calibration import fit_calibration
from calcscore_ml.models.cascade import threshold_for
from calcscore_ml.models.libsvm import class_expansion
from calcscore_ml.models.relevance import relevance_scale


@pytest.fixture(scope="module", params=["sequential_knn", "bagged_svm", "two_stage"])
def fitted(request):
    """A pipeline of two stages fitted to 4,000 lesions."""
    return fit_estimator(made(request.param), *lesions(4000, seed=0))


# The scaler


@settings(max_examples=30)
@given(scale=st.floats(1e-3, 1e6), shift=st.floats(-1e3, 1e3), seed=st.integers(0, 100))
def test_the_scaler_forgets_units(scale, shift, seed):
    """A feature in other units, or counted from another zero, is the same feature."""
    X = np.random.default_rng(seed).lognormal(size=(50, 1))
    plain = AsinhScaler().fit_transform(X)
    assert AsinhScaler().fit_transform(scale * (X + shift)) == pytest.approx(plain, abs=1e-6)


def test_the_scaler_never_reverses_and_never_leaves_the_training_range():
    """Larger values stay larger or equal, and a wild value ends at the training table's edge."""
    X = np.random.default_rng(0).standard_cauchy((500, 1))
    scaler = AsinhScaler().fit(X)
    wide = scaler.transform(np.sort(np.r_[X[:, 0], -1e12, 1e12])[:, None])[:, 0]
    assert (np.diff(wide) >= 0).all()
    assert wide[0] == scaler.lower_[0]
    assert wide[-1] == scaler.upper_[0]


def test_the_scaler_keeps_constants_and_rare_flags_finite():
    """A constant becomes 0; a flag that is nearly always 0 is not blown up."""
    X = np.zeros((1000, 2))
    X[:20, 1] = 1
    scaled = AsinhScaler().fit_transform(X)
    assert (scaled[:, 0] == 0).all()
    assert scaled[:, 1].std() == pytest.approx(1)


# Nearest neighbours


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_plain_neighbours_are_scikit_learns(weights):
    """Without sampling, selection, calibration and smoothing, probabilities are those of KNeighborsClassifier."""
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(300, 4)).astype(np.float32), rng.integers(0, 3, 300)
    new = rng.normal(size=(100, 4)).astype(np.float32)
    own = PrevalenceKNN(
        7, weights, max_features=None, negatives_per_positive=None, smoothing=1e-12, calibrate=False
    ).fit(X, y)
    other = KNeighborsClassifier(7, weights=weights).fit(X, y)
    assert own.predict_proba(new) == pytest.approx(other.predict_proba(new), abs=1e-5)


def test_probabilities_do_not_depend_on_how_many_negatives_are_kept():
    """Dropping nine of ten negatives changes probabilities by noise only: they refer to the true prevalence."""
    rng = np.random.default_rng(2)
    y = (rng.random(40_000) < 0.03).astype(int)
    X = np.column_stack([rng.normal(size=40_000) + 1.5 * y])
    new = np.linspace(-1, 2.2, 21)[:, None]
    density = np.exp(-((new[:, 0] - 1.5) ** 2) / 2) * 0.03, np.exp(-(new[:, 0] ** 2) / 2) * 0.97
    truth = density[0] / (density[0] + density[1])
    for kept in (3.0, None):
        model = PrevalenceKNN(151, "uniform", negatives_per_positive=kept, calibrate=False).fit(X, y)
        assert model.predict_proba(new)[:, 1] == pytest.approx(truth, abs=0.08)


def test_calibration_judges_rows_without_their_patient():
    """Where every patient's lesions are twins, probabilities stay modest: twins are not evidence."""
    rng = np.random.default_rng(3)
    patient = np.repeat(np.arange(100), 8)
    y = rng.integers(0, 2, 100)[patient]
    X = rng.normal(size=(100, 5))[patient] + 1e-3 * rng.normal(size=(800, 5))
    new = rng.normal(size=(200, 5))
    options = {"max_features": None, "negatives_per_positive": None}
    fooled = PrevalenceKNN(7, **options).fit(X, y).predict_proba(new).max(axis=1).mean()
    honest = PrevalenceKNN(7, **options).fit(X, y, patient).predict_proba(new).max(axis=1).mean()
    assert fooled > 0.9
    assert honest < 0.65


# Support vector machines


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_class_scores_are_the_machines_decisions(n_classes, kernel):
    """The merged kernel expansion gives the mean of libsvm's signed one-against-one decisions."""
    rng = np.random.default_rng(4)
    y = np.sort(rng.integers(0, n_classes, 200))
    X = (rng.normal(size=(200, 6)) + y[:, None]).astype(np.float32).astype(float)
    machine = SVC(kernel=kernel, gamma=0.1, decision_function_shape="ovo").fit(X, y)
    decisions = machine.decision_function(X).reshape(200, -1)
    if n_classes == 2:
        decisions = -decisions  # scikit-learn turns the sign for two classes: positive means the second
    expected, pair = np.zeros((200, n_classes)), 0
    for i in range(n_classes):
        for j in range(i + 1, n_classes):
            expected[:, i] += decisions[:, pair] / (n_classes - 1)
            expected[:, j] -= decisions[:, pair] / (n_classes - 1)
            pair += 1
    bag = SVMBag(n_members=2, folds=2, kernel=kernel)
    bag.classes_, bag.gamma_, bag.scale_, bag.n_features_in_ = np.arange(n_classes), 0.1, np.ones(6), 6
    bag._merge([machine, machine], [np.arange(200)] * 2, X.astype(np.float32))
    assert bag.class_scores(X)[1] == pytest.approx(expected, abs=1e-4)
    weights, constants = class_expansion(machine)
    assert weights.sum(axis=1) == pytest.approx(0, abs=1e-9)
    assert constants.sum() == pytest.approx(0, abs=1e-9)


def test_members_sample_asymmetrically():
    """Each member has every positive row of its patients, few negative rows, and other ones than its fellows."""
    codes = np.r_[np.ones(60, int), np.full(20, 2), np.zeros(5000, int)]
    bag, rng = SVMBag(rows_per_member=400), np.random.default_rng(0)
    bag.classes_, allowed = np.arange(3), np.arange(len(codes)) % 5 != 0
    first, second = (bag._draw(codes, 0, allowed, rng) for _ in range(2))
    assert np.bincount(codes[first]).tolist() == [3 * 64, 48, 16]
    assert allowed[first].all()
    shared = np.intersect1d(first, second)
    assert (codes[shared] > 0).sum() == 64
    assert (codes[shared] == 0).mean() < 0.3


def test_machines_are_calibrated_on_rows_they_never_saw():
    """Where features say nothing, machines that learn their rows by heart stay at the prevalence for new rows."""
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(1200, 5)), (rng.random(1200) < 0.3).astype(int)
    new = rng.normal(size=(300, 5))
    model = SVMBag(C=1e3, gamma=2.0, n_members=5, negatives_per_positive=1).fit(X, y)
    assert model.predict_proba(new)[:, 1].mean() == pytest.approx(0.3, abs=0.08)
    assert model.predict_proba(new)[:, 1].std() < 0.1


def test_machines_are_calibrated_at_the_true_prevalence(monkeypatch):
    """Judging a few of many negative rows leaves as many expected positives as there are."""
    monkeypatch.setattr("calcscore_ml.models.bag.CALIBRATION_NEGATIVES", 300)
    rng = np.random.default_rng(6)
    y = (rng.random(6000) < 0.02).astype(int)
    X = rng.normal(size=(6000, 3)) + 1.5 * y[:, None]
    model = SVMBag(n_members=5, negative_label=0).fit(X, y)
    assert model.predict_proba(X)[:, 1].sum() == pytest.approx(y.sum(), rel=0.25)


def test_machines_forget_units():
    """Features in other units, an octave or ten apart, give the same probabilities in every digit."""
    rng = np.random.default_rng(14)
    y = rng.choice(3, 900, p=[0.8, 0.1, 0.1])
    X, new = rng.normal(size=(900, 6)) + 1.5 * np.eye(3, 6)[y], rng.normal(size=(200, 6))
    units = 2.0 ** rng.integers(-10, 10, 6)
    own, other = (SVMBag(n_members=5).fit(X * unit, y).predict_proba(new * unit) for unit in (1.0, units))
    assert (own == other).all()


def test_a_large_lesion_is_known_by_its_place():
    """Size says "other" and place "artery": a size that training hardly knew does not outvote the place."""
    rng = np.random.default_rng(15)

    def table(n, large_share):
        y = np.arange(n) % 4 == 0
        large = rng.random(n) < np.where(y, large_share, 0.5)
        sizes = 3 * large[:, None] + 0.5 * rng.normal(size=(n, 150))
        return np.hstack([sizes, 4 * y[:, None] + rng.normal(size=(n, 3))]), y

    new, place = table(2000, 1.0)
    shares = []
    for power in (0.0, 0.5):
        model = SVMBag(n_members=5, relevance=power, negative_label=False).fit(*table(2000, 0.01))
        assert model.predict(new)[~place].mean() < 0.02
        shares.append(model.predict(new)[place].mean())
    assert shares[1] > 0.95 > shares[0] + 0.4


@given(st.integers(0, 50), st.floats(0.1, 2))
@settings(max_examples=10)
def test_relevance_orders_features_by_what_they_tell(seed, power):
    """The feature that tells most has the largest spread; without power all have 1, and a constant stays finite."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 400)
    X = np.column_stack([1e3 * rng.normal(size=400), 1e-3 * (y + 0.5 * rng.normal(size=400)), np.zeros(400)])
    spread = (X * relevance_scale(X, y, power, seed)).std(axis=0)
    assert spread[1] > 1 > spread[0] > spread[2] == 0
    assert (X * relevance_scale(X, y, 0.0, seed)).std(axis=0) == pytest.approx([1, 1, 0])


def test_a_feature_below_no_importance_has_none(monkeypatch):
    """Rounding leaves some importances a little below 0: their features get no spread, and nothing becomes NaN."""
    below = np.array([1.0, -1e-17, 0.0])
    forest = SimpleNamespace(fit=lambda X, y: SimpleNamespace(feature_importances_=below))
    monkeypatch.setattr("calcscore_ml.models.relevance.ExtraTreesClassifier", lambda *_, **__: forest)
    scale = relevance_scale(np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 2, 0.5, 0)
    assert scale[0] > 0
    assert scale[1:].tolist() == [0.0, 0.0]


# The cascade


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200), st.floats(0.01, 1))
def test_the_threshold_keeps_the_required_share(probabilities, sensitivity):
    """At the threshold at least the required share is kept, and at any higher one less."""
    p = np.array(probabilities)
    threshold = threshold_for(p, sensitivity)
    assert (p >= threshold).mean() >= sensitivity - 1e-9
    assert (p > threshold).mean() < sensitivity


def test_stage_one_keeps_positives_of_new_patients(fitted):
    """The first stage removes most of what is far away, and of unseen patients' positives nearly none."""
    X, y, _ = lesions(6000, seed=1)
    classifier, scaled = fitted[-1], fitted[:-1].transform(X)
    survives = classifier.survives(scaled)
    assert survives[y > 0].mean() > 0.985
    assert survives[y == 0].mean() < 0.6
    assert (survives == (classifier.stage_one_probability(scaled) >= classifier.threshold_)).all()


def test_removed_rows_are_other_but_not_impossible(fitted):
    """A row removed by the first stage is "other", with the first stage's probability left to the arteries."""
    scaled = fitted[:-1].transform(lesions(3000, seed=2)[0])
    classifier = fitted[-1]
    removed = ~classifier.survives(scaled)
    probabilities = classifier.predict_proba(scaled)[removed]
    assert (probabilities.argmax(axis=1) == 0).all()
    assert 1 - probabilities[:, 0] == pytest.approx(classifier.stage_one_probability(scaled)[removed])
    assert (probabilities > 0).all()


def test_a_row_rather_positive_than_not_is_never_removed():
    """However well the first stage separates, its threshold stays at one half or below."""
    rng = np.random.default_rng(0)
    y = rng.choice(3, 600, p=[0.8, 0.1, 0.1])
    X = rng.normal(size=(600, 4)) + 30 * np.eye(3, 4)[y]
    for kind in (SequentialKNN, BaggedSVM):
        model = kind(stage_one_sensitivity=0.9).fit(X, y)
        assert 0 < model.threshold_ <= 0.5


def test_labels_without_survivors_keep_their_place():
    """When the second stage knows some of the labels only, its probabilities stand under these labels."""
    model = SequentialKNN()
    model.classes_ = np.array([0, 1, 3, 7])
    model.second_ = PrevalenceKNN()
    model.second_.classes_ = np.array([1, 7])
    assert model._spread(np.array([[0.2, 0.8]])).tolist() == [[0, 0.2, 0, 0.8]]


def test_without_a_first_stage_all_rows_survive():
    """Sensitivity None leaves the first stage out."""
    X, y, _ = lesions(600, seed=3)
    for kind in (SequentialKNN, BaggedSVM):
        model = kind(stage_one_sensitivity=None).fit(np.nan_to_num(X), y)
        assert model.survives(np.nan_to_num(X)).all()
        assert model.first_ is None


# Ensembles


def test_votes_are_shares_of_members():
    """The vote is the share of members whose most probable label is each."""
    X, y, _ = lesions(500, seed=11)
    model = BaggedSVM(n_members=5).fit(np.nan_to_num(X), y)
    vote = model.vote(np.nan_to_num(X))
    assert vote.sum(axis=1) == pytest.approx(1)
    assert np.isin(np.round(vote * 5, 9), np.arange(6)).all()


@settings(max_examples=10)
@given(slope=st.floats(0.3, 3), seed=st.integers(0, 1000))
def test_calibration_finds_the_softmax_that_made_the_labels(slope, seed):
    """Labels drawn from softmax(slope x score + offset) give slope and offset back, within sampling error."""
    rng = np.random.default_rng(seed)
    scores, offset = rng.normal(size=(20_000, 3)) * 2, np.array([1.0, 0.0, -1.0])
    logits = slope * scores + offset
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    found = fit_calibration(scores, y, np.ones(len(y)))
    assert found.slope == pytest.approx(slope, rel=0.08)
    assert found.offset == pytest.approx(offset, abs=0.12)


@pytest.mark.parametrize(
    "model",
    [
        SequentialKNN(negative_label=9),
        SequentialKNN(stage_one_sensitivity=1.5),
        SequentialKNN(weights="gaussian"),
        SequentialKNN(smoothing=0),
        BaggedSVM(kernel="poly"),
        BaggedSVM(folds=20),
    ],
    ids=lambda m: str(m)[:60],
)
def test_options_out_of_range_are_refused(model):
    """An impossible option is an error when fitting."""
    X, y, _ = lesions(200, seed=12)
    with pytest.raises(ModelError):
        model.fit(np.nan_to_num(X), y)


def test_groups_must_name_a_patient_per_row():
    """Too few groups are an error, not a broadcast."""
    X, y, _ = lesions(200, seed=13)
    with pytest.raises(ModelError, match="one patient per row"):
        fit_estimator(make_estimator("bagged_svm", {}), X, y, np.zeros(3))
