"""Laws of moving the arch of the aorta: on an arch of blood in fat, with votes that lie too low or too high."""

import numpy as np
import pytest

from calcscore_ml.anatomy import AORTA, Organ
from calcscore_ml.heart import aorta as circles
from calcscore_ml.heart.arch import best_move, move_arch
from calcscore_ml.heart.grid import Grid

SHAPE = (44, 30, 26)
GRID = Grid(np.zeros(3), 4.0, SHAPE)
ROOT, LOW = 8, 24
"""Slices of the aortic root and of the arch's lower end."""


def aorta(raised=0):
    """Masks of an ascending and a descending tube and of the arch over them, the tubes longer by some slices."""
    z, y, x = np.indices(SHAPE)
    tube = 3.5
    ascending = np.hypot(y - 8, x - 10) <= tube
    descending = np.hypot(y - 22, x - 16) <= tube
    bow = np.hypot(np.hypot(z - (LOW + raised), (y - 15) * 1.0) - 7.0, x - (10 + 6 * (y - 8) / 14)) <= tube
    high = z >= LOW + raised
    parts = dict(zip(AORTA, ((z >= ROOT) & ~high & ascending, bow & high, ~high & descending), strict=True))
    return {organ: mask.astype(np.float32) for organ, mask in parts.items()}


def scan_of(parts, inside=40.0, around=-90.0, noise=5.0):
    """A copy in which the aorta is soft and everything else is fat or lung."""
    hu = np.where(sum(parts.values()) > 0, inside, around)
    return (hu + np.random.default_rng(0).normal(0, noise, SHAPE)).astype(np.float32)


def voted():
    """Votes of atlases whose arch lies at `LOW`, with a heart below and a spine behind."""
    z, y, _ = np.indices(SHAPE)
    rest = {Organ.HEART: ((z < 14) & (y < 16)).astype(np.float32), Organ.SPINE: (y > 26).astype(np.float32)}
    parts = aorta()
    free = 1 - np.clip(sum(parts.values()), 0, 1)
    return {**parts, **{organ: np.minimum(share, free) for organ, share in rest.items()}}


def dice(first, second):
    a, b = first >= 0.5, second >= 0.5
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def whole(parts):
    return np.sum([parts[organ] for organ in AORTA], axis=0)


@pytest.mark.parametrize("raised", [-3, 0, 1, 3, 5])
@pytest.mark.parametrize("noise", [2.0, 25.0])
def test_the_arch_is_found_where_the_scan_has_it(raised, noise):
    """An arch some voxels above or below the votes is found to a voxel, and the tubes follow it without a gap."""
    truth, votes = aorta(raised), voted()
    hu = scan_of(truth, noise=noise)
    assert abs(best_move(hu, GRID, votes[Organ.AORTIC_ARCH] >= 0.5) - raised) <= 1
    moved = move_arch(hu, GRID, votes)
    assert dice(whole(moved), whole(truth)) > 0.85
    if abs(raised) > 1:
        assert dice(whole(moved), whole(truth)) > dice(whole(votes), whole(truth))
        assert dice(moved[Organ.AORTIC_ARCH], truth[Organ.AORTIC_ARCH]) > 0.8
    assert (whole(moved)[ROOT : LOW + raised + 3] >= 0.5).any(axis=(1, 2)).all()


@pytest.mark.parametrize("inside", [35.0, 55.0, 300.0])
def test_contrast_agent_does_not_matter(inside):
    """Blood may be as bright as it likes."""
    arch = voted()[Organ.AORTIC_ARCH] >= 0.5
    assert best_move(scan_of(aorta(3), inside=inside), GRID, arch) == best_move(scan_of(aorta(3)), GRID, arch)


def test_where_nothing_tells_the_arch_it_stays():
    """In an even scan, in noise, and where the arch would gain little, votes are left as they are."""
    rng = np.random.default_rng(1)
    for hu in (np.full(SHAPE, 40.0), rng.normal(0, 20, SHAPE), scan_of(aorta(), inside=-30.0, around=-32.0)):
        votes = voted()
        moved = move_arch(hu.astype(np.float32), GRID, votes)
        assert all(np.array_equal(moved[organ], votes[organ]) for organ in votes)


def test_an_arch_does_not_leave_for_the_lung():
    """Dark around alone, as in lung, moves nothing."""
    hu = np.full(SHAPE, -90.0, dtype=np.float32)
    hu[LOW + 11 :] = -600.0
    assert best_move(hu, GRID, voted()[Organ.AORTIC_ARCH] >= 0.5) == 0


def test_bone_is_no_better_than_blood():
    """A bright spot above the arch does not draw it there."""
    hu = scan_of(aorta())
    hu[LOW + 13 : LOW + 16, 13:17, 11:15] = 1500.0
    assert best_move(hu, GRID, voted()[Organ.AORTIC_ARCH] >= 0.5) == 0


def test_an_arch_beyond_reach_is_not_followed():
    """Ten voxels are farther than any arch is moved."""
    assert abs(best_move(scan_of(aorta(10)), GRID, voted()[Organ.AORTIC_ARCH] >= 0.5)) <= 6


def test_a_piece_of_an_arch_stays():
    """An arch cut off by the end of the scan, or none at all, is not moved."""
    votes = voted()
    votes[Organ.AORTIC_ARCH] = votes[Organ.AORTIC_ARCH] * (np.indices(SHAPE)[1] < 8)
    assert 0 < (votes[Organ.AORTIC_ARCH] > 0).sum() < 100
    hu = scan_of(aorta(3))
    assert move_arch(hu, GRID, votes) is votes
    none = {**votes, Organ.AORTIC_ARCH: np.zeros(SHAPE, dtype=np.float32)}
    assert move_arch(hu, GRID, none) is none


def test_an_arch_without_a_root_below_it_stays():
    """Where no ascending aorta was voted for, there is nothing to stretch."""
    votes = {**voted(), Organ.ASCENDING_AORTA: np.zeros(SHAPE, dtype=np.float32)}
    assert move_arch(scan_of(aorta(3)), GRID, votes) is votes


def test_votes_stay_votes():
    """No voxel has more than one whole vote, none has less than none, and nothing moves below the root."""
    votes = voted()
    votes[Organ.STERNUM] = 1 - sum(votes.values())
    moved = move_arch(scan_of(aorta(4)), GRID, votes)
    total = sum(moved.values())
    assert total.max() <= 1 + 1e-6
    assert min(share.min() for share in moved.values()) >= 0
    assert all(np.array_equal(moved[organ][: ROOT + 1], votes[organ][: ROOT + 1]) for organ in votes)


def test_a_descending_aorta_keeps_its_width():
    """What lies beside the descending aorta in a few slices does not widen its circles there by more than the limit."""
    votes = voted()
    z, y, x = np.indices(SHAPE)
    hu = scan_of(aorta())
    hu[(np.abs(z - 14) <= 2) & (np.hypot(y - 22, x - 16) <= 6)] = 40.0  # a cuff of collapsed lung
    found = circles.refine_aorta(hu, GRID, votes)[Organ.DESCENDING_AORTA]
    radius = np.sqrt(found.sum(axis=(1, 2)) * GRID.step_mm**2 / np.pi)
    assert radius[14] < np.median(radius[2:22]) + circles.EVEN_MM + 0.5
