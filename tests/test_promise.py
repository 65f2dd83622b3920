"""Laws of promised errors: the threshold that keeps a promise, and the losses it is chosen by."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value, find_best_predict_param, get_r_hat_plus
from scipy.stats import binom

from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.referral_losses import losses_left, simulated_expert
from calcscore_ml.evaluation.referral_policies import ORACLE, RANDOM, oracle_order, policy_curves
from calcscore_ml.referral.promise import LOSSES, choose_threshold, monotone, p_values
from calcscore_ml.scores.risk import find_scheme

SCHEME = find_scheme("standard")

seeds = st.integers(0, 10_000)


def cohort(seed, patients=30, lesions=12):
    """Made patients: lesions with truths, labels that are sometimes wrong, effects, stakes that know a little of it."""
    rng = np.random.default_rng(seed)
    n = patients * lesions
    truth = rng.choice([0, 0, 0, 1, 2, 3, 4], n)
    wrong = rng.random(n) < 0.2
    predicted = np.where(wrong, rng.integers(0, 5, n), truth)
    effect = np.where(rng.random(n) < 0.1, 0.0, rng.exponential(30, n).round(1))
    table = pd.DataFrame(
        {
            "scan_id": np.repeat([f"s{i}" for i in range(patients)], lesions),
            "truth": truth,
            "predicted": predicted,
            "agatston": effect,
        }
    )
    stake = np.clip(0.5 * (truth != predicted) + 0.5 * rng.random(n), 0, 1)
    reference = (table["agatston"] * (table["truth"] > 0)).groupby(table["scan_id"], sort=False).sum()
    scans = pd.DataFrame(
        {"patient_id": [f"p{i // 2}" for i in range(patients)], "scan_id": reference.index, "agatston_truth": reference}
    )
    return table, scans.reset_index(drop=True), stake


def by_hand(table, scans, stake, threshold, loss):
    """The loss of each scan at one threshold, lesion by lesion: the second implementation."""
    out = []
    for scan in scans.itertuples():
        wrong = counted = 0
        total = 0.0
        for lesion, s in zip(table.itertuples(), stake, strict=True):
            if lesion.scan_id != scan.scan_id or lesion.agatston == 0:
                continue
            label = lesion.truth if s >= threshold else lesion.predicted
            counted += lesion.truth > 0 or lesion.predicted > 0
            wrong += label != lesion.truth
            total += lesion.agatston * (label > 0)
        if loss == "lesions":
            out.append(wrong / max(counted, 1))
        elif loss == "category":
            out.append(float(SCHEME.category(round(total, 9)) != SCHEME.category(scan.agatston_truth)))
        else:
            out.append(min(1, abs(total - scan.agatston_truth) / max(scan.agatston_truth, 10)))
    return pd.Series(out).groupby(scans["patient_id"]).mean().to_numpy()


@settings(max_examples=10, deadline=None)
@given(seeds, st.sampled_from(LOSSES), st.integers(0, 71))
def test_losses_equal_those_counted_lesion_by_lesion(seed, loss, at):
    """The loss of each patient at a threshold, one lesion's own stake, is what deciding them one by one leaves."""
    table, scans, stake = cohort(seed, patients=6)
    threshold = stake[at]
    found = losses_left(table, scans, stake=stake, thresholds=np.array([threshold]), loss=loss, scheme=SCHEME)
    assert found.losses[:, 0] == pytest.approx(by_hand(table, scans, stake, threshold, loss))


@given(seeds, st.sampled_from(LOSSES))
def test_nothing_is_left_when_all_is_decided(seed, loss):
    """Deciding every lesion leaves no error where candidates cover the reference; deciding none refers none."""
    table, scans, stake = cohort(seed, patients=6)
    found = losses_left(table, scans, stake=stake, thresholds=np.array([0.0, np.inf]), loss=loss, scheme=SCHEME)
    assert found.losses[:, 0] == pytest.approx(0, abs=1e-9)
    assert (found.referred[:, 1] == 0).all()
    scored = table[table["agatston"] > 0].groupby("scan_id").size().mean()
    assert found.referred[:, 0].mean() == pytest.approx(scored)


@given(seeds, st.sampled_from(LOSSES))
def test_an_expert_who_says_what_the_model_says_changes_nothing(seed, loss):
    """The loss is the model's own at every threshold, and no order of the lesions changes it."""
    table, scans, stake = cohort(seed, patients=6)
    expert = table["predicted"].to_numpy()
    thresholds = np.array([0.0, 0.4, 0.8, np.inf])
    found = losses_left(table, scans, stake=stake, thresholds=thresholds, loss=loss, scheme=SCHEME, expert=expert)
    assert found.losses == pytest.approx(np.repeat(found.losses[:, -1:], 4, axis=1))
    order = np.random.default_rng(seed).permutation(len(table))
    moved = losses_left(
        table.iloc[order],
        scans,
        stake=stake[order],
        thresholds=thresholds,
        loss=loss,
        scheme=SCHEME,
        expert=expert[order],
    )
    assert moved.losses == pytest.approx(found.losses)


@given(seeds, st.floats(0.02, 0.5))
def test_the_threshold_is_that_of_mapie(seed, tolerated):
    """Conformal risk control by MAPIE, a second implementation, finds the same threshold on monotone losses."""
    rng = np.random.default_rng(seed)
    losses = np.sort(rng.random((80, 30)) ** 3, axis=1)
    thresholds = np.linspace(0, 1, 30)
    _, bound = get_r_hat_plus(losses, thresholds, "crc", None, None, None)
    if bound[0] > tolerated:
        with pytest.raises(ResultError, match="at least"):
            choose_threshold(losses, thresholds, tolerated)
    else:
        ours = choose_threshold(losses, thresholds, tolerated)
        assert ours == find_best_predict_param(thresholds, bound, np.array([tolerated]))[0]


@given(st.integers(1, 200), st.floats(0.01, 0.5), st.booleans())
def test_p_values_are_those_of_mapie(n, tolerated, binary):
    """P-values of Hoeffding and Bentkus equal those of MAPIE."""
    mean = np.arange(n + 1) / n
    mean = mean[mean < 1]
    expected = compute_hoeffding_bentkus_p_value(mean, n, tolerated, binary=binary)[:, 0]
    # MAPIE rounds 3.0000000000000004 of 3 wrong lesions up to 4, and lets a p-value exceed 1.
    whole = np.ceil(n * mean) == np.rint(n * mean)
    assert p_values(mean, n, tolerated, binary=binary)[whole] == pytest.approx(np.minimum(expected, 1)[whole])


@given(st.integers(1, 300), st.floats(0.01, 0.5))
def test_p_values_are_of_whole_numbers_of_wrong_patients(n, tolerated):
    """A mean of k wrong patients of n, whatever rounding made of it, has the p-value of k."""
    k = np.arange(n)
    assert (p_values(k / n, n, tolerated, binary=True) <= binom.cdf(k, n, tolerated) + 1e-12).all()


def test_the_oracle_of_the_category_sees_wrong_categories_first():
    """Lesions that are wrong in patients whose category is wrong come before all others."""
    table, scans, _ = cohort(4, patients=40)
    order = oracle_order(table, scans, "category", SCHEME)
    none = losses_left(table, scans, stake=order, thresholds=np.array([np.inf]), loss="category", scheme=SCHEME)
    wrong = dict(zip(sorted(set(scans["patient_id"])), none.losses[:, 0], strict=True))
    patient = dict(zip(scans["scan_id"], scans["patient_id"], strict=True))
    hit = np.array([wrong[patient[s]] > 0 for s in table["scan_id"]])
    assert hit.any()
    assert order[~hit].max() < 1e-3


@given(seeds)
def test_a_monotone_loss_never_falls_with_the_threshold_and_is_the_smallest_such(seed):
    """It is at least the loss, rises with the threshold, and equals the loss wherever that already rises."""
    losses = np.random.default_rng(seed).random((5, 12))
    found = monotone(losses)
    assert (found >= losses).all()
    assert (np.diff(found, axis=1) >= 0).all()
    assert (monotone(np.sort(losses, axis=1)) == np.sort(losses, axis=1)).all()
    assert (found.max(axis=1) == losses.max(axis=1)).all()


@given(seeds, st.sampled_from([None, 0.8, 0.95]), st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_who_tolerates_more_is_asked_less(seed, confidence, a, b):
    """A larger tolerated error never lowers the threshold."""
    losses = np.sort(np.random.default_rng(seed).random((150, 40)) ** 4, axis=1) * np.linspace(0, 1, 40)
    thresholds = np.linspace(0, 1, 40)
    strict, loose = (choose_threshold(losses, thresholds, t, confidence=confidence) for t in sorted((a, b)))
    assert strict <= loose


@pytest.mark.parametrize("loss", LOSSES)
def test_promises_hold_on_patients_never_seen(loss):
    """Over many draws of calibration and held-out patients the mean error stays below what is tolerated."""
    table, scans, stake = cohort(5, patients=400)
    thresholds = np.concatenate([[0.0], np.unique(stake)[::20], [np.inf]])
    losses = losses_left(table, scans, stake=stake, thresholds=thresholds, loss=loss, scheme=SCHEME).losses
    rng = np.random.default_rng(0)
    observed, kept = [], 0
    for _ in range(200):
        order = rng.permutation(len(losses))
        known, new = losses[order[:60]], losses[order[60:]]
        chosen = choose_threshold(known, thresholds, 0.1)
        observed.append(new[:, thresholds == chosen].mean())
        sure = choose_threshold(known, thresholds, 0.15, confidence=0.9)
        kept += new[:, thresholds == sure].mean() <= 0.15
    assert np.mean(observed) <= 0.1
    assert np.mean(observed) >= 0.05  # and asks for no more than it needs
    assert kept / 200 >= 0.9


def test_an_impossible_promise_says_what_can_be_promised():
    """Too few patients, or errors that no lesion explains, are named with the least that must be tolerated."""
    with pytest.raises(ResultError, match=r"9 calibration patients and every lesion at stake decided, at least 0\.1"):
        choose_threshold(np.zeros((9, 3)), np.arange(3.0), 0.05)
    with pytest.raises(ResultError, match=r"no candidate covers, and the expert's errors, leave a loss of 0\.2"):
        choose_threshold(np.full((99, 3), 0.2), np.arange(3.0), 0.05)
    with pytest.raises(ResultError, match="with confidence 95%"):
        choose_threshold(np.zeros((9, 3)), np.arange(3.0), 0.05, confidence=0.95)


@pytest.mark.parametrize(
    ("losses", "thresholds"),
    [
        (np.zeros((0, 3)), np.arange(3.0)),
        (np.zeros((4, 3)), np.arange(2.0)),
        (np.zeros((4, 3)), np.array([0.0, 2.0, 1.0])),
        (np.full((4, 3), 1.5), np.arange(3.0)),
        (np.full((4, 3), np.nan), np.arange(3.0)),
    ],
)
def test_what_is_no_table_of_losses_is_refused(losses, thresholds):
    """No patient, other shapes, thresholds that fall and losses beyond 0 to 1 are errors."""
    with pytest.raises(ResultError):
        choose_threshold(losses, thresholds, 0.1)


def test_a_simulated_expert_errs_as_often_as_said():
    """Errors are as frequent as asked; a calcified lesion becomes none, another one the likeliest artery."""
    truth = np.random.default_rng(0).choice([0, 1, 3, 5], 20_000)
    likeliest = np.full(len(truth), 2)
    said = simulated_expert(truth, likeliest, 0.05)
    errs = said != truth
    assert errs.mean() == pytest.approx(0.05, abs=0.005)
    assert (said[errs & np.isin(truth, [1, 3])] == 0).all()
    assert (said[errs & np.isin(truth, [0, 5])] == 2).all()
    assert (simulated_expert(truth, likeliest, 0.0) == truth).all()


def test_policies_lie_between_chance_and_oracle():
    """An order that knows the errors leaves less than chance and no less than the oracle, of counted lesions."""
    table, scans, stake = cohort(2, patients=60)
    found = policy_curves(table, scans, {"ours": stake}, scheme=SCHEME)
    for loss in LOSSES:
        curves = found[loss]
        assert curves["ours"].left[0] == pytest.approx(curves[ORACLE].left[0])
        for curve in curves.values():
            assert curve.left[-1] == pytest.approx(0, abs=1e-6)
            assert (np.diff(curve.referred) >= 0).all()
        assert curves["ours"].at(2) < curves[RANDOM].at(2)
    lesions = found["lesions"]
    grid = np.linspace(0, lesions["ours"].referred[-1], 50)
    assert all(lesions[ORACLE].at(x) <= lesions["ours"].at(x) + 1e-9 for x in grid)


def test_the_price_of_an_error_is_where_the_curve_stays_below_it():
    """`needed` is the first point after which the error left is never above again."""
    table, scans, stake = cohort(2, patients=60)
    curve = policy_curves(table, scans, {"ours": stake}, scheme=SCHEME, losses=("agatston",))["agatston"]["ours"]
    price = curve.needed(0.05)
    assert (curve.left[curve.referred >= price] <= 0.05).all()
    assert curve.needed(-1) == np.inf
    assert curve.needed(1) == 0
