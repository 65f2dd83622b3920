"""What a scan's protocol is in numbers, and whether a model has learnt from scans like it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from calcscore_ml.scan import Scan

UNITS = {"kvp": "kV", "slice_thickness_mm": "mm", "slice_spacing_mm": "mm", "pixel_mm": "mm"}
"""Numbers of a protocol that are compared, and the unit of each."""

WORDS = {
    "kvp": "tube voltage",
    "slice_thickness_mm": "slice thickness",
    "slice_spacing_mm": "distance of slices",
    "pixel_mm": "pixel size",
}
"""What each is called."""

TOLERANCE = 0.05
"""How far beyond the range of the scans learnt from a number may lie, as a share of it; our choice."""


def protocol_of(scan: Scan) -> dict[str, float]:
    """Return the numbers of a scan's protocol, those its header gives."""
    spacing = scan.geometry.spacing
    numbers = {
        "kvp": scan.acquisition.kvp,
        "slice_thickness_mm": scan.acquisition.slice_thickness_mm,
        "slice_spacing_mm": spacing[0],
        "pixel_mm": spacing[1],
    }
    return {name: float(value) for name, value in numbers.items() if value is not None}


def ranges(protocols: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Return the lowest and highest of each number over scans, where any scan gives it.

    >>> ranges([{"kvp": 120.0}, {"kvp": 100.0, "pixel_mm": 0.5}])
    {'kvp': (100.0, 120.0), 'pixel_mm': (0.5, 0.5)}
    """
    found = {name: [p[name] for p in protocols if name in p] for name in UNITS}
    return {name: (min(values), max(values)) for name, values in found.items() if values}


def outside(protocol: Mapping[str, float], seen: Mapping[str, tuple[float, float]]) -> tuple[str, ...]:
    """Say in words which numbers of a protocol lie outside the range of the scans a model learnt from.

    What the scan's header or the model does not tell is not held against the scan.

    >>> outside({"kvp": 70.0, "pixel_mm": 0.5}, {"kvp": (100.0, 120.0), "pixel_mm": (0.4, 0.8)})
    ('tube voltage 70 kV, learnt from 100 to 120',)
    """
    strange = []
    for name, (low, high) in seen.items():
        value = protocol.get(name)
        if name in UNITS and value is not None and not low * (1 - TOLERANCE) <= value <= high * (1 + TOLERANCE):
            strange.append(f"{WORDS[name]} {value:.3g} {UNITS[name]}, learnt from {low:.3g} to {high:.3g}")
    return tuple(strange)
