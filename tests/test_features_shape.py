"""Size and shape against closed forms and second implementations."""

import numpy as np
import pytest
from features_cases import lesions_of, one_lesion, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from skimage.measure import marching_cubes

from calcscore_features import compute
from calcscore_features.members import Members
from calcscore_features.mesh import _case_table, _triangles, vertices

SPACINGS = [(1.0, 1.0, 1.0), (3.0, 0.5, 0.7), (0.4, 2.5, 1.1)]
masks = st.tuples(st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 6)] * 3), st.sampled_from([0.15, 0.5, 0.9]))


def random_mask(seed, shape, density):
    mask = np.random.default_rng(seed).random(shape) < density
    mask.flat[seed % mask.size] = True
    return mask


def mesh_of(mask, spacing):
    vertex, face, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5, method="lorensen")
    mm = vertex.astype(float) * spacing
    corner = mm[face]
    normal = np.cross(corner[:, 2] - corner[:, 0], corner[:, 1] - corner[:, 0]) / 2
    return mm, np.linalg.norm(normal, axis=1).sum(), (normal * corner.mean(axis=1)).sum() / 3


@given(masks, st.sampled_from(SPACINGS))
@settings(max_examples=60, deadline=None)
def test_mesh_is_that_of_marching_cubes(mask, spacing):
    """Area, volume and diameter of any mask are those of scikit-image's mesh of that mask alone."""
    mask = random_mask(*mask)
    found = compute(one_lesion(mask, spacing=spacing), families=("shape",))
    mm, area, volume = mesh_of(mask, spacing)
    assert found["surface_area_mm2"][0] == pytest.approx(area, rel=1e-9)
    assert found["mesh_volume_mm3"][0] == pytest.approx(volume, rel=1e-9)
    assert found["max_diameter_mm"][0] == pytest.approx(pdist(mm).max(), rel=1e-9)
    assert found["volume_density_hull"][0] == pytest.approx(volume / ConvexHull(mm).volume, rel=1e-6)


def test_mesh_is_closed():
    """The area vectors of any mask's cells add up to zero: the surface has no hole, so its volume is well defined."""
    _, vector, _ = _case_table((3.0, 0.5, 0.7))
    for seed in range(20):
        mask = np.pad(random_mask(seed, (5, 6, 7), 0.4), 1)
        corners = [mask[z : z + 6, y : y + 7, x : x + 8] for z in (0, 1) for y in (0, 1) for x in (0, 1)]
        case = sum(corner.astype(int) << bit for bit, corner in enumerate(corners))
        np.testing.assert_allclose(vector[case].sum(axis=(0, 1, 2)), 0, atol=1e-12)


def test_every_case_has_triangles_of_its_own_vertices():
    """All 254 mixed cases have triangles, and each triangle corner lies half-way along an edge of the cell."""
    triangle, case = _triangles()
    assert set(case) == set(range(1, 255))
    halves = np.sort(np.abs(triangle - 0.5), axis=-1)
    np.testing.assert_array_equal(halves, np.broadcast_to([0, 0.5, 0.5], halves.shape))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("n", [(1, 1, 1), (2, 3, 5), (1, 4, 2), (6, 2, 3)])
def test_box_has_the_closed_forms_of_a_box(n, spacing):
    """A digital box has the volume, extents, principal axes and mesh that follow from its edges."""
    hz, hy, hx = spacing
    edge = np.array(n) * spacing
    found = {
        k: v[0] for k, v in compute(one_lesion(np.ones(n, bool), spacing=spacing), families=("size", "shape")).items()
    }
    assert found["voxel_count"] == np.prod(n)
    assert found["volume_mm3"] == pytest.approx(edge.prod())
    assert found["log_volume_ln_mm3"] == pytest.approx(np.log(edge.prod()))
    assert found["slice_count"] == n[0]
    assert [found[f"extent_{a}_mm"] for a in "zyx"] == pytest.approx(edge)
    assert found["max_slice_area_mm2"] == pytest.approx(edge[1] * edge[2])
    # Marching cubes bevels the twelve edges by a triangle with legs of half a voxel and cuts the corners off.
    inner = (np.array(n) - 1) * spacing
    bevel = (inner * np.array([hy * hx, hz * hx, hz * hy])).sum() / 2
    corner = hz * hy * hx * (1 - 1 / 6)  # the eight cut corners leave an octahedron with the voxel's half axes
    assert found["mesh_volume_mm3"] == pytest.approx(edge.prod() - bevel - corner)
    slopes = (inner * np.array([np.hypot(hy, hx), np.hypot(hz, hx), np.hypot(hz, hy)])).sum() * 2
    faces = 2 * (inner[0] * inner[1] + inner[1] * inner[2] + inner[2] * inner[0])
    octahedron = np.sqrt((hz * hy) ** 2 + (hy * hx) ** 2 + (hz * hx) ** 2)
    assert found["surface_area_mm2"] == pytest.approx(faces + slopes + octahedron)
    assert found["volume_density_hull"] == pytest.approx(1)
    assert found["centre_of_mass_shift_mm"] == pytest.approx(0, abs=1e-9)
    if max(n) > 1:
        # The variance of n points at distance h, spread over all N points, with N - 1 in place of N.
        total = np.prod(n)
        axes = 4 * np.sqrt((np.array(n) ** 2 - 1) / 12 * np.array(spacing) ** 2 * total / (total - 1))
        names = ("least_axis_mm", "minor_axis_mm", "major_axis_mm")
        assert [found[k] for k in names] == pytest.approx(np.sort(axes))
        assert found["elongation"] == pytest.approx(np.sort(axes)[1] / axes.max())
        assert found["flatness"] == pytest.approx(axes.min() / axes.max())
        assert found[f"major_axis_cos_{'zyx'[axes.argmax()]}"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("spacing", "sphericity"), [((1, 1, 1), 0.92), ((1.25, 0.7, 0.7), 0.90), ((2.5, 0.7, 0.7), 0.85)]
)
def test_ball_on_a_grid(spacing, sphericity):
    """A ball of 10 mm has a ball's volume, diameter and axes within a voxel, and the sphericity known for its grid."""
    centre = np.ceil(11 / np.array(spacing))
    index = np.indices(tuple((2 * centre + 1).astype(int)))
    mask = (((index.T - centre) * spacing) ** 2).sum(axis=-1).T <= 100
    found = {k: v[0] for k, v in compute(one_lesion(mask, spacing=spacing), families=("size", "shape")).items()}
    ball = 4 / 3 * np.pi * 1000
    assert found["volume_mm3"] == pytest.approx(ball, rel=0.02)
    assert found["mesh_volume_mm3"] == pytest.approx(ball, rel=0.02)
    assert found["sphericity"] == pytest.approx(sphericity, abs=0.02)
    assert found["max_diameter_mm"] == pytest.approx(20, abs=max(spacing))
    assert found["volume_density_ellipsoid"] == pytest.approx(5**1.5 / 8, rel=0.03)  # λ = r²/5, axes 2 √λ instead of r
    for axis in ("major", "minor", "least"):
        assert found[f"{axis}_axis_mm"] == pytest.approx(40 / np.sqrt(5), rel=0.03)


def test_oblique_line_points_where_it_points():
    """The major axis of a line along (1, 2, 2) mm has these direction cosines, and no other extent."""
    mask = np.zeros((5, 5, 5), bool)
    mask[range(5), range(5), range(5)] = True
    found = {k: v[0] for k, v in compute(one_lesion(mask, spacing=(1, 2, 2)), families=("shape",)).items()}
    assert [found[f"major_axis_cos_{a}"] for a in "zyx"] == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    assert found["major_axis_mm"] == pytest.approx(4 * 3 * np.sqrt(2.5))
    assert found["least_axis_mm"] == found["minor_axis_mm"] == 0
    assert np.isnan(found["volume_density_ellipsoid"])


def test_cube_has_no_major_axis():
    """Where the largest spread has no single direction, the direction is NaN and the lengths are not."""
    found = {
        k: v[0]
        for k, v in compute(one_lesion(np.ones((3, 3, 3), bool), spacing=(1, 1, 1)), families=("shape",)).items()
    }
    assert all(np.isnan(found[f"major_axis_cos_{a}"]) for a in "zyx")
    assert found["elongation"] == pytest.approx(1)


def test_centre_of_mass_moves_towards_the_brighter_end():
    """Two voxels of 100 and 300 HU, 4 mm apart: the weighted centre is a quarter of the way off the middle."""
    hu = np.array([[[100]], [[300]]], np.int16)
    found = compute(one_lesion(np.ones((2, 1, 1), bool), hu, (4.0, 1.0, 1.0)), families=("shape",))
    assert found["centre_of_mass_shift_mm"][0] == pytest.approx(1)


def test_vertices_keep_the_corners_of_the_hull():
    """Leaving out inner points of straight lines of the grid leaves the convex hull as it was."""
    hu, mask = scene(3)
    lesions = lesions_of(mask, hu)
    owner, point = vertices(Members.of(lesions))
    for i in range(len(lesions)):
        voxels = lesions.voxels[lesions.offsets[i] : lesions.offsets[i + 1]]
        faces = np.concatenate([2 * voxels + s * np.eye(3, dtype=int)[a] for a in range(3) for s in (-1, 1)])
        whole = ConvexHull(faces - 2 * voxels.min(axis=0))
        assert ConvexHull(point[owner == i]).volume == pytest.approx(whole.volume)


def test_largest_slice_is_the_largest():
    """The slice area is that of the fullest slice, not of the projection."""
    mask = np.zeros((3, 4, 4), bool)
    mask[0, 0, :2] = mask[2, 3, :3] = mask[1, 1:3, 1:3] = True
    found = compute(one_lesion(mask, spacing=(3, 0.5, 0.5)), families=("size",))
    assert found["max_slice_area_mm2"][0] == pytest.approx(4 * 0.25)
    assert found["slice_count"][0] == 3
