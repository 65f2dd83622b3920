"""What a digital cohort is: how many patients, from which seed, under which protocols, scanned how often.

A cohort is data: a TOML file, one of ``configs/cohorts/`` or a user's own. Two files with the same seed and name make
the same patients, so series that differ in one thing only can be compared scan by scan.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from calcscore_ml.configs import Section, builtin_file, builtin_names, check, problems, read_toml
from calcscore_ml.errors import RecipeError
from calcscore_ml.manifest import SCAN_ID, Split
from calcscore_ml.phantom.protocols import PROTOCOLS, Protocol, find_kernel, find_protocol
from calcscore_ml.phantom.take import PLAIN, Take

ImageFormat = Literal["dicom", "nifti"]
"""How images are written."""

Drawn = Literal["all", "stented"]
"""Whom a cohort draws."""

SPLIT_CYCLE: tuple[Split, ...] = ("train", "train", "test", "train", "calibrate")
"""Splits of successive patients: 60 % to train, 20 % to calibrate, 20 % to test."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """A digital cohort, described.

    Parameters
    ----------
    name : str
        Begins the scans' names.
    seed : int
        Same seed, same patients.
    count : int
        Number of patients. A larger cohort of the same seed begins with the smaller one.
    protocols : tuple of Protocol
        Those to draw from, by their shares; those of `PROTOCOLS` that have a share by default.
    takes : tuple of Take
        The scans of every patient.
    patients : {'all', 'stented'}
        Whom to draw: everybody, or those with a coronary stent only, who are rare otherwise.
    splits : tuple of str
        Splits of successive patients, over and over. A patient's takes share one.
    image_format : {'dicom', 'nifti'}
        How images are written.
    organs : bool
        Whether organs and centrelines of the coronary arteries are written beside each scan. The scans stay the same.
    description : str
        For people.

    Raises
    ------
    RecipeError
        When a value is out of range.
    """

    name: str = "digital"
    seed: int = 0
    count: int = 20
    protocols: tuple[Protocol, ...] = tuple(p for p in PROTOCOLS if p.share > 0)
    takes: tuple[Take, ...] = (PLAIN,)
    patients: Drawn = "all"
    splits: tuple[Split, ...] = SPLIT_CYCLE
    image_format: ImageFormat = "dicom"
    organs: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        if self.count < 1 or self.seed < 0:
            raise RecipeError(f"count must be at least 1 and seed at least 0, got {self.count} and {self.seed}")
        if not SCAN_ID.fullmatch(self.name):
            raise RecipeError(f"a cohort's name may hold letters, digits, '.', '_' and '-', got {self.name!r}")
        if self.image_format not in ("dicom", "nifti"):
            raise RecipeError(f"a cohort's images are written as dicom or nifti, got {self.image_format!r}; choose one")
        if self.patients not in ("all", "stented"):
            raise RecipeError(f"a cohort's patients are all or stented, got {self.patients!r}; choose one")
        if not self.protocols or not any(p.share > 0 for p in self.protocols):
            raise RecipeError("a cohort needs at least one protocol with a share above 0")
        if not self.takes or not self.splits:
            raise RecipeError("a cohort needs at least one take and one split")
        names = [take.name for take in self.takes]
        if len(set(names)) < len(names):
            raise RecipeError(f"takes must have names of their own, got {', '.join(map(repr, names))}")


def read_cohort(source: Path | str) -> Cohort:
    """Read a cohort from a file, or one that comes with the package by its name.

    Parameters
    ----------
    source : path or str
        A TOML file, or a name of `COHORTS`.

    Raises
    ------
    RecipeError
        When there is no such cohort or file, or it breaks a rule; the message names the key.

    >>> read_cohort("default").count
    200
    """
    file = Path(source)
    if file.suffix != ".toml" and not file.is_file():
        file = builtin_file(str(source), "cohort (or a TOML file)", "cohorts")
    where = str(source)
    read = check(_CohortFile, read_toml(file, "a cohort"), "a cohort", where)
    own = tuple(_own_protocol(entry, where) for entry in read.protocol)
    shared = tuple(_with_share(name, share, own) for name, share in read.protocols.items())
    chosen = shared + tuple(p for p in own if p.name not in {s.name for s in shared})
    takes = tuple(Take(**take.model_dump()) for take in read.takes)
    return Cohort(
        name=read.name,
        seed=read.seed,
        count=read.count,
        protocols=chosen or Cohort().protocols,
        takes=takes or (PLAIN,),
        patients=read.patients,
        splits=read.splits,
        image_format=read.image_format,
        organs=read.organs,
        description=read.description,
    )


def cohort_names() -> tuple[str, ...]:
    """Return the names of the cohorts that come with the package."""
    return builtin_names("cohorts")


class _TakeEntry(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    repeat: Annotated[int, Field(ge=0)] = 0
    moved: bool = False
    dose: Annotated[float, Field(gt=0)] = 1.0
    calcium: bool = True
    kvp: Annotated[float, Field(gt=0)] | None = None
    filter: Literal["", "tin"] | None = None
    kernel: str | None = None
    slice_thickness_mm: Annotated[float, Field(gt=0)] | None = None
    slice_spacing_mm: Annotated[float, Field(gt=0)] | None = None


class _CohortFile(Section):
    name: str = "digital"
    seed: int = 0
    count: int = 20
    image_format: ImageFormat = "dicom"
    organs: bool = False
    patients: Drawn = "all"
    splits: tuple[Split, ...] = SPLIT_CYCLE
    description: str = ""
    protocols: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    protocol: tuple[dict[str, Any], ...] = ()
    takes: tuple[_TakeEntry, ...] = ()


def _with_share(name: str, share: float, own: tuple[Protocol, ...]) -> Protocol:
    found = next((p for p in own if p.name == name), None)
    return replace(found if found is not None else find_protocol(name), share=share)


def _own_protocol(entry: dict[str, Any], where: str) -> Protocol:
    """Build a protocol from one that exists and what is different about it."""
    changes = dict(entry)
    base = find_protocol(str(changes.pop("base", "gated-3mm")))
    unknown = set(changes) - {f.name for f in fields(Protocol)}
    if unknown or "name" not in changes:
        raise RecipeError(
            f"a [[protocol]] holds a name, a base and fields of a protocol, got {', '.join(sorted(entry))} in {where}"
        )
    if isinstance(changes.get("kernel"), str):
        changes["kernel"] = find_kernel(changes["kernel"])
    values = {f.name: getattr(base, f.name) for f in fields(Protocol)} | {"share": 1.0} | changes
    try:
        return TypeAdapter(Protocol).validate_python(values)
    except ValidationError as error:
        raise RecipeError(
            f"a [[protocol]] holds fields with values in range, got {problems(error)} in {where}"
        ) from error
