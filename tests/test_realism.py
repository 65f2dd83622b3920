"""Measured realism: one rule for real and digital scans, and a report that says what was found."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from calcscore_features import registry
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation import realism, two_sample
from calcscore_ml.evaluation.places import OUTSIDE, PLACES
from calcscore_ml.evaluation.realism import (
    BEYOND_HEART_MM,
    Measured,
    holds_metal,
    matched_protocol,
    measure_scan,
    on_grid_of,
    rows_of,
    tell_apart,
)
from calcscore_ml.evaluation.realism_report import as_json, as_markdown
from calcscore_ml.geometry import Geometry
from calcscore_ml.phantom import find_protocol, generate
from calcscore_ml.scan import Acquisition, Scan


@pytest.fixture(scope="module")
def small():
    """A chest on a coarse grid."""
    return generate(5, replace(find_protocol("chest-5mm"), matrix=192, fov_mm=(400.0, 400.0))).scan


@pytest.fixture(scope="module")
def measured(small):
    return measure_scan(small)


def test_a_digital_chest_has_the_numbers_of_a_chest(measured):
    """Blood, fat and lung lie where they do in people, and noise is found in heart and liver."""
    numbers = measured.numbers
    assert 25 < numbers["blood_hu"] < 60
    assert -115 < numbers["fat_hu"] < -80
    assert -920 < numbers["lung_hu"] < -750
    assert 2 < numbers["heart_sd_hu"] < 25
    assert 2 < numbers["liver_sd_hu"] < 25


def test_candidates_near_the_heart_are_counted_by_place(measured):
    """Every candidate near the heart has one place, one height and one row."""
    assert len(measured.features) == len(measured.place) == len(measured.height) == measured.numbers["near_heart"]
    assert sum(measured.numbers[f"count_{p}"] for p in PLACES) == measured.numbers["near_heart"]
    assert measured.height.min(initial=0) >= -BEYOND_HEART_MM


def test_a_scan_is_matched_with_what_was_scanned_like_it(small):
    """The nearest protocol without contrast agent is taken, on the real scan's own grid."""
    found = matched_protocol(small)
    assert found.name == "chest-5mm"
    assert found.slice_spacing_mm == 5.0
    assert found.fov_mm == pytest.approx((400.0, 400.0))
    assert found.matrix == 192


def test_bright_blood_asks_for_a_protocol_with_contrast(small, monkeypatch):
    """A scan whose blood holds contrast agent is matched with a protocol that gives it, and no other scan is."""
    assert not matched_protocol(small).contrast
    monkeypatch.setattr(realism, "blood_hu", lambda *_: 120.0)
    assert matched_protocol(small).contrast


def test_an_implant_is_told_from_metal_outside(small):
    """Two millilitres of metal in the body are an implant; half a millilitre is none, nor is any amount outside."""
    spacing = np.asarray(small.geometry.spacing)
    middle = np.array(small.hu.shape) // 2

    def with_metal(at, ml):
        hu = small.hu.copy()
        side = np.maximum(1, np.rint((1000 * ml) ** (1 / 3) / spacing)).astype(int)
        hu[tuple(slice(a, a + n) for a, n in zip(at, side, strict=True))] = 2800
        return Scan(hu, small.geometry, small.acquisition)

    assert not holds_metal(small)
    assert holds_metal(with_metal(middle, 2.5))
    assert not holds_metal(with_metal(middle, 0.4))
    assert not holds_metal(with_metal((middle[0], 2, 2), 2.5))


def test_matched_scans_share_one_spacing(small):
    """A spacing off by rounding is taken over from the real scan; another spacing is refused."""
    nearly = Geometry(small.geometry.shape, tuple(s * 1.0001 for s in small.geometry.spacing))
    assert on_grid_of(small, Scan(small.hu, nearly)).geometry.spacing == nearly.spacing
    other = Geometry(small.geometry.shape, (3.0, 1.0, 1.0))
    with pytest.raises(ResultError, match="one spacing"):
        on_grid_of(small, Scan(small.hu, other))


def test_no_heart_is_refused():
    """A scan without a chest is refused, not measured."""
    hu = np.zeros((20, 64, 64), np.int16)
    with pytest.raises(ResultError, match="heart"):
        measure_scan(Scan(hu, Geometry(hu.shape, (3.0, 2.0, 2.0)), Acquisition()))


def drawn(seed, shift, numbers):
    """A scan's worth of random candidates; the first feature is shifted."""
    rng = np.random.default_rng(seed)
    names = [f.name for f in registry()]
    table = pd.DataFrame(rng.standard_normal((60, len(names))), columns=names)
    table["volume_mm3"] += shift
    place = np.array([PLACES[i % 2] for i in range(60)])
    return Measured(numbers, table, place, rng.uniform(size=60))


def test_the_report_names_what_gives_digital_scans_away(measured, monkeypatch):
    """A feature that differs heads the report's tables; JSON holds no NaN; no cell says nan."""
    monkeypatch.setattr(two_sample, "TREES", 20)
    sets = {
        name: (drawn(i, 3.0, measured.numbers), [drawn(10 * i + k, 0.0, measured.numbers) for k in (1, 2, 3)])
        for i, name in enumerate(("one", "two"))
    }
    told = tell_apart(*rows_of(sets))
    assert told.univariate["all"].index[0] == "volume_mm3"
    assert set(told.by_place) == {"inside the body", *PLACES[:2]}
    protocols = dict.fromkeys(sets, "chest-5mm")
    report = as_markdown(sets, protocols, told)
    assert "| volume_mm3 |" in report
    assert not re.search(r"\bnan\b", report)
    kept = json.loads(as_json(sets, protocols, told), parse_constant=lambda text: pytest.fail(text))
    assert kept["told_apart"]["univariate"]["all"][0]["feature"] == "volume_mm3"


def test_what_lies_outside_takes_no_part_inside(measured, monkeypatch):
    """Real couches that differ are seen by the test of all candidates, not by the one inside the body."""
    monkeypatch.setattr(two_sample, "TREES", 60)
    sets = {}
    for i, name in enumerate(("one", "two", "three")):
        real = drawn(300 + i, 0.0, measured.numbers)
        real.features.loc[real.place == OUTSIDE, "volume_mm3"] += 5.0
        sets[name] = (real, [drawn(400 + 10 * i + k, 0.0, measured.numbers) for k in (1, 2)])
    told = tell_apart(*rows_of(sets))
    assert told.by_place[OUTSIDE].auc.value > 0.85
    assert told.by_place["inside the body"].auc.value < 0.65


def test_location_takes_no_part_where_it_is_left_out(measured, monkeypatch):
    """A difference in location alone is seen by the test with all features, not by the one without location."""
    monkeypatch.setattr(two_sample, "TREES", 60)
    sets = {}
    for i, name in enumerate(("one", "two", "three")):
        real = drawn(100 + i, 0.0, measured.numbers)
        for column in [f.name for f in registry() if f.family == "location"]:
            real.features[column] += 3.0
        sets[name] = (real, [drawn(200 + 10 * i + k, 0.0, measured.numbers) for k in (1, 2)])
    told = tell_apart(*rows_of(sets))
    assert told.everything.auc.value > 0.85
    assert told.without_location.auc.value < 0.7
