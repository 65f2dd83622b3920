"""Laws of the main job: scan in, result out."""

import json
from dataclasses import replace

import numpy as np
import pytest

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.assessment import assess_cohort
from calcscore_ml.candidates import find_candidates
from calcscore_ml.errors import ManifestError, ModelError, ResultError
from calcscore_ml.io import read_scan
from calcscore_ml.io.labels import read_labels
from calcscore_ml.manifest import read_manifest
from calcscore_ml.pipeline import WIDE_SPREAD_MM, describe_scan, doubts, score_labelled, score_scan
from calcscore_ml.recipe import LocationSection, parse_recipe
from calcscore_ml.reports.html import scan_report
from calcscore_ml.result import INTENDED_USE, counted, read_result, to_json, write_result
from calcscore_ml.scan import Scan
from calcscore_ml.scan_row import GROUPS
from calcscore_ml.scores import RULES, summarise
from calcscore_ml.table import MIN_LABELLED_SHARE, truth_labels
from calcscore_ml.training import lesion_table, train


@pytest.fixture(scope="module")
def rows(cohort):
    return read_manifest(cohort)


@pytest.fixture(scope="module")
def calcified(rows):
    """The scan of the cohort with the most labelled voxels, and its labels."""
    best = max(rows, key=lambda r: (read_labels(r.labels, read_scan(r.image).geometry) > 0).sum())
    scan = read_scan(best.image)
    return scan, read_labels(best.labels, scan.geometry)


@pytest.fixture(scope="module")
def scored(calcified, bundle, recipe):
    return score_scan(calcified[0], bundle, recipe, scan_id="case")


def test_the_range_holds_the_score(rows, bundle, recipe):
    """Rejecting the pending lesions never raises the total, accepting them never lowers it."""
    for row in rows[:6]:
        result = score_scan(read_scan(row.image), bundle, recipe, scan_id=row.scan_id).result
        assert result.range.lowest <= result.score.total.agatston + 1e-9
        assert result.score.total.agatston <= result.range.highest + 1e-9
        assert result.range.pending == sum(n.referred for n in result.lesions)


def test_listed_lesions_explain_the_total(scored):
    """The Agatston scores of the lesions labelled coronary add up to the total."""
    result = scored.result
    parts = sum(n.agatston for n in result.lesions if n.label.is_coronary)
    assert parts == pytest.approx(result.score.total.agatston)


def test_probabilities_are_of_all_labels_and_sum_to_one(scored):
    """Every listed lesion carries a whole distribution."""
    assert scored.result.lesions
    for lesion in scored.result.lesions:
        assert sum(lesion.probabilities.values()) == pytest.approx(1)
        assert lesion.coronary_probability == pytest.approx(
            sum(lesion.probabilities[t.title] for t in Label if t.is_coronary)
        )


def test_the_same_scan_scores_the_same_twice(calcified, bundle, recipe, scored):
    """Nothing random is left once a model is trained."""
    again = score_scan(calcified[0], bundle, recipe, scan_id="case").result
    first = replace(scored.result, provenance=replace(scored.result.provenance, seconds={}))
    assert to_json(replace(again, provenance=replace(again.provenance, seconds={}))) == to_json(first)


def test_a_model_refuses_a_table_it_was_not_trained_on(calcified, bundle, recipe):
    """Other features are an error, not another answer."""
    fewer = recipe.model_copy(update={"features": recipe.features.model_copy(update={"families": ("size",)})})
    with pytest.raises(ModelError, match="features"):
        score_scan(calcified[0], bundle, fewer, scan_id="case")


def test_a_scan_without_candidates_has_a_report(bundle, recipe):
    """A scan of water adds up to nothing, which is no score as there is no heart, and has a report like any other."""
    scan = read_scan_like(np.zeros((8, 64, 64), np.int16))
    scored = score_scan(scan, bundle, recipe, scan_id="water")
    assert scored.result.score.total.agatston == 0
    assert scored.result.headline == "no score"
    assert "No candidate" in scan_report(scored.result, scan, scored.candidates, scored.calcium, scored.location)


def read_scan_like(hu):
    from calcscore_ml.geometry import Geometry

    return Scan(hu, Geometry(hu.shape, (3.0, 1.0, 1.0)))


def test_an_observers_labels_score_without_a_model(calcified, recipe):
    """What an observer labelled is what is scored, and nothing is pending."""
    scan, labels = calcified
    scored = score_labelled(scan, labels, recipe, scan_id="case")
    assert scored.result.range.pending == 0
    assert scored.result.score.total.agatston > 0
    assert {n.label for n in scored.result.lesions} == {Label(int(v)) for v in np.unique(labels) if v}
    parts = sum(n.agatston for n in scored.result.lesions if n.label.is_coronary)
    assert parts == pytest.approx(scored.result.score.total.agatston)


def test_a_stored_result_can_be_read_and_scored_again(calcified, scored, tmp_path):
    """Reading gives what was written, and its voxels give the same score by the same rule."""
    report = scan_report(scored.result, calcified[0], scored.candidates, scored.calcium, scored.location)
    folder = write_result(tmp_path / "case", scored.result, scored.calcium, report)
    result, calcium = read_result(folder)
    assert to_json(result) == to_json(scored.result)
    again = summarise(counted(result, calcium), result.score.rule, result.score.calibration)
    assert again.total == result.score.total
    assert all(summarise(counted(result, calcium), r, result.score.calibration) for r in RULES)
    with pytest.raises(ResultError, match="overwrite"):
        write_result(folder, scored.result, scored.calcium, report)
    (folder / "voxels.npz").unlink()
    with pytest.raises(ResultError, match="score again"):
        read_result(folder)


def test_the_report_is_one_page_that_asks_nobody(calcified, scored):
    """No script, nothing fetched, the disclaimer twice, and names escaped."""
    result = replace(scored.result, scan_id="<script>alert(1)</script>")
    page = scan_report(result, calcified[0], scored.candidates, scored.calcium, scored.location)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.count(INTENDED_USE) == 2
    assert "http://" not in page
    assert "https://" not in page
    for lesion in result.lesions:
        assert f"Lesion {lesion.lesion}</strong>" in page


def test_lesion_rows_hold_every_listed_lesion(scored, calcified, tmp_path):
    """The spreadsheet has a row per lesion and a column per label."""
    folder = write_result(tmp_path / "case", scored.result, scored.calcium, "")
    lines = (folder / "lesions.csv").read_text().splitlines()
    assert len(lines) == len(scored.result.lesions) + 1
    assert all(f"p_{t.name.lower()}" in lines[0] for t in Label)
    assert len({line.count(",") for line in lines}) == 1


def test_truth_is_the_label_with_most_voxels(calcified, recipe):
    """A candidate keeps a label when enough of it carries one, and a relabelled volume relabels it."""
    scan, labels = calcified
    candidates = describe_scan(scan, recipe).candidates
    truth = truth_labels(candidates, labels)
    for i in np.flatnonzero(truth):
        own = labels[tuple(candidates.voxels[candidates.offsets[i] : candidates.offsets[i + 1]].T)]
        assert (own > 0).mean() >= MIN_LABELLED_SHARE
        assert (own == truth[i]).sum() == np.bincount(own)[1:].max()
    assert (truth > 0).any()


@pytest.mark.parametrize(("labelled", "expected"), [(2, 0), (3, 1), (4, 1), (10, 1)])
def test_three_tenths_of_a_candidate_decide_its_label(labelled, expected):
    """A candidate of ten voxels keeps a label from three labelled voxels on, though most carry none."""
    hu = np.full((1, 3, 12), -1000, np.int16)
    hu[0, 1, 1:11] = 300
    labels = np.zeros(hu.shape, np.uint8)
    labels[0, 1, 1 : 1 + labelled] = Label.LAD
    assert truth_labels(find_candidates(read_scan_like(hu)), labels).tolist() == [expected]


def test_training_is_reproducible_and_its_cache_is_faithful(rows, recipe, tmp_path):
    """The same rows give the same table and model, computed or read back, in any order."""
    few = [r for r in rows if r.split == "train"][:4]
    first = lesion_table(few, recipe, cache=tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 4
    again = lesion_table(few[::-1], recipe, cache=tmp_path)
    assert first.fingerprint() == again.fingerprint()
    models = [train(t, recipe, trained_on="x").card.files for t in (first, again)]
    assert models[0] == models[1]


def test_recipes_that_learn_from_some_features_share_a_table(rows, recipe, calcified, tmp_path):
    """`only` and `targets` change what is learnt, not what is computed: neither the cache nor the table."""
    few = [r for r in rows if r.split == "train"]
    table = lesion_table(few, recipe, cache=tmp_path)
    files = sorted(tmp_path.glob("*.npz"))
    only = ["heart_*", "volume_mm3"]
    some = parse_recipe(
        recipe.model_dump(mode="json")
        | {"features": {"families": ["size", "intensity", "location"], "gaussian_scales_mm": [2, 4], "only": only}}
        | {"model": {"estimator": "knn", "targets": ["LAD", "RCA"], "left_main_as": "LAD"}},
        "the tests",
    )
    again = lesion_table(few, some, cache=tmp_path)
    assert sorted(tmp_path.glob("*.npz")) == files
    assert again.fingerprint() == table.fingerprint()
    model = train(table, some, trained_on="x")
    assert model.card.features == some.features.names()
    assert set(model.card.units) == set(model.card.features)
    assert set(model.card.labels) == {0, Label.LAD, Label.RCA}
    result = score_scan(calcified[0], model, some, scan_id="case").result
    assert {lesion.label for lesion in result.lesions} <= {Label.OTHER, Label.LAD, Label.RCA}
    assert "max_hu" in table.features
    assert "max_hu" not in describe_scan(calcified[0], some.for_scoring()).table
    with pytest.raises(ModelError, match="heart_z"):
        train(replace(table, features=table.features[["volume_mm3"]]), some, trained_on="x")


def test_a_left_main_counted_as_lad_is_no_error(rows, recipe, bundle):
    """Where the recipe counts it so, the reference does too."""
    merging = recipe.model_copy(update={"model": recipe.model.model_copy(update={"left_main_as": "LAD"})})
    for chosen, expected in ((recipe, False), (merging, True)):
        found = assess_cohort(rows[:2], bundle, chosen, resamples=20)
        assert found.automatic.settings.left_main_as_lad == found.after_expert.settings.left_main_as_lad == expected


def test_a_cohort_needs_labels_and_readable_scans(rows, recipe, bundle, tmp_path):
    """One bad scan is reported and the rest goes on; none at all is an error."""
    bad = replace(rows[0], scan_id="bad", image=tmp_path / "missing")
    table = lesion_table([bad, rows[1]], recipe)
    assert [f[0] for f in table.failed] == ["bad"]
    assert set(table.scan_id) == {rows[1].scan_id}
    with pytest.raises(ManifestError, match="readable"):
        lesion_table([bad], recipe)
    with pytest.raises(ManifestError, match="labels"):
        lesion_table([replace(rows[0], labels=None)], recipe)
    with pytest.raises(ManifestError, match="labels"):
        assess_cohort([replace(rows[0], labels=None)], bundle, recipe)


def test_an_expert_who_is_right_leaves_no_false_positive(rows, bundle, recipe):
    """With everything that could move the score referred, nothing counted is wrong, and sensitivity does not fall."""
    policy = replace(recipe.referral, coronary_low=0.0, coronary_high=1.0, max_lesions=None)
    everything = recipe.model_copy(update={"referral": policy})
    found = assess_cohort(rows, bundle, everything, resamples=20)
    coronary = found.lesions["predicted"].isin([int(t) for t in Label if t.is_coronary])
    assert coronary.any()
    assert found.lesions.loc[coronary, "referred"].all()
    assert found.after_expert["lesion.false_positives_per_scan"].value == 0.0
    assert found.after_expert["lesion.sensitivity"].value >= found.automatic["lesion.sensitivity"].value
    assert len(found.scans) == len(rows)


def test_an_assessment_can_be_split_and_traced(rows, bundle, recipe):
    """Every scan has a value of every group, every candidate an uncertainty; an unknown group is refused at once."""
    few = rows[:4]
    found = assess_cohort(few, bundle, recipe, by=GROUPS, resamples=2)
    assert {name.split()[0] for name, _ in found.automatic.subgroups} == set(GROUPS)
    assert found.scans[list(GROUPS)].map(lambda value: isinstance(value, str) and len(value) > 0).all(axis=None)
    assert set(found.scans["slice_thickness_mm"]) == {"4"}
    assert found.lesions["coronary"].between(0, 1).all()
    called = found.lesions["predicted"].isin(ARTERIES)
    assert (found.lesions["coronary"] >= recipe.decision.coronary_threshold).eq(called).all()
    assert {"volume_lad_mm3.icc_a1", "mass_lm_mg.icc_11"} <= {r.name for r in found.automatic.results}
    with pytest.raises(ResultError, match=r"protocol, manufacturer, .* got 'vendor'"):
        assess_cohort(few, bundle, recipe, by=["sex", "vendor"])


def test_results_are_plain_json(scored):
    """No NaN, no surprise: any JSON reader reads a result."""
    parsed = json.loads(to_json(scored.result))
    assert parsed["schema_version"] == 1
    assert parsed["intended_use"] == INTENDED_USE


def test_a_doubtful_location_is_told(calcified, recipe):
    """Not trusted, or arteries far apart: a warning that says why; without atlases, and where all is well, none."""
    wanted = recipe.model_copy(update={"location": LocationSection()})
    found = describe_scan(calcified[0], recipe).location
    (refused,) = doubts(found, wanted)
    assert found.remark in refused.text
    assert doubts(found, recipe) == ()
    (wide,) = doubts(replace(found, trusted=True, spread_mm=2 * WIDE_SPREAD_MM), wanted)
    assert f"{2 * WIDE_SPREAD_MM:.1f} mm" in wide.text
    assert doubts(replace(found, trusted=True, spread_mm=1.0), wanted) == ()
