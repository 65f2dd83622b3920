"""Coronary calcium scoring with classical machine learning. For research only.

The names below are the public ones; they are imported when they are first used, so that importing the package costs
nothing.

>>> import calcscore_ml
>>> calcscore_ml.find_rule("umcu").min_volume_mm3
1.5
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calcscore_ml.anatomy import Label
    from calcscore_ml.assessment import assess_cohort
    from calcscore_ml.candidates import find_candidates
    from calcscore_ml.heart.roi import find_heart_box
    from calcscore_ml.io import read_scan
    from calcscore_ml.manifest import read_manifest
    from calcscore_ml.models.bundle import load_bundle, save_bundle
    from calcscore_ml.models.default import default_model
    from calcscore_ml.phantom import generate, read_cohort, write_cohort
    from calcscore_ml.pipeline import describe_scan, score_labelled, score_scan
    from calcscore_ml.recipe import parse_recipe, read_recipe
    from calcscore_ml.reports.html import scan_report
    from calcscore_ml.result import read_result, write_result
    from calcscore_ml.scan import Scan
    from calcscore_ml.scores import find_rule, summarise
    from calcscore_ml.training import lesion_table, train

_HOMES: dict[str, str] = {
    "Label": "anatomy",
    "Scan": "scan",
    "assess_cohort": "assessment",
    "default_model": "models.default",
    "describe_scan": "pipeline",
    "find_candidates": "candidates",
    "find_heart_box": "heart.roi",
    "find_rule": "scores",
    "generate": "phantom",
    "lesion_table": "training",
    "load_bundle": "models.bundle",
    "parse_recipe": "recipe",
    "read_cohort": "phantom",
    "read_manifest": "manifest",
    "read_recipe": "recipe",
    "read_result": "result",
    "read_scan": "io",
    "save_bundle": "models.bundle",
    "scan_report": "reports.html",
    "score_labelled": "pipeline",
    "score_scan": "pipeline",
    "summarise": "scores",
    "train": "training",
    "write_cohort": "phantom",
    "write_result": "result",
}
"""Module of each public name."""

__all__ = [
    "Label",
    "Scan",
    "assess_cohort",
    "default_model",
    "describe_scan",
    "find_candidates",
    "find_heart_box",
    "find_rule",
    "generate",
    "lesion_table",
    "load_bundle",
    "parse_recipe",
    "read_cohort",
    "read_manifest",
    "read_recipe",
    "read_result",
    "read_scan",
    "save_bundle",
    "scan_report",
    "score_labelled",
    "score_scan",
    "summarise",
    "train",
    "write_cohort",
    "write_result",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 (PEP 562)
    if name not in _HOMES:
        raise AttributeError(f"module 'calcscore_ml' has no attribute {name!r}")
    return getattr(import_module(f"calcscore_ml.{_HOMES[name]}"), name)
