"""Laws of grids: the one axis rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from calcscore_ml.errors import GeometryError
from calcscore_ml.geometry import Geometry, canonical

shapes = st.tuples(*[st.integers(1, 6)] * 3)
spacings = st.tuples(*[st.floats(0.1, 8)] * 3)
origins = st.tuples(*[st.floats(-500, 500)] * 3)
angles = st.tuples(*[st.floats(-25, 25)] * 3)


def rotation(degrees):
    return tuple(map(tuple, Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()))


@given(shapes, spacings, origins, angles)
def test_world_and_index_are_inverse(shape, spacing, origin, degrees):
    """Going to the world and back changes no index."""
    grid = Geometry(shape, spacing, origin, rotation(degrees))
    index = np.array([[0, 0, 0], [1.5, 2.25, 3.75], [-1, 7, 2]])
    np.testing.assert_allclose(grid.to_index(grid.to_world(index)), index, atol=1e-8)


@given(spacings, origins, angles)
def test_a_step_along_z_is_the_third_column_times_the_spacing(spacing, origin, degrees):
    """Array order is (z, y, x) and world order (x, y, z)."""
    grid = Geometry((4, 4, 4), spacing, origin, rotation(degrees))
    step = grid.to_world((1, 0, 0)) - grid.to_world((0, 0, 0))
    np.testing.assert_allclose(step, np.array(grid.direction)[:, 2] * spacing[0], atol=1e-9)


@given(shapes, spacings, origins, angles, st.permutations((0, 1, 2)), st.tuples(*[st.booleans()] * 3))
def test_canonical_order_moves_no_voxel(shape, spacing, origin, degrees, order, flips):
    """However a file orders its axes, the same value is found at the same place in the world, and the order is one."""
    array = np.arange(np.prod(shape)).reshape(shape)
    grid = Geometry(shape, spacing, origin, rotation(degrees))
    stored = array.transpose(order)
    steps = np.array(spacing)[list(order)]
    # columns of `direction` are x, y, z of the array: the reverse of its axes
    columns = np.array(grid.direction)[:, [2 - o for o in order]][:, ::-1]
    first = np.zeros(3)
    for axis, flip in enumerate(flips):
        if flip:
            stored = np.flip(stored, axis)
            first[order[axis]] = shape[order[axis]] - 1
            columns[:, 2 - axis] *= -1
    view, back = canonical(stored, steps, grid.to_world(first), columns)
    np.testing.assert_array_equal(view, array)
    assert back.matches(grid, 1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"direction": ((-1, 0, 0), (0, 1, 0), (0, 0, 1))}, "mirrored"),
        ({"direction": ((1, 0.1, 0), (0, 1, 0), (0, 0, 1))}, "sheared"),
        ({"direction": ((1, 0), (0, 1))}, "3x3"),
        ({"spacing": (0, 1, 1)}, "positive"),
        ({"spacing": (1, 1)}, "three finite numbers"),
        ({"origin": (0, 0, float("nan"))}, "three finite numbers"),
        ({"shape": (0, 1, 1)}, "at least one voxel"),
    ],
)
def test_a_grid_that_breaks_a_rule_is_refused(changes, words):
    """The error names the rule."""
    with pytest.raises(GeometryError, match=words):
        Geometry(**{"shape": (2, 2, 2), "spacing": (1, 1, 1), **changes})


def test_a_sheared_file_cannot_be_put_in_order():
    """Canonical order accepts a left hand and no shear."""
    with pytest.raises(GeometryError, match="sheared"):
        canonical(np.zeros((2, 2, 2)), (1, 1, 1), (0, 0, 0), [[1, 0.2, 0], [0, 1, 0], [0, 0, 1]])


def test_a_crop_keeps_its_place():
    """Voxel (1, 2, 3) of the whole is voxel (0, 0, 0) of the crop, and a crop never leaves the grid."""
    grid = Geometry((8, 8, 8), (3, 0.5, 0.4), (1, 2, 3), rotation((5, 3, -4)))
    crop = grid.crop((1, 2, 3), (4, 6, 8))
    assert crop.shape == (3, 4, 5)
    np.testing.assert_allclose(crop.to_world((0, 0, 0)), grid.to_world((1, 2, 3)))
    with pytest.raises(GeometryError, match="inside"):
        grid.crop((0, 0, 0), (9, 8, 8))
