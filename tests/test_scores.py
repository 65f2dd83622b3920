"""Laws of the scores: against a slow second implementation, closed forms and published tables."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.candidates import find_candidates
from calcscore_ml.errors import GeometryError, RecipeError, ScanError
from calcscore_ml.geometry import Geometry
from calcscore_ml.io import read_scan
from calcscore_ml.io.labels import read_labels
from calcscore_ml.scan import Acquisition, Scan
from calcscore_ml.scores import (
    RULES,
    SCHEMES,
    AgatstonRule,
    MassCalibration,
    agatston,
    find_calibration,
    find_rule,
    find_scheme,
    from_candidates,
    from_label_volume,
    rod_calibration,
    summarise,
)

SPACING = (1.5, 0.6, 0.7)
THICKNESS = 3.0
FACTOR = MassCalibration(0.75, "test")
volumes = arrays(
    np.int16,
    st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7)),
    elements=st.sampled_from([-50, 40, 129, 130, 199, 200, 299, 300, 399, 400, 1500]),
)


def calcium_of(hu, label=Label.LAD, spacing=SPACING, connectivity=26, thickness=THICKNESS):
    scan = Scan(hu, Geometry(hu.shape, spacing), Acquisition(slice_thickness_mm=thickness))
    labels = np.where(hu >= 130, int(label), 0).astype(np.uint8)
    return from_label_volume(scan, labels, threshold_hu=130, connectivity=connectivity)


def slow_agatston(hu, rule, spacing=SPACING, thickness=THICKNESS):
    """The rule, written as the definition reads: masks, one lesion after the other."""
    mask = hu >= 130
    area, volume = spacing[1] * spacing[2], np.prod(spacing)
    structure = np.zeros((3, 3, 3), bool)
    if rule.connectivity in (4, 8):
        structure[1] = ndimage.generate_binary_structure(2, 1 if rule.connectivity == 4 else 2)
    else:
        structure = ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[rule.connectivity])
    labels, count = ndimage.label(mask, structure)
    factor = {
        "none": 1.0,
        "increment/3": spacing[0] / 3,
        "thickness/3": thickness / 3,
        "increment/thickness": spacing[0] / thickness,
    }[rule.spacing]
    score = 0.0
    for lesion in range(1, count + 1):
        inside = labels == lesion
        sizes = [
            (inside.sum(), rule.min_pixels),
            (inside.sum() * area, rule.min_area_mm2),
            (inside.sum() * volume, rule.min_volume_mm3),
        ]
        if any(m and (s < m - 1e-9 or (rule.exclusive and s < m + 1e-9)) for s, m in sizes):
            continue
        own = 0.0
        for z in range(len(hu)):
            if inside[z].any():
                peak = hu[inside].max() if rule.peak == "lesion" else hu[z][inside[z]].max()
                weight = sum(peak >= edge for edge in rule.weight_edges_hu)
                own += inside[z].sum() * area * weight * factor
        score += round(own) if rule.rounding == "integer per lesion" else own
    return round(score, 3) if rule.rounding == "thousandth" else score


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
@given(hu=volumes)
def test_every_rule_equals_its_definition(rule, hu):
    """The sparse computation gives what the definition gives when written down slowly."""
    summary = summarise(calcium_of(hu), rule, FACTOR)
    assert summary.total.agatston == pytest.approx(
        slow_agatston(hu, rule), abs=2e-3 if rule.rounding != "none" else 1e-9
    )


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
@given(hu=volumes)
def test_contributions_add_up(rule, hu):
    """Every score explains itself: area times weight times spacing factor, summed, is the total."""
    summary = summarise(calcium_of(hu), rule, FACTOR)
    assert summary.total.agatston == pytest.approx(sum(c.score for c in summary.contributions), abs=1e-3)
    if rule.rounding == "none":
        for c in summary.contributions:
            assert c.score == pytest.approx(c.area_mm2 * c.weight * c.spacing_factor)


@given(hu=volumes, seed=st.integers(0, 1000))
def test_arteries_add_up_and_other_sites_stay_outside(hu, seed):
    """The total is the sum over arteries; aorta and valves never enter it; no lesion is lost."""
    scan = Scan(hu, Geometry(hu.shape, SPACING))
    found = find_candidates(scan)
    labels = np.random.default_rng(seed).integers(0, len(Label), len(found))
    summary = summarise(from_candidates(found, labels), RULES[0], FACTOR)
    for field in ("agatston", "volume_mm3", "mass_mg", "lesions"):
        assert getattr(summary.total, field) == pytest.approx(sum(getattr(a, field) for a in summary.arteries))
    parts = [s for s in summary.arteries + summary.elsewhere if s.lesions]
    together = summarise(from_candidates(found, np.where(labels > 0, 1, 0)), RULES[0], FACTOR)
    assert sum(p.agatston for p in parts) == pytest.approx(together.total.agatston)
    assert summary.vessels == sum(a.agatston > 0 for a in summary.arteries)


def box(peak, voxels=(1, 4, 4)):
    hu = np.full((3, 8, 8), 40, np.int16)
    hu[: voxels[0], 2 : 2 + voxels[1], 2 : 2 + voxels[2]] = peak
    return hu


@pytest.mark.parametrize(
    ("peak", "weight"), [(130, 1), (199, 1), (200, 2), (299, 2), (300, 3), (399, 3), (400, 4), (3000, 4)]
)
def test_a_square_of_4_mm2_scores_4_times_its_weight(peak, weight):
    """The textbook case, at both ends of each density class."""
    score = summarise(calcium_of(box(peak), spacing=(3, 0.5, 0.5)), RULES[0], FACTOR).total
    assert score.agatston == pytest.approx(4.0 * weight)
    assert score.volume_mm3 == pytest.approx(12.0)
    assert score.mass_mg == pytest.approx(0.75 * 12.0 * peak / 1000)


def test_the_peak_is_taken_in_the_slice_not_in_the_lesion():
    """A dense slice does not raise the weight of the faint slice above it."""
    hu = box(450)
    hu[1, 2:6, 2:6] = 150
    rows = agatston(calcium_of(hu, spacing=(3, 0.5, 0.5)), RULES[0])
    assert [(c.slice_index, c.peak_hu, c.weight) for c in rows] == [(0, 450, 4), (1, 150, 1)]


def test_overlapping_slices_do_not_raise_the_score():
    """The same rod in 3 mm slices every 1.5 mm has twice the slices and the same score, by the default rule."""
    thin, thick = box(250, (2, 4, 4)), box(250, (1, 4, 4))
    scores = [
        summarise(calcium_of(hu, spacing=(dz, 0.5, 0.5)), RULES[0], FACTOR).total.agatston
        for hu, dz in ((thin, 1.5), (thick, 3.0))
    ]
    assert scores[0] == pytest.approx(scores[1])


def test_exactly_one_square_millimetre_counts_where_the_rule_says_at_least():
    """Four pixels of 0.25 mm2 are 1 mm2 for "at least", and too few for "more than"."""
    calcium = calcium_of(box(250, (1, 2, 2)), spacing=(3, 0.5, 0.5))
    assert summarise(calcium, find_rule("agatston"), FACTOR).total.agatston == pytest.approx(2.0)
    assert summarise(calcium, find_rule("comp2comp"), FACTOR).total.agatston == 0.0


def test_the_five_public_programs_disagree_as_measured():
    """On 3 mm slices every 1.5 mm the UMCU rule gives about half of what rules without z scaling give."""
    rng = np.random.default_rng(1)
    hu = np.full((20, 40, 40), 40, np.int16)
    for z, y, x in rng.integers(2, 34, (60, 3)) % (16, 34, 34):
        hu[z : z + 3, y : y + 5, x : x + 5] = rng.integers(150, 900)
    calcium = calcium_of(hu, spacing=(1.5, 0.5, 0.5))
    score = {
        n: summarise(calcium, find_rule(n), FACTOR).total.agatston for n in ("umcu", "deepcac", "ai-cac", "comp2comp")
    }
    assert score["comp2comp"] / score["umcu"] == pytest.approx(2.0, rel=0.1)
    assert score["deepcac"] == pytest.approx(score["umcu"], rel=0.05)
    assert score["ai-cac"] > 2 * score["umcu"]


def test_a_rule_that_needs_the_slice_thickness_says_so():
    """A score is refused rather than computed from a value nobody gave."""
    with pytest.raises(RecipeError, match="slice thickness"):
        agatston(calcium_of(box(200), thickness=None), find_rule("ai-cac"))


def test_rules_for_other_tube_voltages_scale_every_edge():
    """A peak of 210 HU has weight 2 at 120 kV and weight 1 at 80 kV."""
    calcium = calcium_of(box(210))
    weights = [agatston(calcium, RULES[0].for_kvp(k))[0].weight for k in (120, 80)]
    assert weights == [2, 1]


def test_names_of_rules_and_schemes_are_unique_and_unknown_ones_are_listed():
    """A typing error shows what there is."""
    assert len({r.name for r in RULES}) == len(RULES)
    assert len({s.name for s in SCHEMES}) == len(SCHEMES)
    with pytest.raises(RecipeError, match="umcu"):
        find_rule("utrecht")
    with pytest.raises(RecipeError, match="cac-drs"):
        find_scheme("drs")


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_categories_rise_with_the_score_and_zero_is_alone(scheme):
    """More calcium never lowers the category, and no positive score is "no calcium"."""
    scores = [0, 0.01, 0.5, 1, 9.9, 10, 10.49, 10.5, 11, 99.6, 100, 101, 299.5, 300, 301, 400, 400.5, 1e4]
    categories = [scheme.category(s) for s in scores]
    assert categories == sorted(categories)
    assert categories[0] == 0
    assert all(c > 0 for c in categories[1:])
    assert categories[-1] == len(scheme.titles) - 1


@pytest.mark.parametrize(
    ("name", "score", "title"),
    [("cac-drs", 299, "A2"), ("cac-drs", 300, "A3"), ("robinsca", 99, "11-99"), ("robinsca", 100, "100-399")],
)
def test_published_boundary_cases(name, score, title):
    """Boundary vectors of the CAC-DRS primer and of ROBINSCA."""
    assert find_scheme(name).title(score) == title


def test_a_rod_calibrates_by_its_density():
    """200 mg/cm3 at 280 HU above water is 200/280, and a circle outside the scan is refused."""
    hu = np.zeros((3, 80, 80), np.int16)
    y, x = np.ogrid[:80, :80]
    hu[:, np.hypot(y - 40, x - 20) < 16] = 280
    scan = Scan(hu, Geometry(hu.shape, (3, 0.5, 0.5)))
    found = rod_calibration(scan, rod_index=(1, 40, 20), water_index=(1, 40, 60), slices=3)
    assert found.factor_mg_per_ml_hu == pytest.approx(200 / 280)
    with pytest.raises(ScanError, match="inside"):
        rod_calibration(scan, rod_index=(1, 40, 20), water_index=(1, 40, 78))
    with pytest.raises(ScanError, match="brighter"):
        rod_calibration(scan, rod_index=(1, 40, 60), water_index=(1, 40, 20))


def test_the_origin_of_the_mass_factor_is_recorded():
    """Given beats DICOM, DICOM beats the default, and each says what it is."""
    tagged = Acquisition(mass_factors_mg_per_ml_hu=(0.743, 0.779, 0.812))
    assert find_calibration(tagged, 0.7).origin == "given by the user"
    assert find_calibration(tagged).factor_mg_per_ml_hu == 0.779
    assert "0018,9352" in find_calibration(tagged).origin
    assert "not of this scanner" in find_calibration(Acquisition()).origin
    assert "wrong at 80 kV" in find_calibration(Acquisition(kvp=80)).origin


def test_labelled_voxels_below_the_threshold_are_not_calcium():
    """An outline that runs over the edge of a lesion adds nothing."""
    hu = box(250)
    scan = Scan(hu, Geometry(hu.shape, SPACING))
    calcium = from_label_volume(scan, np.full(hu.shape, 3, np.uint8), threshold_hu=130)
    assert len(calcium.hu) == 16
    with pytest.raises(GeometryError, match="shape"):
        from_label_volume(scan, np.zeros((1, 2, 3), np.uint8), threshold_hu=130)


def test_one_label_per_candidate():
    """Labels that do not match the candidates are refused."""
    hu = box(250)
    with pytest.raises(ValueError, match="one label"):
        from_candidates(find_candidates(Scan(hu, Geometry(hu.shape, SPACING))), [1, 2, 3])


def test_no_calcium_scores_zero_everywhere():
    """An empty scan has a whole table of zeros, and all arteries in it."""
    summary = summarise(calcium_of(box(40)), RULES[0], FACTOR)
    assert [a.site for a in summary.arteries] == [a.title for a in ARTERIES]
    assert summary.total.agatston == summary.total.volume_mm3 == summary.total.mass_mg == 0
    assert summary.category == "0"


def test_rule_defaults_are_the_default_rule_without_minimum():
    """A rule states only what differs."""
    assert AgatstonRule("x", "y", min_area_mm2=1.0) == AgatstonRule("x", "y", 8, 1.0)


def test_the_rods_of_the_real_phantom_score_as_published():
    """Each rod of the QRM phantom within 5 % of a plain computation, or 2 units; the mass factor within 1 %."""
    scan = read_scan("data/qrm-thorax-phantom")
    labels = read_labels("data/qrm-thorax-phantom-labels.nii.gz", scan.geometry)
    calibration = rod_calibration(scan, rod_index=(17, 108, 128), water_index=(17, 71, 104), slices=3)
    assert calibration.factor_mg_per_ml_hu == pytest.approx(0.722, rel=0.01)
    score = summarise(from_label_volume(scan, labels, threshold_hu=130), RULES[0], calibration)
    lesions = {}
    for part in score.contributions:
        key = (part.label, part.lesion)
        lesions[key] = lesions.get(key, 0.0) + part.score
    plain = {Label.LAD: (22.9, 138.6), Label.LCX: (69.5, 227.0), Label.RCA: (6.19, 88.1, 402.9)}
    for label, expected in plain.items():
        found = sorted(v for (own, _), v in lesions.items() if own == label)
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert a == pytest.approx(b, rel=0.05, abs=2.0)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@given(volumes, st.integers(0, 2**16))
def test_lesions_that_touch_share_what_they_score_together(rule, hu, seed):
    """Voxels of one label handed out to several lesions score as one lesion would; all their volume is counted."""
    whole = calcium_of(hu)
    assume(len(whole.hu))
    apart = replace(whole, lesion=np.random.default_rng(seed).integers(1, 4, len(whole.hu)))
    one, several = (summarise(c, rule, FACTOR) for c in (whole, apart))
    assert several.total.agatston == pytest.approx(one.total.agatston)
    scoring = {c.lesion for c in several.contributions}
    assert several.total.lesions == len(scoring)
    counted = np.isin(apart.lesion, list(scoring)).sum()
    assert several.total.volume_mm3 == pytest.approx(counted * whole.geometry.voxel_volume_mm3)
    areas = [sum(c.area_mm2 for c in s.contributions) for s in (one, several)]
    assert areas[0] == pytest.approx(areas[1])
    for lesion in scoring:
        own = sum(c.area_mm2 for c in several.contributions if c.lesion == lesion)
        assert own <= (apart.lesion == lesion).sum() * whole.geometry.pixel_area_mm2 + 1e-9
