"""Agreement of scores and categories, against published tables and second implementations."""

import math
import statistics
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import cohen_kappa_score

from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.agreement import (
    Limits,
    bland_altman,
    bland_altman_ratio,
    category_accuracy,
    category_sums,
    cohen_kappa,
    icc_of_sums,
    intraclass_correlation,
    kappa_of_sums,
    rating_sums,
)

SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
"""Six subjects, four judges: Shrout and Fleiss, Psychol Bull 86 (1979), Table 2."""

WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
"""Peak flow of 17 people by two meters [l/min]: Bland and Altman, Lancet 327 (1986), first measurements."""

QUICK = settings(deadline=None, max_examples=60)

FORMS = ("A,1", "C,1", "1,1")

tables = hnp.arrays(
    float, st.tuples(st.integers(2, 12), st.integers(2, 5)), elements=st.integers(0, 400).map(lambda i: i / 4)
)


def variance_components(table):
    """ICCs from components of variance: subjects, raters and residual, estimated by solving E[mean squares]."""
    n, k = table.shape
    cell = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + table.mean()
    residual = (cell**2).sum() / ((n - 1) * (k - 1))
    subjects = table.mean(axis=1).var(ddof=1) - residual / k
    raters = table.mean(axis=0).var(ddof=1) - residual / n
    within = table.var(axis=1, ddof=1).mean()
    one_way = table.mean(axis=1).var(ddof=1) - within / k
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "A,1": subjects / (subjects + raters + residual),
            "C,1": subjects / (subjects + residual),
            "1,1": one_way / (one_way + within),
        }


@pytest.mark.parametrize(("form", "published"), [("1,1", 0.17), ("A,1", 0.29), ("C,1", 0.71)])
def test_icc_published(form, published):
    """The intraclass correlations of Shrout and Fleiss's example are theirs."""
    assert round(intraclass_correlation(SHROUT_FLEISS, form), 2) == published


@pytest.mark.parametrize("form", FORMS)
@QUICK
@given(table=tables)
def test_icc_second_implementation(form, table):
    """An intraclass correlation from sums equals the one from components of variance."""
    found = intraclass_correlation(table, form)
    if np.ptp(table, axis=0).max() == 0:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(variance_components(table)[form], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("form", FORMS)
@QUICK
@given(table=tables, shift=st.integers(-1000, 1000), scale=st.sampled_from([0.5, 3.0, 100.0]))
def test_icc_units(form, table, shift, scale):
    """An intraclass correlation knows neither the zero nor the unit of the scores."""
    one, other = intraclass_correlation(table, form), intraclass_correlation(table * scale + shift, form)
    assert other == pytest.approx(one, abs=1e-6, nan_ok=True)


def test_icc_bias():
    """A constant bias lowers absolute agreement and leaves consistency whole."""
    truth = np.array([0.0, 10.0, 50.0, 200.0])
    pair = np.column_stack([truth, truth + 30])
    assert intraclass_correlation(pair, "C,1") == pytest.approx(1)
    assert intraclass_correlation(pair, "A,1") < 0.99


def test_icc_large_scores_keep_digits():
    """Scores in the thousands that differ in the fourth decimal still give the right correlation."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(50, 2)) * 1e-4
    assert intraclass_correlation(noise + 5000.0) == pytest.approx(intraclass_correlation(noise), abs=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("table", [np.full((4, 2), 5.3), np.tile([1.0, 2.0], (4, 1)), [[1.0, 2.0]], np.ones((5, 1))])
def test_icc_undefined(form, table):
    """Without two subjects that differ, or two raters, the correlation is NaN and nothing warns."""
    assert np.isnan(intraclass_correlation(table, form))


@pytest.mark.parametrize("form", FORMS)
def test_icc_of_one_patient_drawn_again_and_again(form):
    """A bootstrap sample that holds one patient many times has no correlation, however its sums are rounded."""
    rows = rating_sums(np.random.default_rng(0).lognormal(4, 2, size=(50, 2)))
    assert np.isnan(icc_of_sums(rows * 7, form)).all()


def test_icc_empty():
    """No subjects at all give NaN."""
    assert np.isnan(intraclass_correlation(np.empty((0, 2))))


def test_icc_one_constant_rater():
    """A rater who gives everybody the same score agrees with no one."""
    assert intraclass_correlation([[0, 5], [10, 5], [20, 5]], "C,1") == 0


@QUICK
@given(
    pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30),
    weights=st.sampled_from(["none", "linear", "quadratic"]),
)
def test_kappa_second_implementation(pairs, weights):
    """Kappa equals scikit-learn's, and is NaN where both raters use a single category."""
    a, b = np.array(pairs).T
    found = cohen_kappa(a, b, 5, weights)
    if len(set(a) | set(b)) == 1:
        assert np.isnan(found)
    else:
        wanted = cohen_kappa_score(a, b, labels=range(5), weights=None if weights == "none" else weights)
        assert found == pytest.approx(wanted, abs=1e-12)


def test_kappa_many_tables_at_once():
    """Kappas of a stack of tables are the kappas of each."""
    rng = np.random.default_rng(1)
    stack = rng.integers(0, 9, size=(7, 9)).astype(float)
    assert kappa_of_sums(stack).tolist() == [float(kappa_of_sums(row)) for row in stack]


def test_kappa_more_categories_than_used():
    """Categories nobody used change no linear kappa."""
    a, b = [0, 1, 2, 2, 1], [0, 2, 2, 1, 1]
    assert cohen_kappa(a, b, 3) == pytest.approx(cohen_kappa(a, b, 5))


def test_category_rules():
    """Categories outside the scheme, lists of two lengths and unknown names of a form or weights raise."""
    with pytest.raises(ResultError, match="0 to 2, got 0 to 3"):
        category_sums([0, 3], [0, 1], 3)
    with pytest.raises(ResultError, match="one length"):
        category_sums([0], [0, 1], 3)
    with pytest.raises(ResultError, match="linear"):
        cohen_kappa([0], [0], 2, "cubic")
    with pytest.raises(ResultError, match="A,1"):
        intraclass_correlation([[0, 1], [1, 2]], "2,1")
    with pytest.raises(ResultError, match="subjects by raters"):
        intraclass_correlation([1, 2, 3])
    with pytest.raises(ResultError, match="one length"):
        bland_altman([[1.0, 2.0]], [[1.0, 2.0]])


def test_bland_altman_published():
    """The bias and limits of Bland and Altman's peak flow example are theirs (they use 2 SD: -79.7 to 75.5)."""
    limits = bland_altman(MINI, WRIGHT)
    sd = (limits.upper - limits.bias) / 1.96
    assert round(limits.bias, 1) == -2.1
    assert round(sd, 1) == 38.8
    assert limits.bias - 2 * sd == pytest.approx(-79.7, abs=0.1)
    assert limits.bias + 2 * sd == pytest.approx(75.5, abs=0.1)


@QUICK
@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 9000)), min_size=2, max_size=20))
def test_bland_altman_second_implementation(pairs):
    """Bias and limits are what Python's exact statistics give, of differences and of log ratios."""
    reference, measured = zip(*pairs, strict=True)
    differences = [Fraction(m - r) for r, m in pairs]
    ratios = [math.log((m + 1) / (r + 1)) for r, m in pairs]
    plain, ratio = bland_altman(reference, measured), bland_altman_ratio(reference, measured)
    for values, found in (
        (differences, plain),
        (ratios, Limits(math.log(ratio.bias), math.log(ratio.lower), math.log(ratio.upper))),
    ):
        bias, sd = float(statistics.mean(values)), float(statistics.stdev(values))
        wanted = (bias, bias - 1.96 * sd, bias + 1.96 * sd)
        assert (found.bias, found.lower, found.upper) == pytest.approx(wanted, rel=1e-6, abs=1e-6)


@QUICK
@given(hnp.arrays(float, st.integers(2, 20), elements=st.integers(0, 4000).map(lambda i: i / 2)), st.randoms())
def test_bland_altman_symmetry(scores, random):
    """Swapping the two raters mirrors the limits, and inverts the ratios."""
    others = np.array(random.sample(scores.tolist(), len(scores)))
    there, back = bland_altman(scores, others), bland_altman(others, scores)
    assert (back.lower, back.upper) == pytest.approx((-there.upper, -there.lower), abs=1e-6)
    there, back = bland_altman_ratio(scores, others), bland_altman_ratio(others, scores)
    assert (back.bias, back.lower) == pytest.approx((1 / there.bias, 1 / there.upper), rel=1e-6)


def test_bland_altman_ratio_of_a_proportional_reader():
    """A reader who finds twice the score plus one has a ratio of 2 and limits without width."""
    truth = np.array([0.0, 3.0, 99.0, 999.0])
    limits = bland_altman_ratio(truth, 2 * truth + 1)
    assert (limits.bias, limits.lower, limits.upper) == pytest.approx((2, 2, 2))


def test_bland_altman_undefined():
    """One scan has a bias and no limits; none has neither."""
    one, none = bland_altman([1], [3]), bland_altman([], [])
    assert one.bias == 2
    assert np.isnan([one.lower, one.upper, none.bias, none.lower]).all()


def test_category_accuracy_empty():
    """No scans have no accuracy."""
    assert np.isnan(category_accuracy([], []))


def test_rating_sums_add():
    """The sums of a cohort are the sums of its parts: nothing else about the scans is kept."""
    table = np.array(SHROUT_FLEISS, dtype=float)
    assert rating_sums(table).shape == (6, 7)
    assert rating_sums(table).sum(axis=0)[0] == 6
