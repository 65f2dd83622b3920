"""Laws of candidate lesions."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from calcscore_ml.candidates import KVP_THRESHOLD_HU, find_candidates, threshold_for_kvp
from calcscore_ml.components import sparse_components
from calcscore_ml.errors import RecipeError
from calcscore_ml.geometry import Geometry
from calcscore_ml.scan import Scan

RANK = {6: 1, 18: 2, 26: 3}
volumes = arrays(
    np.int16, st.tuples(*[st.integers(1, 7)] * 3), elements=st.sampled_from([-1000, 40, 129, 130, 131, 900])
)


def scan_of(hu, spacing=(3.0, 0.5, 0.5)):
    return Scan(hu, Geometry(hu.shape, spacing))


@given(volumes, st.sampled_from([6, 18, 26]))
def test_candidates_are_the_components_at_or_above_the_threshold(hu, connectivity):
    """A second labelling library finds the same components, with the same voxels and values."""
    found = find_candidates(scan_of(hu), connectivity=connectivity)
    reference, count = ndimage.label(hu >= 130, ndimage.generate_binary_structure(3, RANK[connectivity]))
    assert len(found) == count
    pairs = np.unique(np.stack([found.label_volume().ravel(), reference.ravel()]), axis=1)
    assert pairs.shape[1] == count + (reference == 0).any()
    np.testing.assert_array_equal(found.hu, hu[tuple(found.voxels.T)])
    np.testing.assert_allclose(
        found.volumes_mm3, np.bincount(reference.ravel(), minlength=count + 1)[1:][_order(found, reference)] * 0.75
    )


def _order(found, reference):
    first = found.voxels[found.offsets[:-1]]
    return reference[tuple(first.T)] - 1


@given(volumes)
def test_lesions_are_numbered_by_their_first_voxel(hu):
    """Ids do not depend on the labelling library."""
    found = find_candidates(scan_of(hu))
    first = np.ravel_multi_index(tuple(found.voxels[found.offsets[:-1]].T), hu.shape)
    assert (np.diff(first) > 0).all()


@given(volumes, st.floats(0.5, 3), st.floats(3, 20))
def test_limits_on_volume_only_leave_out(hu, smallest, largest):
    """What is kept is what was found, less the small and the large, which are counted."""
    everything = find_candidates(scan_of(hu))
    kept = find_candidates(scan_of(hu), min_volume_mm3=smallest, max_volume_mm3=largest)
    volume = everything.volumes_mm3
    assert kept.dropped_small == (volume < smallest).sum()
    assert kept.dropped_large == (volume > largest).sum()
    within = (volume >= smallest) & (volume <= largest)
    np.testing.assert_array_equal(kept.volumes_mm3, volume[within])
    np.testing.assert_allclose(kept.centroids(), everything.centroids()[within])


def test_a_scan_without_candidates_has_none():
    """An empty result is a result."""
    found = find_candidates(scan_of(np.full((3, 4, 5), -1000, np.int16)))
    assert len(found) == 0
    assert found.centroids().shape == (0, 3)
    assert not found.label_volume().any()


@given(arrays(bool, st.tuples(*[st.integers(1, 5)] * 3)), st.sampled_from([4, 8, 6, 18, 26]), st.integers(0, 2**32 - 1))
def test_sparse_components_are_the_components_of_the_volume(mask, connectivity, seed):
    """Components of a list of voxels, in any order, are those a labelling library finds in the volume."""
    voxels = np.argwhere(mask)
    np.random.default_rng(seed).shuffle(voxels)
    structure = np.zeros((3, 3, 3), bool)
    if connectivity in RANK:
        structure = ndimage.generate_binary_structure(3, RANK[connectivity])
    else:
        structure[1] = ndimage.generate_binary_structure(2, 1 if connectivity == 4 else 2)
    reference = ndimage.label(mask, structure)[0][tuple(voxels.T)]
    found = sparse_components(voxels, np.zeros(len(voxels), int), connectivity)
    for a, b in itertools.combinations(range(len(voxels)), 2):
        assert (found[a] == found[b]) == (reference[a] == reference[b])


def test_groups_are_never_connected():
    """Two labels that touch stay two components."""
    voxels = np.array([[0, 0, 0], [0, 0, 1]])
    assert sparse_components(voxels, np.array([1, 1]), 4).tolist() == [0, 0]
    assert sparse_components(voxels, np.array([1, 2]), 4).tolist() == [0, 1]


def test_thresholds_by_tube_voltage_fall_with_voltage():
    """Calcium is darker at higher voltage, and a voltage without a published threshold is refused."""
    ordered = [threshold_for_kvp(k) for k in sorted(KVP_THRESHOLD_HU)]
    assert ordered == sorted(ordered, reverse=True)
    for kvp in (None, 90):
        with pytest.raises(RecipeError, match="tube voltage"):
            threshold_for_kvp(kvp)


@pytest.mark.parametrize("limits", [{"connectivity": 8}, {"min_volume_mm3": 5, "max_volume_mm3": 1}])
def test_impossible_limits_are_refused(limits):
    """Wrong use is an error, not an empty result."""
    with pytest.raises(RecipeError, match="must be"):
        find_candidates(scan_of(np.zeros((2, 2, 2), np.int16)), **limits)
