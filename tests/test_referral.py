"""Laws of uncertainty and of the referral of doubtful lesions."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ModelError
from calcscore_ml.recipe import read_recipe
from calcscore_ml.referral.choice import choose_scans, of_scans, scan_value
from calcscore_ml.referral.decision import decide
from calcscore_ml.referral.policy import ReferralPolicy, ScanDoubts, WholeScan, refer, stake_in
from calcscore_ml.referral.promise import LOSSES, Promise
from calcscore_ml.referral.stakes import Stakes, weigh
from calcscore_ml.referral.uncertainty import measure
from calcscore_ml.scores.risk import find_scheme

ALL_RULES = ReferralPolicy(max_entropy=0.3, min_margin=0.3, max_disagreement=0.05, max_lesions=None)

SCHEME = find_scheme("standard")

OSTIA_MM = np.random.default_rng(0).uniform(0, 2, 40)
"""Distances of forty lesions to the ostia."""

seeds = st.integers(0, 10_000)


def chosen(policy, p, u, effect, scan=None):
    """What a policy refers, and why, with stakes by the model's own probabilities."""
    found = refer(policy, u, weigh(p, decide(p), effect, SCHEME, draws=200), scan, OSTIA_MM[: len(p)])
    return found.referred, found.reasons


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
    for values in (u.coronary, u.entropy, u.margin, u.disagreement, u.ambiguity):
        assert ((values >= 0) & (values <= 1 + 1e-12)).all()
    assert (u.disagreement <= u.entropy + 1e-12).all()


@given(seeds)
def test_what_data_could_resolve_and_what_it_could_not_make_up_the_whole(seed):
    """Disagreement and ambiguity add up to the entropy of the members' mean."""
    p, parts, _ = ensemble(seed)
    u = measure(p, parts)
    assert u.disagreement + u.ambiguity == pytest.approx(u.entropy)
    calibrated = measure(np.sqrt(p) / np.sqrt(p).sum(axis=1, keepdims=True), parts)
    assert calibrated.disagreement == pytest.approx(u.disagreement)  # of the members, whatever is made of their mean


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
    for name in ("coronary", "entropy", "margin", "disagreement", "ambiguity"):
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
    referred, reasons = chosen(ALL_RULES, np.zeros((0, 8)), u, np.zeros(0))
    assert referred.shape == (0,)
    assert reasons == ()


@given(seeds, st.sampled_from(list(Label)))
def test_nothing_sure_is_referred(seed, label):
    """Lesions of which ensemble and members are sure stay with the ensemble, whatever their effect."""
    p = np.eye(8)[np.full(5, label)]
    effect = np.random.default_rng(seed).exponential(1000, 5)
    referred, reasons = chosen(ALL_RULES, p, measure(p, np.stack([p] * 3)), effect)
    assert not referred.any()
    assert reasons == ("",) * 5


@given(seeds, st.integers(0, 45))
def test_referral_follows_the_lesions(seed, limit):
    """Permuting lesions permutes what is referred and why, with a limit too where effects differ."""
    p, parts, effect = ensemble(seed)
    effect += np.random.default_rng(seed).random(len(effect))
    policy = replace(ALL_RULES, max_lesions=limit)
    order = np.random.default_rng(seed + 1).permutation(len(p))
    plain, why = chosen(policy, p, measure(p, parts), effect)
    moved, why_moved = chosen(policy, p[order], measure(p[order], parts[:, order]), effect[order])
    assert (moved == plain[order]).all()
    assert why_moved == tuple(why[i] for i in order)


LOOSER = {
    "coronary_low": -1,
    "coronary_high": 1,
    "max_entropy": -1,
    "min_margin": 1,
    "max_disagreement": -1,
    "max_ambiguity": -1,
    "max_distance": -1,
    "deciding_below": 1,
    "near_ostia_mm": 1,
    "near_ostia_effect": -1,
    "near_ostia_coronary": -1,
    "near_ostia_sure": 1,
    "min_coronary": -1,
    "min_effect_agatston": -1,
    "min_change_agatston": -1,
    "min_category_change": -1,
    "max_lesions": 1,
    "max_seconds": 1,
    "seconds_per_lesion": -1,
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
    if name in ("min_effect_agatston", "min_change_agatston", "near_ostia_effect", "max_seconds"):
        strict, loose = strict * 100, loose * 100
    limits = {"max_seconds": 20} if name == "seconds_per_lesion" else {}
    if name.startswith("near_ostia") or name == "min_coronary":
        limits = {"near_ostia_mm": 1.0, "deciding_below": 0.99}
    u = measure(p, parts, np.random.default_rng(seed).random(len(p)))
    less = chosen(replace(ALL_RULES, **{**limits, name: strict}), p, u, effect)[0]
    more = chosen(replace(ALL_RULES, **{**limits, name: loose}), p, u, effect)[0]
    assert (more | ~less).all()


@given(seeds, st.integers(0, 40))
def test_the_limit_keeps_the_lesions_of_most_effect(seed, limit):
    """At most so many are referred, none of less effect than a doubtful one that is not, and the rest says why."""
    p, parts, effect = ensemble(seed)
    u = measure(p, parts)
    every, _ = chosen(ALL_RULES, p, u, effect)
    some, reasons = chosen(replace(ALL_RULES, max_lesions=limit), p, u, effect)
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
    _, reasons = chosen(policy, p, measure(p, np.stack([other, 2 * p - other])), np.array([10.0, 20.0]))
    assert reasons[0] == (
        "coronary with probability 0.50; entropy 0.33 above 0.3; margin 0.00 below 0.1; disagreement 0.33 above 0.1"
    )
    assert "probability" not in reasons[1]  # surely coronary: only the artery is open


def test_what_cannot_change_the_score_is_not_referred():
    """A doubtful lesion without effect, or with less than asked for, is not referred and says so."""
    p = np.tile([0.5, 0.5, 0, 0, 0, 0, 0, 0], (3, 1))
    policy = ReferralPolicy(min_effect_agatston=5)
    referred, reasons = chosen(policy, p, measure(p), np.array([0.0, 4.0, 5.0]))
    assert referred.tolist() == [False, False, True]
    assert reasons[0].endswith("not referred: effect 0 on the Agatston score")
    assert not chosen(ReferralPolicy(), p, measure(p), np.zeros(3))[0].any()


MINIMA = {"min_effect_agatston": "effect", "min_change_agatston": "change", "min_category_change": "category"}
"""Which stake each minimum is of."""


@given(seeds, st.sampled_from(sorted(MINIMA)), st.floats(0.05, 0.95))
def test_each_minimum_is_of_its_stake(seed, name, share):
    """Of the doubtful lesions those are referred that reach the minimum, and the others say by what they do not."""
    p, parts, effect = ensemble(seed)
    u, stakes = measure(p, parts), weigh(p, decide(p), effect, SCHEME, draws=200)
    values = getattr(stakes, MINIMA[name])
    least = float(min(1.0, np.quantile(values, share)) if name == "min_category_change" else np.quantile(values, share))
    every = refer(ALL_RULES, u, stakes).referred
    found = refer(replace(ALL_RULES, **{name: least}), u, stakes)
    assert (found.referred == (every & (values >= least))).all()
    assert all("not referred: " in found.reasons[i] for i in np.flatnonzero(every & ~found.referred))


def test_lesions_that_are_hardly_coronary_are_left_alone():
    """Whether calcium is of the aorta or of a valve is not worth an expert's time."""
    p = np.array([[0, 0, 0, 0, 0, 0.5, 0.5, 0], [0, 0.06, 0, 0, 0, 0.47, 0.47, 0]])
    members = np.stack([p, p])
    referred, reasons = chosen(ALL_RULES, p, measure(p, members), np.array([500.0, 500.0]))
    assert referred.tolist() == [False, True]
    assert reasons[0] == ""


def test_disagreement_needs_members():
    """A rule on disagreement is refused when no member was asked."""
    p = np.full((2, 8), 1 / 8)
    with pytest.raises(ModelError, match="members"):
        chosen(ReferralPolicy(max_disagreement=0.1), p, measure(p), np.ones(2))


def test_arrays_must_be_of_the_same_lesions():
    """Effects of other lesions are refused."""
    p = np.full((2, 8), 1 / 8)
    with pytest.raises(ModelError, match="same lesions"):
        refer(ReferralPolicy(), measure(p), weigh(p[[0, 0, 1]], decide(p[[0, 0, 1]]), np.ones(3), SCHEME))


@pytest.mark.parametrize(
    "wrong",
    [
        {"coronary_low": 0.95},
        {"coronary_high": 1.2},
        {"max_lesions": -1},
        {"min_effect_agatston": -1},
        {"threshold": 0.5},
        {"order": "loudness"},
        {"seconds_per_lesion": 0},
        {"max_distance": -1},
        {"promise": {"loss": "category", "tolerated": 0.0, "threshold": 0.1, "patients": 10}},
        {"whole_scan": {"max_spread_mm": -1}},
        {"deciding_below": 1.1},
        {"near_ostia_mm": -1},
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


def test_a_distance_needs_a_model_that_knows_what_it_learnt_from():
    """A rule on distance is refused when the model does not tell one."""
    p = np.full((2, 8), 1 / 8)
    with pytest.raises(ModelError, match="learnt from"):
        chosen(ReferralPolicy(max_distance=1), p, measure(p), np.ones(2))


def test_distances_must_be_of_the_same_lesions():
    """Distances of other lesions are refused."""
    with pytest.raises(ModelError, match="same 2 lesions"):
        measure(np.full((2, 8), 1 / 8), distance=np.ones(3))


@given(seeds, st.floats(0, 200), st.floats(1, 60))
def test_a_budget_of_seconds_is_a_budget_of_lesions(seed, seconds, each):
    """As many lesions are referred as fit into the time, and the tighter of two budgets counts."""
    p, parts, effect = ensemble(seed)
    u = measure(p, parts)
    fit = int(seconds / each)
    by_time = replace(ALL_RULES, max_seconds=seconds, seconds_per_lesion=each)
    assert (
        chosen(by_time, p, u, effect)[0].tolist()
        == chosen(replace(by_time, max_seconds=None, max_lesions=fit), p, u, effect)[0].tolist()
    )
    tight = replace(by_time, max_lesions=3)
    assert chosen(tight, p, u, effect)[0].sum() == min(3, fit, chosen(ALL_RULES, p, u, effect)[0].sum())


@given(seeds, st.sampled_from(["effect", "doubt", "change", "category"]), st.integers(1, 20))
def test_the_order_decides_who_comes_first(seed, order, limit):
    """No lesion that is left out stands before a referred one in the order asked for."""
    p, parts, effect = ensemble(seed)
    u, stakes = measure(p, parts), weigh(p, decide(p), effect, SCHEME, draws=200)
    every = refer(ALL_RULES, u, stakes).referred
    found = refer(replace(ALL_RULES, order=order, max_lesions=limit), u, stakes)
    left = every & ~found.referred
    assert (found.urgency == getattr(stakes, order)).all()
    if left.any():
        assert found.urgency[found.referred].min() >= found.urgency[left].max()


@given(seeds, st.sampled_from(LOSSES), st.floats(0, 0.5))
def test_a_promise_refers_what_it_needs_whatever_the_budget(seed, loss, threshold):
    """Every scored lesion whose stake reaches the threshold is referred, and no other beside those of the rules."""
    p, parts, effect = ensemble(seed)
    u, stakes = measure(p, parts), weigh(p, decide(p), effect, SCHEME, draws=200)
    promise = Promise(loss, 0.1, threshold, 10)
    policy = replace(ALL_RULES, max_lesions=2, promise=promise)
    found = refer(policy, u, stakes).referred
    needed = (stake_in(loss, stakes) >= threshold) & (effect > 0)
    assert (found == (needed | refer(replace(policy, promise=None), u, stakes).referred)).all()


def test_a_promise_says_what_it_rests_on():
    """The words of a promise hold the error, what is tolerated, the patients, and that the future must be like them."""
    text = Promise("category", 0.05, 0.1, 120, 0.9, "ab", "the cohort spring").say()
    for part in ("wrong risk category", "0.05", "confidence 90%", "120 patients of the cohort spring", "drawn as"):
        assert part in text


WHOLE = [
    (WholeScan(untrusted_location=True), ScanDoubts(trusted=False), "located"),
    (WholeScan(max_spread_mm=4), ScanDoubts(spread_mm=4.5), "4.5 mm apart"),
    (WholeScan(new_protocol=True), ScanDoubts(protocol=("tube voltage 70 kV",)), "70 kV"),
    (WholeScan(max_category_wrong=0.0), ScanDoubts(), "risk category is wrong"),
    (WholeScan(max_doubtful=1), ScanDoubts(), "doubtful, more than 1"),
]


@pytest.mark.parametrize(("rule", "scan", "says"), WHOLE)
def test_a_scan_beyond_the_model_goes_to_the_expert_as_a_whole(rule, scan, says):
    """Every lesion that may be coronary and counts is referred then, beyond the budget, and the result says why."""
    p, parts, effect = ensemble(3)
    u, stakes = measure(p, parts), weigh(p, decide(p), effect, SCHEME)
    policy = replace(ALL_RULES, max_lesions=1, min_coronary=0.3, whole_scan=rule)
    assert ((u.coronary < 0.3) & (effect > 0)).any()
    found = refer(policy, u, stakes, scan)
    assert says in " ".join(found.whole_scan)
    assert (found.referred == ((effect > 0) & (u.coronary >= policy.min_coronary))).all()
    quiet = refer(replace(policy, whole_scan=WholeScan()), u, stakes, scan)
    assert quiet.whole_scan == ()
    assert quiet.referred.sum() == 1


few_lesions = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from([0.0, 0.4, 3.0, 12.0, 60.0, 150.0, 500.0])), min_size=1, max_size=12
)
"""Probability of being coronary and effect of the lesions of a scan: few enough that single ones decide."""


def scan_of(lesions):
    """Probabilities, uncertainty, labels and stakes of such lesions."""
    coronary, effect = (np.array(column) for column in zip(*lesions, strict=True))
    p = np.zeros((len(lesions), len(Label)))
    p[:, Label.RCA], p[:, Label.OTHER] = coronary, 1 - coronary
    labels = decide(p)
    return p, measure(p), labels, weigh(p, labels, effect, SCHEME, draws=50)


@given(few_lesions, st.floats(0, 1), st.integers(0, 3))
def test_flipping_a_referred_deciding_lesion_changes_the_category(lesions, limit, budget):
    """What is referred as deciding decides, and is not surer than the limit; what decides and is not surer is referred.

    Neither minima nor budget matter.
    """
    p, u, labels, stakes = scan_of(lesions)
    policy = ReferralPolicy(deciding_below=limit, max_lesions=budget, min_effect_agatston=1e6, min_coronary=0.1)
    found = refer(policy, u, stakes)
    now = np.isin(labels, [1, 2, 3, 4])
    before = SCHEME.category(float(stakes.effect[now].sum()))
    for i in range(len(p)):
        flipped = now.copy()
        flipped[i] = not flipped[i]
        decides = SCHEME.category(float(stakes.effect[flipped].sum())) != before
        assert stakes.deciding[i] == decides
        sure = 1 - stakes.flips[i]
        assert found.referred[i] == (decides and sure < limit and u.coronary[i] >= 0.1)
        assert ("decides the risk category" in found.reasons[i]) == found.referred[i]


@given(few_lesions)
def test_the_surety_of_a_decision_is_its_probability(lesions):
    """Of a lesion that counts it is that of being coronary, of any other that of not being; without effect, 1."""
    _, u, labels, stakes = scan_of(lesions)
    taken = np.where(labels > 0, u.coronary, 1 - u.coronary)
    assert 1 - stakes.flips == pytest.approx(np.where(stakes.effect > 0, taken, 1.0), abs=1e-9)


@given(few_lesions, st.integers(0, 12))
def test_deciding_lesions_come_before_the_others_within_the_budget(lesions, budget):
    """All of them are referred; the others get what they leave of the budget, in the order of the policy."""
    _, u, _, stakes = scan_of(lesions)
    policy = ReferralPolicy(deciding_below=0.99, max_lesions=budget)
    found = refer(policy, u, stakes).referred
    first = refer(replace(policy, max_lesions=0), u, stakes).referred
    every = refer(replace(policy, max_lesions=None), u, stakes).referred
    assert (found | ~first).all()
    assert found.sum() == max(first.sum(), min(budget, every.sum()))


@given(few_lesions, st.floats(0, 60), st.integers(0, 2))
def test_a_large_lesion_near_the_ostia_is_referred_whatever_it_is_called(lesions, limit, budget):
    """Near, large and neither clearly coronary nor clearly not: referred, whatever its label and the budget."""
    _, u, _, stakes = scan_of(lesions)
    away = np.linspace(0, 50, len(lesions))
    away[-1] = np.nan
    never = {"coronary_low": 1.0, "coronary_high": 1.0}
    limits = {"near_ostia_mm": limit, "near_ostia_sure": 0.8, "max_lesions": budget}
    policy = ReferralPolicy(**limits, min_change_agatston=1e6, **never)
    found = refer(policy, u, stakes, ostia_mm=away)
    near = (away < limit) & (stakes.effect >= policy.near_ostia_effect) & (u.coronary >= policy.near_ostia_coronary)
    near &= u.coronary <= policy.near_ostia_sure
    assert (found.referred == near).all()
    assert not refer(policy, u, stakes).referred.any()
    with pytest.raises(ModelError, match="same"):
        refer(policy, u, stakes, ostia_mm=np.zeros(len(lesions) + 1))


@given(few_lesions, st.integers(0, 6))
def test_no_doubtful_lesion_beyond_the_budget_is_accepted_in_silence(lesions, budget):
    """With as many doubtful lesions allowed as the budget has, one more sends every possible lesion to the expert."""
    _, u, _, stakes = scan_of(lesions)
    policy = ReferralPolicy(deciding_below=0.95, max_lesions=budget, whole_scan=WholeScan(max_doubtful=budget))
    every = refer(replace(policy, max_lesions=None, whole_scan=WholeScan()), u, stakes).referred
    found = refer(policy, u, stakes)
    assert bool(found.whole_scan) == (every.sum() > budget)
    assert (found.referred | ~every).all()
    if found.whole_scan:
        assert found.referred[(stakes.effect > 0) & (u.coronary >= policy.min_coronary)].all()


@pytest.mark.parametrize("name", ["default", "calcscore"])
def test_recipes_ask_for_what_decides(name):
    """The recipes refer deciding lesions, large ones near the ostia, and scans with more doubts than the budget."""
    policy = read_recipe(f"configs/{name}.toml").referral
    assert policy.deciding_below is not None
    assert policy.near_ostia_mm is not None
    assert policy.whole_scan.max_doubtful == policy.budget
    assert policy.whole_scan.untrusted_location


def test_an_unknown_spread_is_no_reason():
    """A scan whose atlases were not asked is not referred for their spread."""
    p, parts, effect = ensemble(3)
    stakes = weigh(p, decide(p), effect, SCHEME)
    policy = ReferralPolicy(whole_scan=WholeScan(max_spread_mm=0.0))
    assert refer(policy, measure(p, parts), stakes, ScanDoubts()).whole_scan == ()


def enumerated(p, labels, effect):
    """Stakes by going through every possible truth, the second implementation."""
    coronary = p[:, 1:5].sum(axis=1)
    now = np.isin(labels, [1, 2, 3, 4])
    n = len(p)
    worlds = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    weight = np.prod(np.where(worlds == 1, coronary, 1 - coronary), axis=1)
    category = np.zeros(n)
    for i in range(n):
        flips = 1 - coronary[i] if now[i] else coronary[i]
        others = worlds.copy()
        for world, w in zip(others, weight, strict=True):
            world[i] = 0
            low = SCHEME.category(float(world @ effect))
            world[i] = 1
            category[i] += flips * w * (SCHEME.category(float(world @ effect)) != low)
    scored = SCHEME.category(float(effect[now].sum()))
    wrong = sum(w for world, w in zip(worlds, weight, strict=True) if SCHEME.category(float(world @ effect)) != scored)
    return category, wrong


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_stakes_equal_those_of_every_possible_truth(seed):
    """Drawn scores give the probabilities that going through all truths gives, within their standard error."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(8, 0.5), 7)
    effect = rng.choice([0.0, 1.0, 5.0, 30.0, 90.0, 300.0], 7)
    stakes = weigh(p, decide(p), effect, SCHEME, draws=20_000, seed=seed)
    category, wrong = enumerated(p, decide(p), effect)
    assert stakes.category == pytest.approx(category, abs=0.02)
    assert stakes.category_wrong == pytest.approx(wrong, abs=0.02)
    assert stakes.expected == pytest.approx(float(p[:, 1:5].sum(axis=1) @ effect))


@given(seeds)
def test_stakes_are_probabilities_and_follow_the_lesions(seed):
    """Doubt and category lie in 0 to 1, no change exceeds the effect, and permuted lesions have permuted stakes."""
    p, _, effect = ensemble(seed)
    order = np.random.default_rng(seed).permutation(len(p))
    plain, moved = (weigh(q, decide(q), e, SCHEME, draws=50) for q, e in ((p, effect), (p[order], effect[order])))
    for values in (plain.doubt, plain.category):
        assert ((values >= 0) & (values <= 1)).all()
    assert ((plain.change >= 0) & (plain.change <= effect / 2 + 1e-9)).all()
    assert moved.doubt == pytest.approx(plain.doubt[order])
    assert moved.change == pytest.approx(plain.change[order])


def test_a_speck_beside_much_calcium_is_not_worth_a_look_and_one_beside_none_is():
    """The same doubtful lesion changes the category of a patient without calcium, not of one at 900."""
    doubtful, sure = [0.5, 0.5, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0]
    alone = weigh(np.array([doubtful]), np.array([1]), np.array([2.0]), SCHEME)
    beside = weigh(np.array([doubtful, sure]), np.array([1, 1]), np.array([2.0, 900.0]), SCHEME)
    assert alone.category[0] == pytest.approx(0.5)
    assert beside.category[0] == 0
    assert alone.change[0] == beside.change[0] == 1


def test_doubt_is_of_the_artery_and_change_of_being_coronary():
    """Which artery is open may be doubtful where the score is not; outside the arteries all sites are one answer."""
    p = np.array([[0.1, 0.5, 0.4, 0, 0, 0, 0, 0], [0.4, 0.1, 0, 0, 0, 0.5, 0, 0]])
    stakes = weigh(p, decide(p), np.array([10.0, 10.0]), SCHEME)
    assert stakes.doubt == pytest.approx([0.5, 0.1])
    assert stakes.change == pytest.approx([1.0, 1.0])


def test_stakes_of_no_lesion_are_none():
    """A scan without a candidate has nothing at stake."""
    found = weigh(np.zeros((0, 8)), np.zeros(0, dtype=int), np.zeros(0), SCHEME)
    assert isinstance(found, Stakes)
    assert (found.expected, found.category_wrong, found.doubt.shape) == (0, 0, (0,))


@given(seeds)
def test_a_scan_is_worth_what_its_lesions_are(seed):
    """Values add up over scans, and lesions that are clearly no calcium add nothing."""
    p, parts, _ = ensemble(seed)
    scans = np.random.default_rng(seed).choice(["a", "b", "c"], len(p))
    u = measure(p, parts)
    values = of_scans(scans, u)
    assert sum(values.values()) == pytest.approx(scan_value(u))
    clear = np.tile((np.eye(8)[[0]] + np.eye(8)[[5]]) / 2, (5, 1))  # bone or aorta: members differ, but not on calcium
    said = np.stack([np.tile(np.eye(8)[[5 * (i % 2)]], (5, 1)) for i in range(len(parts))])
    more = measure(np.vstack([p, clear]), np.concatenate([parts, said], axis=1))
    assert more.disagreement[-1] > 0.1
    assert scan_value(more) == pytest.approx(scan_value(u))


def test_scans_whose_members_differ_come_first():
    """A scan on which members agree, however undecided, is worth nothing; one on which they differ is chosen."""
    half, one, none = [0.5, 0.5, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]
    agree = measure(np.array([half]), np.array([[half], [half]]))
    differ = measure(np.array([half]), np.array([[one], [none]]))
    values = {"agree": scan_value(agree), "differ": scan_value(differ)}
    assert values["agree"] == 0
    assert choose_scans(values, 1) == ("differ",)
    with pytest.raises(ModelError, match="members"):
        scan_value(measure(np.array([half])))
