"""NIfTI-1 and NIfTI-2 volumes, read and written by our own rules.

ITK's reader fills a truncated file with zeros and drops a sheared sform when the qform is sound, and its writer is
silent about a full disk (SimpleITK 2.5.7); each would change a score without a word. The format is small enough to do
right. Its world is RAS (x to the right, y to the front); everything that leaves this module is LPS.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from calcscore_ml.errors import GeometryError, ScanError
from calcscore_ml.geometry import Geometry

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
"""NIfTI's world to DICOM's, and back."""

DTYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
"""NIfTI's datatype codes of plain numbers."""

UNIT_MM = 2
"""NIFTI_UNITS_MM; 0 is unknown, and read as mm."""

SPACING_TOLERANCE = 0.01
"""How far pixdim may differ from the length of sform's columns, as a part of it."""

GZIP_LEVEL = 1
"""CT noise hardly compresses: level 1 takes a quarter of level 6's time for 4 % more bytes (64x512x512 chest CT)."""

_FIELDS_1 = {"dim": (40, "8h"), "datatype": (70, "h"), "pixdim": (76, "8f"), "vox_offset": (108, "f"),
             "slope": (112, "2f"), "units": (123, "B"), "codes": (252, "2h"), "quaternion": (256, "3f"),
             "offset": (268, "3f"), "srow": (280, "12f")}  # fmt: skip
_FIELDS_2 = {"dim": (16, "8q"), "datatype": (12, "h"), "pixdim": (104, "8d"), "vox_offset": (168, "q"),
             "slope": (176, "2d"), "units": (500, "i"), "codes": (344, "2i"), "quaternion": (352, "3d"),
             "offset": (376, "3d"), "srow": (400, "12d")}  # fmt: skip


class StoredVolume(NamedTuple):
    """A volume as stored: what `calcscore_ml.geometry.canonical` takes.

    Parameters
    ----------
    array : (nz, ny, nx) array
        Values.
    spacing : (3,) array
        Along the array's (z, y, x) [mm].
    origin : (3,) array
        World position of the first voxel, (x, y, z) LPS [mm].
    direction : (3, 3) array
        Columns: world direction of the array's x, y, z index. May be left-handed or sheared.
    """

    array: NDArray[np.generic]
    spacing: NDArray[np.float64]
    origin: NDArray[np.float64]
    direction: NDArray[np.float64]


class _Header(NamedTuple):
    byte_order: str
    dim: tuple[int, ...]
    datatype: tuple[int, ...]
    pixdim: tuple[float, ...]
    vox_offset: tuple[float, ...]
    slope: tuple[float, ...]
    units: tuple[int, ...]
    codes: tuple[int, ...]
    quaternion: tuple[float, ...]
    offset: tuple[float, ...]
    srow: tuple[float, ...]


def read_nifti(path: Path) -> StoredVolume:
    """Read a ``.nii`` or ``.nii.gz`` file.

    Parameters
    ----------
    path : Path
        NIfTI-1 or NIfTI-2, header and values in one file.

    Returns
    -------
    StoredVolume
        Values scaled by the header's slope and intercept, in LPS. The sform counts where both forms are given.

    Raises
    ------
    ScanError
        When the file is truncated, no NIfTI file, or not one three-dimensional volume of numbers.
    GeometryError
        When the header does not say where the volume lies, or says it twice and differently.
    """
    content = _read_bytes(path)
    header = _header(content, path)
    dim = header.dim
    shape = dim[1 : dim[0] + 1]
    if not 3 <= dim[0] <= 7 or any(n < 1 for n in shape) or any(n != 1 for n in shape[3:]):
        raise ScanError(f"a scan must be one three-dimensional volume, got {tuple(shape)} in {path.name}; save one")
    nx, ny, nz = shape[:3]
    code = header.datatype[0]
    if code not in DTYPES:
        raise ScanError(f"a scan must hold plain numbers, got NIfTI datatype {code} in {path.name}; save int16")
    dtype = np.dtype(header.byte_order + DTYPES[code])
    start, count = int(header.vox_offset[0]), nx * ny * nz
    lacking = start + count * dtype.itemsize - len(content)
    if lacking > 0:
        raise ScanError(f"a volume must be whole, but {path.name} ends {lacking} bytes early; copy or export it again")
    array: NDArray[np.generic] = np.frombuffer(content, dtype, count, start).reshape(nz, ny, nx)
    slope, intercept = header.slope
    if np.isfinite([slope, intercept]).all() and slope != 0 and (slope, intercept) != (1, 0):
        array = array.astype(np.float64) * slope + intercept
    affine = RAS_TO_LPS @ _affine(header, path)
    steps = np.linalg.norm(affine[:, :3], axis=0)
    return StoredVolume(
        array.astype(array.dtype.newbyteorder("="), copy=False), steps[::-1], affine[:, 3], affine[:, :3] / steps
    )


def nifti_bytes(array: NDArray[np.generic], geometry: Geometry, compress: bool) -> bytes:
    """Return a NIfTI-1 file: header with equal sform and qform, then the values.

    Parameters
    ----------
    array : (nz, ny, nx) array of int16 or uint8
        Values.
    geometry : Geometry
        Of the array.
    compress : bool
        Whether to compress with gzip, as ``.nii.gz`` asks for. The bytes depend on the input only, not on the time.

    Returns
    -------
    bytes
        The file's content.
    """
    kind = array.dtype.str[1:]
    code = {name: code for code, name in DTYPES.items()}[kind]
    nz, ny, nx = geometry.shape
    dz, dy, dx = geometry.spacing
    rotation = RAS_TO_LPS @ np.array(geometry.direction)
    origin = RAS_TO_LPS @ np.array(geometry.origin)
    affine = np.column_stack([rotation * (dx, dy, dz), origin])
    header = bytearray(352)
    for offset, fmt, values in (
        (0, "i", (348,)),
        (40, "8h", (3, nx, ny, nz, 1, 1, 1, 1)),
        (70, "2h", (code, array.dtype.itemsize * 8)),
        (76, "8f", (1, dx, dy, dz, 0, 0, 0, 0)),
        (108, "3f", (352, 1, 0)),
        (123, "B", (UNIT_MM,)),
        (252, "2h", (1, 1)),
        (256, "6f", (*_quaternion(rotation), *origin)),
        (280, "12f", tuple(affine.ravel())),
        (344, "4s", (b"n+1\0",)),
    ):
        struct.pack_into("<" + fmt, header, offset, *values)
    content = bytes(header) + np.ascontiguousarray(array, dtype="<" + kind).tobytes()
    return gzip.compress(content, GZIP_LEVEL, mtime=0) if compress else content


def _read_bytes(path: Path) -> bytes:
    content = path.read_bytes()
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise ScanError(
            f"a volume must be whole, but the compressed {path.name} breaks off or is damaged ({error}); copy it again"
        ) from error


def _header(content: bytes, path: Path) -> _Header:
    for order in "<>":
        for size, magic_at, magic, fields in ((348, 344, b"n+1\0", _FIELDS_1), (540, 4, b"n+2\0", _FIELDS_2)):
            if len(content) < size or content[magic_at : magic_at + 4] != magic:
                continue
            if struct.unpack_from(order + "i", content)[0] == size:
                found = {name: struct.unpack_from(order + fmt, content, at) for name, (at, fmt) in fields.items()}
                return _Header(order, **found)
    raise ScanError(f"a .nii file must be NIfTI-1 or NIfTI-2 in one file, but {path.name} is not; convert it")


def _affine(header: _Header, path: Path) -> NDArray[np.float64]:
    """Return the (3, 4) matrix from (x, y, z) index to RAS: sform before qform."""
    if int(header.units[0]) & 7 not in (0, UNIT_MM):
        raise GeometryError(f"a NIfTI file must give mm, got unit code {header.units[0]} in {path.name}; convert it")
    steps = np.abs(np.array(header.pixdim[1:4]))
    forms = []
    if header.codes[1] > 0:
        sform = np.array(header.srow).reshape(3, 4)
        lengths = np.linalg.norm(sform[:, :3], axis=0)
        if not np.allclose(lengths, steps, rtol=SPACING_TOLERANCE):
            raise GeometryError(
                f"pixdim and sform must give one voxel size, got {steps} and {lengths} mm in {path.name}; "
                "convert the DICOM files again"
            )
        forms.append(sform)
    if header.codes[0] > 0:
        forms.append(np.column_stack([_qform(header) * steps, header.offset]))
    if not forms:
        raise GeometryError(
            f"a volume must say where it lies, but {path.name} has neither sform nor qform: left and right are "
            "unknown; convert the DICOM files again"
        )
    if not np.isfinite(forms).all() or min(np.linalg.norm(f[:, :3], axis=0).min() for f in forms) <= 0:
        raise GeometryError(f"a volume's axes must be finite and not zero, got {forms[0].tolist()} in {path.name}")
    if len({_sides(form) for form in forms}) > 1:
        raise GeometryError(
            f"sform and qform must agree about the sides of the body, but in {path.name} one mirrors or turns the "
            "other: left and right may be swapped; convert the DICOM files again"
        )
    return forms[0]


def _sides(form: NDArray[np.float64]) -> tuple[float, ...]:
    """Which world axis each index follows most, 1 to 3, and with which sign."""
    along = np.abs(form[:, :3]).argmax(axis=0)
    return tuple((along + 1) * np.sign(form[along, range(3)]))


def _qform(header: _Header) -> NDArray[np.float64]:
    """Return the rotation of a NIfTI quaternion; its third column is turned round when pixdim[0] is negative."""
    vector = np.array(header.quaternion, dtype=float)
    scalar = np.sqrt(max(0.0, 1.0 - vector @ vector))
    rotation = Rotation.from_quat([*vector, scalar]).as_matrix()
    return np.asarray(rotation * (1, 1, -1 if header.pixdim[0] < 0 else 1))


def _quaternion(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the three numbers NIfTI stores of a rotation; the fourth is positive by convention."""
    x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    return np.array([x, y, z]) * (1 if w >= 0 else -1)
