"""Laws of telling liver from heart: on a ball of blood that rests on a block of liver, votes reaching into it."""

import numpy as np
import pytest

from calcscore_ml.heart.grid import Copy, Grid
from calcscore_ml.heart.liver import liver_below, take_off_liver

SHAPE = (40, 36, 40)
BASE = 12
"""Slice of the liver's upper face."""


def chest(blood=40.0, liver=58.0, noise=4.0, right_only=False, seed=0):
    """A copy in lung: a ball of blood of 12 voxels' radius, and liver below and to the right of it."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(SHAPE)
    hu = np.full(SHAPE, -200.0)
    heart = (z - 20) ** 2 + (y - 18) ** 2 + (x - 24) ** 2 <= 144
    hu[heart] = blood
    below = (z < BASE) & ((x < 10) if right_only else (x < 36))
    hu[below] = liver
    hu = (hu + rng.normal(0, noise, SHAPE)).astype(np.float32)
    grid = Grid(np.zeros(3), 4.0, SHAPE)
    return Copy(grid, hu, np.ones(SHAPE, dtype=bool)), heart & ~below, heart


def votes(mask):
    """All votes for the ball, and for a column below it: what a registration does that took liver for heart."""
    column = np.zeros(SHAPE, dtype=bool)
    column[8:20] = mask.any(axis=0)
    return (mask | column).astype(np.float32)


@pytest.mark.parametrize("noise", [0.5, 3.0, 6.0])
def test_the_heart_ends_where_the_liver_begins(noise):
    """Nothing of the liver is left but its upper face, and nothing of the heart is lost but what rests on it."""
    copy, heart, ball = chest(noise=noise)
    kept = take_off_liver(votes(ball), copy) >= 0.5
    assert not kept[: BASE - 1].any()
    assert (kept & heart)[BASE + 2 :].sum() == heart[BASE + 2 :].sum()


def test_a_liver_beside_the_heart_takes_nothing_of_it():
    """Liver that does not touch what was voted for moves no end of the heart."""
    copy, _, ball = chest(right_only=True)
    share = ball.astype(np.float32)
    assert np.array_equal(take_off_liver(share, copy), share)


@pytest.mark.parametrize(("blood", "liver"), [(40.0, 42.0), (40.0, 25.0), (95.0, 60.0)])
def test_a_fatty_liver_or_contrast_agent_says_nothing(blood, liver):
    """Where liver is no brighter than blood, votes stay as they are."""
    copy, _, ball = chest(blood=blood, liver=liver)
    assert np.array_equal(take_off_liver(votes(ball), copy), votes(ball))


def test_noise_silences_it():
    """Where noise drowns the difference, votes stay as they are."""
    copy, _, ball = chest(noise=120.0)
    assert np.array_equal(take_off_liver(votes(ball), copy), votes(ball))


def test_without_liver_or_heart_nothing_is_found():
    """A scan that ends at the heart's own right border shows no liver; no votes, no heart."""
    copy, _, ball = chest()
    unseen = Copy(copy.grid, copy.hu, copy.known & (np.indices(SHAPE)[2] > 20))
    assert not liver_below(votes(ball) >= 0.5, unseen).any()
    assert not liver_below(np.zeros(SHAPE, dtype=bool), copy).any()


def test_a_spot_in_the_heart_is_no_liver():
    """A part as bright as liver that joins it, with heart all around it in each of its slices, stays heart."""
    copy, _, ball = chest(noise=0.5)
    hu = copy.hu.copy()
    hu[BASE - 1 : BASE + 6, 16:20, 22:26] = 58.0
    kept = take_off_liver(votes(ball), Copy(copy.grid, hu, copy.known)) >= 0.5
    assert kept[BASE + 2 : BASE + 6, 16:20, 22:26].all()


def test_calcium_in_the_heart_is_no_liver():
    """What is far brighter than liver does not become liver by touching it."""
    copy, _, ball = chest(noise=0.5)
    hu = copy.hu.copy()
    hu[BASE : BASE + 4, 14:22, 34:37] = 300.0
    kept = take_off_liver(votes(ball), Copy(copy.grid, hu, copy.known)) >= 0.5
    assert kept[BASE + 2 : BASE + 4, 14:22, 34:37][ball[BASE + 2 : BASE + 4, 14:22, 34:37]].all()


def with_liver_at(place, hu=58.0, blood_at=np.s_[:0]):
    """The chest with little noise and more of liver's HU at a place; what is kept of the ball, and the ball."""
    copy, _, ball = chest(noise=0.5)
    values = copy.hu.copy()
    values[blood_at] = 40.0
    values[place] = hu
    return (take_off_liver(votes(ball), Copy(copy.grid, values, copy.known)) >= 0.5) & ball, ball


def test_the_upper_half_of_the_heart_has_no_liver():
    """A wall as bright as liver that climbs from it along the heart takes nothing in the upper half."""
    kept, ball = with_liver_at(np.s_[:, 10:26, 30:39])
    assert np.array_equal(kept[20:], ball[20:])
    assert not kept[BASE + 1 : 16, 14:22, 32:35].any()


def test_what_does_not_hang_together_with_the_liver_is_none():
    """An island as bright as liver at the heart's border stays heart."""
    kept, ball = with_liver_at(np.s_[BASE + 3 : 20, 11:25, 28:40])
    assert np.array_equal(kept[BASE + 2 :], ball[BASE + 2 :])


def test_a_thin_sheet_is_no_liver():
    """A sheet two voxels thick from the liver along the heart, as a wall of a vessel, takes nothing."""
    kept, ball = with_liver_at(np.s_[BASE:19, 17:19, 24:40], blood_at=np.s_[BASE:24, 10:26, 30:40])
    assert np.array_equal(kept[BASE + 2 :], ball[BASE + 2 :])


def test_an_arm_beside_the_heart_is_not_taken_for_the_liver():
    """More soft tissue beside the upper heart, as bright as blood, does not hide the liver below."""
    kept, _ = with_liver_at(np.s_[20:, :, :11], hu=40.0)
    assert not kept[: BASE - 1].any()


@pytest.mark.parametrize(("width", "ends"), [(4, False), (8, True)])
def test_the_heart_ends_where_liver_fills_a_quarter(width, ends):
    """Liver that indents a slice of the heart takes its part; liver that fills a quarter of it ends the heart there."""
    kept, ball = with_liver_at(np.s_[BASE:16, :, : 14 + width])
    far = np.s_[14, :, 14 + width + 2 :]
    assert kept[far].sum() == (0 if ends else ball[far].sum())
    assert np.array_equal(kept[17:], ball[17:])
