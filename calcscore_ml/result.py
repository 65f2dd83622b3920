"""The result of scoring a scan: what was found, what was decided, what is pending, and where it came from.

A result is a folder: ``result.json`` says everything; ``voxels.npz`` holds the lesions' voxels, so any score can be
explained and computed again by another rule without the scan; ``arteries.json`` holds where each artery is
expected; ``lesions.csv`` is for spreadsheets; ``report.html`` for people.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError, computed_field

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ResultError
from calcscore_ml.files import write_beside, write_text
from calcscore_ml.geometry import Geometry
from calcscore_ml.heart.locate import Location
from calcscore_ml.heart.roi import HeartBox
from calcscore_ml.quality import Remark
from calcscore_ml.scan import Acquisition
from calcscore_ml.scores import Calcium, ScoreSummary

SCHEMA_VERSION = 1
"""Version of ``result.json``; raised when a reader of the old one would go wrong."""

RESULT_FILE = "result.json"
VOXELS_FILE = "voxels.npz"
ARTERIES_FILE = "arteries.json"
LESIONS_FILE = "lesions.csv"
REPORT_FILE = "report.html"

NO_SCORE = "no score"
"""The headline of a scan that has none."""

INTENDED_USE = "For research use only. Not a medical device; not for diagnosis or treatment."
"""Said by every report and result."""


@dataclass(frozen=True, slots=True)
class Driver:
    """A feature that drove what a model says of a lesion.

    Parameters
    ----------
    feature : str
        Its name in the catalogue.
    value, typical : float or None
        The lesion's, and the median of the lesions the model learnt from; None where it is not defined.
    effect : float
        What the probability of being coronary would lose if the lesion had the typical value: positive speaks for
        calcified plaque, negative against it.
    """

    feature: str
    value: float | None
    typical: float | None
    effect: float


@dataclass(frozen=True, slots=True)
class LesionResult:
    """What is said of one candidate lesion.

    Parameters
    ----------
    lesion : int
        Id, 1 for the first.
    label : Label
        The most probable label, or the observer's.
    probabilities : dict of str to float
        Probability of each label, by title. Empty when an observer's labels were scored.
    coronary_probability : float
        Sum over the arteries.
    entropy, margin, disagreement : float
        Uncertainty; see `calcscore_ml.referral.uncertainty`.
    referred : bool
        Whether an expert should decide.
    reason : str
        Why it is referred, in words.
    volume_mm3, mean_hu, peak_hu : float
        Of all its voxels [mm3, HU].
    agatston : float
        What it adds, or would add if it were calcified plaque.
    index : tuple of float
        Centroid (z, y, x) in voxels.
    position_mm : tuple of float
        Centroid in the world, (x, y, z) LPS [mm].
    ambiguity, distance : float or None
        More of its uncertainty; None where the model cannot say.
    doubt, change, category : float
        What hangs on its label; see `calcscore_ml.referral.stakes`.
    urgency : float
        What the recipe orders lesions by for the expert.
    drivers : tuple of Driver
        Features that drove its probability of being coronary, strongest first; of referred lesions.
    """

    lesion: int
    label: Label
    probabilities: dict[str, float]
    coronary_probability: float
    entropy: float
    margin: float
    disagreement: float
    referred: bool
    reason: str
    volume_mm3: float
    mean_hu: float
    peak_hu: float
    agatston: float
    index: tuple[float, float, float]
    position_mm: tuple[float, float, float]
    ambiguity: float | None = None
    distance: float | None = None
    doubt: float = 0.0
    change: float = 0.0
    category: float = 0.0
    urgency: float = 0.0
    drivers: tuple[Driver, ...] = ()


@dataclass(frozen=True, slots=True)
class PendingRange:
    """Agatston totals before the expert has spoken.

    Parameters
    ----------
    lowest, highest : float
        Total if every pending lesion is rejected, and if every one is accepted as coronary.
    pending : int
        Number of pending lesions.
    """

    lowest: float
    highest: float
    pending: int

    def say(self, score: float) -> str:
        """Return the score as printed.

        >>> PendingRange(390.2, 455.0, 3).say(412.1)
        '412 (390-455 pending 3 lesions)'
        >>> PendingRange(12.0, 12.0, 0).say(12.0)
        '12'
        """
        if not self.pending:
            return f"{score:.0f}"
        noun = "lesion" if self.pending == 1 else "lesions"
        return f"{score:.0f} ({self.lowest:.0f}-{self.highest:.0f} pending {self.pending} {noun})"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a result came from.

    Parameters
    ----------
    scan_sha256 : str
        Fingerprint of the HU values and grid.
    recipe : dict
        The whole recipe.
    model : dict of str to str
        Name, SHA-256 and training of the model, or who labelled.
    versions : dict of str to str
        Of calcscore-ml and the packages a number may depend on.
    seconds : dict of str to float
        Time of each stage [s].
    """

    scan_sha256: str
    recipe: dict[str, Any]
    model: dict[str, str]
    versions: dict[str, str]
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class LocationSummary:
    """How well heart, aorta and arteries were located.

    Parameters
    ----------
    trusted : bool
        Whether the atlases are believed.
    remark : str
        Why not.
    atlases : int
        Number of atlases that were registered.
    similarity : float
        Mean correlation of scan and atlases in the heart, -1 to 1.
    spread_mm : float or None
        RMS distance of the atlases' arteries from their mean [mm].
    """

    trusted: bool = False
    remark: str = ""
    atlases: int = 0
    similarity: float = 0.0
    spread_mm: float | None = None

    @classmethod
    def of(cls, location: Location) -> Self:
        """Sum a location up."""
        spread = location.spread_mm if np.isfinite(location.spread_mm) else None
        return cls(location.trusted, location.remark, len(location.registered), location.similarity, spread)


@dataclass(frozen=True, slots=True)
class ScanResult:
    """Everything about a scored scan but its voxels.

    Parameters
    ----------
    scan_id : str
        Name of the scan; never a patient's.
    geometry, acquisition : Geometry, Acquisition
        Of the scan.
    remarks : tuple of Remark
        Quality of the scan, as far as it touches the score.
    heart_box : HeartBox or None
        What locations are relative to.
    score : ScoreSummary
        With every lesion under its most probable label.
    range : PendingRange
        How far the pending lesions may move the total.
    candidates, dropped_small, dropped_large : int
        Components found within the limits on volume, and left out by them.
    lesions : tuple of LesionResult
        Every candidate that is no clear "other", and every referred one.
    provenance : Provenance
        Where it came from.
    location : LocationSummary
        How well heart, aorta and arteries were located.
    whole_scan : tuple of str
        Why all its lesions go to an expert; empty when they do not.
    promise : str
        What its referral promises, in words; empty when nothing.
    invalid_reasons : tuple of str
        Why the scan has no score, a sentence each; empty when it has one. What was computed stays in `score`.
    intended_use : str
        Research only.
    schema_version : int
        `SCHEMA_VERSION`.
    """

    scan_id: str
    geometry: Geometry
    acquisition: Acquisition
    remarks: tuple[Remark, ...]
    heart_box: HeartBox | None
    score: ScoreSummary
    range: PendingRange
    candidates: int
    dropped_small: int
    dropped_large: int
    lesions: tuple[LesionResult, ...]
    provenance: Provenance
    location: LocationSummary = field(default_factory=LocationSummary)
    whole_scan: tuple[str, ...] = ()
    promise: str = ""
    invalid_reasons: tuple[str, ...] = ()
    intended_use: str = INTENDED_USE
    schema_version: int = SCHEMA_VERSION

    @computed_field  # type: ignore[prop-decorator]
    @property
    def valid(self) -> bool:
        """Whether the scan has a score; in ``result.json`` too."""
        return not self.invalid_reasons

    @property
    def headline(self) -> str:
        """The score in one line, as in ``412 (390-455 pending 3 lesions)``, or `NO_SCORE`."""
        return self.range.say(self.score.total.agatston) if self.valid else NO_SCORE

    @property
    def category(self) -> str:
        """The risk category; empty when there is no score."""
        return self.score.category if self.valid else ""


_ADAPTER = TypeAdapter(ScanResult)


def to_json(result: ScanResult) -> str:
    """Return a result as JSON text."""
    return _ADAPTER.dump_json(result, indent=1).decode()


def write_result(
    folder: Path | str,
    result: ScanResult,
    calcium: Calcium,
    report: str,
    *,
    arteries: Mapping[Label, NDArray[np.floating]] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a result folder; ``result.json`` comes last, so a folder that has it is complete.

    Parameters
    ----------
    folder : path
        Where to.
    result : ScanResult
        What to say.
    calcium : Calcium
        Voxels of every listed lesion, each under the label it would have if accepted.
    report : str
        HTML text.
    arteries : mapping of Label to (n, 3) array, optional
        Where each artery is expected, (z, y, x) in voxels.
    overwrite : bool
        Replace a result that is already there.

    Raises
    ------
    ResultError
        When the folder already holds a result and `overwrite` is false.
    """
    where = Path(folder)
    if (where / RESULT_FILE).exists() and not overwrite:
        raise ResultError(
            f"an existing result is never replaced unasked, got {where}; use --overwrite or another folder"
        )
    with write_beside(where / VOXELS_FILE, overwrite=True) as beside, beside.open("wb") as stream:
        np.savez_compressed(
            stream,
            voxels=calcium.voxels.astype(np.int32),
            hu=calcium.hu,
            lesion=calcium.lesion.astype(np.int32),
            label=calcium.label.astype(np.uint8),
        )
    paths = {label.name: np.round(path, 2).tolist() for label, path in (arteries or {}).items()}
    write_text(where / ARTERIES_FILE, json.dumps(paths), overwrite=True)
    write_text(where / LESIONS_FILE, _lesion_rows(result), overwrite=True)
    write_text(where / REPORT_FILE, report, overwrite=True)
    write_text(where / RESULT_FILE, to_json(result), overwrite=True)
    return where


def read_result(path: Path | str) -> tuple[ScanResult, Calcium]:
    """Read a result folder (or its ``result.json``), with the voxels of its lesions.

    Raises
    ------
    ResultError
        When a file is missing or is not what `write_result` wrote.
    """
    folder = Path(path)
    folder = folder.parent if folder.name == RESULT_FILE else folder
    try:
        result = _ADAPTER.validate_json((folder / RESULT_FILE).read_bytes())
        with np.load(folder / VOXELS_FILE, allow_pickle=False) as arrays:
            voxels, hu, lesion, label = (arrays[k] for k in ("voxels", "hu", "lesion", "label"))
    except (OSError, KeyError, ValueError, ValidationError) as error:
        raise ResultError(
            f"a result must be a folder `calcscore score` wrote, got {type(error).__name__} in {folder}; score again"
        ) from error
    calcium = Calcium(
        result.geometry,
        voxels.astype(np.intp),
        hu.astype(np.int16),
        lesion.astype(np.intp),
        label.astype(np.intp),
        result.acquisition.slice_thickness_mm,
    )
    return result, calcium


def read_arteries(folder: Path | str) -> dict[Label, NDArray[np.float64]]:
    """Read where each artery of a result is expected, (n, 3) of (z, y, x) in voxels; empty when it is not known.

    Raises
    ------
    ResultError
        When the file is not what `write_result` wrote.
    """
    file = Path(folder) / ARTERIES_FILE
    if not file.is_file():
        return {}
    try:
        paths = {Label[name]: np.array(path, dtype=float) for name, path in json.loads(file.read_bytes()).items()}
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ResultError(
            f"expected arteries must be paths by the name of the artery, got {type(error).__name__} in {file}; "
            "score again"
        ) from error
    strange = [label.name for label, path in paths.items() if path.ndim != 2 or path.shape[1] != 3]
    if strange:
        raise ResultError(f"an expected artery must be points (z, y, x), got others for {strange} in {file}")
    return paths


def counted(result: ScanResult, calcium: Calcium) -> Calcium:
    """Keep the calcium of the lesions whose most probable label is calcified plaque."""
    return calcium.in_lesions(np.array([n.lesion for n in result.lesions if n.label != Label.OTHER], dtype=np.intp))


def _lesion_rows(result: ScanResult) -> str:
    names = [f.name for f in fields(LesionResult) if f.name != "drivers"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    vectors = {"index": ("index_z", "index_y", "index_x"), "position_mm": ("x_mm", "y_mm", "z_mm")}
    header: list[str] = []
    for name in names:
        header.extend(vectors.get(name, (name,)) if name != "probabilities" else [f"p_{t.name.lower()}" for t in Label])
    writer.writerow(header)
    for lesion in result.lesions:
        row: list[object] = []
        values = asdict(lesion)
        for name in names:
            if name == "probabilities":
                row.extend(f"{lesion.probabilities.get(t.title, 0.0):.6f}" for t in Label)
            elif name in vectors:
                row.extend(f"{v:.3f}" for v in values[name])
            elif name == "label":
                row.append(lesion.label.title)
            else:
                row.append(values[name])
        writer.writerow(row)
    return out.getvalue()
