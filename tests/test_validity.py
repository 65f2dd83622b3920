"""Laws of scans that have no score: no number where there is none."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_reviews import made_case
from typer.testing import CliRunner

from calcscore_ml import pipeline
from calcscore_ml.anatomy import Organ
from calcscore_ml.assessment import assess_cohort
from calcscore_ml.cli import app
from calcscore_ml.geometry import Geometry
from calcscore_ml.heart.blood import located_blood_hu
from calcscore_ml.heart.locate import Location
from calcscore_ml.heart.roi import HeartBox
from calcscore_ml.io import read_scan
from calcscore_ml.io.labels import read_labels
from calcscore_ml.io.volumes import write_volume
from calcscore_ml.manifest import read_manifest
from calcscore_ml.pipeline import describe_scan, score_labelled, score_scan
from calcscore_ml.quality import CONTRAST_BLOOD_HU, noise_hu
from calcscore_ml.recipe import LocationSection
from calcscore_ml.reports.html import scan_report
from calcscore_ml.result import NO_SCORE, read_result, write_result
from calcscore_ml.review.export import write_reviewed
from calcscore_ml.review.state import start
from calcscore_ml.review.told import told_score
from calcscore_ml.scan import OUTSIDE_HU, Scan
from calcscore_ml.validity import LEAST_COVERAGE_MM, LEAST_HEART_SHARE, MOST_NOISE_HU, why_no_score

REASONS = ("Blood is 125 HU.", "No heart was found <here>.")


def why(scan, location, blood=40.0, noise=10.0, atlases=True):
    return why_no_score(scan, location, blood_hu=blood, noise_hu=noise, atlases=atlases)


@pytest.fixture
def chest(located_chest):
    return located_chest


def changed(scan, hu):
    return Scan(np.asarray(np.clip(hu, -32768, 32767), dtype=np.int16), scan.geometry, scan.acquisition)


def test_a_sound_scan_has_a_score(chest):
    """A real chest without contrast agent, cut to its heart, has a score, by what was measured of it too."""
    scan, location = chest
    assert why(scan, location) == ()
    assert why(scan, location, located_blood_hu(scan, location), noise_hu(scan)) == ()


def test_a_gated_digital_scan_has_a_score(located_digital):
    """A field of view that cuts the lungs off, from the apex to just above the left main, is enough."""
    digital, location = located_digital
    found = why(digital.scan, location, located_blood_hu(digital.scan, location), noise_hu(digital.scan))
    assert found == ()


@given(st.booleans(), st.booleans(), st.booleans())
def test_no_scan_whose_heart_is_not_located_has_a_score(boxed, trusted, atlases):
    """Without a heart's box there is none; with atlases in the recipe, none either unless they are trusted."""
    scan = Scan(np.zeros((40, 8, 8), np.int16), Geometry((40, 8, 8), (3.0, 1.0, 1.0)))
    box = HeartBox((0.0, 0.0, 0.0), (90.0, 7.0, 7.0)) if boxed else None
    found = why(scan, Location(box, {}, trusted=trusted and boxed, remark="it is elsewhere"), atlases=atlases)
    about = [text for text in found if "it is elsewhere" in text]
    assert bool(about) == (not boxed or (atlases and not trusted))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda hu: hu.astype(int) + 1024, "near -1000"),
        (lambda hu: np.where(hu < -1000, OUTSIDE_HU, hu.astype(int) + 1024), "near -1000"),
        (lambda hu: np.maximum(hu.astype(int) - 1024, OUTSIDE_HU), "no HU"),
        (lambda hu: np.clip((hu.astype(int) + 1000) / 1400 * 255, 0, 255), "near -1000"),
        (lambda hu: hu / 1000, "near -1000"),
        (lambda hu: hu / 2, "near -1000"),
        (lambda hu: hu.astype(int) + 200, "soft tissue"),
        (lambda hu: hu.astype(int) - 200, "near -1000"),
        (lambda hu: np.full_like(hu, OUTSIDE_HU), "nothing but air"),
    ],
)
def test_values_that_are_no_hu_are_told(chest, change, says):
    """Offsets, pictures of 0 to 255, numbers scaled to 1 and halved ones are one reason, and the only one."""
    scan, location = chest
    (reason,) = why(changed(scan, change(scan.hu)), location)
    assert says in reason


@given(st.floats(0, 200))
def test_bright_blood_is_a_reason_from_its_limit_on(chest_like, blood):
    """Contrast agent takes the score away, and nothing below its limit does."""
    assert bool(why(*chest_like, blood=blood)) == (blood > CONTRAST_BLOOD_HU)
    assert why(*chest_like, blood=None) == ()


@given(st.floats(0, 300) | st.just(float("nan")))
def test_noise_is_a_reason_from_its_limit_on(chest_like, noise):
    """More noise than a model learns from takes the score away, and so does noise in which nothing can be measured."""
    assert bool(why(*chest_like, noise=noise)) == (not noise <= MOST_NOISE_HU)


@pytest.fixture(scope="module")
def chest_like(located_chest):
    """The chest on every fourth row and column: the same answers, sooner."""
    scan, location = located_chest
    z, y, x = scan.geometry.spacing
    hu = np.ascontiguousarray(scan.hu[:, ::4, ::4])
    return Scan(hu, Geometry(hu.shape, (z, 4 * y, 4 * x)), scan.acquisition), location


def test_noise_of_any_size_is_noticed(chest):
    """White noise of 120 to 400 HU, which leaves no calm patch to measure it in, takes the score away."""
    scan, location = chest
    for sd in (120, 200, 400):
        noisy = changed(scan, scan.hu + np.random.default_rng(0).normal(0, sd, scan.hu.shape))
        assert any("noise" in text or "no HU" in text for text in why(noisy, location, noise=noise_hu(noisy)))


def test_a_scan_with_too_little_heart_has_no_score(chest):
    """Too few slices, or too little of the located heart's height, is told with its number."""
    scan, location = chest
    few = int(LEAST_COVERAGE_MM / scan.geometry.spacing[0]) - 1
    nz, ny, nx = scan.hu.shape
    short = Scan(scan.hu[:few], scan.geometry.crop((0, 0, 0), (few, ny, nx)), scan.acquisition)
    (reason,) = why(short, location)
    assert f"{few * scan.geometry.spacing[0]:.0f} mm" in reason
    middle = nz // 2
    part = Scan(scan.hu[:middle], scan.geometry.crop((0, 0, 0), (middle, ny, nx)), scan.acquisition)
    assert location.height_share(part) < LEAST_HEART_SHARE < location.height_share(scan)
    (reason,) = why(part, location)
    assert "of the heart's height" in reason


@pytest.mark.parametrize("hu", [110.0, 190.0, 390.0, 700.0])
@pytest.mark.parametrize("where", ["ascending", "descending", "right heart", "left heart"])
def test_contrast_agent_is_seen_wherever_it_is(chest, where, hu):
    """In one part of the aorta alone, or on one side of the heart alone, at any brightness and under noise."""
    scan, location = chest
    bright = organ_of(scan, location, where)
    noisy = np.where(bright, hu, scan.hu) + np.random.default_rng(0).normal(0, 40, scan.hu.shape)
    assert located_blood_hu(changed(scan, noisy), location) == pytest.approx(hu, rel=0.15, abs=10)


def test_calcium_and_noise_are_no_contrast_agent(chest):
    """Plaques in a fifth of the aorta and a fiftieth of the heart, and noise of 50 HU, leave blood as dark as it is."""
    scan, location = chest
    rng = np.random.default_rng(0)
    hu = scan.hu + rng.normal(0, 50, scan.hu.shape)
    for where, share in (("ascending", 0.2), ("descending", 0.2), ("right heart", 0.02)):
        blocks = rng.random([n // 8 + 1 for n in hu.shape[1:]]) < share
        plaques = blocks.repeat(8, 0).repeat(8, 1)[: hu.shape[1], : hu.shape[2]]
        hu[organ_of(scan, location, where) & plaques] = 900
    assert located_blood_hu(changed(scan, hu), location) < CONTRAST_BLOOD_HU


def organ_of(scan, location, where):
    """Voxels of a part of the aorta, or of the half of the heart on one side."""
    heart = where.endswith("heart")
    organ = Organ.HEART if heart else Organ[f"{where.upper()}_AORTA"]
    z, y, x = (np.arange(n) * s for n, s in zip(scan.hu.shape, scan.geometry.spacing, strict=True))
    points = np.stack(np.meshgrid(z, y, x, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = location.grid.sample(location.organs[organ], points, 0.0).reshape(scan.hu.shape) >= 0.5
    if heart:
        middle = points.reshape(*scan.hu.shape, 3)[inside][:, 2].mean()
        side = x < middle if where == "right heart" else x >= middle
        inside = inside & side
    return inside


def test_blood_is_looked_for_in_the_box_when_nothing_is_located(chest):
    """Without trusted atlases the box tells, and without a box nothing does."""
    scan, location = chest
    untrusted = replace(location, trusted=False)
    assert 30 < located_blood_hu(scan, untrusted) < 60
    assert located_blood_hu(scan, replace(untrusted, box=None)) is None


@pytest.fixture(scope="module")
def rows(cohort):
    return read_manifest(cohort)


@pytest.fixture(scope="module")
def calcified(rows, bundle, recipe):
    """A scan of the cohort that has a score above 0, its labels, and what is known of it."""
    for row in rows:
        scan = read_scan(row.image)
        described = describe_scan(scan, recipe)
        result = score_scan(scan, bundle, recipe, scan_id="case", described=described).result
        if result.score.total.agatston > 20:
            assert result.valid
            return scan, read_labels(row.labels, scan.geometry), described
    raise AssertionError


def without_score(calcified, bundle, recipe):
    scan, _, described = calcified
    wanted = recipe.model_copy(update={"location": LocationSection()})
    return score_scan(scan, bundle, wanted, scan_id="case", described=described)


def test_no_scan_whose_location_is_not_trusted_has_a_headline_number(calcified, bundle, recipe, tmp_path):
    """Result, file and report say "no score" and why; the number is in the score's block and in a closed section."""
    scored = without_score(calcified, bundle, recipe)
    result = scored.result
    assert (result.headline, result.category, result.valid) == (NO_SCORE, "", False)
    assert result.score.total.agatston > 20
    page = scan_report(result, calcified[0], scored.candidates, scored.calcium, scored.location)
    told = json.loads((write_result(tmp_path / "case", result, scored.calcium, page) / "result.json").read_text())
    assert told["valid"] is False
    assert told["invalid_reasons"] == list(result.invalid_reasons)
    assert "located" in told["invalid_reasons"][0]
    assert read_result(tmp_path / "case")[0] == result
    assert re.search(r'data-testid="score">no score<', page)
    assert result.invalid_reasons[0].split("(")[0] in page
    number = f"<span>{result.score.total.agatston:.0f}</span>"
    opened = re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL)
    assert number in page
    assert number not in opened
    assert result.score.category not in re.findall(r"Category ([^<]*)", opened)


def test_an_observers_labels_keep_their_number(calcified, recipe):
    """What a person labelled is scored whatever the scan is; the remark stays."""
    scan, labels, _ = calcified
    wanted = recipe.model_copy(update={"location": LocationSection()})
    short = Scan(scan.hu[:14], scan.geometry.crop((0, 0, 0), (14, *scan.hu.shape[1:])), scan.acquisition)
    result = score_labelled(short, labels[:14], wanted, scan_id="case").result
    assert result.valid
    assert result.headline == f"{result.score.total.agatston:.0f}"
    assert {"location", "coverage"} <= {r.code for r in result.remarks}


def test_results_of_before_have_a_score(calcified, bundle, recipe, tmp_path):
    """A result.json without the keys reads as one with a score."""
    scan, _, described = calcified
    scored = score_scan(scan, bundle, recipe, scan_id="case", described=described)
    folder = write_result(tmp_path / "case", scored.result, scored.calcium, "")
    told = json.loads((folder / "result.json").read_text())
    assert (told.pop("valid"), told.pop("invalid_reasons")) == (True, [])
    (folder / "result.json").write_text(json.dumps(told))
    assert read_result(folder)[0] == scored.result


def test_a_review_gives_no_number_where_there_is_none(tmp_path):
    """The page and the reviewed result say "no score" and why, also after the review."""
    _, result, calcium = made_case()
    reading = start(replace(result, invalid_reasons=REASONS), calcium)
    told = told_score(reading)
    assert (told["headline"], told["valid"], told["category"]) == (NO_SCORE, False, "")
    assert told["invalid_reasons"] == list(REASONS)
    folder = write_reviewed(tmp_path / "reviewed", reading)
    page = (folder / "report.html").read_text()
    assert re.search(r'data-testid="score">no score<', page)
    assert "No heart was found &lt;here&gt;." in page
    assert page.count("<details>") == page.count("</details>") == 1
    assert read_result(folder)[0].headline == NO_SCORE
    assert told_score(start(result, calcium))["valid"]


def test_the_command_line_gives_no_number_and_fails_only_when_asked(model, tmp_path):
    """A scan of air and water: no score and why, in JSON without a number; exit code 1 with --fail-without-score."""
    hu = np.full((30, 64, 64), -1000, np.int16)
    hu[:, 20:40, 20:40] = 0
    water = write_volume(Scan(hu, Geometry(hu.shape, (3.0, 1.0, 1.0))), tmp_path / "water.nii.gz")
    for extra, code in ((), 0), (("--fail-without-score",), 1):
        asked = ["score", str(water), "--model", str(model), "-o", str(tmp_path / f"out{code}"), *extra]
        done = CliRunner().invoke(app, [*asked, "--json"])
        assert done.exit_code == code, done.output
        (told,) = json.loads(done.stdout)["results"]
        assert (told["headline"], told["valid"]) == (NO_SCORE, False)
        assert "No heart was found" in " ".join(told["invalid_reasons"])
        assert {
            told[k] for k in ("agatston", "lowest", "highest", "category", "volume_mm3", "mass_mg", "arteries")
        } == {None}
        shown = CliRunner().invoke(app, [*asked, "--overwrite"])
        assert shown.exit_code == code
        assert "no score: No heart was found" in " ".join(shown.output.split())


def test_a_scan_without_score_counts_as_wrong(rows, bundle, recipe, monkeypatch):
    """Its category is wrong, it found nothing, its share is told; the table keeps what was computed and says why."""
    before = assess_cohort(rows[:6], bundle, recipe, resamples=2)
    monkeypatch.setattr(pipeline, "why_no_score", lambda *_, **__: REASONS)
    after = assess_cohort(rows[:6], bundle, recipe, resamples=2)
    assert before.automatic["scan.no_score"].value == 0
    assert before.automatic["lesion.sensitivity"].value > 0
    for found in (after.automatic, after.after_expert):
        assert found["scan.no_score"].value == 1
        assert found["category.accuracy"].value == 0
        assert found["lesion.sensitivity"].value == 0
    assert after.scans["no_score"].all()
    assert set(after.scans["invalid_reasons"]) == {" ".join(REASONS)}
    assert (after.scans["agatston"] == before.scans["agatston"]).all()
    assert "100% of scans have no score" in after.automatic.to_text()
