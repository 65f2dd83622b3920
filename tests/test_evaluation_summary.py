"""A whole evaluation: its numbers are the single metrics', and it prints and stores them."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_fscore_support

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.agreement import (
    bland_altman,
    bland_altman_ratio,
    category_accuracy,
    cohen_kappa,
    intraclass_correlation,
)
from calcscore_ml.evaluation.bootstrap import patient_bootstrap
from calcscore_ml.evaluation.comparison import compare_systems
from calcscore_ml.evaluation.lesions import lesion_report
from calcscore_ml.evaluation.summary import evaluate
from calcscore_ml.scores.risk import find_scheme


def cohort(seed=0, n_patients=24, accuracy=0.85):
    """Lesions and scans of made-up patients, some with two scans, some without a lesion."""
    rng = np.random.default_rng(seed)
    scans, lesions = [], []
    for patient in range(n_patients):
        for repeat in range(1 + patient % 2):
            scan = f"scan-{patient:02d}-{repeat}"
            truth = rng.choice(8, size=0 if patient == 3 else 12, p=[0.5, 0.15, 0.05, 0.1, 0.05, 0.1, 0.03, 0.02])
            predicted = np.where(rng.random(len(truth)) < accuracy, truth, rng.choice(8, size=len(truth)))
            volume = rng.lognormal(2.5, 1.2, size=len(truth))
            lesions += zip([scan] * len(truth), truth, predicted, volume, strict=True)
            row = {"patient_id": f"patient-{patient:02d}", "scan_id": scan, "protocol": "AB"[patient % 3 == 0]}
            row["kernel"] = "sharp" if repeat else "soft"
            for name, factor in (("agatston", 1.3), ("volume_mm3", 1.0), ("agatston_lad", 0.7)):
                row[f"{name}_truth"] = factor * volume[np.isin(truth, (1, 2, 3, 4))].sum()
                row[name] = factor * volume[np.isin(predicted, (1, 2, 3, 4))].sum()
            scans.append(row)
    return pd.DataFrame(lesions, columns=["scan_id", "truth", "predicted", "volume_mm3"]), pd.DataFrame(scans)


LESIONS, PATIENTS = cohort()
EVALUATION = evaluate(LESIONS, PATIENTS, by="protocol", n=300)


def test_lesion_values():
    """The lesions' values are those of the lesion report."""
    report = lesion_report(LESIONS, n_scans=len(PATIENTS))
    pairs = {
        "lesion.sensitivity": report.sensitivity,
        "lesion.ppv": report.ppv,
        "lesion.f1": report.f1,
        "lesion.false_positives_per_scan": report.false_positives_per_scan,
        "lesion_volume.sensitivity": report.volume_sensitivity,
        "lesion_volume.ppv": report.volume_ppv,
        "lesion_volume.f1": report.volume_f1,
        "lesion_volume.false_positive_mm3_per_scan": report.false_positive_mm3_per_scan,
        "artery.accuracy_of_found": report.artery_accuracy,
        "artery.lcx_sensitivity": report.label_sensitivity(Label.LCX),
        "artery.lcx_ppv": report.label_ppv(Label.LCX),
        "other_site.aorta_sensitivity": report.label_sensitivity(Label.AORTA),
    }
    for name, wanted in pairs.items():
        assert EVALUATION[name].value == pytest.approx(wanted), name
    assert np.array_equal(EVALUATION.lesions.counts, report.counts)
    assert np.allclose(EVALUATION.lesions.volumes_mm3, report.volumes_mm3)


@pytest.mark.parametrize("label", [Label.LM, Label.RCA, Label.AORTA, Label.MITRAL_VALVE])
def test_values_of_a_site(label):
    """Sensitivity, PPV and F1 of one label are scikit-learn's; its volumes are sums over the table."""
    key = f"{'artery' if label in ARTERIES else 'other_site'}.{label.name.lower()}"
    has, given = (LESIONS[column] == label for column in ("truth", "predicted"))
    wanted = precision_recall_fscore_support(has, given, average="binary", zero_division=np.nan)
    found = [EVALUATION[f"{key}_{name}"].value for name in ("ppv", "sensitivity", "f1")]
    np.testing.assert_allclose(found, wanted[:3])
    if label not in ARTERIES:
        size = LESIONS["volume_mm3"]
        sensitivity = EVALUATION[f"{key}_volume_sensitivity"].value
        assert sensitivity == pytest.approx(size[has & given].sum() / size[has].sum())
        false = EVALUATION[f"{key}_false_positive_mm3_per_scan"].value
        assert false == pytest.approx(size[given & ~has].sum() / len(PATIENTS))


@pytest.mark.parametrize("score", ["agatston", "volume_mm3", "agatston_lad"])
def test_score_values(score):
    """The scores' values are those of the agreement functions."""
    truth, measured = PATIENTS[f"{score}_truth"], PATIENTS[score]
    pair = np.column_stack([truth, measured])
    limits, ratios = bland_altman(truth, measured), bland_altman_ratio(truth, measured)
    found = [
        EVALUATION[f"{score}.{name}"].value
        for name in ("icc_a1", "icc_c1", "icc_11", "bias", "limit_low", "limit_high", "ratio_bias", "ratio_limit_high")
    ]
    assert found == pytest.approx(
        [
            intraclass_correlation(pair),
            intraclass_correlation(pair, "C,1"),
            intraclass_correlation(pair, "1,1"),
            limits.bias,
            limits.lower,
            limits.upper,
            ratios.bias,
            ratios.upper,
        ]
    )


def test_category_values():
    """Categories, taken from the Agatston scores, have the kappas and the accuracy of the agreement functions."""
    scheme = find_scheme("standard")
    truth, measured = ([scheme.category(score) for score in PATIENTS[name]] for name in ("agatston_truth", "agatston"))
    assert EVALUATION["category.accuracy"].value == pytest.approx(category_accuracy(truth, measured))
    assert EVALUATION["category.kappa_linear"].value == pytest.approx(cohen_kappa(truth, measured, 5))
    assert EVALUATION["category.kappa_unweighted"].value == pytest.approx(cohen_kappa(truth, measured, 5, "none"))
    assert EVALUATION.category_counts.sum() == len(PATIENTS)
    given = evaluate(LESIONS, PATIENTS.assign(category_truth=truth, category=measured), n=10)
    assert np.array_equal(given.category_counts, EVALUATION.category_counts)


def test_interval_is_the_patients():
    """An interval is the bootstrap over patients, each with all their scans."""
    by_patient = {
        name: list(zip(rows["agatston_truth"], rows["agatston"], strict=True))
        for name, rows in PATIENTS.groupby("patient_id")
    }
    wanted = patient_bootstrap(
        lambda drawn: intraclass_correlation([pair for patient in drawn for pair in patient]), by_patient, n=300
    )
    found = EVALUATION["agatston.icc_a1"]
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


def test_all_intervals():
    """Every metric defined in the cohort has an interval that holds it."""
    for result in EVALUATION.results:
        low, value, high = result.interval.low, result.interval.value, result.interval.high
        assert np.isnan(low) or low <= value <= high, result.name
    assert not np.isnan(EVALUATION["lesion.f1"].low)


def test_order():
    """The order of the rows is of no consequence."""
    again = evaluate(LESIONS.sample(frac=1, random_state=1), PATIENTS.sample(frac=1, random_state=2), n=300)
    for one, other in zip(EVALUATION.results, again.results, strict=True):
        ours, theirs = one.interval, other.interval
        assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high), nan_ok=True)


def test_subgroups():
    """Each subgroup is the evaluation of its scans alone."""
    names = [name for name, _ in EVALUATION.subgroups]
    assert names == ["protocol A", "protocol B"]
    scans = PATIENTS[PATIENTS["protocol"] == "B"]
    alone = evaluate(LESIONS[LESIONS["scan_id"].isin(scans["scan_id"])], scans, n=300)
    assert dict(EVALUATION.subgroups)["protocol B"]["lesion.f1"] == alone["lesion.f1"]
    assert sum(group.n_scans for _, group in EVALUATION.subgroups) == EVALUATION.n_scans


def test_subgroups_of_several_columns():
    """Several columns are split one after the other, each as if alone."""
    both = evaluate(LESIONS, PATIENTS, by=["kernel", "protocol"], n=20)
    assert [name for name, _ in both.subgroups] == ["kernel sharp", "kernel soft", "protocol A", "protocol B"]
    alone = evaluate(LESIONS, PATIENTS, by="kernel", n=20)
    for (name, one), (_, other) in zip(both.subgroups, alone.subgroups, strict=False):
        assert [r.interval.value for r in one.results] == pytest.approx(
            [r.interval.value for r in other.results], nan_ok=True
        ), name
    assert evaluate(LESIONS, PATIENTS, by=[], n=2).subgroups == ()
    with pytest.raises(ResultError, match="none called vendor"):
        evaluate(LESIONS, PATIENTS, by=["kernel", "vendor"], n=2)


def test_the_text_of_subgroups_is_brief():
    """Scores of single arteries are printed once, for all scans; the stored form has them for each subgroup."""
    text = EVALUATION.to_text()
    assert text.count("agatston_lad") == 1
    assert text.count("\nagatston ") == 3
    assert "agatston_lad.icc_a1" in json.loads(EVALUATION.to_json())["subgroups"]["protocol A"]["metrics"]


def test_left_main_as_lad_in_scores():
    """With the left main counted as LAD, its scores are the LAD's, on both sides; the totals stay."""
    rng = np.random.default_rng(0)
    names = ("agatston_lm", "volume_lm_mm3", "volume_lad_mm3")
    extra = {f"{name}{suffix}": rng.lognormal(3, 1, len(PATIENTS)) for name in names for suffix in ("", "_truth")}
    apart = PATIENTS.assign(**extra)
    merged = evaluate(LESIONS, apart, left_main_as_lad=True, n=2)
    for lad, lm in (("agatston_lad", "agatston_lm"), ("volume_lad_mm3", "volume_lm_mm3")):
        pair = np.column_stack([apart[lad + end] + apart[lm + end] for end in ("_truth", "")])
        assert merged[f"{lad}.icc_a1"].value == pytest.approx(intraclass_correlation(pair))
        with pytest.raises(KeyError):
            merged[f"{lm}.icc_a1"]
    assert merged["agatston.icc_a1"].value == EVALUATION["agatston.icc_a1"].value
    assert "agatston_lm" in apart.columns


def test_perfect_system():
    """A system that repeats the reference is perfect in everything, and says what a width of zero means."""
    scores = {name: PATIENTS[f"{name}_truth"] for name in ("agatston", "volume_mm3", "agatston_lad")}
    perfect = evaluate(LESIONS.assign(predicted=LESIONS["truth"]), PATIENTS.assign(**scores), n=50)
    for name in ("lesion.f1", "agatston.icc_a1", "category.kappa_linear", "agatston.ratio_limit_high"):
        assert perfect[name].value == pytest.approx(1)
    assert perfect["agatston.bias"].value == 0
    assert "not that the value is certain" in perfect.to_text()


def test_json():
    """The stored form is strict JSON with every metric, and null where a metric is undefined."""
    stored = json.loads(EVALUATION.to_json(), parse_constant=pytest.fail)
    assert list(stored["metrics"]) == [result.name for result in EVALUATION.results]
    assert stored["metrics"]["agatston.icc_a1"]["value"] == EVALUATION["agatston.icc_a1"].value
    assert stored["metrics"]["volume_mm3.bias"]["unit"] == "mm3"
    assert stored["subgroups"]["protocol A"]["patients"] == 16
    nothing = evaluate(LESIONS.iloc[:0], PATIENTS, n=10)
    assert json.loads(nothing.to_json())["metrics"]["lesion.sensitivity"]["value"] is None


def test_text():
    """The printed form is aligned, and shows a dash where a metric is undefined."""
    text = evaluate(LESIONS.iloc[:0], PATIENTS, n=10).to_text()
    assert "35 scans" not in text
    assert "36 scans of 24 patients" in text
    rows = [line for line in text.splitlines() if line.startswith("  ") and "." in line]
    assert len({len(line.rstrip("m3 ")) for line in rows if "mm3" not in line.split()[0]}) == 1
    assert any(line.split()[:2] == ["sensitivity", "-"] for line in text.splitlines())


def test_private():
    """Neither form names a patient or a scan."""
    for form in (EVALUATION.to_json(), EVALUATION.to_text()):
        assert "patient-" not in form
        assert "scan-" not in form


def test_missed():
    """Reference lesions that no candidate covers lower the sensitivity."""
    missed = pd.DataFrame({"scan_id": PATIENTS["scan_id"][:5], "truth": 1, "volume_mm3": 30.0})
    lower = evaluate(LESIONS, PATIENTS, missed=missed, by="protocol", n=10)
    assert lower["lesion.sensitivity"].value < EVALUATION["lesion.sensitivity"].value
    assert sum(int(g.lesions.counts.sum()) for _, g in lower.subgroups) == len(LESIONS) + 5


def test_without_scores():
    """Without scores there are lesions to evaluate, and no categories."""
    bare = evaluate(LESIONS, PATIENTS[["patient_id", "scan_id"]], left_main_as_lad=True, n=10)
    assert bare.category_titles == ()
    assert bare.category_counts.shape == (0, 0)
    assert {result.name.split(".")[0] for result in bare.results} == {"lesion", "lesion_volume", "artery", "other_site"}
    assert "counted as LAD" in bare.to_text()
    with pytest.raises(KeyError):
        bare["artery.lm_sensitivity"]


def test_compare_systems():
    """Of two systems the better is found better, a system is not different from itself, and the order is free."""
    worse = cohort(accuracy=0.5)
    found = {c.name: c.comparison for c in compare_systems(worse, (LESIONS, PATIENTS.sample(frac=1)), n=300)}
    f1 = found["lesion.f1"]
    assert f1.difference.low > 0
    assert f1.p_value < 0.05
    assert f1.second.value == EVALUATION["lesion.f1"].value
    assert f1.second.low == pytest.approx(EVALUATION["lesion.f1"].low)
    same = {c.name: c.comparison for c in compare_systems((LESIONS, PATIENTS), (LESIONS, PATIENTS), n=50)}
    assert same["lesion.f1"].p_value == 1
    with pytest.raises(ResultError, match="got 1 in only one"):
        compare_systems((LESIONS, PATIENTS), (LESIONS, PATIENTS.iloc[1:]))


@pytest.mark.parametrize(
    ("lesions", "patients", "message"),
    [
        (LESIONS, PATIENTS.drop(columns="patient_id"), "none called patient_id"),
        (LESIONS, pd.concat([PATIENTS, PATIENTS.iloc[:1]]), "got 1 repeated"),
        (LESIONS, PATIENTS.iloc[2:], "scans that do not"),
        (LESIONS, PATIENTS.assign(agatston=-1.0), "not negative, got 36 scans"),
        (LESIONS, PATIENTS.assign(agatston_truth=np.nan), "another agatston"),
        (LESIONS, PATIENTS.assign(category=1.5, category_truth=1), "whole numbers"),
        (LESIONS, PATIENTS.assign(category=7, category_truth=1), "categories must be 0 to 4"),
        (LESIONS.iloc[:0], PATIENTS.iloc[:0], "at least one scan"),
        (LESIONS, PATIENTS.assign(protocol=None), "needs a protocol"),
    ],
)
def test_rules(lesions, patients, message):
    """A table that breaks a rule raises, saying which."""
    with pytest.raises(ResultError, match=message):
        evaluate(lesions, patients, by="protocol", n=10)


@pytest.mark.parametrize("silent", [0, 1, 5, 12])
def test_a_scan_without_a_score_is_wrong_and_found_nothing(silent):
    """Accuracy counts it as wrong, whatever its category; its lesions count as missed; nothing else changes."""
    scans = PATIENTS.assign(no_score=np.arange(len(PATIENTS)) < silent)
    found = evaluate(LESIONS, scans, n=10)
    kept = PATIENTS["scan_id"][~scans["no_score"]]
    right = evaluate(LESIONS[LESIONS["scan_id"].isin(kept)], PATIENTS[~scans["no_score"]], n=10)
    assert found["scan.no_score"].value == pytest.approx(silent / len(PATIENTS))
    assert found["category.accuracy"].value * len(PATIENTS) == pytest.approx(
        right["category.accuracy"].value * len(kept)
    )
    coronary = LESIONS["truth"].isin(ARTERIES)
    hit = coronary & LESIONS["predicted"].isin(ARTERIES) & LESIONS["scan_id"].isin(kept)
    assert found["lesion.sensitivity"].value == pytest.approx(hit.sum() / coronary.sum())
    assert found["agatston.icc_a1"].value == evaluate(LESIONS, PATIENTS, n=10)["agatston.icc_a1"].value
    for name in ("linear", "quadratic", "unweighted"):
        assert found[f"category.kappa_{name}"].value <= EVALUATION[f"category.kappa_{name}"].value + 1e-12
    if not silent:
        assert [r.name for r in found.results if r.name != "scan.no_score"] == [r.name for r in EVALUATION.results]
