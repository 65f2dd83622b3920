"""Laws of uncertainty and of the referral of doubtful lesions."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ModelError
from calcscore_ml.referral.policy import ReferralPolicy, refer
from calcscore_ml.referral.uncertainty import measure

ALL_RULES = ReferralPolicy(max_entropy=0.3, min_margin=0.3, max_disagreement=0.05, max_lesions=None)

seeds = st.integers(0, 10_000)


def ensemble(seed, n=40, members=5, sharp=0.3):
    """Random probabilities of members, their mean, and effects."""
    rng = np.random.default_rng(seed)
    parts = rng.dirichlet(np.full(len(Label), sharp), (members, n))
    return parts.mean(axis=0), parts, rng.exponential(30, n).round()


@given(seeds)
def test_measures_lie_in_their_range(seed):
    """Every measure lies in 0 to 1, and disagreement never exceeds entropy of the mean."""
    p, parts, _ = ensemble(seed)
    u = measure(p, parts)
    for values in (u.coronary, u.entropy, u.margin, u.disagreement):
        assert ((values >= 0) & (values <= 1 + 1e-12)).all()
    assert (u.disagreement <= u.entropy + 1e-12).all()


def test_measures_at_the_extremes():
    """A sure lesion has entropy 0 and margin 1, a clueless one entropy 1 and margin 0; equal members agree."""
    p = np.vstack([np.eye(8)[[3]], np.full((1, 8), 1 / 8)])
    u = measure(p, np.stack([p, p]))
    assert u.entropy == pytest.approx([0, 1])
    assert u.margin == pytest.approx([1, 0])
    assert u.coronary == pytest.approx([1, 0.5])
    assert u.disagreement == pytest.approx([0, 0])


def test_disagreement_is_the_mean_divergence_of_members_from_their_mean():
    """The measure equals the mean Kullback-Leibler divergence of each member from their mean, over log 8."""
    _, parts, _ = ensemble(1)
    mean = parts.mean(axis=0)
    divergence = (parts * np.log(parts / mean)).sum(axis=2).mean(axis=0) / np.log(8)
    assert measure(mean, parts).disagreement == pytest.approx(divergence)


@given(seeds)
def test_measures_do_not_depend_on_names_or_order(seed):
    """Swapping arteries changes no measure, nor does the order of members; permuted lesions give permuted measures."""
    p, parts, _ = ensemble(seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(p))
    swap = np.array([0, 2, 1, 4, 3, 6, 5, 7])
    plain, moved = measure(p, parts), measure(p[order][:, swap], parts[::-1, order][:, :, swap])
    for name in ("coronary", "entropy", "margin", "disagreement"):
        assert getattr(moved, name) == pytest.approx(getattr(plain, name)[order], abs=1e-12)


@pytest.mark.parametrize(
    ("p", "members"),
    [
        (np.full((2, 8), 0.2), None),
        (np.array([[1.5, -0.5, 0, 0, 0, 0, 0, 0]]), None),
        (np.full((2, 8), np.nan), None),
        (np.full((2, 3), 1 / 3), None),
        (np.full((2, 8), 1 / 8), np.full((4, 3, 8), 1 / 8)),
        (np.full((2, 8), 1 / 8), np.full((4, 2, 8), 1 / 7)),
    ],
)
def test_what_is_no_probability_is_refused(p, members):
    """Rows that do not sum to 1, negative or NaN values and other shapes are errors."""
    with pytest.raises(ModelError):
        measure(p, members)


def test_an_empty_scan_refers_nothing():
    """No lesion, no referral."""
    u = measure(np.zeros((0, 8)), np.zeros((3, 0, 8)))
    referred, reasons = refer(ALL_RULES, np.zeros((0, 8)), u, np.zeros(0))
    assert referred.shape == (0,)
    assert reasons == ()


@given(seeds, st.sampled_from(list(Label)))
def test_nothing_sure_is_referred(seed, label):
    """Lesions of which ensemble and members are sure stay with the ensemble, whatever their effect."""
    p = np.eye(8)[np.full(5, label)]
    effect = np.random.default_rng(seed).exponential(1000, 5)
    referred, reasons = refer(ALL_RULES, p, measure(p, np.stack([p] * 3)), effect)
    assert not referred.any()
    assert reasons == ("",) * 5


@given(seeds, st.integers(0, 45))
def test_referral_follows_the_lesions(seed, limit):
    """Permuting lesions permutes what is referred and why, with a limit too where effects differ."""
    p, parts, effect = ensemble(seed)
    effect += np.random.default_rng(seed).random(len(effect))
    policy = replace(ALL_RULES, max_lesions=limit)
    order = np.random.default_rng(seed + 1).permutation(len(p))
    plain, why = refer(policy, p, measure(p, parts), effect)
    moved, why_moved = refer(policy, p[order], measure(p[order], parts[:, order]), effect[order])
    assert (moved == plain[order]).all()
    assert why_moved == tuple(why[i] for i in order)


LOOSER = {
    "coronary_low": -1,
    "coronary_high": 1,
    "max_entropy": -1,
    "min_margin": 1,
    "max_disagreement": -1,
    "min_coronary": -1,
    "min_effect_agatston": -1,
    "max_lesions": 1,
}
"""In which direction each parameter refers more."""


@settings(max_examples=120)
@given(seeds, st.sampled_from(sorted(LOOSER)), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_looser_thresholds_refer_more(seed, name, a, b):
    """Loosening any parameter never takes a lesion back from the expert."""
    p, parts, effect = ensemble(seed)
    low, high = sorted((a, b))
    if name == "coronary_low":
        low, high = low * 0.9, high * 0.9
    if name == "coronary_high":
        low, high = max(low, 0.1), max(high, 0.1)
    strict, loose = (low, high) if LOOSER[name] > 0 else (high, low)
    if name == "max_lesions":
        strict, loose = round(strict * 40), round(loose * 40)
    if name == "min_effect_agatston":
        strict, loose = strict * 100, loose * 100
    u = measure(p, parts)
    less = refer(replace(ALL_RULES, **{name: strict}), p, u, effect)[0]
    more = refer(replace(ALL_RULES, **{name: loose}), p, u, effect)[0]
    assert (more | ~less).all()


@given(seeds, st.integers(0, 40))
def test_the_limit_keeps_the_lesions_of_most_effect(seed, limit):
    """At most so many are referred, none of less effect than a doubtful one that is not, and the rest says why."""
    p, parts, effect = ensemble(seed)
    u = measure(p, parts)
    every, _ = refer(ALL_RULES, p, u, effect)
    some, reasons = refer(replace(ALL_RULES, max_lesions=limit), p, u, effect)
    assert some.sum() == min(limit, every.sum())
    left = every & ~some
    if some.any() and left.any():
        assert effect[some].min() >= effect[left].max()
    assert all("not referred: beyond" in reasons[i] for i in np.flatnonzero(left))


def test_reasons_name_rule_and_value():
    """A reason says which rule found the lesion doubtful, with its value and limit."""
    p = np.array([[0.5, 0.5, 0, 0, 0, 0, 0, 0], [0, 0.5, 0, 0.5, 0, 0, 0, 0]])
    other = np.eye(8)[[0, 1]]
    policy = ReferralPolicy(max_entropy=0.3, min_margin=0.1, max_disagreement=0.1)
    _, reasons = refer(policy, p, measure(p, np.stack([other, 2 * p - other])), np.array([10.0, 20.0]))
    assert reasons[0] == (
        "coronary with probability 0.50; entropy 0.33 above 0.3; margin 0.00 below 0.1; disagreement 0.33 above 0.1"
    )
    assert "probability" not in reasons[1]  # surely coronary: only the artery is open


def test_what_cannot_change_the_score_is_not_referred():
    """A doubtful lesion without effect, or with less than asked for, is not referred and says so."""
    p = np.tile([0.5, 0.5, 0, 0, 0, 0, 0, 0], (3, 1))
    policy = ReferralPolicy(min_effect_agatston=5)
    referred, reasons = refer(policy, p, measure(p), np.array([0.0, 4.0, 5.0]))
    assert referred.tolist() == [False, False, True]
    assert reasons[0].endswith("not referred: effect 0 on the Agatston score")
    assert not refer(ReferralPolicy(), p, measure(p), np.zeros(3))[0].any()


def test_lesions_that_are_hardly_coronary_are_left_alone():
    """Whether calcium is of the aorta or of a valve is not worth an expert's time."""
    p = np.array([[0, 0, 0, 0, 0, 0.5, 0.5, 0], [0, 0.06, 0, 0, 0, 0.47, 0.47, 0]])
    members = np.stack([p, p])
    referred, reasons = refer(ALL_RULES, p, measure(p, members), np.array([500.0, 500.0]))
    assert referred.tolist() == [False, True]
    assert reasons[0] == ""


def test_disagreement_needs_members():
    """A rule on disagreement is refused when no member was asked."""
    p = np.full((2, 8), 1 / 8)
    with pytest.raises(ModelError, match="members"):
        refer(ReferralPolicy(max_disagreement=0.1), p, measure(p), np.ones(2))


def test_arrays_must_be_of_the_same_lesions():
    """Effects of other lesions are refused."""
    p = np.full((2, 8), 1 / 8)
    with pytest.raises(ModelError, match="same lesions"):
        refer(ReferralPolicy(), p, measure(p), np.ones(3))


@pytest.mark.parametrize(
    "wrong",
    [
        {"coronary_low": 0.95},
        {"coronary_high": 1.2},
        {"max_lesions": -1},
        {"min_effect_agatston": -1},
        {"threshold": 0.5},
    ],
)
def test_impossible_policies_are_refused(wrong):
    """A parameter out of range or unknown is an error."""
    with pytest.raises((ValidationError, TypeError)):
        ReferralPolicy(**wrong)


def test_measures_are_read_only():
    """What was measured is not changed afterwards."""
    u = measure(np.full((2, 8), 1 / 8))
    with pytest.raises(ValueError, match="read-only"):
        u.entropy[0] = 0
