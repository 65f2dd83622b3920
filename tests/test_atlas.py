"""Laws of atlases: what a folder holds, what it is built from, what is refused, and the commands for it."""

import gzip
import inspect
import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from calcscore_ml.anatomy import ARTERIES, Label, Organ
from calcscore_ml.cli import app
from calcscore_ml.cli.atlas import build
from calcscore_ml.errors import ManifestError, RecipeError, ResultError, ScanError
from calcscore_ml.geometry import Geometry
from calcscore_ml.heart import registration
from calcscore_ml.heart.atlas import LANDMARKS, SHARES, Atlas, atlas_folders, read_atlas, read_atlases, write_atlas
from calcscore_ml.heart.atlas_build import TEMPLATES, build_atlases, choose_templates
from calcscore_ml.heart.grid import Copy, Grid
from calcscore_ml.heart.group import GROUP, compose, write_group
from calcscore_ml.heart.labelled import organ_box
from calcscore_ml.heart.registration import Affine, Registration, RegistrationSettings
from calcscore_ml.io.centrelines import read_centrelines, write_centrelines
from calcscore_ml.io.labels import read_labels
from calcscore_ml.io.volumes import read_grid, write_grid
from calcscore_ml.manifest import read_manifest, write_manifest
from calcscore_ml.phantom import Cohort, find_protocol, write_cohort

COARSE = replace(find_protocol("chest-5mm"), name="coarse", matrix=72, z_range_mm=(-90.0, 70.0), noise_sd_hu=(3.0, 5.0))
QUICK = RegistrationSettings(step_mm=6.0, demons_shrink=(2, 1), demons_iterations=(20, 10))
"""Registrations of a quarter of a second."""


def run(*arguments, code=0):
    """Run a command; its exit code is part of the law."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Three digital patients with organs and centrelines, and a fourth that lacks a heart: rows of their manifest."""
    folder = tmp_path_factory.mktemp("Doe_Jane")
    rows = write_cohort(folder, Cohort(count=3, seed=21, protocols=(COARSE,), image_format="nifti", organs=True))
    rows = [replace(r, patient_id=f"pseudonym-{k}", sha256="") for k, r in enumerate(rows)]
    broken = folder / "heartless"
    shutil.copytree(rows[0].image.parent, broken)
    organs, grid = read_grid(broken / "organs.nii.gz")
    write_grid(np.where(organs == Organ.HEART, 0, organs), grid, broken / "organs.nii.gz", overwrite=True)
    files = {n: broken / getattr(rows[0], n).name for n in ("image", "labels", "organs", "centrelines")}
    return [*rows, replace(rows[0], scan_id="heartless", patient_id="pseudonym-9", **files)]


@pytest.fixture(scope="module")
def built(labelled, tmp_path_factory):
    """An atlas of the three patients, by the command: its folder, and what the command told."""
    home = tmp_path_factory.mktemp("built")
    manifest = write_manifest(labelled, home / "data_manifest.csv")
    told = run("atlas", "build", manifest, "-o", home / "atlases", "--templates", 1, "--json", code=1)
    return home / "atlases", told


@pytest.fixture
def broken(built, tmp_path):
    """A copy of the atlas to break."""
    return shutil.copytree(built[0] / "1", tmp_path / "atlases" / "1").resolve()


def small_atlas(name="small"):
    """An atlas without a patient: a heart of 40 mm in a cube, whose arteries are straight."""
    grid = Grid(np.zeros(3), 4.0, (20, 21, 22))
    rng = np.random.default_rng(3)
    organs = np.zeros(grid.shape, dtype=np.uint8)
    organs[5:15, 5:15, 5:15], organs[15:, 8:11, 8:11] = Organ.HEART, Organ.ASCENDING_AORTA
    line = np.linspace([60.0, 40.0, 40.0], [25.0, 25.0, 50.0], SHARES)
    return Atlas(
        name,
        grid,
        rng.uniform(-200, 100, grid.shape).astype(np.float32),
        organs,
        {a: rng.random(grid.shape, dtype=np.float32) for a in ARTERIES},
        rng.random(grid.shape, dtype=np.float32),
        {a: line + k for k, a in enumerate(ARTERIES)},
        {a: rng.random(SHARES) for a in ARTERIES},
        {mark: line[k] for k, mark in enumerate(LANDMARKS)},
        np.array([[18.0, 18.0, 18.0], [58.0, 58.0, 58.0]]),
        provenance={"template": "a", "scans": 2, "source": "", "licence": ""},
    )


def test_an_atlas_is_read_back_as_written(tmp_path):
    """Organs, names and settings are kept exactly, HU to a half, probabilities to 1/510, places to a micrometre."""
    atlas = small_atlas()
    again = read_atlas(write_atlas(atlas, tmp_path / "a"))
    assert (again.name, again.settings, again.provenance) == (atlas.name, atlas.settings, atlas.provenance)
    assert (again.grid.shape, again.grid.step_mm) == (atlas.grid.shape, atlas.grid.step_mm)
    np.testing.assert_array_equal(again.organs, atlas.organs)
    np.testing.assert_allclose(again.hu, atlas.hu, atol=0.5)
    np.testing.assert_allclose(again.calcium, atlas.calcium, atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(again.box_mm, atlas.box_mm, atol=6e-4)
    for artery in ARTERIES:
        np.testing.assert_allclose(again.artery[artery], atlas.artery[artery], atol=0.5 / 255 + 1e-6)
        np.testing.assert_allclose(again.centrelines[artery], atlas.centrelines[artery], atol=6e-4)
        np.testing.assert_allclose(again.spread_mm[artery], atlas.spread_mm[artery], atol=6e-4)
    for mark in LANDMARKS:
        np.testing.assert_allclose(again.landmarks[mark], atlas.landmarks[mark], atol=6e-4)
    twice = write_atlas(again, tmp_path / "b")
    for file in twice.iterdir():
        assert file.read_bytes() == (tmp_path / "a" / file.name).read_bytes()
    assert not any(v.flags.writeable for v in (again.hu, again.organs, again.box_mm, again.centrelines[Label.LM]))


def test_an_atlas_that_could_not_be_read_is_not_written(tmp_path):
    """A folder exists only if what it holds is an atlas; an existing one is kept."""
    atlas = small_atlas()
    lost = {**atlas.centrelines, Label.RCA: np.full((SHARES, 3), np.nan)}
    with pytest.raises(ScanError, match=r"RCA .* centrelines\.csv of a"):
        write_atlas(replace(atlas, centrelines=lost), tmp_path / "a")
    assert not (tmp_path / "a").exists()
    write_atlas(atlas, tmp_path / "a")
    with pytest.raises(ResultError, match="is kept"):
        write_atlas(atlas, tmp_path / "a")


def test_probabilities_and_places_of_a_built_atlas_fit_together(built):
    """Probabilities lie in 0 to 1, arteries in the grid and on the ridge of their map, landmarks on their ends."""
    atlas = read_atlas(built[0] / "1")
    for values in (*atlas.artery.values(), atlas.calcium):
        assert 0 <= values.min() <= values.max() <= 1
    directions = np.vstack([np.eye(3), -np.eye(3)]) * 15.0
    for artery in ARTERIES:
        line, chance = atlas.centrelines[artery], atlas.artery[artery]
        assert line.shape == (SHARES, 3)
        assert ((line >= atlas.grid.lower_mm) & (line <= atlas.grid.upper_mm)).all()
        on = atlas.grid.sample(chance, line).mean()
        off = np.mean([atlas.grid.sample(chance, line + d).mean() for d in directions])
        assert on > 0.15
        assert on > 2 * off, artery
    ends = {"left ostium": (Label.LM, 0), "right ostium": (Label.RCA, 0), "fork": (Label.LM, -1)}
    for mark, (artery, at) in {**ends, "apex": (Label.LAD, -1), "crux": (Label.RCA, -1)}.items():
        np.testing.assert_array_equal(atlas.landmarks[mark], atlas.centrelines[artery][at])
    root = np.rint(atlas.grid.index(atlas.landmarks["aortic root"])).astype(int)
    assert atlas.organs[tuple(root)] in (Organ.ASCENDING_AORTA, Organ.HEART)


def test_the_box_lies_around_the_labelled_heart(built):
    """The box and the template's heart label end within one voxel of each other on every side."""
    atlas = read_atlas(built[0] / "1")
    seen = organ_box(atlas.organs, np.full(3, atlas.grid.step_mm))
    assert np.abs(seen - atlas.box_mm).max() <= atlas.grid.step_mm


def test_calcium_nobody_labelled_is_not_taken_for_none(labelled):
    """A patient without calcium labels says nothing about calcium: the others' probabilities stay."""
    sick, *_ = sorted(labelled[:3], key=lambda r: -(read_grid(r.labels)[0] > 0).sum())
    other = next(r for r in labelled[:3] if r != sick)
    (alone,), _ = build_atlases([sick], templates=1, settings=QUICK)
    pair = [replace(sick, scan_id="a"), replace(other, scan_id="b", labels=None)]
    (both, _), _ = build_atlases(pair, templates=2, settings=QUICK)
    assert alone.calcium.max() > 0.5
    np.testing.assert_allclose(both.calcium, alone.calcium, atol=1e-6)


def test_probabilities_do_not_depend_on_the_order_of_scans(labelled):
    """Rows in any order, and a second scan of a patient, give the same atlas to the last bit."""
    rows = labelled[:3]
    (one,), failed = build_atlases(rows, templates=1, settings=QUICK)
    assert failed == ()
    again = replace(rows[0], scan_id="zz-again")
    steps = []
    (other,), _ = build_atlases([again, *rows[::-1]], templates=1, settings=QUICK, on_scan=lambda: steps.append(1))
    assert len(steps) == 3
    assert other.provenance == one.provenance
    for artery in ARTERIES:
        np.testing.assert_array_equal(other.artery[artery], one.artery[artery])
        np.testing.assert_array_equal(other.centrelines[artery], one.centrelines[artery])
    np.testing.assert_array_equal(other.calcium, one.calcium)


def test_an_atlas_holds_nothing_of_a_patient_but_the_scan(built):
    """No file names a patient, a folder of the cohort or a day; the template's scan_id is as in the manifest."""
    card = json.loads((built[0] / "1" / "atlas.json").read_text())
    assert set(card["provenance"]) == {"template", "scans", "source", "licence", "with calcium"}
    assert card["provenance"]["template"].startswith("digital-21-")
    assert card["provenance"]["licence"] == "CC0-1.0"
    names = {"template", "organs", "calcium", *(f"artery_{a.name}" for a in ARTERIES)}
    assert {f.name for f in (built[0] / "1").iterdir()} == {
        *(f"{n}.nii.gz" for n in names),
        "centrelines.csv",
        "atlas.json",
    }
    for file in (built[0] / "1").iterdir():
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        assert not any(word in content for word in (b"pseudonym", b"Doe", b"Jane", b"heartless"))


def test_scans_that_cannot_be_used_are_told_once_and_the_rest_goes_on(labelled, tmp_path):
    """No image, no label volume, arteries off the heart: a reason for each scan, and an atlas of the others."""
    good, two, three, _ = labelled
    mirrored = read_centrelines(three.centrelines)
    mirrored[["x_mm", "y_mm"]] *= -1
    mirrored["y_mm"] += 300
    moved = read_centrelines(three.centrelines)
    moved["x_mm"] += 130
    bad = [
        replace(good, scan_id="c-no-image", patient_id="c", image=tmp_path / "nowhere.nii.gz"),
        replace(two, scan_id="d-no-organs", patient_id="d", organs=tmp_path / "gone.nii.gz"),
        replace(
            three, scan_id="e-mirrored", patient_id="e", centrelines=write_centrelines(mirrored, tmp_path / "m.csv")
        ),
        replace(three, scan_id="f-moved", patient_id="f", centrelines=write_centrelines(moved, tmp_path / "f.csv")),
    ]
    (atlas,), failed = build_atlases([*bad, good], templates=1, settings=QUICK)
    assert atlas.provenance["scans"] == 1
    told = dict(failed)
    assert len(failed) == len(told) == 4
    assert "a LM elsewhere in f-moved" in told["f-moved"]
    assert "nowhere.nii.gz" in told["c-no-image"]
    assert "gone.nii.gz" in told["d-no-organs"]
    assert "LPS" in told["e-mirrored"]
    assert str(tmp_path) not in told["d-no-organs"], "a folder may be named after a patient"


def test_a_scan_left_out_of_several_atlases_is_told_once(labelled, monkeypatch):
    """Failed registrations to several templates, even those ITK gives up on, are one line for the scan."""
    real, calls = registration.fit_affine, []

    def fit_affine(*arguments):
        calls.append(1)
        if len(calls) > 4:  # the third scan, to both templates
            raise RuntimeError("ITK\nall samples map outside\n")
        return real(*arguments)

    monkeypatch.setattr(registration, "fit_affine", fit_affine)
    atlases, failed = build_atlases(labelled[:3], templates=2, settings=QUICK)
    assert [a.provenance["scans"] for a in atlases] == [2, 2]
    ((name, reason),) = failed
    assert name == labelled[2].scan_id
    assert reason.count("all samples map outside") == 2
    assert "atlas 1" in reason
    assert "atlas 2" in reason


def test_templates_are_as_many_as_asked_or_an_error(labelled):
    """Even of scans all alike as many are chosen, each once; too few patients are refused with their reasons."""
    rng = np.random.default_rng(1)
    for shapes in (np.zeros((4, 9)), rng.normal(size=(4, 9)), np.repeat(rng.normal(size=(2, 9)), 3, axis=0)):
        for count in (1, 3, 4):
            assert len(set(choose_templates(shapes, count))) == count
    with pytest.raises(ManifestError, match=r"got 1 usable patients for 2 templates; .*heartless: .* heart"):
        build_atlases([labelled[0], labelled[3]], templates=2, settings=QUICK)
    with pytest.raises(ManifestError, match="ask for one or more"):
        build_atlases(labelled[:1], templates=0)
    with pytest.raises(ManifestError, match=f"got none for {labelled[1].scan_id}; .*columns organs and centrelines"):
        build_atlases([labelled[0], replace(labelled[1], organs=None)], templates=1)


def card_with(**changes):
    """A way to break atlas.json."""

    def spoil(folder):
        card = json.loads((folder / "atlas.json").read_text())
        for path, value in changes.items():
            *above, last = path.split("__")
            place = card
            for key in above:
                place = place[key]
            place[last.replace("_mm_", " ")] = value
        (folder / "atlas.json").write_text(json.dumps(card))

    return spoil


def lines_with(change):
    """A way to break centrelines.csv."""

    def spoil(folder):
        table = pd.read_csv(folder / "centrelines.csv")
        change(table).to_csv(folder / "centrelines.csv", index=False)

    return spoil


def volume_with(name, change):
    """A way to break a volume: another array, and if wanted another spacing."""

    def spoil(folder):
        array, grid = read_grid(folder / name)
        array, spacing = change(np.array(array)), grid.spacing
        if isinstance(array, tuple):
            array, spacing = array
        (folder / name).unlink()
        write_grid(array, Geometry(array.shape, spacing, grid.origin), folder / name)

    return spoil


def text_in(name, text):
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (text_in("atlas.json", "{"), "atlas.json"),
        (text_in("atlas.json", "[1]"), "atlas.json"),
        (card_with(landmarks_mm={"apex": [1, 2, 3]}), "atlas.json must name aortic root, crux, fork"),
        (card_with(landmarks_mm=["apex"]), "landmarks_mm .*atlas.json"),
        (card_with(landmarks_mm__apex=[1, 2]), "landmark apex .*atlas.json"),
        (card_with(landmarks_mm__crux=[1, 2, float("nan")]), "landmark crux .*atlas.json"),
        (card_with(landmarks_mm__fork=[1, 2, "x"]), "landmark fork .*atlas.json"),
        (card_with(landmarks_mm__apex=[900, 2, 3]), "landmark apex lies in the template.*atlas.json"),
        (card_with(box_mm=[[1, 2, 3]]), "box_mm .*atlas.json"),
        (card_with(box_mm=[[90, 90, 90], [10, 20, 30]]), "lower ends .*atlas.json"),
        (card_with(provenance="me"), "provenance .*atlas.json"),
        (card_with(registration=3), "registration .*atlas.json"),
        (card_with(registration__zoom=3), "zoom"),
        (card_with(registration__affine_iterations="many"), "affine_iterations.*atlas.json"),
        (card_with(registration__demons_shrink=[4, 2]), "demons_iterations as demons_shrink.*atlas.json"),
        (card_with(registration__step_mm=5.0), "step_mm 5.*template.nii.gz"),
        (card_with(registration__window_hu=[-20.0, 30.0]), "clipped .*template.nii.gz"),
        (lambda f: (f / "template.nii.gz").write_bytes(b"\x1f\x8bnothing"), "template.nii.gz"),
        (volume_with("template.nii.gz", lambda a: (a, (4.0, 4.0, 5.0))), "cubic .*template.nii.gz"),
        (volume_with("template.nii.gz", lambda a: a[:-1]), "artery_LM.nii.gz"),
        (volume_with("artery_LCX.nii.gz", lambda a: a[:, 1:]), "grid, artery_LCX.nii.gz"),
        (volume_with("calcium.nii.gz", lambda a: a.astype(np.int16) + 200), "0 to 255, got others in calcium.nii.gz"),
        (volume_with("organs.nii.gz", lambda a: a + 9), "organs.nii.gz"),
        (volume_with("organs.nii.gz", lambda a: a[:, :, 1:]), "organs.nii.gz"),
        (volume_with("organs.nii.gz", lambda a: a * (a != Organ.HEART)), "has a heart.*organs.nii.gz"),
        (text_in("centrelines.csv", ""), "centrelines.csv"),
        (lines_with(lambda t: t.drop(columns="spread_mm")), "readable centrelines.csv, got no column spread_mm"),
        (lines_with(lambda t: t[t.artery != "LCX"]), "LCX in centrelines.csv"),
        (lines_with(lambda t: t.iloc[::-1]), "equal shares; not so for LM in centrelines.csv"),
        (lines_with(lambda t: t.assign(y_mm=np.nan)), "LM in centrelines.csv"),
        (lines_with(lambda t: t.assign(z_mm=t.z_mm + 500)), "LM lies in the template.*centrelines.csv"),
        (lines_with(lambda t: t.assign(spread_mm=-1.0)), "spread_mm .*centrelines.csv"),
        (lines_with(lambda t: t.assign(x_mm="far")), "centrelines.csv"),
    ],
)
def test_every_broken_file_is_refused_by_name(broken, spoil, words):
    """The error names the rule, the file and the atlas's folder, not the path above it."""
    spoil(broken)
    with pytest.raises(ScanError, match=words.replace(".nii.gz", r"\.nii\.gz").replace(".csv", r"\.csv")) as told:
        read_atlas(broken)
    assert " 1" in str(told.value)
    assert str(broken.parent) not in str(told.value)


@pytest.mark.parametrize(
    "name",
    ["atlas.json", "centrelines.csv", *(f"{n}.nii.gz" for n in ("template", "organs", "artery_RCA", "calcium"))],
)
def test_a_missing_file_is_refused_by_name(broken, name):
    """An atlas that lacks a file is broken, not absent: alone, and beside others that are whole."""
    shutil.copytree(broken, broken.parent / "2")
    (broken / name).unlink()
    for source in (broken, broken.parent):
        with pytest.raises(ScanError, match=f"readable {name}, got No such file or directory in the folder 1"):
            read_atlases(str(source))


def test_atlases_of_a_folder_are_read_in_the_order_of_their_numbers(tmp_path):
    """1, 2, 10, then names; what a killed run left is no atlas; one atlas's own folder is that atlas."""
    for name in ("10", "b", "2", "1", "a"):
        write_atlas(small_atlas(name), tmp_path / name)
    shutil.copytree(tmp_path / "1", tmp_path / ".0badcafe.part.3")
    (tmp_path / "pictures").mkdir()
    assert [a.name for a in read_atlases(str(tmp_path))] == ["1", "2", "10", "a", "b"]
    assert [f.name for f in atlas_folders(str(tmp_path))] == ["1", "2", "10", "a", "b"]
    assert [a.name for a in read_atlases(str(tmp_path / "b"))] == ["b"]
    with pytest.raises(RecipeError, match="calcscore atlas build"):
        read_atlases(str(tmp_path / "pictures"))


def test_atlases_used_together_share_their_registration(tmp_path):
    """A scan is copied once for all atlases of a folder: settings that differ are refused by name."""
    atlas = small_atlas()
    write_atlas(atlas, tmp_path / "1")
    write_atlas(replace(atlas, settings=replace(atlas.settings, affine_iterations=7)), tmp_path / "2")
    with pytest.raises(ScanError, match="another affine_iterations in 2 than in 1"):
        read_atlases(str(tmp_path))


def test_the_command_builds_what_it_can_and_tells_the_rest(built, labelled):
    """Exit code 1, the failed scan by its id and reason, and an atlas of the three others that `info` describes."""
    folder, done = built
    told = json.loads(done.stdout)
    assert list(told["failed"]) == ["heartless"]
    assert "heart" in told["failed"]["heartless"]
    assert "heartless" in done.stderr
    (one,) = told["atlases"]
    assert one["scans"] == 3
    (seen,) = json.loads(run("atlas", "info", folder, "--json").stdout)["atlases"]
    assert seen == one
    assert set(seen["spread_mm"]) == {a.name for a in ARTERIES}
    assert all(0 < s < 40 for s in seen["spread_mm"].values())
    assert seen["step_mm"] == 4
    assert 0.05 < seen["size_mb"] < 2
    text = run("atlas", "info", folder).stderr
    assert "CC0-1.0" in text
    assert labelled[0].scan_id.rpartition("-")[0] in text


def test_info_shows_the_atlases_of_the_package():
    """Without a folder: those of the package, all of one licence."""
    told = json.loads(run("atlas", "info", "--json").stdout)["atlases"]
    assert [a["name"] for a in told] == ["1", "2", "3", "4", "5"]
    assert {a["provenance"]["licence"] for a in told} == {"CC0-1.0"}


def test_the_command_ends_well_when_every_scan_is_used(labelled, tmp_path):
    """One patient of one split, one template: exit code 0; the same again is refused, and nothing is touched."""
    rows = [replace(r, split="test" if k else "train") for k, r in enumerate(labelled)]
    manifest = write_manifest(rows, tmp_path / "data_manifest.csv")
    asked = ("atlas", "build", manifest, "-o", tmp_path / "out", "--templates", 1, "--split", "train")
    run(*asked)
    before = {f: f.read_bytes() for f in (tmp_path / "out").rglob("*.*")}
    assert len(before) == 11
    assert "never replaced" in run(*asked, code=2).output
    assert {f: f.read_bytes() for f in (tmp_path / "out").rglob("*.*")} == before
    assert read_manifest(manifest)[0].split == "train"


def test_wrong_use_of_the_commands_says_what_to_do(labelled, tmp_path):
    """Exit code 2 for a cohort without organs, too few patients, no scans, no manifest; 1 for a broken atlas."""
    out = tmp_path / "out"

    def told(*arguments, code=2):
        return " ".join(run("atlas", *arguments, code=code).output.split())

    bare = write_manifest([replace(r, organs=None, centrelines=None) for r in labelled], tmp_path / "bare.csv")
    assert "columns organs and centrelines" in told("build", bare, "-o", out)
    two = write_manifest(labelled[:2], tmp_path / "two.csv")
    assert "2 usable patients for 5 templates" in told("build", two, "-o", out)
    assert "with split 'train'" in told("build", write_manifest([], tmp_path / "m.csv"), "-o", out, "--split", "train")
    assert "manifest" in told("build", tmp_path / "none.csv", "-o", out)
    assert "calcscore atlas build" in told("info", tmp_path / "nowhere")
    assert not out.exists()
    write_atlas(small_atlas(), tmp_path / "a")
    (tmp_path / "a" / "calcium.nii.gz").unlink()
    assert "calcium.nii.gz" in told("info", tmp_path / "a", code=1)


@pytest.mark.parametrize("name", ["build", "info"])
def test_the_commands_have_help_with_an_example(name):
    """`--help` shows how each is used; the default number of templates is the builder's."""
    text = run("atlas", name, "--help").output
    assert f"calcscore atlas {name}" in text
    assert "--json" in text
    assert inspect.signature(build).parameters["templates"].default == TEMPLATES


def test_an_atlas_has_the_heart_of_its_template(built, labelled):
    """An atlas's heart is its template's: equally large within a tenth."""
    atlas = read_atlas(built[0] / "1")
    row = next(r for r in labelled if r.scan_id == atlas.provenance["template"])
    _, grid = read_grid(row.organs)
    whole = read_labels(row.organs, grid, Organ)
    own = (whole == Organ.HEART).sum() * np.prod(grid.spacing)
    assert (atlas.organs == Organ.HEART).sum() * atlas.grid.step_mm**3 == pytest.approx(own, rel=0.1)


def test_atlases_are_reached_through_their_group(labelled, tmp_path):
    """A built group is read as it was written, leads to every atlas, and one that is broken is refused by name."""
    built, _ = build_atlases(labelled, templates=2, settings=QUICK)
    group = built[0].group
    assert group is not None
    assert set(group.paths) == {"1", "2"}
    for atlas in built:
        write_atlas(atlas, tmp_path / atlas.name)
    write_group(group, tmp_path / GROUP)
    read = read_atlases(str(tmp_path))
    assert [a.name for a in read] == ["1", "2"]
    at = np.random.default_rng(0).uniform(group.box_mm[0], group.box_mm[1], (50, 3))
    for atlas in read:
        again = atlas.group.paths[atlas.name].to_atlas(at)
        assert np.linalg.norm(again - group.paths[atlas.name].to_atlas(at), axis=1).max() < 3.0
        assert np.linalg.norm(again - atlas.box_mm.mean(axis=0), axis=1).min() < 60
    copy = Copy(group.grid, group.hu, np.ones(group.grid.shape, dtype=bool))
    still = Registration(Affine(np.eye(3), np.zeros(3)), group.grid, np.zeros((3, *group.grid.shape), np.float32), 1.0)
    whole = compose(still, group.paths["1"], copy, built[0])
    np.testing.assert_allclose(whole.to_atlas(at), group.paths["1"].to_atlas(at), atol=0.5)
    (tmp_path / GROUP / "paths.npz").write_bytes(b"nothing")
    read_atlases.cache_clear()
    with pytest.raises(ScanError, match="remove the folder"):
        read_atlases(str(tmp_path))
