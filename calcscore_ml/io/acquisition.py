"""Acquisition from and to DICOM keywords: one vocabulary for DICOM headers and for the JSON file beside a volume.

Free text of a header may name a patient. Nothing of it is kept but words from the lists in this module.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal, cast

from calcscore_ml.scan import Acquisition

CONTRAST_NAMES = (
    "accupaque", "hexabrix", "imagopaque", "iobitridol", "iodixanol", "iohexol", "iomeprol", "iomeron", "iopamidol",
    "iopamiro", "iopromide", "ioversol", "ioxaglate", "ioxilan", "isovue", "jopamiro", "niopam", "omnipaque",
    "optiject", "optiray", "oxilan", "scanlux", "solutrast", "ultravist", "unilux", "visipaque", "xenetix",
)  # fmt: skip
"""Iodinated contrast agents by substance and brand. One of these words anywhere in the fields below is contrast."""

UNNAMED_CONTRAST = "unnamed agent"
"""Kept when the header says that an agent was given in words that are not in `CONTRAST_NAMES`."""

NO_CONTRAST = frozenset(
    {"", "0", "-", "n", "n/a", "na", "native", "nativ", "no", "no contrast", "no iv contrast", "non", "non contrast",
     "non-contrast", "none", "unenhanced", "w/o", "wo", "w/o contrast", "without", "without contrast", "ohne"}
)  # fmt: skip
"""What headers write into ContrastBolusAgent when none was given."""

CONTRAST_FIELDS = ("ContrastBolusAgent", "ContrastBolusIngredient")
"""Fields that name the agent; any other text here means an agent."""

COMMENT_FIELDS = ("ProtocolName", "SeriesDescription", "ImageComments")
"""Free text searched for the names of agents only."""

GATING_FIELDS = ("CardiacRRIntervalSpecified", "NominalPercentageOfCardiacPhase", "TriggerTime", "HeartRate")
"""Fields that are written for gated scans."""

SYNCHRONISED = frozenset({"REALTIME", "PROSPECTIVE", "RETROSPECTIVE", "PACED"})
"""Values of CardiacSynchronizationTechnique that mean gating (DICOM PS3.3 C.7.6.18.1)."""

GATED_WORDS = re.compile(r"ECG|EKG|CARDIAC|TRIGGERED")
"""What scanners write into ScanOptions of gated scans."""

KEYWORDS = (
    "KVP", "SliceThickness", "ConvolutionKernel", "Manufacturer", "ManufacturerModelName", *CONTRAST_FIELDS,
    *COMMENT_FIELDS, "CardiacSynchronizationTechnique", *GATING_FIELDS, "ScanOptions", "CalciumScoringMassFactorDevice",
    "ReconstructionDiameter", "PatientAge", "PatientSex",
)  # fmt: skip
"""The DICOM keywords `read_acquisition` looks at."""

JSON_NAMES = {"ManufacturerModelName": "ManufacturersModelName"}
"""Where dcm2niix's JSON differs from the DICOM keyword."""

_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}


def read_acquisition(header: Mapping[str, object], gantry_tilt_deg: float = 0.0) -> Acquisition:
    """Read the acquisition out of DICOM keywords and their values.

    Parameters
    ----------
    header : mapping of str to value
        Values by DICOM keyword: numbers, text, or lists of them. Missing and empty ones are silent.
    gantry_tilt_deg : float
        From slice positions, which only the caller knows [degrees].

    Returns
    -------
    Acquisition
        What the header says; a value that cannot be read counts as silent.

    >>> read_acquisition({"KVP": "120", "ConvolutionKernel": ["I30f", "3"], "ContrastBolusAgent": "NONE"}).kernel
    'I30f/3'
    """
    factors = [_number(v) for v in _values(header, "CalciumScoringMassFactorDevice")]
    known = [float(f"{f:.6g}") for f in factors if f is not None and f > 0]  # FL is single precision
    sex = text(header, "PatientSex")
    return Acquisition(
        kvp=_positive(header, "KVP"),
        slice_thickness_mm=_positive(header, "SliceThickness"),
        kernel=text(header, "ConvolutionKernel"),
        manufacturer=text(header, "Manufacturer"),
        model=text(header, "ManufacturerModelName"),
        contrast_agent=_contrast(header),
        ecg_gated=_gated(header),
        mass_factors_mg_per_ml_hu=(known[0], known[1], known[2]) if len(known) == 3 else None,
        gantry_tilt_deg=gantry_tilt_deg,
        reconstruction_diameter_mm=_positive(header, "ReconstructionDiameter"),
        age_years=_age(header),
        sex=sex if sex in ("F", "M", "O") else None,
    )


def as_header(acquisition: Acquisition) -> dict[str, object]:
    """Say an acquisition in DICOM keywords: the inverse of `read_acquisition`, without silent fields.

    The gantry tilt has no place here, as it is read from positions.

    >>> as_header(Acquisition(kvp=120.0, sex="F", age_years=61.0))
    {'KVP': 120.0, 'PatientAge': '061Y', 'PatientSex': 'F'}
    """
    gated: dict[bool | None, tuple[str, object]] = {
        None: ("ScanOptions", None),
        True: ("ScanOptions", "ECG"),
        False: ("CardiacSynchronizationTechnique", "NONE"),
    }
    factors = acquisition.mass_factors_mg_per_ml_hu
    pairs: tuple[tuple[str, object], ...] = (
        ("KVP", acquisition.kvp),
        ("SliceThickness", acquisition.slice_thickness_mm),
        ("ConvolutionKernel", acquisition.kernel),
        ("Manufacturer", acquisition.manufacturer),
        ("ManufacturerModelName", acquisition.model),
        ("ContrastBolusAgent", acquisition.contrast_agent),
        gated[acquisition.ecg_gated],
        ("CalciumScoringMassFactorDevice", None if factors is None else list(factors)),
        ("ReconstructionDiameter", acquisition.reconstruction_diameter_mm),
        ("PatientAge", None if acquisition.age_years is None else _age_string(acquisition.age_years)),
        ("PatientSex", acquisition.sex),
    )
    return {keyword: value for keyword, value in pairs if value is not None}


def text(header: Mapping[str, object], keyword: str) -> str | None:
    """Return a field's text, several values joined by ``/``; `None` when there is none."""
    words = [re.sub(r"\s+", " ", str(v)).strip() for v in _values(header, keyword)]
    joined = "/".join(word for word in words if word)
    return joined or None


def numbers(header: Mapping[str, object], keyword: str, count: int) -> tuple[float, ...] | None:
    """Return a field's `count` finite numbers; `None` when it holds anything else."""
    found = [_number(v) for v in _values(header, keyword)]
    known = [n for n in found if n is not None]
    return tuple(known) if len(known) == len(found) == count else None


def number(header: Mapping[str, object], keyword: str) -> float | None:
    """Return a field's first value as a finite number, or `None`."""
    values = _values(header, keyword)
    return _number(values[0]) if values else None


def _values(header: Mapping[str, object], keyword: str) -> list[object]:
    value = header.get(keyword)
    if value is None:
        return []
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    return [value]


def _number(value: object) -> float | None:
    try:
        number = float(cast("str", value))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _positive(header: Mapping[str, object], keyword: str) -> float | None:
    value = number(header, keyword)
    return value if value is not None and value > 0 else None


def _contrast(header: Mapping[str, object]) -> str | None:
    written = [(text(header, field) or "").lower() for field in CONTRAST_FIELDS]
    comments = [(text(header, field) or "").lower() for field in COMMENT_FIELDS]
    for words in written + comments:
        for name in CONTRAST_NAMES:
            if name in words:
                return name
    return None if all(words in NO_CONTRAST for words in written) else UNNAMED_CONTRAST


def _gated(header: Mapping[str, object]) -> bool | None:
    technique = (text(header, "CardiacSynchronizationTechnique") or "").upper()
    if technique in SYNCHRONISED:
        return True
    if technique == "NONE":
        return False
    options = (text(header, "ScanOptions") or "").upper()
    if GATED_WORDS.search(options) or any((number(header, field) or 0) > 0 for field in GATING_FIELDS):
        return True
    return None


def _age(header: Mapping[str, object]) -> float | None:
    value = (text(header, "PatientAge") or "").upper()
    match = re.fullmatch(r"(\d+)([DWMY])", value)
    if match:
        unit = cast("Literal['D', 'W', 'M', 'Y']", match[2])
        return round(int(match[1]) * _YEARS[unit], 3)
    return _positive(header, "PatientAge")


def _age_string(years: float) -> str:
    """Age as DICOM's AS: whole years, or months or days below them when years are not whole."""
    if years == round(years):
        return f"{round(years):03d}Y"
    months = round(years * 12)
    return f"{months:03d}M" if months <= 999 else f"{round(years):03d}Y"
