"""Tables of several systems on the same patients, in Markdown, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from calcscore_ml.assessment import Assessment
from calcscore_ml.evaluation.comparison import ComparedMetric
from calcscore_ml.evaluation.curves import unclear
from calcscore_ml.evaluation.reliability import reliability
from calcscore_ml.reports.markdown import markdown_table

COLUMNS = {
    "sensitivity": "lesion.sensitivity",
    "PPV": "lesion.ppv",
    "F1": "lesion.f1",
    "false positives a scan": "lesion.false_positives_per_scan",
    "F1 by volume": "lesion_volume.f1",
    "right artery": "artery.accuracy_of_found",
    "ICC(A,1) Agatston": "agatston.icc_a1",
    "category right": "category.accuracy",
    "kappa": "category.kappa_linear",
}
"""Columns of the table, and the metrics in them."""

COMPARED = ("lesion.f1", "lesion_volume.f1", "agatston.icc_a1", "category.kappa_linear")
"""Metrics by which systems are compared with one of them, patient by patient."""

AORTIC = {
    "sensitivity": "other_site.aorta_sensitivity",
    "PPV": "other_site.aorta_ppv",
    "F1": "other_site.aorta_f1",
    "sensitivity by volume": "other_site.aorta_volume_sensitivity",
    "false mm3 a scan": "other_site.aorta_false_positive_mm3_per_scan",
}
"""Columns of the table of aortic calcium, and the metrics in them."""


def systems_table(found: Mapping[str, Assessment], published: Mapping[str, str]) -> str:
    """Return a Markdown table: a row per system, values with 95 % intervals, the paper's own figures last.

    Parameters
    ----------
    found : mapping of str to Assessment
        Systems by name, assessed on the same scans.
    published : mapping of str to str
        What the paper reports, by the system's name; it may lack any.
    """
    head = ["system", *COLUMNS, "referred a scan", "published (not comparable: other data)"]
    rows = []
    for name, one in found.items():
        intervals = {r.name: r.interval for r in one.automatic.results}
        cells = [str(intervals[metric]) if metric in intervals else "-" for metric in COLUMNS.values()]
        referred = f"{one.scans['referred'].mean():.2f}"
        rows.append([name, *cells, referred, published.get(name, "")])
    return markdown_table(head, rows)


def differences_table(differences: Mapping[str, Mapping[str, ComparedMetric]], best: str) -> str:
    """Return a Markdown table of what one system gains over each other one; bold where the interval excludes zero."""
    rows = []
    for name, metrics in differences.items():
        cells = []
        for metric in COMPARED:
            difference = metrics[metric].comparison.difference if metric in metrics else None
            sure = difference is not None and (difference.low > 0 or difference.high < 0)
            text = "-" if difference is None or np.isnan(difference.value) else str(difference)
            cells.append(f"**{text}**" if sure else text)
        rows.append([name, *cells])
    return markdown_table([f"{best} less", *COMPARED], rows)


def aortic_table(found: Mapping[str, Assessment]) -> str:
    """Return a Markdown table of calcium of the aorta, of the systems that call any so; empty when none does."""
    rows = [
        [name, *(str(one.automatic[metric]) for metric in AORTIC.values())]
        for name, one in found.items()
        if not np.isnan(one.automatic[AORTIC["PPV"]].value)
    ]
    return markdown_table(["system", *AORTIC], rows) if rows else ""


def calibration_table(found: Mapping[str, Assessment]) -> str:
    """Return a Markdown table of how good probabilities are, of lesions that are not clear."""
    rows = []
    for name, one in found.items():
        asked = unclear(one.lesions)
        told = reliability(asked, one.scans)
        rows.append([name, str(len(asked)), str(told.calibration_error), str(told.brier)])
    return markdown_table(["system", "lesions", "calibration error", "Brier score"], rows)


def subgroups(found: Mapping[str, Assessment]) -> pd.DataFrame:
    """Return every metric of every subgroup: `system`, `group`, `scans`, `metric`, `value`, `low`, `high`."""
    rows = [
        {"system": name, "group": group, "scans": part.n_scans, "metric": r.name, **r.interval.to_plain()}
        for name, one in found.items()
        for group, part in one.automatic.subgroups
        for r in part.results
    ]
    return pd.DataFrame(rows, columns=["system", "group", "scans", "metric", "value", "low", "high"])


def subgroups_table(found: Mapping[str, Assessment]) -> str:
    """Return a Markdown table of F1 by lesions in every subgroup, in brackets the false positives a scan."""
    first = next(iter(found.values())).automatic.subgroups
    rows = []
    for name, one in found.items():
        parts = [part for _, part in one.automatic.subgroups]
        shown = [(p["lesion.f1"].value, p["lesion.false_positives_per_scan"].value) for p in parts]
        rows.append([name, *(f"{'-' if np.isnan(f1) else f'{f1:.2f}'} ({false:.1f})" for f1, false in shown)])
    return markdown_table(["system", *(f"{group}, {part.n_scans} scans" for group, part in first)], rows)
