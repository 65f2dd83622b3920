"""Features of what was measured about a lesion's place."""

from dataclasses import replace

import numpy as np
import pytest
from features_cases import a_place

from calcscore_features import Place, arteries, atlas
from calcscore_features.arteries import SOFTEN_MM
from calcscore_features.place import ARTERIES, LANDMARKS

COUNT = 6


def features(place):
    return atlas.compute(COUNT, place) | arteries.compute(COUNT, place)


def shuffled(place, order):
    """The same lesions in another order."""
    by_lesion = {
        "surface_mm": {k: v[order] for k, v in place.surface_mm.items()},
        "tissue": {k: v[order] for k, v in place.tissue.items()},
        "landmark_mm": {k: v[order] for k, v in place.landmark_mm.items()},
    }
    by_atlas = (
        "atlas_mm",
        "artery_mm",
        "artery_along",
        "artery_spread_mm",
        "artery_probability",
        "calcium_probability",
    )
    return replace(place, **by_lesion, **{name: getattr(place, name)[:, order] for name in by_atlas})


def test_order_of_lesions_is_the_order_of_rows():
    """Lesions in another order give the same rows in that order, for every feature."""
    place, order = a_place(COUNT), np.array([3, 0, 5, 1, 4, 2])
    whole, other = features(place), features(shuffled(place, order))
    for name, values in whole.items():
        np.testing.assert_allclose(other[name], values[order], rtol=1e-12, atol=1e-12, err_msg=name)


def test_order_of_atlases_does_not_matter():
    """Atlases are a set: in another order, or each of them twice, every feature is the same."""
    place = a_place(COUNT, atlases=3)
    names = ("atlas_mm", "artery_mm", "artery_along", "artery_spread_mm", "artery_probability", "calcium_probability")
    for pick in ([2, 0, 1], [0, 1, 2, 0, 1, 2]):
        other = features(replace(place, **{name: getattr(place, name)[pick] for name in names}))
        for name, values in features(place).items():
            np.testing.assert_allclose(other[name], values, rtol=1e-9, atol=1e-9, err_msg=name)


def test_one_atlas_has_no_spread():
    """Spreads over atlases are 0 where there is one, and means are its own values."""
    place = a_place(COUNT, atlases=1)
    found = features(place)
    assert not found["atlas_spread_mm"].any()
    for k, name in enumerate(ARTERIES):
        assert not found[f"{name}_distance_sd_mm"].any()
        np.testing.assert_allclose(found[f"{name}_distance_mm"], place.artery_mm[0, :, k])


def test_nearness_is_softened_by_the_arteries_spread():
    """1 on the centreline, exp(-1/2) at one softened spread from it, and farther where patients differ more."""
    place = a_place(2, atlases=1)
    spread = np.full((1, 2, 4), 4.0)
    width = np.hypot(4.0, SOFTEN_MM)
    distance = np.stack([np.zeros(4), np.full(4, width)])[None]
    found = arteries.compute(2, replace(place, artery_mm=distance, artery_spread_mm=spread))
    wider = arteries.compute(2, replace(place, artery_mm=distance, artery_spread_mm=2 * spread))
    for name in ARTERIES:
        np.testing.assert_allclose(found[f"{name}_nearness"], [1.0, np.exp(-0.5)])
        assert wider[f"{name}_nearness"][1] > found[f"{name}_nearness"][1]


def test_nearest_artery_is_the_nearest_of_all():
    """The atlas features' nearest artery is the smallest of the artery features' distances."""
    found = features(a_place(COUNT))
    distances = np.stack([found[f"{name}_distance_mm"] for name in ARTERIES])
    np.testing.assert_array_equal(found["nearest_artery_mm"], distances.min(axis=0))


def test_landmark_distances_are_lengths():
    """A distance to a landmark is the length of the way from it; the root's offset is that way itself."""
    place = a_place(COUNT)
    found = features(place)
    for name in LANDMARKS:
        np.testing.assert_allclose(found[f"{name}_distance_mm"], np.linalg.norm(place.landmark_mm[name], axis=1))
    offset = np.stack([found[f"root_offset_{axis}_mm"] for axis in "zyx"], axis=1)
    np.testing.assert_array_equal(offset, place.landmark_mm["aortic_root"])


@pytest.mark.parametrize("place", [None, Place()], ids=["nothing measured", "no atlas"])
def test_without_atlas_places_are_unknown(place):
    """Every feature is NaN, none is missing, and none invents a place."""
    found = features(place)
    assert list(found) == [f.name for f in (*atlas.FEATURES, *arteries.FEATURES)]
    assert all(np.isnan(v).all() for v in found.values())


def test_what_needs_no_atlas_is_known_without():
    """Lungs, body and tissues are seen in the scan itself: their features do not wait for an atlas."""
    whole = a_place(COUNT)
    found = features(Place(surface_mm={k: whole.surface_mm[k] for k in ("lung", "body")}, tissue=whole.tissue))
    known = {name for name, values in found.items() if np.isfinite(values).all()}
    assert known == {
        "lung_surface_mm", "body_surface_mm", "near_fat_fraction", "near_lung_fraction", "near_bone_fraction",
    }  # fmt: skip
