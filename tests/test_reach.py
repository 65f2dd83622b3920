"""Laws of what a model says about its own knowledge: how far it reaches, what drove it, which scans it has seen."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from calcscore_ml.anatomy import ARTERIES
from calcscore_ml.errors import ModelError, ResultError
from calcscore_ml.geometry import Geometry
from calcscore_ml.io import read_scan
from calcscore_ml.manifest import read_manifest
from calcscore_ml.models.bundle import REACH_FILE, distances, load_bundle, predict, save_bundle
from calcscore_ml.models.drivers import find_drivers
from calcscore_ml.models.reach import Reach, learn_reach, reach_bytes, read_reach
from calcscore_ml.pipeline import describe_scan, score_scan
from calcscore_ml.protocol import UNITS, outside, protocol_of, ranges
from calcscore_ml.referral.policy import WholeScan
from calcscore_ml.scan import Acquisition, Scan
from calcscore_ml.sources import SOURCES_FILE, Source, add_source, read_sources

seeds = st.integers(0, 10_000)


def lesions(seed=0, n=600, d=12):
    """A table of lesions of three labels, features on very different scales, some undefined."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 3], n, p=[0.7, 0.2, 0.1])
    table = (rng.normal(size=(n, d)) + 2 * labels[:, None]) * 10.0 ** rng.integers(-3, 4, d)
    table[rng.random(table.shape) < 0.03] = np.nan
    return table, labels


@given(seeds)
def test_most_lesions_learnt_from_are_within_reach(seed):
    """Ninety-nine in a hundred of the lesions learnt from lie within a distance of 1, and so does the typical one."""
    table, labels = lesions(seed)
    reach = learn_reach(table, labels)
    assert (reach.distance(table) <= 1).mean() == pytest.approx(0.99, abs=0.004)
    assert reach.distance(np.full((1, table.shape[1]), np.nan))[0] < 1


def test_what_is_like_nothing_learnt_is_far():
    """A lesion with values far beyond all others lies farther than any of them."""
    table, labels = lesions()
    reach = learn_reach(table, labels)
    center, far = np.nanmedian(table, axis=0), 50 * np.nanstd(table, axis=0)
    strange = np.stack([np.where(np.arange(12) < k, center + far, center) for k in (2, 5, 9)])
    assert reach.distance(strange).min() > reach.distance(table).max()


@given(seeds)
@example(434)
@example(1366)
def test_distances_do_not_depend_on_units_or_order(seed):
    """Features in other units, and rows in another order, lie as far."""
    table, labels = lesions(seed)
    scale = 10.0 ** np.random.default_rng(seed).integers(-3, 4, table.shape[1])
    plain = learn_reach(table, labels).distance(table)
    assert learn_reach(table * scale, labels).distance(table * scale) == pytest.approx(plain, rel=1e-4, abs=1e-6)
    order = np.random.default_rng(seed).permutation(len(table))
    assert learn_reach(table, labels).distance(table[order]) == pytest.approx(plain[order])


def test_a_rare_label_is_not_far_for_being_rare():
    """Lesions of a label of one in a hundred have clusters of their own, and no single lesion is a centre."""
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(2000) < 20, 2, 0)
    table = rng.normal(size=(2000, 6)) + 8 * (labels == 2)[:, None]
    reach = learn_reach(table, labels)
    assert np.median(reach.distance(table[labels == 2])) < 1
    alone = learn_reach(table, np.where(np.arange(2000) == 0, 3, 0))
    assert alone.distance(table[:1])[0] > 0.01


def test_a_reach_is_read_as_it_was_written():
    """Every array comes back, the same reach has the same bytes, and distances are equal."""
    table, labels = lesions()
    reach = learn_reach(table, labels)
    again = read_reach(reach_bytes(reach), 12, "here")
    for f in fields(Reach):
        assert np.array_equal(getattr(again, f.name), getattr(reach, f.name))
    assert reach_bytes(reach) == reach_bytes(learn_reach(table, labels))
    assert (again.distance(table) == reach.distance(table)).all()


def test_what_is_no_reach_is_refused():
    """Other bytes, other shapes and values that are not finite are errors that name the file."""
    reach = learn_reach(*lesions())
    with pytest.raises(ModelError, match="here"):
        read_reach(b"nothing", 12, "here")
    with pytest.raises(ModelError, match="13 features"):
        read_reach(reach_bytes(reach), 13, "here")
    broken = Reach(reach.median * np.nan, reach.spread, reach.directions, reach.centres, reach.ordinary)
    with pytest.raises(ModelError, match="here"):
        read_reach(reach_bytes(broken), 12, "here")
    with pytest.raises(ModelError, match="12 features"):
        reach.distance(np.zeros((3, 5)))


def test_a_bundle_keeps_its_reach_and_one_without_says_so(bundle, tmp_path):
    """A trained bundle measures the same distances after a round trip; without a reach there are none."""
    table = pd.DataFrame(bundle.golden.features, columns=list(bundle.card.features))
    again = load_bundle(save_bundle(tmp_path / "m", bundle))
    assert (distances(again, table) == distances(bundle, table)).all()
    assert again.card.protocols["slice_thickness_mm"] == (4.0, 4.0)
    (tmp_path / "m" / REACH_FILE).write_bytes(b"other")
    with pytest.raises(ModelError, match="must match the hashes"):
        load_bundle(tmp_path / "m")


def test_drivers_are_what_the_probability_loses(bundle):
    """The effect of a driver is the probability of being coronary less that with the feature at its typical value."""
    table = pd.DataFrame(bundle.golden.features, columns=list(bundle.card.features))
    coronary = predict(bundle, table)[0][:, list(ARTERIES)].sum(axis=1)
    whole, table = table, table.iloc[np.argsort(np.abs(coronary - 0.5))[:6]]
    found = find_drivers(bundle, table, strongest=4)
    assert any(found)
    every = [d for drivers in find_drivers(bundle, whole, strongest=4) for d in drivers]
    assert min(effect for *_, effect in every) < 0 < max(effect for *_, effect in every)
    arteries = list(ARTERIES)
    for i, drivers in enumerate(found):
        assert len(drivers) <= 4
        sizes = [abs(effect) for *_, effect in drivers]
        assert sizes == sorted(sizes, reverse=True)
        for name, value, typical, effect in drivers:
            row = table.iloc[[i]].copy()
            before = predict(bundle, row)[0][0, arteries].sum()
            assert np.array_equal(row[name].to_numpy(), [value], equal_nan=True)
            row[name] = typical
            assert effect == pytest.approx(before - predict(bundle, row)[0][0, arteries].sum(), abs=1e-9)


def test_no_lesion_and_no_reach_have_no_drivers(bundle):
    """An empty table gives nothing, and a model that does not know what is typical names none."""
    table = pd.DataFrame(bundle.golden.features, columns=list(bundle.card.features))
    assert find_drivers(bundle, table.iloc[:0]) == []
    assert find_drivers(replace(bundle, reach=None), table.iloc[:2]) == [(), ()]


def scan(kvp=120.0, thickness=3.0, spacing=(3.0, 0.5, 0.5)):
    """A scan of nothing by some protocol."""
    shape = (2, 3, 3)
    acquisition = Acquisition(kvp=kvp, slice_thickness_mm=thickness)
    return Scan(np.zeros(shape, dtype=np.int16), Geometry(shape, spacing, (0, 0, 0)), acquisition)


def test_a_scan_learnt_from_is_never_outside():
    """No scan lies outside the range of a cohort it belongs to, and one beyond it is named with value and range."""
    protocols = [protocol_of(scan(k, t, (t, p, p))) for k, t, p in ((100, 1.5, 0.4), (120, 3.0, 0.6), (140, 2, 0.9))]
    seen = ranges(protocols)
    assert all(outside(p, seen) == () for p in protocols)
    assert set(seen) == set(UNITS)
    (said,) = outside(protocol_of(scan(80.0, 2.0, (2.0, 0.5, 0.5))), seen)
    assert said == "tube voltage 80 kV, learnt from 100 to 140"
    assert len(outside(protocol_of(scan(120.0, 8.0, (8.0, 0.5, 0.5))), seen)) == 2


def test_what_a_header_does_not_tell_is_not_held_against_a_scan():
    """A scan without a tube voltage, and a model without ranges, raise no doubt."""
    silent = protocol_of(scan(None, None))
    assert set(silent) == {"slice_spacing_mm", "pixel_mm"}
    assert outside(silent, ranges([protocol_of(scan())])) == ()
    assert outside(protocol_of(scan(70.0)), {}) == ()


def test_where_scans_lie_is_remembered_beside_the_results(tmp_path):
    """The last word on a scan counts, a line cut off by a crash does not, and a broken one is named."""
    assert read_sources(tmp_path) == {}
    add_source(tmp_path / "out", "a", Source(tmp_path / "old.nii", None))
    add_source(tmp_path / "out", "b", Source(tmp_path / "dicom", "1.2.3"))
    add_source(tmp_path / "out", "a", Source(tmp_path / "new.nii"))
    found = read_sources(tmp_path / "out")
    assert found == {"a": Source(tmp_path / "new.nii"), "b": Source(tmp_path / "dicom", "1.2.3")}
    file = tmp_path / "out" / SOURCES_FILE
    assert file.stat().st_mode & 0o077 == 0
    whole = file.read_text()
    file.write_text(whole + '{"scan_id": "c", "pa')
    assert read_sources(tmp_path / "out") == found
    file.write_text(whole + "nonsense\n")
    with pytest.raises(ResultError, match="line 4"):
        read_sources(tmp_path / "out")


def test_a_scan_unlike_those_learnt_from_is_told_and_may_go_to_the_expert_as_a_whole(cohort, bundle, recipe):
    """Its result warns of what is new, and says so as the reason where a policy refers such scans."""
    opened = read_scan(read_manifest(cohort)[0].image)
    described = describe_scan(opened, recipe)
    other = replace(bundle, card=replace(bundle.card, protocols={"slice_thickness_mm": (0.5, 1.0)}))
    policy = replace(recipe.referral, whole_scan=WholeScan(new_protocol=True))
    careful = recipe.model_copy(update={"referral": policy})

    def scored(by, asked):
        return score_scan(opened, by, asked, scan_id="a", described=described).result

    told = scored(other, careful)
    assert [r.text for r in told.remarks if r.code == "protocol"]
    assert told.whole_scan == ("slice thickness 4 mm, learnt from 0.5 to 1",)
    assert all(n.referred for n in told.lesions if n.coronary_probability >= policy.min_coronary and n.agatston > 0)
    assert scored(other, recipe).whole_scan == ()
    own = scored(bundle, careful)
    assert own.whole_scan == ()
    assert not [r for r in own.remarks if r.code == "protocol"]
