"""One scan as a row of the table an evaluation takes: whose it is, how it was made, its scores and their reference."""

from __future__ import annotations

from calcscore_ml.scan import Acquisition
from calcscore_ml.scores import ScoreSummary

GROUPS = ("protocol", "manufacturer", "kernel", "slice_thickness_mm", "sex", "reference_category")
"""Columns an evaluation can be split by; all are text."""

UNKNOWN = "unknown"
"""What a group is called where manifest and header are silent."""


def scan_row(
    acquisition: Acquisition,
    measured: ScoreSummary,
    reference: ScoreSummary,
    *,
    patient_id: str,
    scan_id: str,
    protocol: str = "",
) -> dict[str, object]:
    """Put the scores of a scan beside their reference.

    Parameters
    ----------
    acquisition : Acquisition
        How the scan was made.
    measured, reference : ScoreSummary
        Its scores, by one rule and one risk scheme.
    patient_id, scan_id, protocol : str
        As in the manifest.

    Returns
    -------
    dict of str to str, float or int
        `patient_id`, `scan_id`, `GROUPS`, and each score ``x`` with its reference ``x_truth``: `agatston`,
        `volume_mm3`, `mass_mg`, the same of each artery (`agatston_lad`, `volume_lad_mm3`, `mass_lad_mg`), and
        `category`, the number of the risk category.
    """
    thickness = acquisition.slice_thickness_mm
    groups = (
        protocol,
        acquisition.manufacturer,
        acquisition.kernel,
        None if thickness is None else f"{round(thickness, 2):g}",
        acquisition.sex,
        reference.category,
    )
    row: dict[str, object] = {"patient_id": patient_id, "scan_id": scan_id}
    row |= {name: value or UNKNOWN for name, value in zip(GROUPS, groups, strict=True)}
    for suffix, summary in (("", measured), ("_truth", reference)):
        row[f"category{suffix}"] = summary.scheme.category(summary.total.agatston)
        for artery, site in (("", summary.total), *((f"_{s.site.lower()}", s) for s in summary.arteries)):
            row[f"agatston{artery}{suffix}"] = site.agatston
            row[f"volume{artery}_mm3{suffix}"] = site.volume_mm3
            row[f"mass{artery}_mg{suffix}"] = site.mass_mg
    return row
