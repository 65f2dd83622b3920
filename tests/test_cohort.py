"""Cohorts as data: what a file may say, takes of one patient, resuming, bits that depend on the seed alone."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from calcscore_ml.errors import RecipeError, ResultError
from calcscore_ml.io import read_scan
from calcscore_ml.io.labels import read_labels
from calcscore_ml.io.volumes import read_volume
from calcscore_ml.manifest import read_manifest
from calcscore_ml.phantom import (
    PROTOCOLS,
    Cohort,
    Take,
    cohort_names,
    find_protocol,
    generate,
    read_cohort,
    write_cohort,
)
from calcscore_ml.phantom.digital import LESION_COLUMNS

TINY = replace(find_protocol("gated-3mm"), name="tiny", matrix=64, z_range_mm=(-6.0, 6.0))
PAIR = Cohort(count=2, seed=9, protocols=(TINY,), image_format="nifti")


def write(folder, text):
    """A cohort's file."""
    file = folder / "own.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("name", cohort_names())
def test_every_cohort_of_the_package_can_be_read(name):
    """Built-in cohorts have a description, a seed of their own, and protocols that are what their names say."""
    cohort = read_cohort(name)
    assert cohort.description.endswith(".")
    known = {p.name: p for p in PROTOCOLS}
    assert all(replace(known.get(p.name, p), share=p.share) == p for p in cohort.protocols)
    others = [read_cohort(other) for other in cohort_names() if other != name]
    assert cohort.seed not in {other.seed for other in others}, "patients are not shared"
    assert cohort.name not in {other.name for other in others}


def test_a_file_says_what_is_written(tmp_path):
    """Counts, shares, own protocols and takes come from the file."""
    cohort = read_cohort(write(tmp_path, """
        name = "mine"
        seed = 4
        count = 3
        splits = ["train", "test"]
        organs = true
        [protocols]
        "chest-5mm" = 2.0
        "quiet" = 0.5
        [[protocol]]
        name = "quiet"
        base = "gated-2.5mm"
        noise_sd_hu = [5, 6]
        kernel = "medium"
        [[protocol]]
        name = "alone"
        [[takes]]
        name = "low"
        repeat = 1
        dose = 0.25
    """))  # fmt: skip
    assert (cohort.name, cohort.seed, cohort.count, cohort.splits) == ("mine", 4, 3, ("train", "test"))
    assert cohort.organs
    assert not Cohort().organs
    assert [(p.name, p.share) for p in cohort.protocols] == [("chest-5mm", 2.0), ("quiet", 0.5), ("alone", 1.0)]
    quiet = cohort.protocols[1]
    assert quiet == replace(
        find_protocol("gated-2.5mm"), name="quiet", share=0.5, noise_sd_hu=(5.0, 6.0), kernel=quiet.kernel
    )
    assert quiet.kernel.name == "medium"
    assert cohort.takes == (Take("low", repeat=1, dose=0.25),)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("colour = 1", "colour: no such key"),
        ("count = 0", "at least 1"),
        ("seed = -1", "at least 0"),
        ("name = 'a b'", "may hold letters"),
        ("image_format = 'png'", "image_format"),
        ("patients = 'nobody'", "patients"),
        ("organs = 'some'", "organs"),
        ("[protocols]\n'mri' = 1", "mri"),
        ("[protocols]\n'chest-5mm' = -1", "protocols.chest-5mm"),
        ("[protocols]\n'chest-5mm' = 0", "share above 0"),
        ("[[protocol]]\nname = 'x'\nspeed = 3", "speed"),
        ("[[protocol]]\nbase = 'chest-5mm'", "holds a name"),
        ("[[protocol]]\nname = 'x'\nmatrix = 'large'", "matrix"),
        ("[[protocol]]\nname = 'x'\nkernel = 'ultra'", "kernel must be one of"),
        ("[[takes]]\nname = 'x'\ndose = 0", "dose"),
        ("[[takes]]\nname = 'x/y'", "takes.0.name"),
        ("[[takes]]\nname = 'x'\n[[takes]]\nname = 'x'", "names of their own"),
        ("count = ", "readable TOML"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, text, told):
    """What is unknown or out of range is an error that says what, before anything is written."""
    with pytest.raises(RecipeError, match=told):
        read_cohort(write(tmp_path, text))


def test_an_unknown_cohort_lists_those_there_are():
    """A name that is neither a file nor built in tells the names."""
    with pytest.raises(RecipeError, match="held_out"):
        read_cohort("nowhere")
    with pytest.raises(RecipeError, match="readable TOML"):
        read_cohort("nowhere.toml")


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 0},
        {"seed": -1},
        {"name": "a/b"},
        {"image_format": "png"},
        {"patients": "x"},
        {"protocols": ()},
        {"takes": ()},
    ],
)
def test_a_wrong_cohort_is_refused(wrong):
    """The rules of the file hold for cohorts made in Python too."""
    with pytest.raises(RecipeError):
        replace(PAIR, **wrong)


def test_a_cohort_resumes_and_does_not_depend_on_workers(tmp_path):
    """A lost scan is made again bit for bit; two workers write what one writes; what is there is kept."""
    steps = []
    rows = write_cohort(tmp_path / "a", PAIR, progress=lambda: steps.append(1))
    assert len(steps) == len(rows) == 2
    first = rows[0].labels.parent
    kept = (rows[1].labels.parent / "truth.json").stat().st_mtime_ns
    for file in first.iterdir():
        file.unlink()
    first.rmdir()
    again = write_cohort(tmp_path / "a", PAIR)
    other = write_cohort(tmp_path / "b", PAIR, workers=2)
    assert [r.sha256 for r in rows] == [r.sha256 for r in again] == [r.sha256 for r in other]
    assert (tmp_path / "a" / "truth.csv").read_bytes() == (tmp_path / "b" / "truth.csv").read_bytes()
    assert (rows[1].labels.parent / "truth.json").stat().st_mtime_ns == kept
    scan = read_volume(rows[0].image)
    labels = read_labels(rows[0].labels, scan.geometry)
    truth = json.loads((first / "truth.json").read_text())
    made = generate(truth["patient_seed"], TINY)
    assert np.array_equal(made.scan.hu, scan.hu)
    assert np.array_equal(made.labels, labels)


def test_a_killed_cohort_goes_on_where_it_was(tmp_path):
    """Killed in the middle, nothing half-written is taken for a scan, and the second run ends with the same bits."""
    file = write(tmp_path, """
        count = 5
        image_format = "nifti"
        [[protocol]]
        name = "tiny"
        matrix = 64
        z_range_mm = [-6, 6]
    """)  # fmt: skip
    command = [sys.executable, "-m", "calcscore_ml", "phantom", str(file), "-o", str(tmp_path / "killed")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as running:
        end = time.monotonic() + 60
        while not list((tmp_path / "killed").glob("digital*/truth.json")) and time.monotonic() < end:
            time.sleep(0.02)
        os.killpg(running.pid, signal.SIGKILL)
    assert not (tmp_path / "killed" / "data_manifest.csv").exists()
    resumed = write_cohort(tmp_path / "killed", read_cohort(file))
    whole = write_cohort(tmp_path / "whole", read_cohort(file))
    assert [r.sha256 for r in resumed] == [r.sha256 for r in whole]
    assert (tmp_path / "killed" / "truth.csv").read_bytes() == (tmp_path / "whole" / "truth.csv").read_bytes()


@pytest.mark.parametrize(
    "other",
    [
        {"protocols": (replace(TINY, noise_sd_hu=(1.0, 2.0)),)},
        {"protocols": (find_protocol("chest-5mm"),)},
        {"takes": (Take(dose=0.5),)},
        {"image_format": "dicom"},
    ],
    ids=["noise", "protocol", "take", "format"],
)
def test_cohorts_are_not_mixed(tmp_path, other):
    """A folder that holds scans made otherwise is refused, down to a protocol's noise."""
    one = replace(PAIR, count=1)
    write_cohort(tmp_path, one)
    with pytest.raises(ResultError, match="another folder"):
        write_cohort(tmp_path, replace(one, **other))


def test_a_larger_cohort_begins_with_the_smaller_one(tmp_path):
    """The first patients do not depend on how many follow."""
    small = write_cohort(tmp_path / "a", replace(PAIR, count=1))
    large = write_cohort(tmp_path / "b", PAIR)
    assert small[0].sha256 == large[0].sha256
    assert small[0].split == large[0].split


def test_a_cohort_of_the_stented_holds_nobody_else(tmp_path):
    """Every patient of such a cohort has a stent, in every scan; a larger one begins with the smaller one."""
    whole = replace(TINY, z_range_mm=(-66.0, 45.0))
    stented = replace(PAIR, patients="stented", protocols=(whole,))
    rows = write_cohort(tmp_path / "a", stented)
    truth = pd.read_csv(tmp_path / "a" / "truth.csv")
    assert set(truth.scan_id[truth.place == "stent"]) == {row.scan_id for row in rows}
    assert write_cohort(tmp_path / "b", replace(stented, count=1))[0].sha256 == rows[0].sha256


def test_the_truth_table_holds_every_lesion_of_every_scan(tmp_path):
    """truth.csv is the scans' lesions.csv one below the other, with the scan's name first."""
    rows = write_cohort(tmp_path, PAIR)
    table = pd.read_csv(tmp_path / "truth.csv")
    assert tuple(table.columns) == ("scan_id", *LESION_COLUMNS)
    own = [pd.read_csv(row.labels.with_name("lesions.csv")) for row in rows]
    assert len(table) == sum(len(t) for t in own)
    assert table.mass_mg.sum() == pytest.approx(sum(t.mass_mg.sum() for t in own))


def test_takes_of_a_patient_share_patient_and_split(tmp_path):
    """Scans of one patient are told apart by the take's name and stay in one split."""
    cohort = replace(PAIR, takes=(Take("with"), Take("without", calcium=False)))
    rows = write_cohort(tmp_path, cohort)
    assert [r.scan_id for r in rows] == ["digital-9-0000-with", "digital-9-0000-without", "digital-9-0001-with",
                                         "digital-9-0001-without"]  # fmt: skip
    assert [r.patient_id for r in rows] == ["digital-9-0000"] * 2 + ["digital-9-0001"] * 2
    assert rows[0].split == rows[1].split
    assert [r.scan_id for r in read_manifest(tmp_path / "data_manifest.csv")] == [r.scan_id for r in rows]


WIDE = replace(TINY, matrix=128, z_range_mm=(-66.0, 45.0))


@pytest.fixture(scope="module")
def first():
    """A patient with calcium."""
    return generate(26, WIDE)


def test_without_calcium_everything_else_is_the_same(first):
    """The pair differs only where calcium was, and never by less HU."""
    bare = generate(26, WIDE, Take(calcium=False))
    assert len(first.lesions) > 0
    assert len(bare.lesions) == 0
    assert not bare.labels.any()
    change = first.scan.hu.astype(int) - bare.scan.hu
    assert change[first.labels > 0].min() >= 29
    assert (change == 0).mean() > 0.9
    assert change.min() >= -1


def test_another_exposure_has_other_noise_of_the_same_patient(first):
    """A repeat differs in noise and phase, not in anatomy or calcium; the table stays where it was."""
    again = generate(26, WIDE, Take(repeat=1))
    difference = first.scan.hu.astype(float) - again.scan.hu
    assert first.scan.geometry == again.scan.geometry
    assert first.lesions.mass_mg.sum() == pytest.approx(again.lesions.mass_mg.sum())
    assert 0.8 < np.std(difference) / np.sqrt(2) / 15 < 2.0
    assert abs(np.corrcoef(first.scan.hu[4:-4].ravel(), again.scan.hu[4:-4].ravel())[0, 1]) > 0.9


def test_a_patient_laid_down_anew_lies_elsewhere(first):
    """`moved` changes position and grid, by millimetres."""
    moved = generate(26, WIDE, Take(repeat=1, moved=True))
    assert moved.scan.geometry != first.scan.geometry
    assert moved.patient == first.patient
    shift = np.abs(moved.origin_mm - first.origin_mm)
    assert 0.5 < shift.max() < 60


def test_noise_goes_with_the_inverse_root_of_dose():
    """A quarter of the dose doubles the noise SD."""
    quiet, sd = replace(WIDE, noise_sd_hu=(0.01, 0.01)), []
    for repeat, dose in ((1, 1.0), (2, 0.25)):
        noisy, still = generate(3, WIDE, Take(repeat=repeat, dose=dose)), generate(3, quiet, Take(repeat=repeat))
        sd.append(float(np.std((noisy.scan.hu.astype(float) - still.scan.hu)[:, 40:88, 40:88])))
    assert sd[1] / sd[0] == pytest.approx(2.0, rel=0.06)


def test_kernels_of_one_exposure_see_the_same_photons(first):
    """The noise of two reconstructions of one exposure is correlated; that of two exposures is not."""
    soft, other = generate(26, WIDE, Take(kernel="soft")), generate(26, WIDE, Take(kernel="soft", repeat=1))
    assert soft.protocol.kernel.name == "soft"
    assert soft.protocol.noise_sd_hu[0] < first.protocol.noise_sd_hu[0]

    def noise(scan, kernel):
        quiet = replace(WIDE, noise_sd_hu=(0.01, 0.01))
        still = generate(26, quiet, Take(kernel=kernel)).scan.hu.astype(float)
        return (scan.scan.hu - still)[:, 40:88, 40:88].ravel()

    sharp = noise(first, None)
    assert np.corrcoef(sharp, noise(soft, "soft"))[0, 1] > 0.6
    assert abs(np.corrcoef(sharp, noise(other, "soft"))[0, 1]) < 0.3


def test_a_take_changes_what_it_says():
    """Thickness, spacing, voltage and kernel of a take replace the protocol's; what it leaves out stays."""
    base = find_protocol("gated-3mm")
    assert Take().vary(base) is base
    thin = Take(slice_thickness_mm=1.5).vary(base)
    assert (thin.slice_thickness_mm, thin.slice_spacing_mm, thin.kernel) == (1.5, 1.5, base.kernel)
    assert thin.noise_sd_hu[1] == pytest.approx(base.noise_sd_hu[1] * np.sqrt(2), rel=0.01)
    overlap = Take(slice_thickness_mm=3.0, slice_spacing_mm=1.5).vary(base)
    assert (overlap.slice_thickness_mm, overlap.slice_spacing_mm) == (3.0, 1.5)
    assert Take(kvp=100.0).vary(base).kvp == 100.0


def test_a_dicom_cohort_can_be_read_back(tmp_path):
    """The scan written as DICOM is the scan generated."""
    row = write_cohort(tmp_path, replace(PAIR, count=1, seed=2, image_format="dicom"))[0]
    truth = json.loads((row.labels.parent / "truth.json").read_text())
    read = read_scan(row.image)
    assert np.array_equal(read.hu, generate(truth["patient_seed"], TINY).scan.hu)
    assert read.acquisition.kvp == 120


def test_no_workers_are_refused(tmp_path):
    """A cohort needs at least one process."""
    with pytest.raises(RecipeError, match="workers"):
        write_cohort(tmp_path / "c", PAIR, workers=0)
    assert not (tmp_path / "c").exists()
