"""Reading a CT series from DICOM files.

Headers first, then the pixels of one series, each slice by its own rescale. What could make a score silently wrong is
refused: a missing or doubled slice, missing rescale, mixed reconstructions. What cannot is repaired and remarked.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array

from calcscore_ml.errors import ScanError
from calcscore_ml.geometry import canonical
from calcscore_ml.io.acquisition import number, read_acquisition, text
from calcscore_ml.io.dicom_headers import HEADER_FAILURES, Slice, find_slices, quiet_pydicom
from calcscore_ml.io.dicom_series import SPACING_TOLERANCE_MM, Stack, choose_series, stack_slices
from calcscore_ml.io.hounsfield import fill_outside, outside_remark, refuse_stored_values
from calcscore_ml.scan import Scan, to_int16

DECODE_FAILURES = (*HEADER_FAILURES, RuntimeError, IndexError)
"""What pydicom and its decoders raise when pixels cannot be decoded."""


def read_dicom(path: Path | str, *, series: int | str | None = None, assume_hu: bool = False) -> Scan:
    """Read a CT series from a folder, or from one multi-frame file.

    Parameters
    ----------
    path : path
        Folder (searched to any depth) or file.
    series : int, str or None
        Number in the list of series (from 1) or SeriesInstanceUID, when there are several.
    assume_hu : bool
        Take stored values as HU where the rescale tags are missing, and accept values that look like stored ones.

    Returns
    -------
    Scan
        In canonical order.

    Raises
    ------
    ScanError
        When the files are not one whole, regular, axial CT series.
    SeriesChoiceError
        When there are several series and none was chosen.
    """
    path = Path(path)
    found = find_slices(path)
    chosen, remarks = choose_series(found, series, path)
    stack = stack_slices(chosen, path)
    slices, hu, outside, doubled = _load(stack, assume_hu)
    if not assume_hu:
        refuse_stored_values(hu, path.name)
    first = slices[0]
    array, geometry = canonical(
        hu,
        spacing=(stack.spacing_mm, *first.pixel_spacing),
        origin=first.position,
        direction=stack.direction,
    )
    if doubled:
        remarks += (f"{doubled} slices were stored twice with equal pixels; one of each was kept",)
    if outside:
        remarks += (outside_remark(outside),)
    if any(text(s.header, "LossyImageCompression") == "01" for s in slices):
        remarks += ("the images were compressed with loss, which changes HU values",)
    acquisition = read_acquisition(slices[len(slices) // 2].header, stack.tilt_deg)
    return Scan(array.astype(np.int16, copy=False), geometry, acquisition, remarks)


def _load(stack: Stack, assume_hu: bool) -> tuple[list[Slice], NDArray[np.int16], int, int]:
    """Return the slices kept, their HU, the number of voxels outside the circle, and of slices dropped as doubles."""
    first = stack.slices[0].storage
    hu = np.empty((len(stack.slices), first.rows, first.columns), dtype=np.int16)
    kept: list[Slice] = []
    outside = 0
    last = -np.inf
    with quiet_pydicom():
        for image, place in zip(stack.slices, stack.positions, strict=True):
            target = hu[len(kept)]
            filled = _read_hu(image, assume_hu, target)
            if place - last <= SPACING_TOLERANCE_MM:
                _refuse_different(image, kept[-1], target, hu[len(kept) - 1])
                continue
            kept.append(image)
            outside += filled
            last = place
    return kept, hu[: len(kept)], outside, len(stack.slices) - len(kept)


def _refuse_different(image: Slice, other: Slice, hu: NDArray[np.int16], other_hu: NDArray[np.int16]) -> None:
    shift = np.abs(np.subtract(image.position, other.position)).max()
    if shift > SPACING_TOLERANCE_MM or not np.array_equal(hu, other_hu):
        raise ScanError(
            f"a slice position must hold one image, but {image.storage.path.name} and {other.storage.path.name} "
            f"differ at {image.position[2]:.2f} mm; two phases or reconstructions may be mixed, export one of them"
        )


def _read_hu(image: Slice, assume_hu: bool, target: NDArray[np.int16]) -> int:
    """Fill `target` with a slice's HU; return how many voxels lay outside the reconstruction circle."""
    stored = _read_stored(image)
    padding = _padding(image, stored)
    slope, intercept = (number(image.header, name) for name in ("RescaleSlope", "RescaleIntercept"))
    if slope is None or intercept is None or slope == 0:
        if not assume_hu:
            raise ScanError(
                "stored values become HU by RescaleSlope and RescaleIntercept, but "
                f"{image.storage.path.name} lacks them; export the series again, or say that the values are HU "
                "(assume_hu)"
            )
        slope, intercept = 1.0, 0.0
    stored = _drop_unused_bits(stored, image.storage.bits_stored)
    if slope == 1 and intercept == int(intercept):
        target[...] = to_int16(stored.astype(np.int32) + np.int32(intercept), image.storage.path.name)
    else:
        target[...] = to_int16(stored * slope + intercept, image.storage.path.name)
    return fill_outside(target, padding)


def _read_stored(image: Slice) -> NDArray[np.integer]:
    """Return a slice's stored values, as they are in the file."""
    storage = image.storage
    shape = (storage.rows, storage.columns)
    if storage.offset is not None:
        stored = np.fromfile(
            storage.path, dtype=storage.dtype, count=storage.rows * storage.columns, offset=storage.offset
        )
        if stored.size != storage.rows * storage.columns:
            raise ScanError(
                f"a CT file must hold all its pixels, but {storage.path.name} ends "
                f"{storage.rows * storage.columns - stored.size} pixels early; copy or export the file again"
            )
        return stored.reshape(shape)
    try:
        decoded: NDArray[np.integer] = pixel_array(dcmread(storage.path), index=storage.frame, raw=True)
    except DECODE_FAILURES as error:
        raise _cannot_decode(storage.path, error) from error
    if decoded.shape != shape:
        raise ScanError(f"a CT file must hold all its pixels, got {decoded.shape} of {shape} in {storage.path.name}")
    return decoded


def _cannot_decode(path: Path, error: Exception) -> ScanError:
    syntax = dcmread(path, specific_tags=["Rows"], stop_before_pixels=True).file_meta.TransferSyntaxUID
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        return ScanError(
            f"compressed pixels need a decoder, and none is installed for {syntax.name} ({path.name}); "
            'run: pip install "calcscore-ml[codecs]"'
        )
    return ScanError(
        f"a CT file must hold all its pixels, but those of {path.name} cannot be decoded ({type(error).__name__}); "
        "copy or export the file again"
    )


def _drop_unused_bits(stored: NDArray[np.integer], bits_stored: int) -> NDArray[np.integer]:
    """Clear bits above BitsStored, where old files keep overlays, and extend the sign."""
    unused = stored.dtype.itemsize * 8 - bits_stored
    if unused <= 0:
        return stored
    native = stored.astype(stored.dtype.newbyteorder("="))
    return (native << unused) >> unused


def _padding(image: Slice, stored: NDArray[np.integer]) -> NDArray[np.bool_] | None:
    """Return where the header's padding value, or range of values, stands."""
    value = number(image.header, "PixelPaddingValue")
    if value is None:
        return None
    limit = number(image.header, "PixelPaddingRangeLimit")
    ends = [_as_stored(v, stored.dtype) for v in (value, value if limit is None else limit)]
    return np.asarray((stored >= min(ends)) & (stored <= max(ends)))


def _as_stored(value: float, dtype: np.dtype[np.integer]) -> int:
    """Return a value as the stored type would hold its bits: 63536 is -2000 in signed 16 bits."""
    bits = dtype.itemsize * 8
    wrapped = int(value) % (1 << bits)
    return wrapped - (1 << bits) if dtype.kind == "i" and wrapped >= 1 << (bits - 1) else wrapped
