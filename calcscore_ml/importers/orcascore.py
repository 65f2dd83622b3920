"""orCaScore: MetaImage files whose names say whose they are and what they hold.

Labels are our numbers already, with the left main counted as LAD; see `calcscore_ml.anatomy.merge_left_main`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from calcscore_ml.errors import ManifestError
from calcscore_ml.importers.listing import Listing
from calcscore_ml.io import VOLUME_ENDINGS
from calcscore_ml.manifest import ManifestRow, Split

NAME = re.compile(
    r"(?P<set>TR|TE)[\W_]*V(?P<vendor>\d+)[\W_]*P(?P<patient>\d+)[\W_]*(?P<kind>CTAI|CTI|R)"
    rf"(?:{'|'.join(map(re.escape, VOLUME_ENDINGS))})",
    re.IGNORECASE,
)
"""A file's name: set, vendor, patient and kind, with or without anything that is no letter or digit between them."""

SPLIT: dict[str, Split] = {"TR": "train", "TE": "test"}
"""The challenge's own sets."""


def find_orcascore(root: Path | str) -> Listing:
    """Find the calcium scoring scans of orCaScore and their references.

    Parameters
    ----------
    root : path
        A folder, searched to any depth: ``TRV1P1CTI.mhd`` is the scan, ``TRV1P1R.mhd`` its reference.

    Returns
    -------
    Listing
        A row per patient; the split is the challenge's. Test scans may lack a reference. CT angiograms (CTAI) are left
        out, and volumes whose name is not understood are in `notes`.

    Raises
    ------
    ManifestError
        When there is no scan.
    """
    root = Path(root)
    kinds: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    notes = []
    for path in sorted(p for p in root.rglob("*") if p.name.lower().endswith(VOLUME_ENDINGS) and p.is_file()):
        named = NAME.fullmatch(path.name)
        if named is None:
            notes.append((path.relative_to(root).as_posix(), "the name was not understood, the file is left out"))
            continue
        part = {name: value.upper() for name, value in named.groupdict().items()}
        patient = f"{part['set']}-V{int(part['vendor'])}-P{int(part['patient'])}"
        kinds[patient][part["kind"]].append(path)
    if not kinds:
        raise ManifestError(
            f"orCaScore's files are called like TRV1P1CTI.mhd and TRV1P1R.mhd, got none such in {root}; "
            "give the folder that holds them"
        )
    rows, failed = [], []
    for patient, files in sorted(kinds.items()):
        if problem := _problem(patient, files):
            failed.append((patient, problem))
        else:
            rows.append(_row(patient, files["CTI"][0], files["R"]))
    return Listing(tuple(rows), tuple(failed), tuple(notes))


def _problem(patient: str, files: dict[str, list[Path]]) -> str:
    """Say why a patient cannot be listed; empty when it can."""
    for kind in ("CTI", "R"):
        if len(files[kind]) > 1:
            return f"a patient has one {kind} file, got {', '.join(p.name for p in files[kind])}; keep one"
    if not files["CTI"]:
        return "a patient needs a calcium scoring scan (CTI), got none; copy it again"
    if not files["R"] and patient.startswith("TR"):
        return "a training patient needs a reference (R), got none; copy it again"
    return ""


def _row(patient: str, image: Path, reference: list[Path]) -> ManifestRow:
    return ManifestRow(
        scan_id=f"orcascore-{patient}",
        patient_id=f"orcascore-{patient}",
        split=SPLIT[patient[:2]],
        image=image,
        labels=reference[0] if reference else None,
        protocol=f"vendor {patient.split('-')[1][1:]}",
        source="orCaScore",
        licence="orCaScore's confidentiality agreement",
    )
