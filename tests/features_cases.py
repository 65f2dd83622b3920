"""Scans and lesions that the feature tests share."""

import gzip
from pathlib import Path

import numpy as np
from scipy import ndimage

from calcscore_features import Lesions, Place
from calcscore_features.place import ARTERIES, LANDMARKS, SURFACES, TISSUES

PHANTOM = Path(__file__).parent / "data" / "ibsi"
SPACING = (3.0, 0.7, 0.5)
BOX = np.array([[4.0, 1.0, 1.5], [30.0, 9.0, 7.5]])


def lesions_of(mask, hu=None, spacing=SPACING, connectivity=3):
    """Make every connected component of a mask a lesion."""
    label, count = ndimage.label(mask, ndimage.generate_binary_structure(3, connectivity))
    voxels = np.argwhere(label > 0)
    owner = label[tuple(voxels.T)]
    order = np.argsort(owner, kind="stable")
    hu = np.full(mask.shape, 300, np.int16) if hu is None else hu
    return Lesions(hu, spacing, voxels[order], np.append(0, np.cumsum(np.bincount(owner, minlength=count + 1)[1:])))


def one_lesion(mask, hu=None, spacing=SPACING):
    """Make a whole mask one lesion."""
    voxels = np.argwhere(mask)
    hu = np.full(mask.shape, 300, np.int16) if hu is None else hu
    return Lesions(hu, spacing, voxels, np.array([0, len(voxels)]))


def scene(seed=0, shape=(11, 16, 19)):
    """Make a noisy float32 volume with a few smooth bright lesions of many sizes, no two voxels alike."""
    rng = np.random.default_rng(seed)
    rough = ndimage.gaussian_filter(rng.normal(size=shape), (0.6, 1.1, 1.3))
    hu = (rough / rough.std() * 150 + rng.normal(size=shape) * 12).astype(np.float32)
    return hu, hu >= 130


def select(lesions, order):
    """Take some lesions in some order."""
    parts = [lesions.voxels[lesions.offsets[i] : lesions.offsets[i + 1]] for i in order]
    return Lesions(lesions.hu, lesions.spacing, np.concatenate(parts), np.append(0, np.cumsum([len(p) for p in parts])))


def moved(lesions, hu, shift):
    """Put the same voxels at a shift into another volume."""
    return Lesions(hu, lesions.spacing, lesions.voxels + np.asarray(shift), lesions.offsets)


def phantom():
    """Read image and mask of the IBSI digital phantom."""
    arrays = []
    for name in ("image", "mask"):
        raw = gzip.decompress((PHANTOM / f"ibsi1_digital_phantom_{name}.nii.gz").read_bytes())
        header = np.frombuffer(raw[:348], np.uint8)
        nx, ny, nz = header[42:48].view("<i2")
        assert header[70:72].view("<i2")[0] == 4, "the phantom's voxels are int16"
        arrays.append(np.frombuffer(raw[352:], "<i2").reshape(nz, ny, nx).astype(np.int16))
    return tuple(arrays)


def a_place(count, atlases=3, seed=5):
    """A place of `count` lesions about which everything was measured."""
    rng = np.random.default_rng(seed)

    def far(*shape):
        return rng.uniform(0, 60, shape)

    return Place(
        surface_mm={name: rng.uniform(-20, 60, count) for name in SURFACES},
        tissue={name: rng.random(count) for name in TISSUES},
        atlas_mm=rng.normal(0, 40, (atlases, count, 3)),
        landmark_mm={name: rng.normal(0, 40, (count, 3)) for name in LANDMARKS},
        artery_mm=far(atlases, count, len(ARTERIES)),
        artery_along=rng.random((atlases, count, len(ARTERIES))),
        artery_spread_mm=far(atlases, count, len(ARTERIES)) / 10,
        artery_probability=rng.random((atlases, count, len(ARTERIES))),
        calcium_probability=rng.random((atlases, count)),
    )
