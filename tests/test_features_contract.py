"""What goes in, what comes out, and the catalogue."""

from pathlib import Path

import numpy as np
import pytest
from features_cases import BOX, lesions_of, one_lesion, scene

import calcscore_features
from calcscore_features import ALL, FAMILIES, Lesions, Settings, compute, registry
from calcscore_features.catalogue import text

README = Path(__file__).parents[1] / "features" / "README.md"
UNIT_ENDINGS = {
    "mm": "_mm",
    "mm2": "_mm2",
    "mm3": "_mm3",
    "1/mm": "_per_mm",
    "ln mm3": "_ln_mm3",
    "HU": "_hu",
    "HU2": "_hu2",
    "HU/mm": "_hu_per_mm",
    "HU/mm2": "_hu_per_mm2",
    "HU mm3": "_hu_mm3",
    "bit": "_bit",
}


def test_catalogue_is_the_registry():
    """features/README.md is exactly what the registry says: no feature missing, none invented, none changed."""
    assert README.read_text() == text(), "write it anew: python -m calcscore_features.catalogue > features/README.md"


@pytest.mark.parametrize("feature", ALL, ids=lambda f: f.name)
def test_feature_is_fully_defined(feature):
    """A feature has a lower-case name ending in its unit, a known family, a formula and a source."""
    assert feature.name == feature.name.lower()
    assert feature.name.isidentifier()
    assert feature.family in FAMILIES
    assert feature.formula
    assert feature.source
    assert feature.degenerate == "" or feature.degenerate.startswith("NaN: ")
    if feature.unit == "1":
        assert not feature.name.endswith(("_mm", "_mm2", "_mm3", "_bit")) or feature.name.startswith("gauss_")
    else:
        assert feature.name.endswith(UNIT_ENDINGS[feature.unit])


def test_names_are_unique_and_families_stand_together():
    """No two features share a name, and the registry goes through the families in order."""
    assert len({f.name for f in ALL}) == len(ALL)
    assert list(dict.fromkeys(f.family for f in ALL)) == list(FAMILIES)
    assert [FAMILIES.index(f.family) for f in ALL] == sorted(FAMILIES.index(f.family) for f in ALL)


@pytest.mark.parametrize("families", [FAMILIES, ("texture", "size"), ("location",), ()])
@pytest.mark.parametrize("scales", [Settings().gaussian_scales_mm, (1.5,)])
def test_columns_are_the_registry_in_order(families, scales):
    """The table's columns are the registry restricted to the asked families, whatever order they were asked in."""
    hu, mask = scene()
    settings = Settings(gaussian_scales_mm=scales)
    lesions = lesions_of(mask, hu)
    table = compute(lesions, settings=settings, families=families)
    assert list(table) == [f.name for f in registry(settings) if f.family in families]
    assert all(v.shape == (len(lesions),) and v.dtype == np.float64 for v in table.values())


def test_scan_without_lesions_has_an_empty_table():
    """No lesions give every column, with no rows."""
    none = Lesions(np.zeros((2, 3, 4), np.int16), (3, 1, 1), np.empty((0, 3), int), np.array([0]))
    table = compute(none, heart_box_mm=BOX)
    assert list(table) == [f.name for f in ALL]
    assert all(v.shape == (0,) for v in table.values())


def test_location_has_no_value_without_a_heart():
    """Without a heart box location is NaN, and nothing else changes."""
    hu, mask = scene()
    lesions = lesions_of(mask, hu)
    with_box, without = compute(lesions, heart_box_mm=BOX), compute(lesions)
    for f in ALL:
        if f.family == "location":
            assert np.isnan(without[f.name]).all()
        else:
            np.testing.assert_array_equal(with_box[f.name], without[f.name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hu": np.zeros((3, 3), np.int16)}, "must be a volume"),
        ({"hu": np.zeros((3, 3, 3), np.float64)}, "must be int16 or float32, got float64"),
        ({"hu": np.full((3, 3, 3), np.nan, np.float32)}, "must be finite"),
        ({"spacing": (3.0, 0.0, 1.0)}, "positive lengths"),
        ({"spacing": (3.0, 1.0)}, "three positive"),
        ({"voxels": np.array([[0, 0]])}, r"\(n, 3\)"),
        ({"voxels": np.array([[0, 0, 3], [0, 0, 1]])}, "inside the volume"),
        ({"voxels": np.array([[0, 0, -1], [0, 0, 1]])}, "inside the volume"),
        ({"voxels": np.array([[0.0, 0, 1], [0, 0, 0]])}, "whole numbers"),
        ({"offsets": np.array([0, 1])}, "number of voxels, 2"),
        ({"offsets": np.array([0, 0, 2])}, "lesion 0 has none"),
        ({"offsets": np.array([0, 2, 1, 2])}, "lesion 1 has none"),
    ],
)
def test_broken_lesions_are_refused(change, message):
    """Lesions that break a rule raise ValueError, which says the rule and what came."""
    good = {
        "hu": np.zeros((3, 3, 3), np.int16),
        "spacing": (3.0, 1.0, 1.0),
        "voxels": np.array([[0, 0, 0], [0, 0, 1]]),
        "offsets": np.array([0, 2]),
    }
    assert len(Lesions(**good)) == 1
    with pytest.raises(ValueError, match=message):
        Lesions(**good | change)


def test_repeated_voxel_is_refused():
    """A lesion that lists a voxel twice raises instead of counting it twice."""
    twice = Lesions(
        np.zeros((3, 3, 3), np.int16), (3, 1, 1), np.array([[0, 0, 0], [1, 1, 1], [1, 1, 1]]), np.array([0, 1, 3])
    )
    with pytest.raises(ValueError, match="lesion 1 repeats"):
        compute(twice)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold_hu": np.nan}, "threshold_hu must be finite"),
        ({"glcm_bin_width_hu": 0}, "must be positive"),
        ({"glcm_max_hu": 100}, "must exceed threshold_hu"),
        ({"shell_mm": -1}, "shell_mm must be positive"),
        ({"gaussian_scales_mm": ()}, "1 to 16 positive"),
        ({"gaussian_scales_mm": (0, 1)}, "1 to 16 positive"),
        ({"gaussian_scales_mm": (2, 1)}, "must increase"),
        ({"gaussian_scales_mm": (1, 1)}, "must increase"),
        ({"crowd_mm": ()}, "crowd_mm must be 1 to 16 positive"),
        ({"crowd_mm": (5, 2)}, "crowd_mm must increase"),
    ],
)
def test_settings_out_of_range_are_refused(change, message):
    """Settings out of range raise ValueError."""
    with pytest.raises(ValueError, match=message):
        Settings(**change)


@pytest.mark.parametrize("box", [[[0, 0, 0], [1, 1, 0]], [0, 0, 0], [[0, 0, 0], [1, 1, np.inf]]])
def test_broken_heart_box_is_refused(box):
    """A heart box that is not two corners, lower below upper, raises ValueError."""
    with pytest.raises(ValueError, match="heart box must be"):
        compute(one_lesion(np.ones((1, 1, 1), bool)), heart_box_mm=box)
    with pytest.raises(ValueError, match="heart box must be"):
        compute(one_lesion(np.ones((1, 1, 1), bool)), heart_box_mm=box, families=("size",))


def test_unknown_family_is_refused():
    """An unknown family raises ValueError naming it."""
    with pytest.raises(ValueError, match="got colour"):
        compute(one_lesion(np.ones((1, 1, 1), bool)), families=("size", "colour"))


def test_input_is_neither_changed_nor_writeable():
    """Computing leaves the caller's arrays as they were, and the lesions' own views are read-only."""
    hu, mask = scene()
    lesions = lesions_of(mask, hu)
    before = hu.copy(), lesions.voxels.copy()
    compute(lesions)
    np.testing.assert_array_equal(hu, before[0])
    np.testing.assert_array_equal(lesions.voxels, before[1])
    assert not lesions.voxels.flags.writeable


def test_public_names_are_pinned():
    """The package's public names change only on purpose."""
    assert calcscore_features.__all__ == [
        "ALL",
        "FAMILIES",
        "LOCATED",
        "Feature",
        "Lesions",
        "Place",
        "Settings",
        "compute",
        "registry",
    ]
